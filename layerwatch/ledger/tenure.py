"""The right to work on a ledger: as its one daemon, or as one of several that share it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from layerwatch.ledger import Ledger
from layerwatch.ledger.groupcommit import GroupCommit, Signal, Turn
from layerwatch.ledger.lock import Lock
from layerwatch.ledger.store import is_url
from layerwatch.names import AS_THEY_ARE, Names

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.membership import Membership


@dataclass(frozen=True, slots=True)
class Daemon:
    """Who begins to work: the host's `name`, the process, the version of layerwatch, and for how many seconds others
    wait for word of it before they take over what it has in hand."""

    name: str
    pid: int
    version: str
    lease_s: float


class Tenure(Protocol):
    """What a daemon has of its ledger. `membership`: how it stands with the others; None where it is the only one."""

    @property
    def membership(self) -> "Membership | None": ...

    def open(self) -> Ledger:
        """The ledger, for one thread. Raises `UserError`, and `LedgerTrouble` where it may be there in a moment."""
        ...

    def share(self) -> None:
        """From now on several threads work, which have in common what can be. The ledger is there."""
        ...

    def take(self, folders: Sequence[str]) -> None:
        """These folders are configured here, and only their files are taken."""
        ...

    def close(self) -> None:
        """No thread works any more."""
        ...

    def release(self) -> None:
        """Somebody else may take over."""
        ...


class Sole:
    """The one daemon of an SQLite ledger. `turn` and `signal`: see `GroupCommit`. Raises `AnotherInstance`."""

    membership: "Membership | None" = None

    def __init__(self, path: str, turn: Turn, signal: Callable[[], Signal]) -> None:
        self._path = path
        self._turn = turn
        self._signal = signal
        self._lock = Lock(path)
        self._group: GroupCommit | None = None

    def open(self) -> Ledger:
        return Ledger(self._path, shared=self._group)

    def share(self) -> None:
        self._group = GroupCommit(self._path, self._turn, self._signal)

    def take(self, folders: Sequence[str]) -> None:
        """It alone takes any."""

    def close(self) -> None:
        if self._group:
            self._group.close()

    def release(self) -> None:
        self._lock.release()


def hold(place: str, daemon: Daemon, turn: Turn, signal: Callable[[], Signal], names: Names = AS_THEY_ARE) -> Tenure:
    """Begin to work on the ledger at `place`; see `Sole` and `postgres.membership`. `names`: see `Ledger`. Raises
    `UserError`."""
    if not is_url(place):
        return Sole(place, turn, signal)
    from layerwatch.ledger.postgres.membership import Shared

    return Shared(place, daemon, names)
