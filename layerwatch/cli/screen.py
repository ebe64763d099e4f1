"""What a person, or a service's journal, sees of a run: one line per event, live progress on a terminal, a summary."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from layerwatch import logs
from layerwatch.board import Board
from layerwatch.cli.generations import units
from layerwatch.cli.tally import STILL, Tally
from layerwatch.daemon import Ended
from layerwatch.notices import Notice, size_text


class Screen:
    """Counts what it is told, and logs it. `look` is called whenever an upload has ended."""

    def __init__(self, tally: Tally, look: Callable[[], None] = lambda: None) -> None:
        self._tally = tally
        self._look = look

    def tell(self, notice: Notice) -> None:
        """Say what happened. Called from any thread."""
        if notice.event == "uploaded":
            self._look()
        self._tally.count(notice)
        logs.tell(notice)

    def tally(self, ended: Ended) -> dict[str, Any]:
        """What this run did, for a script."""
        return {
            "uploaded": self._tally["uploaded"],
            "bytes": self._tally.size_bytes,
            "failed": ended.failed,
            "skipped": self._tally["skipped"],
            "generations": {
                **{how: self._tally[f"generation_{how}"] for how in ("complete", "failed", "cancelled")},
                **{how: self._tally.still(how) for how in STILL.values()},
            },
            "creative_units": round(self._tally.spent, 6),
            "left": ended.left,
            "signal": ended.signal or None,
            "reason": ended.reason or None,
        }

    def summary(self, ended: Ended) -> None:
        """The last line."""
        tally = self.tally(ended)
        # Of the files alone: what became of generations is told behind.
        failed = ended.failed - self._tally["generation_failed"] - self._tally["generation_unknown"]
        text = (
            f"{ended.signal or ended.reason or 'ended'}: {tally['uploaded']} uploaded ({size_text(tally['bytes'])}),"
            f" {tally['skipped']} skipped, {failed} failed, {ended.left} left in the queue"
        )
        made = [f"{count} {name}" for name, count in tally["generations"].items() if count]
        if self._tally.spent:
            made.append(f"{units(self._tally.spent)} Creative Units")
        if made:
            text += f"; generations: {', '.join(made)}"
        logs.tell(Notice("ended", text, facts=tally))


@contextmanager
def screen(
    board: Board, style: str, *, verbose: bool, ledger: str | None = None, host: str | None = None
) -> Iterator[Screen]:
    """The screen for this run: live where stderr is a terminal that can and `style` is auto, else log lines.

    `ledger` is asked how many files wait, where that is shown. `host` says which of several this is, in log lines.
    """
    tally = Tally()
    if style == "auto" and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        from layerwatch.cli.live import live

        with live(board, tally, verbose=verbose, ledger=ledger) as look:
            yield Screen(tally, look)
    else:
        logs.set_up(style, verbose=verbose, host=host)
        yield Screen(tally)
    sys.stderr.flush()
