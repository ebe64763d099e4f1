"""The live display of a run: what happens goes up the screen line by line, what is under way stays below.

Draws only when there is something new to see: while nothing is in flight the terminal stands still.
"""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from layerwatch import logs
from layerwatch.board import Board, Flight
from layerwatch.cli import bars
from layerwatch.cli.bars import Made, Totals
from layerwatch.cli.region import Region
from layerwatch.cli.speed import Meter
from layerwatch.cli.tally import Tally
from layerwatch.errors import LedgerTrouble, UserError
from layerwatch.ledger import Ledger, day_after, iso

EVERY_S = 0.2
COUNT_S = 1.0
DAY_S = 86_400.0
OTHER_LINES = 6  # below the uploads, and of what happened, that should stay in sight


@dataclass(frozen=True, slots=True)
class Known:
    """What only the ledger knows: how many files wait, generations by status, and the Creative Units of today (UTC).

    Other processes, and earlier runs, have their share in it. Nothing is known before there is a ledger."""

    waiting: int | None = None
    generations: Mapping[str, int] = field(default_factory=Counter)
    spent: float = 0.0


class _Lines(logging.Handler):
    """Everything that is logged, by whomever, through the redacting formatter and above the display."""

    def __init__(self, show: Callable[[Text], None], console: Console) -> None:
        super().__init__()
        self.setFormatter(logs.HumanFormatter())
        self._show = show
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        try:
            at, _, said = self.format(record).partition(" ")
            said = said.removeprefix(f"{record.levelname.lower()}: ")
            event, facts = getattr(record, "event", ""), getattr(record, "facts", {})
            bad = record.levelno >= logging.WARNING
            self._show(bars.event_line(at, event, said, facts, self._console.width, bad=bad))
        except Exception:  # noqa: BLE001  a line that cannot be shown must not end the thread that said it
            self.handleError(record)


class _Display:
    """The lines at the bottom: how they are now, drawn if that is different from what is there."""

    def __init__(self, board: Board, tally: Tally, region: Region, console: Console) -> None:
        self._board = board
        self._tally = tally
        self._region = region
        self._console = console
        self._meter = Meter()
        self._shown: object = None

    def read(self) -> None:
        """To be called when an upload has ended as well: see `Meter`."""
        self._meter.read(dict(self._board.flights), time.monotonic())

    def refresh(self, known: Known) -> None:
        self.read()
        flights, size = dict(self._board.flights), self._console.size
        totals, made = self._totals(len(flights), known.waiting), self._made(known)
        if flights or (totals, made, size) != self._shown:
            self._shown = totals, made, size
            lines = self._lines(flights, totals, size.width - 1, size.height)
            generations = bars.made_line(made, size.width - 1)
            self._region.draw([*lines, generations] if generations else lines)

    def _totals(self, in_flight: int, waiting: int | None) -> Totals:
        tally = self._tally
        return Totals(
            uploaded=tally["uploaded"],
            size_bytes=tally.size_bytes,
            failed=tally["failed"],
            skipped=tally["skipped"],
            in_flight=in_flight,
            waiting=waiting,
            rate=self._meter.total() if in_flight else None,
            hold=tally.hold,
        )

    def _made(self, known: Known) -> Made:
        tally, now = self._tally, known.generations
        return Made(
            complete=tally["generation_complete"],
            failed=tally["generation_failed"],
            cancelled=tally["generation_cancelled"],
            unknown=now["unknown"],
            held=now["blocked"],
            running=now["submitting"] + now["running"],
            queued=now["queued"],
            waiting=now["waiting"],
            spent=known.spent,
        )

    def _lines(self, flights: dict[int, Flight], totals: Totals, width: int, height: int) -> list[Text]:
        rates = {id_: self._meter.of(id_) for id_ in flights}
        lines = bars.flight_lines(flights, rates, width, max(height - OTHER_LINES, 1))
        if totals.hold:
            lines.append(bars.hold_line(totals.hold, width))
        return [*lines, bars.totals_line(totals, width)]


class _Books:
    """What the ledger says, asked now and then; as it last was where it does not answer."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._ledger: Ledger | None = None
        self._known = Known()
        self._asked_at = -COUNT_S
        self._heard = 0

    def look(self, heard: int) -> Known:
        """`heard`: what there was to hear of generations so far. What is new must not be counted twice, nor not at
        all."""
        now = time.monotonic()
        if self._path is not None and (heard != self._heard or now - self._asked_at >= COUNT_S):
            self._asked_at, self._heard = now, heard
            with suppress(UserError, LedgerTrouble):  # who works with the ledger tells what is wrong with it
                self._ledger = self._ledger or Ledger(self._path, create=False)
                self._known = _asked(self._ledger)
        return self._known

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()


def _asked(ledger: Ledger) -> Known:
    today = iso(day_after(time.time()) - DAY_S)
    spent = sum(row.booked for row in ledger.stories.spend(today))
    return Known(ledger.reports.queued(), Counter(ledger.stories.counts()), spent)


def _keep_drawing(display: _Display, tally: Tally, ledger: str | None, stop: threading.Event) -> None:
    books = _Books(ledger)
    try:
        while not stop.wait(EVERY_S):
            display.refresh(books.look(tally.generations) if tally.begun else Known())
    finally:
        books.close()


@contextmanager
def live(board: Board, tally: Tally, *, verbose: bool, ledger: str | None) -> Iterator[Callable[[], None]]:
    """Show the run on the terminal that stderr is; all logging goes there. Gives what to call when an upload ends."""
    console = Console(file=sys.stderr, highlight=False)
    region = Region(console, {} if console.encoding.startswith("utf") else bars.PLAIN)
    logs.set_up(verbose=verbose, handler=_Lines(region.above, console))
    display, stop = _Display(board, tally, region, console), threading.Event()
    drawing = threading.Thread(target=_keep_drawing, args=(display, tally, ledger, stop), name="screen", daemon=True)
    drawing.start()
    try:
        yield display.read
    finally:
        stop.set()
        drawing.join()
        region.draw(())
