"""The only rows that cost money: claimed, booked against the budget, submitted, and settled by what the API answered.

`book` is on disk before the paid request leaves. From there on every answer has its own way out, and no answer at all
leads to `unknown`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from layerwatch.ledger.budget import BLOCKED_SINCE, Asked, Held, Limits, day_after, over
from layerwatch.ledger.connection import OURS, Connection, Store
from layerwatch.ledger.marks import recheck
from layerwatch.ledger.queues import Queue
from layerwatch.ledger.store import to_json
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import guard, lies_outside, turned
from layerwatch.states import OPEN, Generation, Turn


@dataclass(frozen=True, slots=True)
class Firing:
    """A claimed generation, all of whose inputs are uploaded. `file_ids` and `sidecars` by role. `outside`: the
    file that its rule matched was pushed for the folder, and lies elsewhere."""

    id: int
    claim: str
    folder: str
    rule: str
    kind: str
    target: str
    path: str
    file_ids: Mapping[str, str]
    sidecars: Mapping[str, str]
    approved: bool
    attempts: int
    outside: bool = False


_COLUMNS = "id, claim, folder, rule, kind, target, path, sidecars, approved, attempts"
_QUEUE = Queue("generations", "status = 'queued'", _COLUMNS)
# In the order of an index, which is then used, whomever they belong to.
_FIRST = f"""
SELECT id FROM generations WHERE status = '{{}}' {OURS.format("folder")} ORDER BY next_attempt_at, id LIMIT 1
"""  # noqa: S608  ours alone
_FIRSTS = (f"({_FIRST.format(status)})" for status in ("queued", "submitting", "running"))
_UNFINISHED = f"SELECT coalesce({', '.join(_FIRSTS)})"


class FiringTable:
    """What is to be fired, in one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, claim: str, now: float) -> Firing | None:
        """Take the generation that has been due longest; None when none is. It stays `queued`: nothing is paid yet."""
        if not _QUEUE.is_due(self._store, now):
            return None
        with self._store.write() as connection:
            row = _QUEUE.take(connection, claim, now)
            if row is None:
                return None
            inputs = connection.execute(
                "SELECT role, file_id FROM generation_inputs JOIN files ON id = file WHERE generation_id = ?", row[:1]
            ).fetchall()
            outside = lies_outside(connection, row[0])
        id_, claimed, folder, rule, kind, target, path, sidecars, approved, attempts = row
        path = self._store.names.to_path(path)
        return Firing(
            id_, claimed, folder, rule, kind, target, path, dict(inputs), json.loads(sidecars or "{}"),
            bool(approved), attempts, outside,
        )  # fmt: skip

    def next_due(self) -> float | None:
        """When the next one is due; None when none is queued."""
        return _QUEUE.next_due(self._store)

    def unfinished(self) -> bool:
        """Whether any is on its way: to be fired, being fired, or running."""
        return self._store.row(_UNFINISHED) != (None,)

    def blocked_for(self, code: str, since: float) -> bool:
        """Whether one was blocked for this reason since then."""
        return bool(self._store.rows(f"{BLOCKED_SINCE} LIMIT 1", code, iso(since)))

    # --- before it is paid --------------------------------------------------------------------------------------------

    def book(
        self, job: Firing, request: Mapping[str, Any], price: float | None, limits: Iterable[Limits], now: float
    ) -> Held | None:
        """Write `submitting` down, with what it will cost held against the budget: all in one commit, so that two never
        spend the same Creative Units. What the budget does not allow is `blocked` instead, and the reason returned."""
        with self._store.write() as connection:
            asked = Asked(job.id, job.folder, job.rule, price)
            if not job.approved and (held := over(connection, asked, limits, now)):
                _hold(connection, job, Generation.QUEUED, held, price, now)
                return held
            turned(
                connection, job.id, Generation.QUEUED, Turn.SUBMITTED, now, claim=job.claim,
                request=to_json(request), target=job.target, estimated_price=price,
                booked=price or 0.0, booked_at=iso(now), error_code=None, error=None, remote_id=None,
                remote_state=None, next_attempt_at=None,
            )  # fmt: skip
            guard(connection, job.id, Generation.SUBMITTING, None, claim=job.claim)  # it goes on to be this claim's
            return None

    def hold(self, job: Firing, status: Generation, held: Held, price: float | None, now: float) -> None:
        """The workspace cannot pay for it: blocked, until a person approves it, or until `held.until`."""
        with self._store.write() as connection:
            _hold(connection, job, status, held, price, now)
            if status is Generation.SUBMITTING:
                _look_again(connection, job.id)

    def unbook(self, job: Firing, due: float, now: float, *, code: str, message: str) -> None:
        """Nobody knows whether it was booked: the word of that was lost on its way. Nothing was sent: again at
        `due`."""
        with self._store.write() as connection:
            if _is_booked(connection, job):
                _not_started(connection, job, due, now, code, message)
            else:
                _put_off(connection, job, due, job.attempts, code, message)

    def put_off(self, job: Firing, due: float, *, attempts: int, code: str, message: str) -> None:
        """Not now, and nothing was sent that costs: again at `due`."""
        with self._store.write() as connection:
            _put_off(connection, job, due, attempts, code, message)

    # --- what the paid request came to --------------------------------------------------------------------------------

    def accepted(
        self, job: Firing, remote_id: str, now: float, *, price: float | None, poll_at: float, deadline: float
    ) -> None:
        """Layer has started it, under this id."""
        with self._store.write() as connection:
            columns: dict[str, Any] = {} if price is None else {"estimated_price": price, "booked": price}
            turned(
                connection, job.id, Generation.SUBMITTING, Turn.ACCEPTED, now, claim=job.claim,
                detail=f"{job.kind} {remote_id}", remote_id=remote_id, attempts=0, next_attempt_at=iso(poll_at),
                deadline_at=iso(deadline), **columns,
            )  # fmt: skip

    def not_started(self, job: Firing, due: float, now: float, *, code: str, message: str) -> None:
        """Nothing was started: back to the queue, and what was booked is free again."""
        with self._store.write() as connection:
            _not_started(connection, job, due, now, code, message)

    def refused(
        self, job: Firing, status: Generation, now: float, *, code: str, message: str, detail: str = ""
    ) -> None:
        """It cannot be fired like that: failed, and nothing was paid."""
        with self._store.write() as connection:
            turned(
                connection, job.id, status, Turn.FAILED, now, claim=job.claim, detail=detail or message,
                error_code=code, error=message, next_attempt_at=None, booked=None, booked_at=None,
            )  # fmt: skip

    def lost(self, job: Firing, now: float, message: str, code: str) -> None:
        """It may have been started. What was booked stays booked."""
        with self._store.write() as connection:
            _lose(connection, job.id, job.claim, now, message, code)

    # --- at a start, and by people ------------------------------------------------------------------------------------

    def recover(self, now: float, claim: str | None = None) -> list[int]:
        """Whoever claimed or submitted one is no more; or, by its `claim`, does not know what became of it. Returns the
        ids of those that are `unknown` now."""
        message = "layerwatch ended between the request and its answer"
        with self._store.write() as connection:
            gone = f"(claim = ? OR CAST(? AS TEXT) IS NULL AND (claim IS NULL OR {self._store.left_behind}))"
            taken = f"status IN ('queued', 'running') AND claim IS NOT NULL AND {gone}"
            connection.execute(f"UPDATE generations SET claim = NULL WHERE {taken}", (claim, claim))  # noqa: S608
            asked = f"SELECT id FROM generations WHERE status = 'submitting' AND {gone} ORDER BY id"  # noqa: S608  ours alone
            lost = [id_ for (id_,) in connection.execute(asked, (claim, claim))]
            for id_ in lost:
                _lose(connection, id_, None, now, message, "interrupted")
        return lost

    def release(self, now: float) -> int:
        """What was held back until now goes to the queue again. Returns how many."""
        asked = "SELECT id FROM generations WHERE status = 'blocked' AND next_attempt_at <= ?"
        if not self._store.rows(f"{asked} LIMIT 1", iso(now)):
            return 0
        with self._store.write() as connection:
            ids = [id_ for (id_,) in connection.execute(f"{asked} ORDER BY id", (iso(now),))]
            for id_ in ids:
                turned(connection, id_, Generation.BLOCKED, Turn.RELEASED, now, next_attempt_at=iso(now))
            return len(ids)

    def approve(self, ids: Iterable[int], now: float) -> list[int]:
        """A person lets blocked ones go ahead, whatever the budget says. Returns those that were blocked."""
        return self._each(
            ids, Generation.BLOCKED, Turn.APPROVED, now, None,
            approved=1, next_attempt_at=iso(now), error_code=None, error=None, attempts=0,
        )  # fmt: skip

    def refire(self, id_: int, now: float, reason: str) -> bool:
        """A person has seen that an unknown one was not started: it may be fired."""
        columns = {"next_attempt_at": iso(now), "booked": None, "booked_at": None, "attempts": 0, "again": 1}
        return bool(
            self._each([id_], Generation.UNKNOWN, Turn.REFIRED, now, reason, error_code=None, error=None, **columns)
        )

    def adopt(self, id_: int, remote_id: str, now: float, reason: str, deadline: float) -> bool:
        """A person has found an unknown one in Layer: it is followed under that id."""
        columns = {"next_attempt_at": iso(now), "deadline_at": iso(deadline), "error_code": None, "error": None}
        why = f"{reason}: {remote_id}" if reason else remote_id
        return bool(
            self._each([id_], Generation.UNKNOWN, Turn.ADOPTED, now, why, remote_id=remote_id, attempts=0, **columns)
        )

    def drop(self, id_: int, now: float, reason: str) -> bool:
        """A person does not want an unknown one any more. What it may have cost stays in the books."""
        return bool(self._each([id_], Generation.UNKNOWN, Turn.DROPPED, now, reason, next_attempt_at=None))

    def retry(self, ids: Iterable[int], now: float, deadline: float) -> list[tuple[int, Turn]]:
        """Failed and cancelled ones again: fired anew where Layer ended them, or never began; where Layer has not, only
        looked for again, which costs nothing. One whose inputs were never all there cannot be fired: its rule looks for
        them once more, and it waits for what is missing, if nothing has taken its place. Returns what became of
        which."""
        with self._store.write() as connection:
            tried = [(id_, _retry(connection, id_, now, deadline)) for id_ in ids]
            return [(id_, event) for id_, event in tried if event]

    def _each(
        self, ids: Iterable[int], status: Generation, event: Turn, now: float, detail: str | None, **columns: Any
    ) -> list[int]:
        done = []
        with self._store.write() as connection:
            for id_ in ids:
                asked = "SELECT 1 FROM generations WHERE id = ? AND +status = ?"
                if connection.execute(asked, (id_, status)).fetchone():
                    turned(connection, id_, status, event, now, detail=detail or None, **columns)
                    done.append(id_)
        return done


# --- inside one transaction -------------------------------------------------------------------------------------------


def _hold(connection: Connection, job: Firing, status: Generation, held: Held, price: float | None, now: float) -> None:
    turned(
        connection, job.id, status, Turn.HELD, now, claim=job.claim, detail=held.message, error_code=held.code,
        error=held.message, estimated_price=price, booked=None, booked_at=None,
        next_attempt_at=None if held.until is None else iso(held.until),
    )  # fmt: skip


def _put_off(connection: Connection, job: Firing, due: float, attempts: int, code: str, message: str) -> None:
    guard(
        connection, job.id, Generation.QUEUED, job.claim, claim=None, next_attempt_at=iso(due), attempts=attempts,
        error_code=code, error=message,
    )  # fmt: skip


def _is_booked(connection: Connection, job: Firing) -> bool:
    asked = "SELECT 1 FROM generations WHERE id = ? AND +status = 'submitting' AND claim = ?"
    return connection.execute(asked, (job.id, job.claim)).fetchone() is not None


def _not_started(connection: Connection, job: Firing, due: float, now: float, code: str, message: str) -> None:
    turned(
        connection, job.id, Generation.SUBMITTING, Turn.NOT_STARTED, now, claim=job.claim, detail=message,
        error_code=code, error=message, next_attempt_at=iso(due), booked=None, booked_at=None,
    )  # fmt: skip
    _look_again(connection, job.id)


def _lose(connection: Connection, id_: int, claim: str | None, now: float, message: str, code: str) -> None:
    turned(
        connection, id_, Generation.SUBMITTING, Turn.LOST, now, claim=claim, detail=message, error_code=code,
        error=message, next_attempt_at=None,
    )  # fmt: skip


def _look_again(connection: Connection, id_: int) -> None:
    """While it was being submitted another version of its inputs may have come: the rules say which one counts."""
    other = (
        "SELECT mine.path FROM generations AS mine JOIN generations AS other USING (folder, rule, path)"
        " WHERE mine.id = ? AND other.id <> mine.id"
    )
    recheck(connection, f"path IN ({other})", id_)


def _retry(connection: Connection, id_: int, now: float, deadline: float) -> Turn | None:
    row = connection.execute(
        "SELECT status, remote_id, remote_state, EXISTS (SELECT 1 FROM generation_needs WHERE generation_id = id)"
        " FROM generations WHERE id = ?",
        (id_,),
    ).fetchone()
    if row is None or row[0] not in (Generation.FAILED, Generation.CANCELLED):
        return None
    status, remote_id, remote_state = Generation(row[0]), row[1], row[2]
    if row[3]:
        return _wait_again(connection, id_, now, deadline) if status is Generation.FAILED else None
    columns: dict[str, Any] = {"next_attempt_at": iso(now), "attempts": 0, "error_code": None, "error": None}
    if status is Generation.FAILED and remote_id and remote_state in (None, "complete"):
        turned(connection, id_, status, Turn.RESUMED, now, deadline_at=iso(deadline), **columns)
        return Turn.RESUMED
    connection.execute(
        "INSERT INTO earlier_bookings (generation_id, folder, rule, booked, price, booked_at)"
        " SELECT id, folder, rule, booked, price, booked_at FROM generations WHERE id = ? AND booked_at IS NOT NULL",
        (id_,),
    )
    columns |= {"booked": None, "booked_at": None, "price": None, "approved": 0, "again": 1}
    turned(connection, id_, status, Turn.RETRIED, now, **columns)
    return Turn.RETRIED


def _wait_again(connection: Connection, id_: int, now: float, deadline: float) -> Turn | None:
    taken = connection.execute(
        "SELECT 1 FROM generations AS mine JOIN generations AS other USING (folder, rule, path)"  # noqa: S608  marks only
        f" WHERE mine.id = ? AND other.status IN ({', '.join('?' * len(OPEN))}) LIMIT 1",
        (id_, *OPEN),
    ).fetchone()
    trigger = "SELECT file FROM generation_inputs WHERE generation_id = ? AND role = 'input'"
    if taken or not recheck(connection, f"id IN ({trigger})", id_):
        return None
    turned(
        connection, id_, Generation.FAILED, Turn.AWAITS, now, deadline_at=iso(deadline), error_code=None, error=None
    )  # fmt: skip
    return Turn.AWAITS


def hurry_generations(connection: Connection, now: float) -> None:
    """The clock was set back: what would be due later is due now; what is held back waits for the next day at most."""
    connection.execute(
        "UPDATE generations SET next_attempt_at = ?"
        " WHERE status IN ('queued', 'running', 'waiting') AND next_attempt_at > ?",
        (iso(now), iso(now)),
    )
    connection.execute(
        "UPDATE generations SET next_attempt_at = ? WHERE status = 'blocked' AND next_attempt_at > ?",
        (iso(day_after(now)), iso(day_after(now))),
    )
