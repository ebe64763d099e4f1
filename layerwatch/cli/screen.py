"""What a person, or a service's journal, sees of a run: one line per event, live progress on a terminal, a summary."""

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from layerwatch import logs
from layerwatch.board import Board
from layerwatch.daemon import Ended
from layerwatch.notices import Notice, size_text

_log = logging.getLogger("layerwatch")


class Screen:
    """Counts what it is told, and logs it."""

    def __init__(self) -> None:
        self._events: Counter[str] = Counter()
        self._bytes = 0

    def tell(self, notice: Notice) -> None:
        """Say what happened. Called from any thread."""
        self._events[notice.event] += 1
        if notice.event == "uploaded":
            self._bytes += int(notice.facts.get("size", 0))
        logs.tell(notice)

    def tally(self, ended: Ended) -> dict[str, Any]:
        """What this run did, for a script."""
        return {
            "uploaded": self._events["uploaded"],
            "bytes": self._bytes,
            "failed": ended.failed,
            "skipped": self._events["skipped"],
            "left": ended.left,
            "signal": ended.signal or None,
            "reason": ended.reason or None,
        }

    def summary(self, ended: Ended) -> None:
        """The last line."""
        tally = self.tally(ended)
        text = (
            f"{ended.signal or ended.reason or 'ended'}: {tally['uploaded']} uploaded ({size_text(self._bytes)}),"
            f" {tally['skipped']} skipped, {ended.failed} failed, {ended.left} left in the queue"
        )
        logs.tell(Notice("ended", text, facts=tally))


@contextmanager
def screen(board: Board, style: str, *, verbose: bool) -> Iterator[Screen]:
    """The screen for this run: live where stderr is a terminal and `style` is auto, else log lines."""
    del board
    logs.set_up(style, verbose=verbose)
    yield Screen()
    sys.stderr.flush()
