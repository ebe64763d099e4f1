"""Where a file's time goes: `python -m tests.benchmarks.waits REPORT run -c CONFIG` is a daemon that takes the time of
the parts of an upload, and writes to REPORT, when it ends, how many milliseconds each took a file, as JSON.

`answers` are the three requests, from the first byte of one to the last of its answer; `session` and `end` the two
commits that an upload waits for until they are on the disk (the second one claims the next file, too); `rest` is what
is left of the whole: our own work, and waiting for the interpreter lock.
"""

import atexit
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

PARTS = ("answers", "session", "end", "rest")


class Clock:
    """Milliseconds by part; whichever thread they were spent in."""

    def __init__(self) -> None:
        self.spent_ms: Counter[str] = Counter()
        self.files = 0

    def take(self, owner: type, method: str, part: str) -> None:
        """Count what this method takes as that part; `whole` is a file's."""
        plain: Callable[..., Any] = getattr(owner, method)

        @wraps(plain)
        def timed(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*args, **named)
            finally:
                self.spent_ms[part] += (time.perf_counter() - began) * 1000  # type: ignore[assignment]
                self.files += part == "whole"

        setattr(owner, method, timed)

    def report(self) -> dict[str, float]:
        each = {part: self.spent_ms[part] / max(self.files, 1) for part in ("answers", "session", "end")}
        return each | {"rest": self.spent_ms["whole"] / max(self.files, 1) - sum(each.values())}


def main() -> None:
    from layerwatch.__main__ import main as layerwatch
    from layerwatch.api import Layer, Storage
    from layerwatch.ledger import Files
    from layerwatch.pipeline import Pipeline

    report, clock = Path(sys.argv.pop(1)), Clock()
    for owner, method in ((Layer, "upload_url"), (Storage, "start"), (Storage, "put")):
        clock.take(owner, method, "answers")
    clock.take(Files, "save_session", "session")
    clock.take(Pipeline, "_commit", "end")
    clock.take(Pipeline, "_work", "whole")
    atexit.register(lambda: report.write_text(json.dumps(clock.report())))
    layerwatch()


if __name__ == "__main__":
    main()
