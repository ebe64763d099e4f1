"""What monitoring asks every few seconds: by indexes alone, however large the ledger is. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass

from layerwatch.ledger.connection import Store
from layerwatch.ledger.times import seconds

LOOKED_AT = 100  # of the queued files, the first recorded: who waits longest is among them

# By the status: the other index would have all that is queued sorted.
_QUEUED = """
SELECT id, folder, path, coalesce(seen_at, created_at) FROM files INDEXED BY files_status
WHERE status = 'queued' AND folder IN ({folders}) ORDER BY id LIMIT ?
"""
_RETRIED = """
SELECT at FROM history WHERE item = 'file' AND item_id = ? AND event = 'retried' ORDER BY id DESC LIMIT 1
"""
# Without looking at a row. What was charged was booked before: this is what `spend` says, too.
_CHARGED = """
SELECT folder, rule, sum(price) FROM generations INDEXED BY generations_charged WHERE price IS NOT NULL
GROUP BY folder, rule
UNION ALL SELECT folder, rule, sum(price) FROM earlier_bookings GROUP BY folder, rule
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A file that waits to be uploaded; `since` is unix seconds."""

    id: int
    folder: str
    path: str
    since: float


class Gauges:
    """Questions to one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def oldest_queued(self, folders: Sequence[str]) -> Queued | None:
        """The file of these folders that has been queued longest: since it lay there, or was last retried."""
        oldest = None
        for queued in self._queued(folders):
            if oldest and oldest.since <= queued.since:
                break
            (retried,) = self._store.row(_RETRIED, queued.id) or (None,)
            since = queued.since if retried is None else max(queued.since, seconds(retried))
            if oldest is None or since < oldest.since:
                oldest = Queued(queued.id, queued.folder, queued.path, since)
        return oldest

    def charged(self) -> dict[tuple[str, str], float]:
        """Creative Units that Layer has charged, by folder and rule."""
        found: dict[tuple[str, str], float] = {}
        for folder, rule, units in self._store.rows(_CHARGED):
            found[folder, rule] = found.get((folder, rule), 0.0) + (units or 0.0)
        return found

    def _queued(self, folders: Sequence[str]) -> list[Queued]:
        if not folders:
            return []
        marks = ", ".join("?" * len(folders))
        rows = self._store.rows(_QUEUED.format(folders=marks), *folders, LOOKED_AT)
        to_path = self._store.names.to_path
        found = [Queued(id_, folder, to_path(path), seconds(at)) for id_, folder, path, at in rows]
        return sorted(found, key=lambda queued: queued.since)
