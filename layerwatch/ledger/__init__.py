"""The SQLite ledger: the durable record of every file and every generation. The only room that knows SQL.

`files` moves files; `planning`, `firing` and `following` generations, as far as the `budget` goes; `finishing` and
`deliveries` what is to be done beside that; `pushes` is what was named by hand; `facts` keeps what the daemon knows for
others to see; `reports` and `stories` answer questions. One `Ledger` per thread and process; they share the database
without harm, and the threads of a daemon their commits.
"""

import itertools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Self

from layerwatch.ledger.abandoned import Abandoned
from layerwatch.ledger.budget import INSUFFICIENT, Held, Limits, day_after
from layerwatch.ledger.connection import Store
from layerwatch.ledger.deliveries import Deliveries, Delivery
from layerwatch.ledger.facts import Facts, FolderFacts, FolderState, Waiting
from layerwatch.ledger.files import Files, Job, Session, Twin
from layerwatch.ledger.finishing import Finishing, FinishingTable
from layerwatch.ledger.firing import Firing, FiringTable
from layerwatch.ledger.following import Following, FollowingTable, Result
from layerwatch.ledger.found import Recorded, Refusal, Version
from layerwatch.ledger.gauges import Gauges, Queued
from layerwatch.ledger.groupcommit import GroupCommit
from layerwatch.ledger.lock import Lock, holder
from layerwatch.ledger.outstanding import ActionRow, Outstanding, PushRow, Rest
from layerwatch.ledger.planning import Planning
from layerwatch.ledger.plans import Input, Missing, Origin, Plan, Planned
from layerwatch.ledger.pushes import Outcome, Push, Pushes
from layerwatch.ledger.reports import FileRow, HistoryLine, Reports
from layerwatch.ledger.store import SqliteStore, is_url
from layerwatch.ledger.stories import GenerationRow, InputRow, NeedRow, Spend, Stories
from layerwatch.ledger.times import iso, seconds
from layerwatch.ledger.turning import LostClaim
from layerwatch.names import AS_THEY_ARE, Names

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.connecting import Pool
    from layerwatch.ledger.postgres.hosts import HostRow

__all__ = [
    "INSUFFICIENT",
    "ActionRow",
    "Deliveries",
    "Delivery",
    "Facts",
    "FileRow",
    "Files",
    "Finishing",
    "Firing",
    "FolderFacts",
    "FolderState",
    "Following",
    "Gauges",
    "GenerationRow",
    "GroupCommit",
    "Held",
    "HistoryLine",
    "Input",
    "InputRow",
    "Job",
    "Ledger",
    "Limits",
    "Lock",
    "LostClaim",
    "Missing",
    "NeedRow",
    "Origin",
    "Outcome",
    "Outstanding",
    "Plan",
    "Planned",
    "Push",
    "PushRow",
    "Queued",
    "Recorded",
    "Refusal",
    "Reports",
    "Rest",
    "Result",
    "Session",
    "Spend",
    "Stories",
    "Twin",
    "Version",
    "Waiting",
    "day_after",
    "holder",
    "iso",
    "seconds",
]


class Ledger:
    """The ledger at `place`, the path of an SQLite database or the URL of a PostgreSQL one, for one thread. Raises
    `UserError` with what to do when it cannot be used.

    `durable=False` is for one that need not outlive a power cut, such as a copy. `shared`: what all threads of a
    daemon have in common; see `tenure`. `names`: what files are called in one that several hosts share, or a copy of
    it; whoever asks goes by paths.
    """

    def __init__(
        self,
        place: str,
        *,
        create: bool = True,
        durable: bool = True,
        shared: "GroupCommit | Pool | None" = None,
        names: Names = AS_THEY_ARE,
    ) -> None:
        self._store = _store(place, create=create, durable=durable, shared=shared, names=names)
        self._claims = itertools.count()
        self.path = place
        self.names = names
        self.files = Files(self._store)
        self.finishing = FinishingTable(self._store)
        self.planning = Planning(self._store)
        self.firing = FiringTable(self._store)
        self.following = FollowingTable(self._store)
        self.deliveries = Deliveries(self._store)
        self.pushes = Pushes(self._store)
        self.facts = Facts(self._store)
        self.reports = Reports(self._store)
        self.stories = Stories(self._store)
        self.outstanding = Outstanding(self._store)
        self.gauges = Gauges(self._store)
        self.abandoned = Abandoned(self._store)

    def new_claim(self) -> str:
        """What nobody has claimed anything with before."""
        return f"{self._store.claimant}-{next(self._claims)}"

    def together(self) -> AbstractContextManager[None]:
        """All that is written in the `with` block is written in one commit, or nothing of it."""
        return self._store.together()

    def copy_to(self, path: str) -> None:
        """Make a ledger of its own at `path`, where no file is yet, with all that is in this one at one instant."""
        self._store.copy_to(path)

    def hosts(self) -> "list[HostRow]":
        """The daemons that share it, the dead ones that are not forgotten yet included; none where it is on a disk.
        Raises `LedgerTrouble`."""
        return self._store.hosts()

    def holder(self) -> int | None:
        """As `lock.holder` of its place, by the connection that is there."""
        if not is_url(self.path):
            return holder(self.path)
        return next((host.pid for host in self.hosts() if host.alive), None)

    def checkpoint_if_due(self) -> None:
        """Fold the write-ahead log into the database when it has grown. For one process and thread alone."""
        self._store.checkpoint_if_due()

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _store(place: str, *, create: bool, durable: bool, shared: "GroupCommit | Pool | None", names: Names) -> Store:
    if not is_url(place):
        assert shared is None or isinstance(shared, GroupCommit)
        return SqliteStore(place, create=create, durable=durable, group=shared, names=names)
    from layerwatch.ledger.postgres.store import PostgresStore  # for those who have it alone

    assert not isinstance(shared, GroupCommit)
    return PostgresStore(place, create=create, shared=shared, names=names)
