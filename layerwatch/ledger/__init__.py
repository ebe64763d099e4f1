"""The SQLite ledger: the durable record of every file. The only room that knows SQL.

`files` moves rows, `facts` keeps what the daemon knows for others to see, `reports` answers questions. One `Ledger`
per thread and process; they share the database without harm.
"""

from typing import Self

from layerwatch.ledger.facts import Facts, FolderFacts, FolderState, Waiting
from layerwatch.ledger.files import Files, Job, LostClaim, Recorded, Refusal, Session, Twin, Version
from layerwatch.ledger.finishing import Finishing, FinishingTable
from layerwatch.ledger.reports import FileRow, HistoryLine, Reports
from layerwatch.ledger.store import Lock, Store, holder
from layerwatch.ledger.times import iso, seconds

__all__ = [
    "Facts",
    "FileRow",
    "Files",
    "Finishing",
    "FolderFacts",
    "FolderState",
    "HistoryLine",
    "Job",
    "Ledger",
    "Lock",
    "LostClaim",
    "Recorded",
    "Refusal",
    "Reports",
    "Session",
    "Twin",
    "Version",
    "Waiting",
    "holder",
    "iso",
    "seconds",
]


class Ledger:
    """The ledger at `path`, for one thread. Raises `UserError` with what to do when it cannot be used."""

    def __init__(self, path: str, *, create: bool = True) -> None:
        self._store = Store(path, create=create)
        self.path = path
        self.files = Files(self._store)
        self.finishing = FinishingTable(self._store)
        self.facts = Facts(self._store)
        self.reports = Reports(self._store)

    def checkpoint_if_due(self) -> None:
        """Fold the write-ahead log into the database when it has grown. For one process and thread alone."""
        self._store.checkpoint_if_due()

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
