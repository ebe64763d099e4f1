"""Commands and webhooks that folders want: queued with what they tell of, tried until they succeed, and noted."""

from dataclasses import dataclass

from layerwatch.ledger.connection import OURS, Connection, Store
from layerwatch.ledger.queues import Queue
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import LostClaim


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed one. `event`: uploaded or complete; `item_id`: the file's id, or the generation's."""

    id: int
    claim: str
    folder: str
    event: str
    item_id: int
    attempts: int


_QUEUE = Queue("deliveries", "status = 'pending'", "id, claim, folder, event, item_id, attempts")
_UNFINISHED = f"""
SELECT 1 FROM deliveries WHERE status = 'pending' AND (claim IS NOT NULL OR next_attempt_at <= ?)
  {OURS.format("folder")} LIMIT 1
"""  # noqa: S608  ours alone


class Deliveries:
    """Those of one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, claim: str, now: float) -> Delivery | None:
        """Take the one that has been due longest; None when none is."""
        if not _QUEUE.is_due(self._store, now):
            return None
        with self._store.write() as connection:
            row = _QUEUE.take(connection, claim, now)
        return Delivery(*row) if row else None

    def next_due(self) -> float | None:
        """When the next one is due; None when there is none."""
        return _QUEUE.next_due(self._store)

    def unfinished(self, now: float) -> bool:
        """Whether one is due, or being done."""
        return bool(self._store.rows(_UNFINISHED, iso(now)))

    def counts(self) -> dict[str, int]:
        """How many are to be made still, and how many were given up."""
        counted = dict(
            self._store.rows("SELECT status, count(*) FROM deliveries WHERE status <> 'done' GROUP BY status")
        )
        return {status: counted.get(status, 0) for status in ("pending", "failed")}

    def ended(self, job: Delivery, now: float, *, done: bool, detail: str) -> None:
        """It is done, or given up."""
        self._move(job, "done" if done else "failed", None, detail, now)

    def again(self, job: Delivery, due: float, detail: str, now: float, *, counts: bool = True) -> None:
        """Not now: again at `due`."""
        self._move(job, "pending", iso(due), detail, now, attempts=int(counts))

    def _move(self, job: Delivery, status: str, due: str | None, detail: str, now: float, *, attempts: int = 1) -> None:
        with self._store.write() as connection:
            changed = connection.execute(
                "UPDATE deliveries SET status = ?, next_attempt_at = ?, detail = ?, claim = NULL, updated_at = ?,"
                " attempts = attempts + ? WHERE id = ? AND claim = ?",
                (status, due, plain(detail), iso(now), attempts, job.id, job.claim),
            ).rowcount
            if changed != 1:
                raise LostClaim(f"delivery {job.id} is no longer held by claim {job.claim}")
            item = "file" if job.event == "uploaded" else "generation"
            code = None if status == "done" else "action_failed"
            kept = connection.execute(f"SELECT status FROM {item}s WHERE id = ?", (job.item_id,)).fetchone()  # noqa: S608
            if status != "pending" and kept:
                connection.execute(
                    "INSERT INTO history (item, item_id, at, event, status, error_code, detail)"
                    " VALUES (?, ?, ?, 'delivered', ?, ?, ?)",
                    (item, job.item_id, iso(now), kept[0], code, plain(detail)),
                )

    def recover(self, claim: str | None = None) -> None:
        """Whoever had claimed one is no more; or, by its `claim`, has given it back."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE deliveries SET claim = NULL"  # noqa: S608  ours alone
                " WHERE status = 'pending' AND claim IS NOT NULL"
                f" AND (claim = ? OR CAST(? AS TEXT) IS NULL AND {self._store.left_behind})",
                (claim, claim),
            )


def queue_delivery(connection: Connection, folder: str, event: str, item_id: int, now: float) -> None:
    """Inside the transaction of what happened: no crash forgets it."""
    connection.execute(
        "INSERT INTO deliveries (folder, event, item_id, status, next_attempt_at, created_at, updated_at)"
        " VALUES (?, ?, ?, 'pending', ?, ?, ?)",
        (folder, event, item_id, iso(now), iso(now), iso(now)),
    )


def hurry_deliveries(connection: Connection, now: float) -> None:
    """The clock was set back: what would be due later is due now."""
    connection.execute(
        "UPDATE deliveries SET next_attempt_at = ? WHERE status = 'pending' AND next_attempt_at > ?",
        (iso(now), iso(now)),
    )
