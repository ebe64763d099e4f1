"""What watching costs while nothing happens: `python -m tests.benchmarks.idle [FOLDERS] [SECONDS]`.

One folder with so many sub-folders, and one thirty deep. Prints the share of a core that the daemon took, and sees to
it that a new file in the deepest and in the last one is reported all the same.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from layerwatch.samples import sample
from layerwatch.sandbox import Sandbox
from tests.system.conftest import TOKEN, Site, until


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def measure(folders: int, seconds: float, home: Path) -> float:
    """The share of a core, from 0 to 1."""
    with Sandbox(token=TOKEN) as sandbox:
        site = Site(home, sandbox)
        deep = site.drop.joinpath(*(f"d{level}" for level in range(30)))
        deep.mkdir(parents=True)
        for number in range(folders):
            (site.drop / "wide" / f"{number:05}").mkdir(parents=True)
        daemon = site.start()
        until(lambda: "watching" in site.said(), "the watch")
        time.sleep(3)  # the first scan
        before = cpu_s(daemon.pid)
        time.sleep(seconds)
        share = (cpu_s(daemon.pid) - before) / seconds
        for seed, folder in enumerate((deep, site.drop / "wide" / f"{folders - 1:05}")):
            (folder / "new.png").write_bytes(sample("png", seed, 5000))
        until(lambda: site.statuses() == {"uploaded": 2}, "both new files")
        site.end(daemon)
        return share


def main() -> None:
    folders, seconds = (int(text) for text in (sys.argv[1:] + ["10000", "60"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as home:
        share = measure(folders, seconds, Path(home))
    print(f"{folders} folders, {seconds} s idle: {share:.2%} of a core; both new files were reported")


if __name__ == "__main__":
    main()
