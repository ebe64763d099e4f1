"""Generations that Layer works on: polled, their results written down before they can be seen, and ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerwatch.ledger.connection import Connection, Store
from layerwatch.ledger.deliveries import queue_delivery
from layerwatch.ledger.queues import Queue
from layerwatch.ledger.store import to_json
from layerwatch.ledger.times import iso, seconds
from layerwatch.ledger.turning import guard, lies_outside, turned
from layerwatch.names import Names
from layerwatch.states import Generation, Turn


@dataclass(frozen=True, slots=True)
class Result:
    """One result file: `number` from 1, `saved` once it is where it belongs."""

    number: int
    path: str
    sha256: str
    size: int
    saved: bool


@dataclass(frozen=True, slots=True)
class Following:
    """A claimed generation that runs. `path`: of the file that its rule matched; `deadline` in unix seconds;
    `outside`: that file was pushed for the folder, and lies elsewhere."""

    id: int
    claim: str
    folder: str
    rule: str
    kind: str
    target: str
    path: str
    remote_id: str
    remote_state: str | None
    attempts: int
    deadline: float
    results: tuple[Result, ...]
    outside: bool = False


_COLUMNS = "id, claim, folder, rule, kind, target, path, remote_id, remote_state, attempts, deadline_at"
_QUEUE = Queue("generations", "status = 'running'", _COLUMNS)


class FollowingTable:
    """What runs, in one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, claim: str, now: float) -> Following | None:
        """Take the one that has been due longest; None when none is."""
        if not _QUEUE.is_due(self._store, now):
            return None
        with self._store.write() as connection:
            row = _QUEUE.take(connection, claim, now)
            if row is None:
                return None
            results, outside = _results(connection, row[0]), lies_outside(connection, row[0])
        id_, claimed, folder, rule, kind, target, path, remote_id, state, attempts, deadline = row
        path = self._store.names.to_path(path)
        return Following(
            id_, claimed, folder, rule, kind, target, path, remote_id, state, attempts, seconds(deadline),
            results, outside,
        )  # fmt: skip

    def next_due(self) -> float | None:
        """When the next one is due; None when none runs."""
        return _QUEUE.next_due(self._store)

    def again(
        self,
        job: Following,
        due: float,
        *,
        attempts: int = 0,
        code: str | None = None,
        message: str | None = None,
        remote_state: str | None = None,
    ) -> None:
        """Look again at `due`. What Layer has said of it once stays said."""
        columns = {} if remote_state is None else {"remote_state": remote_state}
        with self._store.write() as connection:
            guard(
                connection, job.id, Generation.RUNNING, job.claim, claim=None, next_attempt_at=iso(due),
                attempts=attempts, error_code=code, error=message, **columns,
            )  # fmt: skip

    def fetching(self, job: Following) -> None:
        """Its results are about to be fetched: whoever comes after a crash knows that something may be half done."""
        with self._store.write() as connection:
            guard(connection, job.id, Generation.RUNNING, job.claim, remote_state="complete")

    def intend(self, job: Following, number: int, path: str, sha256: str, size: int) -> None:
        """A result is about to appear under this path: known before anybody can take it for a new file."""
        with self._store.write() as connection:
            guard(connection, job.id, Generation.RUNNING, job.claim, remote_state="complete", attempts=0)
            connection.execute(
                "INSERT INTO results (generation_id, number, path, sha256, size) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (generation_id, number) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256,"
                " size = excluded.size, saved = 0",
                (job.id, number, connection.names.to_text(path), sha256, size),
            )

    def saved(self, job: Following, number: int) -> None:
        """It is there."""
        with self._store.write() as connection:
            guard(connection, job.id, Generation.RUNNING, job.claim, remote_state="complete")
            connection.execute("UPDATE results SET saved = 1 WHERE generation_id = ? AND number = ?", (job.id, number))

    def completed(
        self,
        job: Following,
        outputs: Sequence[Mapping[str, Any]],
        price: float | None,
        completed_at: str | None,
        now: float,
        *,
        deliver: bool,
    ) -> None:
        """It is complete, and its results are where they belong. `deliver`: the folder wants something done then."""
        with self._store.write() as connection:
            columns: dict[str, Any] = {} if price is None else {"price": price, "booked": price}
            turned(
                connection, job.id, Generation.RUNNING, Turn.COMPLETED, now, claim=job.claim,
                detail=f"{len(outputs)} results", outputs=to_json(_named(outputs, connection.names)),
                remote_state="complete", completed_at=completed_at or iso(now), next_attempt_at=None, error_code=None,
                error=None, attempts=0, **columns,
            )  # fmt: skip
            if deliver:
                queue_delivery(connection, job.folder, "complete", job.id, now)

    def ended(
        self,
        job: Following,
        event: Turn,
        now: float,
        *,
        code: str,
        message: str,
        remote_state: str | None,
        price: float | None = None,
    ) -> None:
        """FAILED or CANCELLED, by Layer (`remote_state`) or because we gave up. What Layer says that it charged is what
        is booked; where it says nothing the booking stays."""
        with self._store.write() as connection:
            columns: dict[str, Any] = {} if price is None else {"price": price, "booked": price}
            if remote_state is not None:
                columns |= {"remote_state": remote_state, "completed_at": iso(now)}
            turned(
                connection, job.id, Generation.RUNNING, event, now, claim=job.claim, detail=message,
                error_code=code, error=message, next_attempt_at=None, **columns,
            )  # fmt: skip


def _named(outputs: Sequence[Mapping[str, Any]], names: Names) -> list[dict[str, Any]]:
    """Files among them by what the ledger calls them."""
    return [{**each, **({"path": names.outside(each["path"])} if "path" in each else {})} for each in outputs]


def _results(connection: Connection, id_: int) -> tuple[Result, ...]:
    rows = connection.execute(
        "SELECT number, path, sha256, size, saved FROM results WHERE generation_id = ? ORDER BY number", (id_,)
    )
    to_path = connection.names.to_path
    return tuple(Result(number, to_path(path), sha256, size, bool(saved)) for number, path, sha256, size, saved in rows)
