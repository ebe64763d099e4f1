"""A daemon among others that share its ledger: shows that it is alive, learns which folders it is to watch, sees to
what those have left who are no more, and hears when there is something to do."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from layerwatch.config import Folder
from layerwatch.daemon.opening import recover
from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice, Tell

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.membership import Membership

ALIVE_S = 2.0
BURY_S = 5.0
HEAR_S = 1.0


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
        self._ours: dict[str, str] = {}  # folders that this host watches, and where they are
        self._alive_at = self._bury_at = 0.0

    def step(self, now: float) -> None:
        """Raises `LedgerTrouble`: then this host watches nothing, as far as the others know."""
        try:
            self._mind_the_folders()
            if now >= self._alive_at:
                self._membership.alive(list(self._ours), self._workers())
                self._alive_at = now + ALIVE_S
            if now >= self._bury_at:
                self._bury()
                self._bury_at = now + BURY_S
            if self._membership.heard(HEAR_S):
                self._ring()
        except LedgerTrouble:
            self._ours = {}
            self._watches(frozenset())
            raise

    def _mind_the_folders(self) -> None:
        wanted = {folder.name: folder.root for folder in self._folders()}
        for name in [name for name, place in self._ours.items() if wanted.get(name) != place]:
            self._membership.leaves(self._ours.pop(name))
        ours = {name: place for name, place in wanted.items() if self._membership.watches(place)}
        if ours != self._ours:
            self._ours = ours
            self._watches(frozenset(ours))

    def _bury(self) -> None:
        for name in self._membership.bury():
            self._tell(Notice("host_gone", f"host {name} was not heard of for long: others take its work over"))
        recover(self._ledger, self._tell)
        self._membership.forget_the_dead()
