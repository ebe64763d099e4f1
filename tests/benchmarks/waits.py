"""Where a file's time goes: `python -m tests.benchmarks.waits REPORT run -c CONFIG` is a daemon that takes the time of
the parts of an upload, and of a first sight, and writes to REPORT how many milliseconds each took a file, as JSON:
when it ends, and whenever files were recorded.

Of an upload, `answers` are the three requests, from the first byte of one to the last of its answer; `session` and
`end` the two commits that it waits for until they are on the disk (the second one claims the next file, too). Of a
first sight, `hash` are both checksums, `calls` what the kernel is asked about the file (to open, look at, lease, read
and close it), `record` the commit. `rest` is what is left of the whole: our own work, and waiting for the interpreter
lock.
"""

import atexit
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

PARTS = ("answers", "session", "end", "rest")
SIGHT = ("hash", "calls", "record", "rest")


class Clock:
    """Milliseconds by part; whichever thread they were spent in. The last of `parts` is what the others leave of the
    `whole`."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.spent_ms: Counter[str] = Counter()
        self.files = 0
        self._parts = parts

    def take(self, owner: Any, method: str, part: str) -> None:
        """Count what this method, or a module's function, takes as that part."""
        plain: Callable[..., Any] = getattr(owner, method)

        @wraps(plain)
        def timed(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*args, **named)
            finally:
                self.spent_ms[part] += (time.perf_counter() - began) * 1000  # type: ignore[assignment]

        setattr(owner, method, timed)

    def count(self, owner: Any, method: str, files: Callable[[Any], int]) -> None:
        """Each call of this method is of so many files, by what it returns."""
        plain: Callable[..., Any] = getattr(owner, method)

        @wraps(plain)
        def counted(*args: Any, **named: Any) -> Any:
            done = plain(*args, **named)
            self.files += files(done)
            return done

        setattr(owner, method, counted)

    def report(self) -> dict[str, float]:
        *parts, rest = self._parts
        each = {part: self.spent_ms[part] / max(self.files, 1) for part in parts}
        return each | {rest: self.spent_ms["whole"] / max(self.files, 1) - sum(each.values())}


def of_uploads() -> Clock:
    from layerwatch.api import Layer, Storage
    from layerwatch.ledger import Files
    from layerwatch.pipeline import Pipeline

    clock = Clock(PARTS)
    for owner, method in ((Layer, "upload_url"), (Storage, "start"), (Storage, "put")):
        clock.take(owner, method, "answers")
    clock.take(Files, "save_session", "session")
    clock.take(Pipeline, "_commit", "end")
    clock.take(Pipeline, "_work", "whole")
    clock.count(Pipeline, "_work", lambda _: 1)
    return clock


def of_first_sight() -> Clock:
    from layerwatch import source
    from layerwatch.dropfolder import DropFolder
    from layerwatch.ledger import Files

    clock = Clock(SIGHT)
    for name in ("open", "fstat", "stat", "pread", "close"):
        clock.take(os, name, "calls")
    clock.take(source, "being_written", "calls")
    clock.take(source, "digest_of", "hash")
    clock.take(Files, "record", "record")
    clock.count(Files, "record", len)
    clock.take(DropFolder, "step", "whole")
    return clock


def main() -> None:
    from layerwatch.__main__ import main as layerwatch
    from layerwatch.ledger import Files

    report, clocks = Path(sys.argv.pop(1)), {"upload": of_uploads(), "sight": of_first_sight()}

    def write() -> int:
        whole = report.with_suffix(".new")
        whole.write_text(json.dumps({name: clock.report() for name, clock in clocks.items()}))
        whole.replace(report)  # somebody may be reading it
        return 0

    clocks["sight"].count(Files, "record", lambda _: write())
    atexit.register(write)
    layerwatch()


if __name__ == "__main__":
    main()
