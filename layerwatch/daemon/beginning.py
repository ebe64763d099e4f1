"""The start, where it may have to wait: for a ledger on a server that is away just now, which is tried again until it
is there; and for whoever takes long to answer. Whoever wants the run to end is heard meanwhile."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import WARNING

from layerwatch.daemon.aside import Answer, aside
from layerwatch.errors import EnvironmentProblem, LedgerAway, LedgerTrouble, Problem, UserError
from layerwatch.notices import Notice, Tell
from layerwatch.sdnotify import Notifier

RETRY_S, RETRY_MOST_S, LONGER = 1.0, 5.0, 1.5
LOOK_S = 1.0
ONCE_PATIENCE_S = 60.0  # of a run that ends by itself: somebody may be waiting for that
EXTENSION_S = 60.0  # systemd hears of it again long before


class Over(Exception):
    """The run is to end before it has begun."""


@dataclass
class Beginning:
    """`wait` sleeps until `wake` is called, or a signal comes, and so many seconds at most; `is_over` says whether the
    run is to end. For a ledger that nobody shares, `shared` is false: then what is asked of it has to be asked by this
    very thread, and answers soon. `patience_s` is for how long the ledger may be away, `place` where it is."""

    wait: Callable[[float], None]
    wake: Callable[[], None]
    is_over: Callable[[], bool]
    tell: Tell
    notifier: Notifier
    place: str
    shared: bool
    patience_s: float = math.inf
    away: LedgerAway | LedgerTrouble | None = field(default=None, init=False)  # why it waits just now

    def ledger(self, ask: Callable[[], Answer]) -> Answer:
        """What is asked of the ledger, once that is there. Raises `Over`, and `UserError` or `LedgerTrouble` for what
        waiting does not mend, or not within the patience."""
        if not self.shared:
            self._insist(math.inf)
            return ask()
        began, delay_s = time.monotonic(), RETRY_S
        while True:
            try:
                answer = self.unless_over(ask, began + self.patience_s)
            except (LedgerAway, LedgerTrouble) as error:
                self._is_away(error)
                self._pause(delay_s, began + self.patience_s)
                delay_s = min(delay_s * LONGER, RETRY_MOST_S)
            else:
                self._is_there(began)
                return answer

    def unless_over(self, ask: Callable[[], Answer], until: float = math.inf) -> Answer:
        """What this answers, and raises, before that monotonic time. Raises `Over`; then nobody waits for it."""
        asked = aside(ask, self.wake)
        while not asked.done():
            self._insist(until)
            self.wait(LOOK_S)
        return asked.result()

    def _pause(self, for_s: float, until: float) -> None:
        end = time.monotonic() + for_s
        while (left_s := end - time.monotonic()) > 0:
            self._insist(until)
            self.wait(min(left_s, LOOK_S))
        self._insist(until)

    def _insist(self, until: float) -> None:
        """Nobody wants it to end, there is time, and the service manager knows."""
        if self.is_over():
            raise Over
        if time.monotonic() >= until:
            fix = "check [ledger] url, and that the server is there"
            raise self.away or EnvironmentProblem(Problem(self.place, "the server does not answer", fix))
        if self.away:
            self.notifier.waiting(f"waiting for the ledger: {_told(self.away)}", EXTENSION_S)

    def _is_away(self, error: LedgerAway | LedgerTrouble) -> None:
        if self.away is None:
            how_long = "" if self.patience_s == math.inf else f" for {self.patience_s:.0f} s at most"
            self.tell(Notice("ledger_away", f"{_told(error)}; waiting for it{how_long}", WARNING))
        self.away = error

    def _is_there(self, began: float) -> None:
        if self.away:
            self.away = None
            self.tell(Notice("ledger_back", f"the ledger is there, after {time.monotonic() - began:.0f} s"))


def _told(error: LedgerAway | LedgerTrouble) -> str:
    """In one line."""
    if not isinstance(error, UserError):
        return str(error)
    return "; ".join(f"{problem.where}: {problem.reason} ({problem.fix})" for problem in error.problems)
