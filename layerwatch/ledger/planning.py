"""From uploaded files to generations: which files the rules have not seen yet, what may serve as an input, and the one
row per thing to be paid for. Every plan is one transaction with the mark it answers, so no crash forgets or doubles it.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from layerwatch.ledger.store import Store, to_path, to_text
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import remember, turned
from layerwatch.states import OPEN, Generation, Turn, turn

INPUT = "input"


@dataclass(frozen=True, slots=True)
class Input:
    """An uploaded file, as rules see it. `hash` is its SHA-256, `depth` how many generations it comes from."""

    id: int
    folder: str
    path: str
    hash: str
    file_id: str
    depth: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """The generation whose result some bytes are; `depth` as in `Input`."""

    id: int
    depth: int
    folder: str
    rule: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An input that is not there yet. `key`: the one folded path that it can have; None where the glob leaves a
    choice."""

    role: str
    glob: str
    key: str | None
    optional: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A generation as it ought to be now. `sidecars` are texts by role, `wait_s` how long it may wait for what is
    missing (None: for ever). `again`: a person wants it fired again. `fires_again_on`: the sidecars that count as a
    change."""

    rule: str
    kind: str
    target: str
    trigger: Input
    companions: Mapping[str, Input]
    sidecars: Mapping[str, str]
    missing: tuple[Missing, ...] = ()
    wait_s: float | None = None
    fires_again_on: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What it fires once for: folder, rule, path, and the hashes of its inputs; never the rule's parameters, so
        that editing a rule pays for nothing."""
        parts = [self.trigger.folder, self.rule, self.trigger.path, self.trigger.hash]
        parts += [f"{role}={each.hash}" for role, each in sorted(self.companions.items())]
        parts += [f"{role}={self.sidecars[role]}" for role in sorted(self.fires_again_on) if role in self.sidecars]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of a plan: the generation, and what happened to it; None where it was known."""

    id: int
    event: Turn | None
    status: Generation


_INPUT = (
    "SELECT files.id, files.folder, files.path, files.hash, files.file_id, coalesce(generations.depth, 0),"
    " files.planning = 'again' FROM files LEFT JOIN generations ON generations.id = files.origin"
)
# A newer version is on its way: it will come, and the older one be of no use.
_SETTLED = (
    "files.status = 'uploaded' AND NOT EXISTS (SELECT 1 FROM files AS newer WHERE newer.path = files.path"
    " AND newer.status IN ('queued', 'uploading'))"
)
_USING = """
SELECT mine.file FROM generation_inputs AS mine
JOIN generation_inputs AS other ON other.generation_id = mine.generation_id
JOIN generations ON generations.id = mine.generation_id
JOIN files AS used ON used.id = other.file
WHERE mine.role = 'input' AND other.role <> 'input' AND generations.folder = ? AND rule = ? AND used.path = ?
"""
_NEWEST = "ORDER BY files.uploaded_at DESC, files.id DESC"


class Planning:
    """Plans in one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- what there is ------------------------------------------------------------------------------------------------

    def pending(self, folders: Sequence[str], limit: int) -> list[Input]:
        """Uploaded files that the rules have not seen yet, the oldest first."""
        marks = ", ".join("?" * len(folders))
        return self._inputs(
            f"WHERE files.planning IS NOT NULL AND files.status = 'uploaded' AND files.folder IN ({marks})"
            " ORDER BY files.id LIMIT ?",
            *folders,
            limit,
        )

    def unfinished(self) -> bool:
        """Whether there are any, in folders that are there."""
        return bool(
            self._store.rows(
                "SELECT 1 FROM files WHERE planning IS NOT NULL AND status = 'uploaded'"
                " AND folder IN (SELECT name FROM folders) LIMIT 1"
            )
        )

    def exactly(self, folder: str, key: str, path: str) -> Input | None:
        """The newest upload that is called so, whatever the case; None while a newer version of it is on its way."""
        found = self._inputs(f"WHERE files.folder = ? AND rule_key = ? AND {_SETTLED} {_NEWEST} LIMIT 1", folder, key)
        # Uploaded before the folder had rules: then only by its exact name.
        found = found or self._inputs(f"WHERE files.path = ? AND {_SETTLED} {_NEWEST} LIMIT 1", to_text(path))
        return next(iter(found), None)

    def beginning_with(self, folder: str, prefix: str) -> list[Input]:
        """All uploads of the folder whose folded path begins so, the newest first."""
        after = f"{prefix}\U0010ffff"
        return self._inputs(
            f"WHERE files.folder = ? AND rule_key >= ? AND rule_key < ? AND {_SETTLED} {_NEWEST}", folder, prefix, after
        )

    def triggers_missing(self, folder: str, rule: str, key: str) -> list[Input]:
        """The files of generations of this rule that wait for what may be called `key`."""
        return self._inputs(
            "WHERE files.id IN (SELECT file FROM generation_inputs JOIN generations ON id = generation_id"
            " WHERE role = 'input' AND folder = ? AND rule = ? AND status = 'waiting' AND id IN ("
            "   SELECT generation_id FROM generation_needs WHERE key = ? OR key IS NULL))",
            folder,
            rule,
            key,
        )

    def triggers_using(self, folder: str, rule: str, path: str) -> list[Input]:
        """The files of generations of this rule of which an earlier version of `path` is a further input."""
        return self._inputs(f"WHERE files.id IN ({_USING}) AND {_SETTLED}", folder, rule, to_text(path))

    def overdue(self, now: float) -> list[tuple[int, str, Input]]:
        """Generations that have waited long enough: id, rule, and the file that the rule matched."""
        rows = self._store.rows(
            "SELECT generations.id, rule, file FROM generations JOIN generation_inputs ON generation_id = id"
            " WHERE role = 'input' AND status = 'waiting' AND deadline_at <= ?",
            iso(now),
        )
        return [(id_, rule, self._inputs("WHERE files.id = ?", file)[0]) for id_, rule, file in rows]

    def next_deadline(self) -> str | None:
        """When the next one has."""
        ((at,),) = self._store.rows("SELECT min(deadline_at) FROM generations WHERE status = 'waiting'")
        return None if at is None else str(at)

    def sidecar_known(self, path: str) -> bool:
        """Whether a file beside another one has been found quiet."""
        asked = "SELECT 1 FROM files WHERE path = ? AND hash IS NULL AND error_code = 'sidecar'"
        return self._store.row(asked, to_text(path)) is not None

    def origin(self, sha256: str) -> Origin | None:
        """The generation that made these bytes, if one did."""
        asked = (
            "SELECT id, depth, folder, rule FROM results JOIN generations ON id = generation_id"
            " WHERE sha256 = ? LIMIT 1"
        )
        row = self._store.row(asked, sha256)
        return Origin(*row) if row else None

    def _inputs(self, tail: str, *values: object) -> list[Input]:
        rows = self._store.rows(f"{_INPUT} {tail}", *values)
        return [
            Input(id_, folder, to_path(path), hash_, file_id, depth, bool(again))
            for id_, folder, path, hash_, file_id, depth, again in rows
        ]

    # --- what is to be done -------------------------------------------------------------------------------------------

    def plan(self, seen: Input | None, plans: Iterable[Plan], now: float) -> list[Planned]:
        """Write down what the rules make of it, and that they have seen the file."""
        with self._store.write() as connection:
            done = [_plan(connection, plan, now) for plan in plans]
            if seen:
                connection.execute("UPDATE files SET planning = NULL WHERE id = ?", (seen.id,))
            return done

    def give_up(self, id_: int, now: float) -> str:
        """A generation has waited in vain: failed, with what was missing."""
        with self._store.write() as connection:
            rows = connection.execute(
                "SELECT role, glob FROM generation_needs WHERE generation_id = ? AND NOT optional", (id_,)
            ).fetchall()
            message = "waited in vain for " + ", ".join(f"{role} ({glob})" for role, glob in rows)
            turned(
                connection,
                id_,
                Generation.WAITING,
                Turn.FAILED,
                now,
                detail=message,
                error_code="input_missing",
                error=message,
                deadline_at=None,
            )
            return message

    def again(self, ids: Iterable[int]) -> list[int]:
        """These uploaded files are to go through the rules once more, whatever was fired for them before."""
        done = []
        with self._store.write() as connection:
            for id_ in ids:
                changed = connection.execute(
                    "UPDATE files SET planning = 'again' WHERE id = ? AND status = 'uploaded'", (id_,)
                ).rowcount
                done += [id_] * changed
        return done


# --- inside one transaction -------------------------------------------------------------------------------------------


def _plan(connection: sqlite3.Connection, plan: Plan, now: float) -> Planned:
    trigger = plan.trigger
    found = connection.execute(
        f"SELECT id, status FROM generations WHERE folder = ? AND rule = ? AND path = ?"  # noqa: S608  marks only
        f" AND status IN ({', '.join('?' * len(OPEN))}) ORDER BY id",
        (trigger.folder, plan.rule, to_text(trigger.path), *OPEN),
    ).fetchall()
    open_ = {id_: Generation(status) for id_, status in found}
    if plan.missing:
        return _await(connection, plan, open_, now)
    return _ready(connection, plan, open_, now)


def _ready(connection: sqlite3.Connection, plan: Plan, open_: dict[int, Generation], now: float) -> Planned:
    key = plan.key
    known = connection.execute("SELECT id, status FROM generations WHERE key = ?", (key,)).fetchone()
    if known and plan.trigger.again and known[0] not in open_:
        (count,) = connection.execute(
            "SELECT count(*) FROM generations WHERE key >= ? AND key < ?", (key, f"{key}~")
        ).fetchone()
        key, known = f"{key}+{count}", None
    if known:
        _supersede(connection, open_, known[0], now)
        if known[0] in open_:  # not paid for yet: what lies beside the file now is what counts
            _set(connection, known[0], plan)
        return Planned(known[0], None, Generation(known[1]))
    waiting = next((id_ for id_, status in open_.items() if status is Generation.WAITING), None)
    _supersede(connection, open_, waiting, now)
    columns = {"key": key, "next_attempt_at": iso(now), "deadline_at": None}
    if waiting is not None:
        status = turned(connection, waiting, Generation.WAITING, Turn.READY, now, **columns)
        _set(connection, waiting, plan)
        return Planned(waiting, Turn.READY, status)
    return _insert(connection, plan, Turn.READY, now, columns)


def _await(connection: sqlite3.Connection, plan: Plan, open_: dict[int, Generation], now: float) -> Planned:
    waiting = next((id_ for id_, status in open_.items() if status is Generation.WAITING), None)
    _supersede(connection, open_, waiting, now)
    if waiting is not None:
        _set(connection, waiting, plan)
        return Planned(waiting, None, Generation.WAITING)
    deadline = None if plan.wait_s is None else iso(now + plan.wait_s)
    return _insert(connection, plan, Turn.AWAITS, now, {"deadline_at": deadline})


def _supersede(connection: sqlite3.Connection, open_: dict[int, Generation], but: int | None, now: float) -> None:
    message = "a newer version of its input came before it was fired"
    for id_, status in open_.items():
        if id_ != but:
            turned(
                connection, id_, status, Turn.SUPERSEDED, now, detail=message, error_code="superseded", error=message,
                next_attempt_at=None, deadline_at=None,
            )  # fmt: skip


def _insert(
    connection: sqlite3.Connection, plan: Plan, event: Turn, now: float, columns: Mapping[str, object]
) -> Planned:
    status = turn(None, event)
    values = {
        "folder": plan.trigger.folder,
        "rule": plan.rule,
        "kind": plan.kind,
        "path": to_text(plan.trigger.path),
        "status": status,
        "created_at": iso(now),
        "updated_at": iso(now),
        **columns,
    }
    cursor = connection.execute(
        f"INSERT INTO generations ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608  ours
        tuple(values.values()),
    )
    assert cursor.lastrowid is not None
    _set(connection, cursor.lastrowid, plan)
    waits = "waits for " + ", ".join(f"{each.role} ({each.glob})" for each in plan.missing) if plan.missing else None
    remember(connection, cursor.lastrowid, now, event, status, detail=waits)
    return Planned(cursor.lastrowid, event, status)


def _set(connection: sqlite3.Connection, id_: int, plan: Plan) -> None:
    """Its inputs as they are now, and what is missing."""
    inputs = {INPUT: plan.trigger, **plan.companions}
    connection.execute(
        "UPDATE generations SET kind = ?, target = ?, sidecars = ?, depth = ? WHERE id = ?",
        (
            plan.kind,
            plan.target,
            json.dumps(dict(plan.sidecars)) if plan.sidecars else None,
            1 + max(each.depth for each in inputs.values()),
            id_,
        ),
    )
    connection.execute("DELETE FROM generation_inputs WHERE generation_id = ?", (id_,))
    connection.executemany(
        "INSERT INTO generation_inputs VALUES (?, ?, ?)", [(id_, each.id, role) for role, each in inputs.items()]
    )
    connection.execute("DELETE FROM generation_needs WHERE generation_id = ?", (id_,))
    connection.executemany(
        "INSERT INTO generation_needs VALUES (?, ?, ?, ?, ?)",
        [(id_, each.role, each.glob, each.key, each.optional) for each in plan.missing],
    )
