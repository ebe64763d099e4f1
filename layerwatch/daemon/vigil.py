"""A daemon among others that share its ledger: shows that it is alive, learns which folders it is to watch, sees to
what those have left who are no more, and hears when there is something to do."""

import math
import time
from collections.abc import Callable, Sequence
from logging import WARNING
from typing import TYPE_CHECKING

from layerwatch.config import Folder
from layerwatch.daemon.opening import recover
from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice, Tell

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.membership import Membership

ALIVE_S, BURY_S, HEAR_S = 2.0, 5.0, 1.0
# At most these shares of the time for which a host may be silent.
ALIVE, BURY = 1 / 10, 1 / 4
CERTAIN = 1 / 2  # not all of it: what is about to be paid for takes its time, too


def uptime_s() -> float:
    """By a clock that goes on while the machine sleeps: the other hosts do not sleep with it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Vigil:
    """One step a second, by one thread. `watches` is told the names of the folders that are this host's to watch now,
    `ring` wakes those who may have something to do."""

    def __init__(
        self,
        membership: "Membership",
        ledger: Ledger,
        folders: Callable[[], Sequence[Folder]],
        workers: Callable[[], int],
        watches: Callable[[frozenset[str]], None],
        ring: Callable[[], None],
        tell: Tell,
    ) -> None:
        self._membership = membership
        self._ledger = ledger
        self._folders = folders
        self._workers = workers
        self._watches = watches
        self._ring = ring
        self._tell = tell
        self._lease_s = membership.lease_s
        self._ours: dict[str, str] = {}  # folders that this host watches, and where they are
        self._buried: set[str] = set()
        self._alive_at = 0.0
        self._bury_at = math.inf
        self._heard_of_at = -math.inf

    def certain(self) -> bool:
        """Whether nobody can have taken this host for dead. From any thread."""
        return uptime_s() < self._heard_of_at + self._lease_s * CERTAIN

    def step(self, now: float) -> None:
        """`now`: see `uptime_s`. Raises `LedgerTrouble`."""
        self._show(now)
        if now >= self._bury_at:
            self._bury_at = now + min(BURY_S, self._lease_s * BURY)
            self._bury()
        if self._hears():
            self._ring()

    def _show(self, now: float) -> None:
        try:
            self._mind_the_folders()
            if now >= self._alive_at:
                self._membership.alive(list(self._ours), self._workers())
                self._alive_at = now + min(ALIVE_S, self._lease_s * ALIVE)
                self._heard_of_at = now
                # Whoever was away has not heard of the others, either, and they may be about to come back.
                self._bury_at = min(self._bury_at, now + self._lease_s)
        except LedgerTrouble:
            self._cut_off()
            raise

    def _hears(self) -> bool:
        try:
            return self._membership.heard(min(HEAR_S, self._lease_s * ALIVE))
        except LedgerTrouble:
            self._cut_off()
            raise

    def _cut_off(self) -> None:
        """This host watches nothing, as far as the others know, and knows nothing of them."""
        self._ours = {}
        self._watches(frozenset())
        self._alive_at, self._bury_at = 0.0, math.inf

    def _mind_the_folders(self) -> None:
        wanted = {folder.name: folder.root for folder in self._folders()}
        for name in [name for name, place in self._ours.items() if wanted.get(name) != place]:
            self._membership.leaves(self._ours.pop(name))
        ours = {name: place for name, place in wanted.items() if self._membership.watches(place)}
        if ours != self._ours:
            self._ours = ours
            self._watches(frozenset(ours))
            self._alive_at = 0.0  # others see at once who watches what

    def _bury(self) -> None:
        dead = self._membership.bury()
        for name in [name for instance, name in dead.items() if instance not in self._buried]:
            text = f"host {name} was not heard of for long: others take its work over"
            self._tell(Notice("host_gone", text, WARNING, {"gone": name}))
        self._buried = set(dead)
        if self._ledger.abandoned.any():  # who asks takes no lock; who recovers holds up all others
            recover(self._ledger, self._tell)
        self._membership.forget_the_dead()
