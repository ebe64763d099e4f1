"""What is told of generations, and of what they cost, is what is written."""

from collections.abc import Callable
from typing import Any

import pytest

from layerwatch.ledger import (
    GenerationRow,
    Held,
    InputRow,
    Ledger,
    Limits,
    Missing,
    NeedRow,
    Spend,
    iso,
)
from layerwatch.states import Generation, Turn

from .builders import (
    RULE,
    T0,
    accept,
    arrive,
    book,
    followed,
    planned_for,
    queue,
    scans,
    shown,
    sqlite_alone,
    taken,
    version,
    watched,
)

DAY = 86400.0


@pytest.fixture
def nine(ledger: Ledger) -> dict[str, int]:
    """A generation in each status, changed in this order a second apart; the ids by status."""
    order = [
        "complete",
        "failed",
        "cancelled",
        "unknown",
        "running",
        "submitting",
        "blocked",
        "queued",
    ]
    ids = {}
    for number, status in enumerate(order):
        now = T0 + number
        (ids[status],) = queue(ledger, status, now=now)
        if status == "queued":
            continue
        job = taken(ledger, now, status)
        if status == "blocked":
            ledger.firing.hold(job, Generation.QUEUED, Held("burst", "burst", None, first=True), 3.0, now)
            continue
        book(ledger, job, 2.0, now)
        if status == "unknown":
            ledger.firing.lost(job, now, "no answer", "network")
        if status in ("complete", "failed", "cancelled", "running"):
            ledger.firing.accepted(job, f"r-{status}", now, price=None, poll_at=now, deadline=now + 60)
        if status in ("complete", "failed", "cancelled"):
            end(ledger, status, now)
    seen = shown(ledger, arrive(ledger, "/drop/waiting.png", b"waiting", T0 + 8))
    ids["waiting"] = ledger.planning.plan(seen, [planned_for(seen, missing="depth", wait_s=60.0)], T0 + 8)[0].id
    return ids


def end(ledger: Ledger, status: str, now: float, *, price: float | None = 1.5, **more: Any) -> int:
    job = followed(ledger, now)
    if status == "complete":
        outputs = more.get("outputs", [{"path": "/drop/out/a.png"}])
        ledger.following.completed(job, outputs, price, None, now, deliver=False)
    else:
        event, state = (Turn.FAILED, "failed") if status == "failed" else (Turn.CANCELLED, "cancelled")
        facts: dict[str, Any] = {"code": "X", "message": "no", "remote_state": state}
        ledger.following.ended(job, event, now, price=price, **facts | more)
    return job.id


def ids_of(rows: list[GenerationRow]) -> list[int]:
    return [row.id for row in rows]


def test_every_status_is_counted_even_if_there_is_none(ledger: Ledger) -> None:
    assert ledger.stories.counts() == dict.fromkeys(map(str, Generation), 0)


def test_generations_are_counted_by_status(ledger: Ledger, nine: dict[str, int]) -> None:
    assert ledger.stories.counts() == dict.fromkeys(nine, 1) == dict.fromkeys(map(str, Generation), 1)
    queue(ledger, "another")
    assert ledger.stories.counts()["queued"] == 2


def test_rows_come_latest_first_and_by_status_folder_and_number(ledger: Ledger, nine: dict[str, int]) -> None:
    order = list(nine.values())[::-1]
    assert ids_of(ledger.stories.some()) == order
    assert ids_of(ledger.stories.some(limit=2)) == order[:2]
    assert ids_of(ledger.stories.some(limit=0)) == []
    assert ids_of(ledger.stories.some(status="unknown")) == [nine["unknown"]]
    watched(ledger, "other")
    seen = shown(ledger, arrive(ledger, "/other/a.png", b"other", T0 + 20, folder="other"))
    (planned,) = ledger.planning.plan(seen, [planned_for(seen)], T0 + 20)
    assert ids_of(ledger.stories.some(folder="other")) == [planned.id]
    assert ids_of(ledger.stories.some(status="unknown", folder="other")) == []
    assert ids_of(ledger.stories.some()) == [planned.id, *order]


def test_a_row_says_all_there_is_to_know(ledger: Ledger, nine: dict[str, int]) -> None:
    row = ledger.stories.one(nine["complete"])
    assert row == GenerationRow(
        id=nine["complete"],
        folder="drop",
        rule=RULE,
        kind="inference",
        target="model",
        status="complete",
        path="/drop/complete.png",
        remote_id="r-complete",
        estimated_price=2.0,
        price=1.5,
        booked=1.5,
        error_code=None,
        error=None,
        outputs=({"path": "/drop/out/a.png"},),
        attempts=0,
        next_attempt_at=None,
        deadline_at=iso(T0 + 60),
        created_at=iso(T0),
        updated_at=iso(T0),
        booked_at=iso(T0),
        completed_at=iso(T0),
        depth=1,
        remote_state="complete",
    )
    assert row.as_dict()["outputs"] == ({"path": "/drop/out/a.png"},)
    assert ledger.stories.one(999) is None


def test_a_files_generations_are_those_of_all_its_versions_in_any_role(ledger: Ledger) -> None:
    depth = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"depth"))
    (first,) = queue(ledger, "a")
    newer = shown(ledger, arrive(ledger, "/drop/a.png", b"newer", T0 + 1))
    ((second),) = ledger.planning.plan(newer, [planned_for(newer, companions={"depth": depth})], T0 + 1)
    queue(ledger, "b")
    assert ids_of(ledger.stories.of_path("/drop/a.png")) == [second.id, first]
    assert ids_of(ledger.stories.of_path("/drop/a_depth.png")) == [second.id]
    assert ids_of(ledger.stories.of_path("/drop/c.png")) == []
    assert ledger.stories.inputs(second.id) == [
        InputRow("input", newer.id, "/drop/a.png", newer.hash, newer.file_id, 5),
        InputRow("depth", depth.id, "/drop/a_depth.png", depth.hash, depth.file_id, 5),
    ]


def test_it_is_told_what_a_generation_waits_for(ledger: Ledger, nine: dict[str, int]) -> None:
    assert ledger.stories.needs(nine["waiting"]) == [NeedRow("depth", "*_depth.png", optional=False)]
    assert ledger.stories.needs(nine["queued"]) == []
    seen = shown(ledger, arrive(ledger, "/drop/x.png", b"x"))
    plan = planned_for(seen, missing=(Missing("mask", "x_mask.*", None, optional=True),))
    (planned,) = ledger.planning.plan(seen, [plan], T0)
    assert ledger.stories.needs(planned.id) == [NeedRow("mask", "x_mask.*", optional=True)]


def test_the_request_is_told_as_it_was_sent(ledger: Ledger, nine: dict[str, int]) -> None:
    assert ledger.stories.request(nine["complete"]) == {"prompt": "oil"}
    assert ledger.stories.request(nine["blocked"]) is None
    assert ledger.stories.request(999) is None


def test_history_is_told_in_order_of_one_generation_alone(ledger: Ledger, nine: dict[str, int]) -> None:
    lines = ledger.stories.history(nine["failed"])
    assert [(line.event, line.status, line.error_code, line.detail) for line in lines] == [
        ("ready", "queued", None, None),
        ("submitted", "submitting", None, None),
        ("accepted", "running", None, "inference r-failed"),
        ("failed", "failed", "X", "no"),
    ]
    assert ledger.stories.history(999) == []


# --- money ------------------------------------------------------------------------------------------------------------


def test_what_was_spent_is_told_by_day_folder_and_rule(ledger: Ledger) -> None:
    watched(ledger, "other")
    for number, (now, price, charged) in enumerate([(T0, 2.0, 1.5), (T0, 3.0, None), (T0 + DAY, 4.0, 4.0)]):
        queue(ledger, str(number), now=now)
        fire(ledger, price, now)
        end(ledger, "complete", now, price=charged)
    queue(ledger, "running", rule="inpaint")
    fire(ledger, 5.0, T0)
    seen = shown(ledger, arrive(ledger, "/other/a.png", b"other", folder="other"))
    ledger.planning.plan(seen, [planned_for(seen)], T0)
    fire(ledger, None, T0)
    assert ledger.stories.spend() == [
        Spend("2025-06-16", "drop", RULE, 1, 4.0, 4.0),
        Spend("2025-06-15", "drop", "inpaint", 1, 0, 5.0),
        Spend("2025-06-15", "drop", RULE, 2, 1.5, 4.5),
        Spend("2025-06-15", "other", RULE, 1, 0, 0.0),
    ]
    assert [row.day for row in ledger.stories.spend("2025-06-16")] == ["2025-06-16"]
    assert ledger.stories.spend("2026") == []


def fire(ledger: Ledger, price: float | None, now: float) -> None:
    job = taken(ledger, now)
    assert book(ledger, job, price, now, Limits()) is None
    ledger.firing.accepted(job, f"r{job.id}", now, price=None, poll_at=now, deadline=now + 60)


def test_what_cost_nothing_is_in_no_book(ledger: Ledger, nine: dict[str, int]) -> None:
    (spent,) = ledger.stories.spend()
    fired = ("complete", "failed", "cancelled", "unknown", "running", "submitting")
    assert (spent.generations, spent.charged, spent.booked) == (len(fired), 3 * 1.5, 3 * 1.5 + 3 * 2.0)


# --- for an audit -----------------------------------------------------------------------------------------------------


def test_what_was_paid_for_and_brought_nothing_is_found(ledger: Ledger, nine: dict[str, int]) -> None:
    free, gone, empty = queue(ledger, "free", "gone", "empty", now=T0 + 30)
    for _ in range(4):
        fire(ledger, None, T0 + 30)
    ended = [
        end(ledger, "complete", T0 + 30, price=0.0),  # of `nine`: it ran
        end(ledger, "complete", T0 + 30, price=None, outputs=[]),
        end(ledger, "failed", T0 + 30, price=None),
        end(ledger, "failed", T0 + 30, price=None, remote_state="complete"),
        end(ledger, "complete", T0 + 30, price=1.0, outputs=[]),
    ]
    assert ended == [nine["running"], nine["queued"], free, gone, empty]
    assert ids_of(ledger.stories.without_result()) == [nine["failed"], nine["unknown"], gone, empty]


def test_what_is_stuck_is_found(ledger: Ledger, nine: dict[str, int]) -> None:
    assert ids_of(ledger.stories.stuck(iso(T0 + 4))) == []
    assert ids_of(ledger.stories.stuck(iso(T0 + 99))) == [nine[each] for each in ("running", "submitting", "queued")]


def test_saved_results_are_told(ledger: Ledger) -> None:
    (id_,) = queue(ledger)
    job = taken(ledger)
    book(ledger, job)
    accept(ledger, job)
    follow = followed(ledger, T0 + 3)
    for number in (1, 2):
        ledger.following.intend(follow, number, f"/drop/out/{number}.png", version().digest.sha256, 1)
    ledger.following.saved(follow, 2)
    assert ledger.stories.saved_results() == [(id_, "/drop/out/2.png", version().digest.sha256, 1)]
    assert [each["number"] for each in ledger.stories.results(id_)] == [1, 2]


def test_no_answer_holds_a_claim(ledger: Ledger, nine: dict[str, int]) -> None:
    taken(ledger, T0 + 99, "claim-of-somebody")
    assert "claim-of-somebody" not in repr([ledger.stories.some(), ledger.stories.spend()])


@sqlite_alone
def test_one_files_story_is_told_by_the_index(ledger: Ledger, nine: dict[str, int]) -> None:
    stories = ledger.stories
    assert scans(ledger, lambda _: stories.of_path("/drop/complete.png")) == []
    asked: tuple[Callable[[int], object], ...] = (
        stories.one, stories.inputs, stories.needs, stories.request, stories.results, stories.history
    )  # fmt: skip
    for ask in asked:
        assert scans(ledger, lambda _: ask(nine["complete"])) == []  # noqa: B023  called at once
    assert scans(ledger, lambda _: stories.spend("2025-06-15")) == []


@sqlite_alone
def test_a_walk_is_told_in_a_sub_select_as_well(ledger: Ledger) -> None:
    asked = "SELECT count(*) FROM (SELECT size FROM files WHERE size > 1 LIMIT 9) AS some"
    assert scans(ledger, lambda ledger: ledger._store.rows(asked)) == ["SCAN files"]
