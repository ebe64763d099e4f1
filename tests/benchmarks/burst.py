"""A burst that no event queue survives: `python -m tests.benchmarks.burst [FILES]`.

Two writers put small files into a watched folder as fast as the disk takes them, each under a temporary name first.
Prints how many have a row in the end, how often the kernel's queue overflowed, and how long the daemon took after the
last file; ends non-zero when one is missing.
"""

import multiprocessing
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from layerwatch.sandbox import Sandbox
from tests.system.conftest import TOKEN, Site, until


def write(folder: str, first: int, last: int) -> None:
    """Files that are nothing for Layer: what counts here is that each is seen."""
    for number in range(first, last):
        path = Path(folder, f"{number:06}.txt")
        path.with_suffix(".tmp").write_text(f"{number}\n")
        path.with_suffix(".tmp").rename(path)


def measure(files: int, home: Path) -> tuple[int, int, float]:
    """Rows, overflows, and the seconds from the last file to the last row."""
    with Sandbox(token=TOKEN) as sandbox:
        site = Site(home, sandbox)
        site.configure(folder='settle = "500ms"')
        daemon = site.start()
        until(lambda: "watching" in site.said(), "the watch")
        half = files // 2
        writers = [
            multiprocessing.Process(target=write, args=(str(site.drop), *part)) for part in ((0, half), (half, files))
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        written_at = time.monotonic()
        until(lambda: site.statuses().get("skipped", 0) >= files, "a row for every file", 300)
        took_s = time.monotonic() - written_at
        rows = len(site.rows("DISTINCT path"))
        with closing(sqlite3.connect(site.ledger)) as connection:
            ((overflows,),) = connection.execute("SELECT overflows FROM folders").fetchall()
        site.end(daemon)
        return rows, overflows, took_s


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    with tempfile.TemporaryDirectory() as home:
        rows, overflows, took_s = measure(files, Path(home))
    print(f"{files} files by 2 writers: {rows} rows, {overflows} overflows, all known {took_s:.1f} s after the last")
    sys.exit(0 if rows == files else 1)


if __name__ == "__main__":
    main()
