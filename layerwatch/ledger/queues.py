"""What is due in one table, and taken by one claimant at a time: the one that has been due longest goes first."""

from dataclasses import dataclass
from typing import Any

from layerwatch.ledger.connection import OURS, Connection, Store
from layerwatch.ledger.times import iso, seconds


@dataclass(frozen=True, slots=True)
class Queue:
    """The rows of `table` for which `pending` (SQL) holds; who takes one is told its `columns`."""

    table: str
    pending: str
    columns: str

    @property
    def _first(self) -> str:
        due = f"{self.pending} AND claim IS NULL AND next_attempt_at <= ? {OURS.format('folder')}"
        return f"SELECT id FROM {self.table} WHERE {due} ORDER BY next_attempt_at, id LIMIT 1"  # noqa: S608  ours alone

    def is_due(self, store: Store, now: float) -> bool:
        """Whether there is one to take. The idle ask often: that takes no lock."""
        return store.row(self._first, iso(now)) is not None

    def take(self, connection: Connection, claim: str, now: float) -> tuple[Any, ...] | None:
        """The first one, held by `claim` from now on; None when somebody else was faster."""
        taken = f"UPDATE {self.table} SET claim = ? WHERE id = ({self._first}) RETURNING {self.columns}"  # noqa: S608
        row: tuple[Any, ...] | None = connection.execute(taken, (claim, iso(now))).fetchone()
        return row

    def next_due(self, store: Store) -> float | None:
        """When the next one is due, unix seconds; None when none is pending."""
        where = f"{self.pending} AND claim IS NULL {OURS.format('folder')}"
        asked = f"SELECT min(next_attempt_at) FROM {self.table} WHERE {where}"  # noqa: S608
        ((at,),) = store.rows(asked)
        return None if at is None else seconds(at)
