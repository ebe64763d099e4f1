"""Peak memory of a run that uploads large files: `python -m tests.benchmarks.memory [FILES] [MIB]`.

The sandbox runs in a process of its own; what is measured is the resident peak of `layerwatch run --once` alone,
beside that of a process which only imports the same packages.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerwatch.samples import sample

MIB = 1024 * 1024


def peak_mib(command: list[str], environment: dict[str, str]) -> float:
    """The resident peak, in MiB, of a command that must succeed.

    Read from /proc while it runs, every 20 ms: `ru_maxrss` would count what this process had when it forked.
    """
    peak_kib = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peaks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
            peak_kib = max([peak_kib, *peaks])
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return peak_kib / 1024


@contextmanager
def sandbox(store: Path) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own: `base_url`, `token` and `workspace_id`."""
    command = [sys.executable, "-m", "layerwatch", "sandbox", "--port", "0", "--json", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def measure(files: int, size_mib: int, workers: int = 4) -> tuple[float, float]:
    """Resident peaks in MiB: of the run, and of the imports alone."""
    with tempfile.TemporaryDirectory() as home_name:
        home = Path(home_name)
        (home / "drop").mkdir()
        for seed in range(files):
            (home / "drop" / f"{seed}.mp4").write_bytes(sample("mp4", seed, size_mib * MIB))
        with sandbox(home / "store") as api:
            (home / "config.toml").write_text(
                f'[api]\nbase_url = "{api["base_url"]}"\nworkspace_id = "{api["workspace_id"]}"\n'
                f'[ledger]\npath = "{home}/ledger.db"\n[upload]\nworkers = {workers}\n'
                f'[[folders]]\nname = "drop"\npath = "{home}/drop"\nsettle = "100ms"\n'
            )
            environment = os.environ | {"LAYER_TOKEN": api["token"]}
            run = [sys.executable, "-m", "layerwatch", "run", "--once", "-c", str(home / "config.toml")]
            imports = [sys.executable, "-c", "import layerwatch.daemon, layerwatch.config, layerwatch.cli.screen"]
            return peak_mib(run, environment), peak_mib(imports, environment)


def main() -> None:
    files, size_mib = (int(text) for text in (sys.argv[1:] + ["20", "64"][len(sys.argv) - 1 :]))
    run, imports = measure(files, size_mib)
    print(f"{files} files of {size_mib} MiB, 4 workers: peak {run:.1f} MiB resident; imports alone {imports:.1f} MiB")


if __name__ == "__main__":
    main()
