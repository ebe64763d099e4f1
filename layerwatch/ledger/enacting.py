"""What becomes of one plan, inside one transaction: a generation of its own, an open one brought up to date, or nothing
where it was fired before."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerwatch.ledger.connection import Connection
from layerwatch.ledger.marks import IS_NEWEST
from layerwatch.ledger.plans import INPUT, Plan, Planned
from layerwatch.ledger.times import iso, seconds
from layerwatch.ledger.turning import SUPERSEDED, remember, supersede, turned
from layerwatch.names import bound
from layerwatch.states import OPEN, Generation, Turn, turn

LOOK_LEAST_S, LOOK_MOST_S = 30.0, 900.0  # until what could not be read is looked at again


@dataclass(frozen=True, slots=True)
class _Row:
    """A generation of the rule and path that is planned for."""

    id: int
    status: Generation
    key: str | None
    again: bool = False
    error_code: str | None = None


def enact(connection: Connection, plan: Plan, now: float) -> Planned | None:
    """Make the ledger say what the plan says. None where the rules have nothing to say of the file any more."""
    trigger = plan.trigger
    mine = (trigger.folder, plan.rule, connection.names.to_text(trigger.path))
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


def _ready(connection: Connection, plan: Plan, open_: Sequence[_Row], now: float) -> Planned:
    waiting = next((row for row in open_ if row.status is Generation.WAITING), None)
    key = plan.key(connection.names)
    fired = _with_key(connection, key)
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


def _with_key(connection: Connection, key: str) -> list[_Row]:
    """All that this was ever planned for: at first, and as often as a person asked for it again."""
    found = connection.execute(
        "SELECT id, status, key, again, CASE WHEN status = 'cancelled' THEN error_code END FROM generations"
        " WHERE key >= ? AND key < ? ORDER BY id DESC",
        (key, f"{key}~"),
    )
    return [_Row(id_, Generation(status), own, bool(again), code) for id_, status, own, again, code in found]


def _await(connection: Connection, plan: Plan, open_: Sequence[_Row], now: float) -> Planned:
    waiting = next((row for row in open_ if row.status is Generation.WAITING), None)
    _supersede(connection, open_, waiting, now, is_news=waiting is None)
    if waiting:
        _set(connection, waiting.id, plan)
        planned = Planned(waiting.id, None, Generation.WAITING)
    else:
        deadline = None if plan.wait_s is None else iso(now + plan.wait_s)
        planned = _insert(connection, plan, Turn.AWAITS, now, {"deadline_at": deadline})
    if any(each.may_pass for each in plan.missing):
        _look_later(connection, planned.id, now)
    return planned


def _look_later(connection: Connection, id_: int, now: float) -> None:
    """Its inputs are looked at again after as long as it has waited so far, within bounds."""
    ((since,),) = connection.execute("SELECT updated_at FROM generations WHERE id = ?", (id_,))
    due = now + min(max(now - seconds(since), LOOK_LEAST_S), LOOK_MOST_S)
    connection.execute("UPDATE generations SET next_attempt_at = ? WHERE id = ?", (iso(due), id_))


def _supersede(connection: Connection, open_: Sequence[_Row], but: _Row | None, now: float, *, is_news: bool) -> None:
    """What a person asked for gives way to news, and not to a look that finds none."""
    for row in open_:
        if (but is None or row.id != but.id) and (is_news or not row.again):
            supersede(connection, row.id, row.status, now)


def _insert(connection: Connection, plan: Plan, event: Turn, now: float, columns: Mapping[str, object]) -> Planned:
    status = turn(None, event)
    values = {
        "folder": plan.trigger.folder,
        "rule": plan.rule,
        "kind": plan.kind,
        "path": connection.names.to_text(plan.trigger.path),
        "status": status,
        "created_at": iso(now),
        "updated_at": iso(now),
        "queued_at": iso(now) if status is Generation.QUEUED else None,
        **columns,
    }
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    id_ = connection.insert(f"INSERT INTO generations ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
    _set(connection, id_, plan)
    waits = "waits for " + ", ".join(f"{each.role} ({each.glob})" for each in plan.missing) if plan.missing else None
    remember(connection, id_, now, event, status, detail=waits)
    return Planned(id_, event, status)


def _set(connection: Connection, id_: int, plan: Plan) -> None:
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
            (id_, each.role, bound(each.glob), None if each.key is None else bound(each.key), each.optional)
            for each in plan.missing
        ],
    )


def _facts(connection: Connection, id_: int) -> tuple[object, set[tuple[str, int]]]:
    facts = connection.execute("SELECT kind, target, sidecars, depth FROM generations WHERE id = ?", (id_,)).fetchone()
    uses = connection.execute("SELECT role, file FROM generation_inputs WHERE generation_id = ?", (id_,))
    return facts, set(uses)
