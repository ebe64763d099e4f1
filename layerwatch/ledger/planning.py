"""From uploaded files to generations: which files the rules have not seen yet, what may serve as an input, and the one
row per thing to be paid for. Every plan is one transaction with the mark it answers, so no crash forgets or doubles it.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerwatch.ledger.marks import IS_NEWEST, NEWEST_FIRST, UPLOADED
from layerwatch.ledger.store import Store, to_path, to_text
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import SUPERSEDED, remember, supersede, turned
from layerwatch.states import OPEN, Generation, Turn, turn

INPUT = "input"


@dataclass(frozen=True, slots=True)
class Input:
    """An uploaded file, as rules see it. `hash` is its SHA-256, `depth` how many generations it comes from. `again`: a
    person wants it fired again; `recheck`: the rules have seen it before. `marks` tells which request that answers.
    `outside`: it was pushed for its folder, and lies elsewhere."""

    id: int
    folder: str
    path: str
    hash: str
    file_id: str
    depth: int
    again: bool = False
    recheck: bool = False
    marks: int = 0
    outside: bool = False


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
    missing (None: for ever). `fires_again_on`: the sidecars that count as a change."""

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
    " files.planning IS 'again', files.planning IS 'recheck', files.marks, files.outside"
    " FROM files LEFT JOIN generations ON generations.id = files.origin"
)
# A newer version is on its way: it will come, and the older one be of no use.
_SETTLED = (
    f"{UPLOADED} AND NOT EXISTS (SELECT 1 FROM files AS newer WHERE newer.path = files.path"  # noqa: S608  ours alone
    " AND +newer.status IN ('queued', 'uploading'))"
)
# CROSS: in this order, which begins with the few that it is about.
_USING = """
SELECT mine.file FROM files AS used
CROSS JOIN generation_inputs AS other ON other.file = used.id AND other.role <> 'input'
CROSS JOIN generation_inputs AS mine ON mine.generation_id = other.generation_id AND mine.role = 'input'
CROSS JOIN generations ON generations.id = mine.generation_id
WHERE used.path = ? AND generations.folder = ? AND rule = ?
"""
_MISSING = """
SELECT mine.file FROM generation_needs AS needs
CROSS JOIN generations ON generations.id = needs.generation_id AND status = 'waiting'
CROSS JOIN generation_inputs AS mine ON mine.generation_id = needs.generation_id AND mine.role = 'input'
WHERE (needs.key = ? OR needs.key IS NULL) AND generations.folder = ? AND rule = ?
"""
_NEWEST = f"ORDER BY {NEWEST_FIRST}"


class Planning:
    """Plans in one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- what there is ------------------------------------------------------------------------------------------------

    def pending(self, folders: Sequence[str], limit: int) -> list[Input]:
        """Uploaded files that the rules have not seen yet, the oldest first."""
        marks = ", ".join("?" * len(folders))
        return self._inputs(
            f"WHERE files.planning IS NOT NULL AND {UPLOADED} AND files.folder IN ({marks}) ORDER BY files.id LIMIT ?",
            *folders,
            limit,
        )

    def unfinished(self) -> bool:
        """Whether there are any, in folders that are there."""
        return bool(
            self._store.rows(
                f"SELECT 1 FROM files WHERE planning IS NOT NULL AND {UPLOADED}"  # noqa: S608  ours alone
                " AND folder IN (SELECT name FROM folders) LIMIT 1"
            )
        )

    def exactly(self, folder: str, key: str, path: str) -> Input | None:
        """The newest upload that is called so, whatever the case; None while a newer version of it is on its way."""
        asked = f"WHERE files.folder = ? AND rule_key = ? AND {_SETTLED} {_NEWEST} LIMIT 1"
        found = self._inputs(asked, folder, to_text(key))
        # Uploaded before the folder had rules: then only by its exact name.
        found = found or self._inputs(f"WHERE files.path = ? AND {_SETTLED} {_NEWEST} LIMIT 1", to_text(path))
        return next(iter(found), None)

    def beginning_with(self, folder: str, prefix: str) -> list[Input]:
        """All uploads of the folder whose folded path begins so, the newest first."""
        # As text, and as the bytes that those are kept as whose names are not UTF-8.
        begins = os.fsencode(prefix)
        first = prefix if to_text(prefix) == prefix else begins
        after = f"{prefix}\U0010ffff" if first == prefix else begins + b"\xff"
        return self._inputs(
            "WHERE files.folder = ? AND (rule_key >= ? AND rule_key < ? OR rule_key >= ? AND rule_key < ?)"
            f" AND {_SETTLED} {_NEWEST}",
            folder, first, after, begins, begins + b"\xff" * 4,
        )  # fmt: skip

    def triggers_missing(self, folder: str, rule: str, key: str) -> list[Input]:
        """The files of generations of this rule that wait for what may be called `key`."""
        return self._inputs(f"WHERE files.id IN ({_MISSING}) AND {IS_NEWEST}", to_text(key), folder, rule)

    def triggers_using(self, folder: str, rule: str, path: str) -> list[Input]:
        """The files of generations of this rule of which an earlier version of `path` is a further input."""
        return self._inputs(f"WHERE files.id IN ({_USING}) AND {_SETTLED} AND {IS_NEWEST}", to_text(path), folder, rule)

    def overdue(self, now: float) -> list[tuple[int, str, Input]]:
        """Generations that have waited long enough: id, rule, and the file that the rule matched."""
        rows = self._store.rows(
            "SELECT generations.id, rule, file FROM generations INDEXED BY generations_deadline"
            " JOIN generation_inputs ON generation_id = id AND role = 'input'"
            " WHERE status = 'waiting' AND deadline_at <= ?",
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
        """The generation that made these bytes, if one did: of several the last in its chain, so that what changes
        nothing does not go round for ever."""
        asked = (
            "SELECT id, depth, folder, rule FROM results JOIN generations ON id = generation_id"
            " WHERE sha256 = ? ORDER BY depth DESC, id DESC LIMIT 1"
        )
        row = self._store.row(asked, sha256)
        return Origin(*row) if row else None

    def _inputs(self, tail: str, *values: object) -> list[Input]:
        rows = self._store.rows(f"{_INPUT} {tail}", *values)
        return [
            Input(id_, folder, to_path(path), hash_, file_id, depth, bool(again), bool(recheck), marks, bool(outside))
            for id_, folder, path, hash_, file_id, depth, again, recheck, marks, outside in rows
        ]

    # --- what is to be done -------------------------------------------------------------------------------------------

    def plan(self, seen: Input | None, plans: Iterable[Plan], now: float) -> list[Planned]:
        """Write down what the rules make of it, and that they have seen the file."""
        with self._store.write() as connection:
            done = [_plan(connection, plan, now) for plan in plans]
            if seen:
                # What was asked for since `seen` was read is still to be done; firing again is, as far as it is ours.
                connection.execute(
                    "UPDATE files SET planning = CASE WHEN marks = ? THEN NULL WHEN ? THEN 'recheck' ELSE planning END"
                    " WHERE id = ?",
                    (seen.marks, seen.again, seen.id),
                )
            return [planned for planned in done if planned]

    def give_up(self, id_: int, now: float) -> str:
        """A generation has waited in vain: failed, with what was missing."""
        with self._store.write() as connection:
            rows = connection.execute(
                "SELECT role, glob FROM generation_needs WHERE generation_id = ? AND NOT optional", (id_,)
            ).fetchall()
            message = "waited in vain for " + ", ".join(f"{role} ({to_path(glob)})" for role, glob in rows)
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
                    "UPDATE files SET planning = 'again', marks = marks + 1 WHERE id = ? AND status = 'uploaded'",
                    (id_,),
                ).rowcount
                done += [id_] * changed
        return done


# --- inside one transaction -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """A generation of the rule and path that is planned for."""

    id: int
    status: Generation
    key: str | None
    again: bool = False
    error_code: str | None = None


def _plan(connection: sqlite3.Connection, plan: Plan, now: float) -> Planned | None:
    trigger = plan.trigger
    mine = (trigger.folder, plan.rule, to_text(trigger.path))
    asked = "FROM generations WHERE folder = ? AND rule = ? AND path = ?"
    if trigger.recheck and not connection.execute(f"SELECT 1 {asked} LIMIT 1", mine).fetchone():
        return None  # a rule that was written since then: it fires for new files, and for old ones when it is asked to
    found = connection.execute(
        f"SELECT id, status, key, again {asked} AND status IN ({', '.join('?' * len(OPEN))}) ORDER BY id",
        (*mine, *OPEN),
    )
    open_ = [_Row(id_, Generation(status), key, bool(again)) for id_, status, key, again in found]
    is_newest = f"SELECT 1 FROM files WHERE id = ? AND {IS_NEWEST}"  # noqa: S608  ours alone
    if not connection.execute(is_newest, (trigger.id,)).fetchone():
        # Another version counts by now: this one is fired for a person alone, and takes nothing's place.
        return _ready(connection, plan, [], now) if trigger.again and not plan.missing else None
    if plan.missing:
        return _await(connection, plan, open_, now)
    return _ready(connection, plan, open_, now)


def _ready(connection: sqlite3.Connection, plan: Plan, open_: Sequence[_Row], now: float) -> Planned:
    waiting = next((row for row in open_ if row.status is Generation.WAITING), None)
    key, fired = plan.key, _with_key(connection, plan.key)
    ours = next((row for row in fired if row.status in OPEN), None)
    if ours:
        _supersede(connection, open_, ours, now, is_news=False)
        _set(connection, ours.id, plan)  # not paid for yet: what lies beside the file now is what counts
        return Planned(ours.id, None, ours.status)
    columns: dict[str, Any] = {"key": key, "next_attempt_at": iso(now), "deadline_at": None}
    replaced = next((row for row in fired if row.error_code == SUPERSEDED), None)
    if replaced:
        # What took its place before it was paid for is gone again.
        _supersede(connection, open_, None, now, is_news=True)
        columns |= {"key": replaced.key, "approved": 0, "error_code": None, "error": None, "attempts": 0}
        status = turned(connection, replaced.id, replaced.status, Turn.READY, now, **columns)
        _set(connection, replaced.id, plan)
        return Planned(replaced.id, Turn.READY, status)
    if fired and not (plan.trigger.again or (waiting and waiting.again)):
        _supersede(connection, open_, None, now, is_news=False)
        return Planned(fired[0].id, None, fired[0].status)
    if fired:
        columns["key"] = f"{key}+{len(fired)}"
    _supersede(connection, open_, waiting, now, is_news=True)
    if waiting:
        status = turned(connection, waiting.id, Generation.WAITING, Turn.READY, now, **columns)
        _set(connection, waiting.id, plan)
        return Planned(waiting.id, Turn.READY, status)
    return _insert(connection, plan, Turn.READY, now, columns)


def _with_key(connection: sqlite3.Connection, key: str) -> list[_Row]:
    """All that this was ever planned for: at first, and as often as a person asked for it again."""
    found = connection.execute(
        "SELECT id, status, key, again, CASE WHEN status = 'cancelled' THEN error_code END FROM generations"
        " WHERE key >= ? AND key < ? ORDER BY id DESC",
        (key, f"{key}~"),
    )
    return [_Row(id_, Generation(status), own, bool(again), code) for id_, status, own, again, code in found]


def _await(connection: sqlite3.Connection, plan: Plan, open_: Sequence[_Row], now: float) -> Planned:
    waiting = next((row for row in open_ if row.status is Generation.WAITING), None)
    _supersede(connection, open_, waiting, now, is_news=waiting is None)
    if waiting:
        _set(connection, waiting.id, plan)
        return Planned(waiting.id, None, Generation.WAITING)
    deadline = None if plan.wait_s is None else iso(now + plan.wait_s)
    return _insert(connection, plan, Turn.AWAITS, now, {"deadline_at": deadline})


def _supersede(
    connection: sqlite3.Connection, open_: Sequence[_Row], but: _Row | None, now: float, *, is_news: bool
) -> None:
    """What a person asked for gives way to news, and not to a look that finds none."""
    for row in open_:
        if (but is None or row.id != but.id) and (is_news or not row.again):
            supersede(connection, row.id, row.status, now)


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
        "queued_at": iso(now) if status is Generation.QUEUED else None,
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
    """Its inputs as they are now, and what is missing. Who has claimed it knows them as they were, and loses it."""
    inputs = {INPUT: plan.trigger, **plan.companions}
    facts = (
        plan.kind,
        plan.target,
        json.dumps(dict(plan.sidecars)) if plan.sidecars else None,
        1 + max(each.depth for each in inputs.values()),
    )
    uses = {(role, each.id) for role, each in inputs.items()}
    if plan.trigger.again:
        connection.execute("UPDATE generations SET again = 1 WHERE id = ?", (id_,))
    if (facts, uses) != _facts(connection, id_):
        connection.execute(
            "UPDATE generations SET kind = ?, target = ?, sidecars = ?, depth = ?, claim = NULL WHERE id = ?",
            (*facts, id_),
        )
        connection.execute("DELETE FROM generation_inputs WHERE generation_id = ?", (id_,))
        connection.executemany(
            "INSERT INTO generation_inputs (generation_id, role, file) VALUES (?, ?, ?)",
            [(id_, role, file) for role, file in uses],
        )
    connection.execute("DELETE FROM generation_needs WHERE generation_id = ?", (id_,))
    connection.executemany(
        "INSERT INTO generation_needs (generation_id, role, glob, key, optional) VALUES (?, ?, ?, ?, ?)",
        [
            (id_, each.role, to_text(each.glob), None if each.key is None else to_text(each.key), each.optional)
            for each in plan.missing
        ],
    )


def _facts(connection: sqlite3.Connection, id_: int) -> tuple[object, set[tuple[str, int]]]:
    facts = connection.execute("SELECT kind, target, sidecars, depth FROM generations WHERE id = ?", (id_,)).fetchone()
    uses = connection.execute("SELECT role, file FROM generation_inputs WHERE generation_id = ?", (id_,))
    return facts, set(uses)
