"""The time that an end may take: one budget for all who are waited for, and a little for what may hang behind it."""

import time
from collections.abc import Callable, Iterable
from threading import Thread

from layerwatch.daemon.aside import Answer, aside
from layerwatch.errors import LedgerTrouble

LEAST_S = 0.5


class Ending:
    """`budget_s` counts from the first time that somebody is waited for. `shared`: the ledger is on a server, which may
    not answer; one that is not has to be asked by this very thread."""

    def __init__(self, budget_s: float, *, shared: bool) -> None:
        self._budget_s = budget_s
        self._shared = shared
        self._deadline: float | None = None

    @property
    def left_s(self) -> float:
        """Seconds; 0 where it is used up."""
        now = time.monotonic()
        self._deadline = now + self._budget_s if self._deadline is None else self._deadline
        return max(self._deadline - now, 0)

    def join(self, threads: Iterable[Thread]) -> None:
        for thread in threads:
            thread.join(self.left_s)

    def ledger(self, ask: Callable[[], Answer]) -> Answer:
        """What is asked of the ledger. Raises what that does, and `LedgerTrouble` where there was no answer in time."""
        if not self._shared:
            return ask()
        try:
            return aside(ask).result(max(self.left_s, LEAST_S))
        except TimeoutError:
            raise LedgerTrouble("the ledger's server does not answer") from None
