"""What costs money is booked before it is paid, once, within the budget; every answer has its own way out."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from layerwatch.ledger import INSUFFICIENT, Firing, Held, Ledger, Limits, LostClaim, day_after, iso
from layerwatch.ledger.budget import BURST, OVER_DAILY
from layerwatch.states import Generation, IllegalMove, Turn

from .builders import (
    HELD,
    RULE,
    T0,
    accept,
    all_there_is,
    arrive,
    book,
    events_of,
    failed,
    fire,
    followed,
    planned_for,
    queue,
    raw,
    replayed,
    running,
    scans,
    shown,
    sqlite_alone,
    status_of,
    taken,
    unknown,
    watched,
)

DAY = 86400.0


def columns(ledger: Ledger, id_: int, names: str) -> tuple[Any, ...]:
    (row,) = raw(ledger.path, f"SELECT {names} FROM generations WHERE id = ?", id_)
    return row


# --- claims -----------------------------------------------------------------------------------------------------------


def test_the_generation_that_has_been_due_longest_is_first(ledger: Ledger) -> None:
    for name, now in (("a", T0 + 2), ("b", T0), ("c", T0 + 1)):
        queue(ledger, name, now=now)
    assert [taken(ledger, T0 + 9, str(n)).id for n in range(3)] == [2, 3, 1]
    assert ledger.firing.claim("one more", T0 + 9) is None


def test_nothing_is_claimed_before_it_is_due(ledger: Ledger) -> None:
    assert (ledger.firing.next_due(), ledger.firing.unfinished()) == (None, False)
    queue(ledger)
    assert (ledger.firing.next_due(), ledger.firing.unfinished()) == (T0, True)
    assert ledger.firing.claim("early", T0 - 0.001) is None
    ledger.firing.put_off(taken(ledger), T0 + 5, attempts=3, code="network", message="reset")
    assert ledger.firing.next_due() == T0 + 5
    assert ledger.firing.claim("early", T0 + 4.9) is None
    assert taken(ledger, T0 + 5).attempts == 3
    assert (ledger.firing.next_due(), ledger.firing.unfinished()) == (None, True)


def test_a_claimed_one_is_nobody_elses_and_still_queued(ledger: Ledger) -> None:
    queue(ledger)
    job = taken(ledger)
    assert (status_of(ledger, job.id), ledger.firing.claim("other", T0)) == ("queued", None)
    assert events_of(ledger, job.id) == ["ready"], "nothing is paid for yet"


def test_threads_that_claim_at_once_get_each_once(ledger: Ledger, path: str) -> None:
    ids = queue(ledger, *map(str, range(40)))
    got: list[int] = []
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        with Ledger(path) as own:
            barrier.wait()
            while job := own.firing.claim(name, T0):
                got.append(job.id)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(got) == Counter(ids)


# --- booked before it is paid -----------------------------------------------------------------------------------------


def test_it_is_on_disk_before_the_paid_request_leaves(ledger: Ledger, path: str) -> None:
    queue(ledger)
    job = taken(ledger)
    assert ledger.firing.book(job, {"prompt": "ölfarbe \ud83d", "n": 1}, 4.5, [], T0 + 1) is None
    names = "status, claim, target, request, estimated_price, booked, booked_at, remote_id, next_attempt_at"
    request = '{"prompt": "ölfarbe \\ud83d", "n": 1}'
    assert raw(path, f"SELECT {names} FROM generations") == [
        ("submitting", "runner", "model", request, 4.5, 4.5, iso(T0 + 1), None, None)
    ]
    assert ledger.stories.request(job.id) == {"prompt": "ölfarbe \ud83d", "n": 1}
    assert events_of(ledger, job.id) == ["ready", "submitted"]
    assert ledger.firing.claim("other", T0 + 99) is None


def test_it_is_submitted_once(ledger: Ledger, path: str) -> None:
    queue(ledger)
    job = taken(ledger)
    book(ledger, job)
    before = all_there_is(path)
    with pytest.raises(LostClaim):
        book(ledger, job)
    assert all_there_is(path) == before


def test_an_accepted_one_is_followed(ledger: Ledger) -> None:
    queue(ledger)
    job = taken(ledger)
    book(ledger, job, 4.0)
    ledger.firing.accepted(job, "r1", T0 + 1, price=None, poll_at=T0 + 4, deadline=T0 + 3601)
    row = ledger.stories.one(job.id)
    assert row is not None
    assert (row.status, row.remote_id, row.estimated_price, row.booked, row.price) == ("running", "r1", 4.0, 4.0, None)
    assert (row.next_attempt_at, row.deadline_at) == (iso(T0 + 4), iso(T0 + 3601))
    assert ledger.stories.history(job.id)[-1].detail == "inference r1"


def test_what_layer_says_that_it_costs_is_what_is_booked(ledger: Ledger) -> None:
    queue(ledger)
    job = taken(ledger)
    book(ledger, job)
    assert columns(ledger, job.id, "booked, estimated_price") == (0.0, None)
    accept(ledger, job, price=7.0)
    assert columns(ledger, job.id, "booked, estimated_price") == (7.0, 7.0)


def test_what_was_not_started_goes_back_and_its_booking_is_free(ledger: Ledger) -> None:
    queue(ledger)
    job = taken(ledger)
    book(ledger, job, 4.0)
    ledger.firing.not_started(job, T0 + 30, T0, code="rate_limited", message="429")
    row = ledger.stories.one(job.id)
    assert row is not None
    assert (row.status, row.error_code, row.error, row.booked) == ("queued", "rate_limited", "429", None)
    assert ledger.firing.claim("early", T0 + 29) is None
    assert book(ledger, taken(ledger, T0 + 30), 4.0) is None
    assert events_of(ledger, job.id) == ["ready", "submitted", "not_started", "submitted"]


@pytest.mark.parametrize("status", [Generation.QUEUED, Generation.SUBMITTING])
def test_what_is_refused_has_failed_and_cost_nothing(ledger: Ledger, status: Generation) -> None:
    queue(ledger)
    job = taken(ledger)
    if status is Generation.SUBMITTING:
        book(ledger, job, 4.0)
    ledger.firing.refused(job, status, T0, code="invalid", message="no such model", detail="Traceback")
    row = ledger.stories.one(job.id)
    assert row is not None
    assert (row.status, row.error_code, row.error, row.booked) == ("failed", "invalid", "no such model", None)
    assert ledger.stories.history(job.id)[-1].detail == "Traceback"
    assert ledger.stories.spend() == []


def test_what_is_lost_is_unknown_and_stays_booked(ledger: Ledger) -> None:
    queue(ledger)
    id_ = unknown(ledger, 4.0)
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.status, row.error_code, row.booked, row.next_attempt_at) == ("unknown", "network", 4.0, None)
    assert ledger.firing.claim("runner", T0 + 10 * DAY) is None
    assert ledger.firing.unfinished() is False


# --- lost claims ------------------------------------------------------------------------------------------------------

ANSWERS: dict[str, Callable[[Ledger, Firing], object]] = {
    "book": book,
    "accepted": accept,
    "held": lambda ledger, job: ledger.firing.hold(job, Generation.QUEUED, HELD, 1.0, T0),
    "held when it was sent": lambda ledger, job: ledger.firing.hold(job, Generation.SUBMITTING, HELD, None, T0),
    "put off": lambda ledger, job: ledger.firing.put_off(job, T0, attempts=1, code="x", message="x"),
    "not started": lambda ledger, job: ledger.firing.not_started(job, T0, T0, code="x", message="x"),
    "refused": lambda ledger, job: ledger.firing.refused(job, Generation.QUEUED, T0, code="x", message="x"),
    "refused when sent": lambda ledger, job: ledger.firing.refused(
        job, Generation.SUBMITTING, T0, code="x", message="x"
    ),
    "lost": lambda ledger, job: ledger.firing.lost(job, T0, "x", "x"),
}


@pytest.mark.parametrize("since", ["claimed by another", "submitted by another", "recovered", "running", "superseded"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_who_no_longer_holds_it_changes_nothing(ledger: Ledger, path: str, answer: str, since: str) -> None:
    queue(ledger)
    old = taken(ledger, claim="old")
    if since == "superseded":
        newer = shown(ledger, arrive(ledger, old.path, b"newer"))
        ledger.planning.plan(newer, [planned_for(newer)], T0)
    else:
        ledger.firing.recover(T0)
    if since in ("claimed by another", "submitted by another", "running"):
        new = taken(ledger, claim="new")
        if since != "claimed by another":
            book(ledger, new)
        if since == "running":
            accept(ledger, new)
    before = all_there_is(path)
    with pytest.raises(LostClaim):
        ANSWERS[answer](ledger, old)
    assert all_there_is(path) == before


def test_a_turn_that_is_none_changes_nothing(ledger: Ledger, path: str) -> None:
    queue(ledger)
    job = running(ledger)
    before = all_there_is(path)
    with pytest.raises(IllegalMove):
        ledger.following.ended(job, Turn.ACCEPTED, T0, code="x", message="x", remote_state=None)
    assert all_there_is(path) == before


# --- a crash ----------------------------------------------------------------------------------------------------------


def test_after_a_crash_what_may_have_been_paid_for_is_unknown_and_all_else_goes_on(path: str) -> None:
    with Ledger(path) as before:
        ids = queue(watched(before), "claimed", "submitting", "running", "queued")
        claimed = taken(before, claim="1")
        book(before, taken(before, claim="2"), 3.0)
        job = taken(before, claim="3")
        book(before, job)
        accept(before, job)
        followed(before, T0 + 3)
    with Ledger(path) as after:
        assert after.firing.recover(T0 + 5) == [ids[1]]
        assert after.firing.recover(T0 + 5) == []
        assert [status_of(after, id_) for id_ in ids] == ["queued", "unknown", "running", "queued"]
        assert {taken(after, T0 + 5, str(n)).id for n in range(2)} == {claimed.id, ids[3]}
        assert followed(after, T0 + 5).id == ids[2]
        row = after.stories.one(ids[1])
        assert row is not None
        assert (row.error_code, row.booked) == ("interrupted", 3.0)
        assert [replayed(after, id_) for id_ in ids] == ["queued", "unknown", "running", "queued"]


# --- held back, and let go --------------------------------------------------------------------------------------------


def test_an_empty_account_holds_back_too_and_is_asked_again_in_time(ledger: Ledger) -> None:
    queue(ledger)
    assert not ledger.firing.blocked_for(INSUFFICIENT, T0)
    job = taken(ledger)
    book(ledger, job, 4.0)
    ledger.firing.hold(job, Generation.SUBMITTING, HELD, None, T0)
    row = ledger.stories.one(1)
    assert row is not None
    assert (row.status, row.error_code, row.booked, row.next_attempt_at) == (
        "blocked",
        INSUFFICIENT,
        None,
        iso(T0 + 900),
    )
    assert ledger.firing.blocked_for(INSUFFICIENT, T0)
    assert not ledger.firing.blocked_for(INSUFFICIENT, T0 + 1)
    assert not ledger.firing.blocked_for(BURST, T0)
    assert ledger.firing.release(T0 + 900) == 1
    assert replayed(ledger, 1) is Generation.QUEUED


def test_only_what_is_blocked_is_approved_and_passes_the_budget_then(ledger: Ledger) -> None:
    a, b = queue(ledger, "a", "b")
    fire(ledger, 99.0, T0, Limits(per_generation=1))
    assert ledger.firing.approve([b, a, a, 999], T0 + 1) == [a]
    job = taken(ledger, T0 + 1, "1")
    assert job.id == b
    job = taken(ledger, T0 + 1, "2")
    assert (job.id, job.approved) == (a, True)
    assert book(ledger, job, 99.0, T0 + 1, Limits(per_generation=1, daily=1, burst=0)) is None
    assert events_of(ledger, a) == ["ready", "held", "approved", "submitted"]


# --- people decide ----------------------------------------------------------------------------------------------------


def test_who_found_that_it_was_not_started_has_it_fired(ledger: Ledger) -> None:
    queue(ledger)
    id_ = unknown(ledger, 4.0)
    assert ledger.firing.refire(id_, T0 + 9, "not in Layer")
    assert not ledger.firing.refire(id_, T0 + 9, "twice")
    assert columns(ledger, id_, "booked, booked_at, error_code, error") == (None, None, None, None)
    assert ledger.stories.history(id_)[-1].detail == "not in Layer"
    assert fire(ledger, 4.0, T0 + 9) is None
    assert events_of(ledger, id_) == ["ready", "submitted", "lost", "refired", "submitted", "accepted"]


def test_who_found_it_has_it_followed(ledger: Ledger) -> None:
    queue(ledger)
    id_ = unknown(ledger, 4.0)
    assert ledger.firing.adopt(id_, "r9", T0 + 9, "found it", T0 + 999)
    assert not ledger.firing.adopt(id_, "r10", T0 + 9, "", T0)
    job = followed(ledger, T0 + 9)
    assert (job.id, job.remote_id, job.deadline, job.attempts) == (id_, "r9", T0 + 999, 0)
    assert columns(ledger, id_, "booked, booked_at") == (4.0, iso(T0))
    assert ledger.stories.history(id_)[-1].detail == "found it: r9"


def test_who_does_not_want_it_any_more_drops_it_and_it_stays_in_the_books(ledger: Ledger) -> None:
    queue(ledger)
    id_ = unknown(ledger, 4.0)
    assert ledger.firing.drop(id_, T0 + 9, "")
    assert not ledger.firing.drop(id_, T0 + 9, "")
    assert (status_of(ledger, id_), ledger.stories.spend()[0].booked) == ("cancelled", 4.0)


DECISIONS: dict[str, Callable[[Ledger, int], bool]] = {
    "refire": lambda ledger, id_: ledger.firing.refire(id_, T0, ""),
    "adopt": lambda ledger, id_: ledger.firing.adopt(id_, "r", T0, "", T0),
    "drop": lambda ledger, id_: ledger.firing.drop(id_, T0, ""),
}


@pytest.mark.parametrize("decide", DECISIONS)
def test_only_what_is_unknown_is_for_people_to_settle(ledger: Ledger, path: str, decide: str) -> None:
    queue(ledger, "a", "b")
    running(ledger)
    before = all_there_is(path)
    assert [DECISIONS[decide](ledger, id_) for id_ in (1, 2, 999)] == [False] * 3
    assert all_there_is(path) == before


def test_what_layer_ended_is_fired_anew_and_both_are_in_the_books(ledger: Ledger) -> None:
    queue(ledger)
    id_ = failed(ledger, 6.0, charged=5.0)
    assert ledger.firing.retry([id_, id_, 999], T0 + 9, T0 + 99) == [(id_, Turn.RETRIED)]
    assert columns(ledger, id_, "booked, price, approved, error_code, attempts") == (None, None, 0, None, 0)
    held = fire(ledger, 6.0, T0 + 9, Limits(daily=10))
    assert held is not None, "what the first one cost is not forgotten"
    assert ledger.firing.approve([id_], T0 + 9)
    assert fire(ledger, 6.0, T0 + 9) is None
    ledger.following.completed(followed(ledger, T0 + 12), [], None, None, T0 + 12, deliver=False)
    (spent,) = ledger.stories.spend()
    assert (spent.generations, spent.booked, spent.charged) == (2, 11.0, 5.0)
    assert replayed(ledger, id_) is Generation.COMPLETE


def test_a_retry_on_another_day_leaves_the_first_one_on_its_own(ledger: Ledger) -> None:
    queue(ledger)
    id_ = failed(ledger, 6.0)
    ledger.firing.retry([id_], T0 + DAY, T0 + 2 * DAY)
    assert fire(ledger, 6.0, T0 + DAY, Limits(daily=10)) is None
    assert [(row.day, row.booked) for row in ledger.stories.spend()] == [("2025-06-16", 6.0), ("2025-06-15", 6.0)]
    assert [row.day for row in ledger.stories.spend("2025-06-16")] == ["2025-06-16"]


def test_what_was_dropped_and_is_retried_is_booked_for_both(ledger: Ledger) -> None:
    queue(ledger)
    id_ = unknown(ledger, 6.0)
    ledger.firing.drop(id_, T0, "")
    assert ledger.firing.retry([id_], T0, T0) == [(id_, Turn.RETRIED)]
    assert fire(ledger, 6.0, T0, Limits(daily=10)) is not None


@pytest.mark.parametrize("remote_state", [None, "complete"])
def test_what_layer_has_not_ended_is_only_looked_for_again(ledger: Ledger, remote_state: str | None) -> None:
    queue(ledger)
    id_ = failed(ledger, 6.0, remote_state=remote_state)
    assert ledger.firing.retry([id_], T0 + 9, T0 + 99) == [(id_, Turn.RESUMED)]
    job = followed(ledger, T0 + 9)
    assert (job.remote_id, job.remote_state, job.deadline, job.attempts) == ("remote-1", remote_state, T0 + 99, 0)
    (spent,) = ledger.stories.spend()
    assert (spent.generations, spent.booked) == (1, 6.0)
    assert ledger.firing.claim("runner", T0 + 99) is None


def test_what_was_refused_and_what_was_cancelled_is_fired(ledger: Ledger) -> None:
    a, b = queue(ledger, "a", "b")
    ledger.firing.refused(taken(ledger), Generation.QUEUED, T0, code="rule", message="no")
    ledger.following.ended(
        running(ledger), Turn.CANCELLED, T0, code="cancelled", message="no", remote_state="cancelled"
    )
    assert ledger.firing.retry([a, b], T0, T0) == [(a, Turn.RETRIED), (b, Turn.RETRIED)]
    assert {taken(ledger, T0, str(n)).id for n in range(2)} == {a, b}


def given_up(ledger: Ledger) -> int:
    seen = shown(ledger, arrive(ledger))
    (waits,) = ledger.planning.plan(seen, [planned_for(seen, missing="depth", wait_s=1.0)], T0)
    ledger.planning.give_up(waits.id, T0 + 1)
    return waits.id


def test_what_never_had_all_its_inputs_waits_for_them_once_more(ledger: Ledger) -> None:
    id_ = given_up(ledger)
    assert ledger.firing.retry([id_], T0 + 2, T0 + 60) == [(id_, Turn.AWAITS)]
    assert columns(ledger, id_, "status, deadline_at, error_code") == ("waiting", iso(T0 + 60), None)
    assert ledger.firing.claim("runner", T0 + 99) is None
    (seen,) = ledger.planning.pending(["drop"], 9)
    depth = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"depth", T0 + 3))
    ledger.planning.plan(seen, [planned_for(seen, companions={"depth": depth})], T0 + 3)
    assert set(taken(ledger, T0 + 3).file_ids) == {"input", "depth"}
    assert events_of(ledger, id_) == ["awaits", "failed", "awaits", "ready"]
    assert replayed(ledger, id_) is Generation.QUEUED


def test_what_was_given_up_and_has_been_replaced_since_stays_so(ledger: Ledger) -> None:
    id_ = given_up(ledger)
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 2))
    assert ledger.firing.retry([id_], T0 + 3, T0 + 60) == [], "there is a newer version"
    ledger.planning.plan(newer, [planned_for(newer, missing="depth")], T0 + 2)
    assert ledger.firing.retry([id_], T0 + 3, T0 + 60) == [], "and that waits"
    arrive_depth(ledger)
    assert status_of(ledger, id_) == "failed"


def arrive_depth(ledger: Ledger) -> None:
    depth = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"depth", T0 + 4))
    (trigger,) = ledger.planning.triggers_missing("drop", RULE, "a_depth.png")
    ledger.planning.plan(depth, [planned_for(trigger, companions={"depth": depth})], T0 + 4)


def test_what_waited_and_was_superseded_is_not_fired(ledger: Ledger) -> None:
    seen, depth = (shown(ledger, arrive(ledger, f"/drop/{name}.png", name.encode())) for name in ("a", "a_depth"))
    plan = planned_for(seen, companions={"depth": depth})
    ledger.planning.plan(seen, [plan], T0)
    running(ledger)
    ledger.planning.plan(seen, [planned_for(seen, missing="depth")], T0)
    ledger.planning.plan(seen, [plan], T0)
    assert status_of(ledger, 2) == "cancelled"
    assert ledger.firing.retry([2], T0, T0) == []


@pytest.mark.parametrize("became", ["queued", "running", "unknown", "complete"])
def test_nothing_else_is_retried(ledger: Ledger, path: str, became: str) -> None:
    queue(ledger)
    if became == "unknown":
        unknown(ledger)
    elif became != "queued":
        job = running(ledger)
        if became == "complete":
            ledger.following.completed(job, [], None, None, T0, deliver=False)
    before = all_there_is(path)
    assert ledger.firing.retry([1], T0, T0) == []
    assert all_there_is(path) == before


# --- odd answers, odd clocks ------------------------------------------------------------------------------------------


def test_what_layer_says_is_kept_however_it_is_cut(ledger: Ledger) -> None:
    """JSON may carry half of an emoji; SQLite takes no such text."""
    a, b = queue(ledger, "a", "b")
    half, kept = "no \ud83d", "no \ufffd"
    job = taken(ledger)
    book(ledger, job)
    ledger.firing.refused(job, Generation.SUBMITTING, T0, code=half, message=half)
    ledger.firing.put_off(taken(ledger), T0, attempts=1, code="x", message=half)
    job = taken(ledger)
    assert columns(ledger, b, "error") == (kept,)
    book(ledger, job)
    ledger.firing.lost(job, T0, half, "x")
    assert columns(ledger, a, "error, error_code") == (kept, kept)
    assert columns(ledger, b, "error") == (kept,)
    assert {ledger.stories.history(id_)[-1].detail for id_ in (a, b)} == {kept}


def test_a_clock_that_was_set_back_keeps_nothing_waiting(ledger: Ledger) -> None:
    queue(ledger, "queued", "running", "held", "daily", now=T0 + 300 * DAY)
    queue(ledger, "now")
    then = T0 + 300 * DAY
    ledger.firing.put_off(taken(ledger, then, "1"), then + 5, attempts=0, code="x", message="x")
    ledger.files.hurry(T0)
    assert ledger.firing.next_due() == T0
    while job := ledger.firing.claim("runner", T0):
        ledger.firing.hold(job, Generation.QUEUED, Held(OVER_DAILY, "x", then, first=False), None, T0)
    ledger.files.hurry(T0)
    assert ledger.firing.release(day_after(T0) - 1) == 0
    assert ledger.firing.release(day_after(T0)) == 5


# --- large ledgers ----------------------------------------------------------------------------------------------------

EVERY = (Limits(per_generation=9, daily=9, burst=9), Limits(per_generation=9, daily=9, burst=9, of=RULE))
QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "claim": taken,
    "next_due": lambda ledger: ledger.firing.next_due(),
    "unfinished": lambda ledger: ledger.firing.unfinished(),
    "blocked_for": lambda ledger: ledger.firing.blocked_for(BURST, T0),
    "book": lambda ledger: book(ledger, taken(ledger), 1.0, T0, *EVERY),
    "held": lambda ledger: book(ledger, taken(ledger), 8.0, T0, Limits(daily=1)),
    "not started": lambda ledger: fire_and(ledger, later),
    "release": lambda ledger: ledger.firing.release(T0 + DAY),
    "recover": lambda ledger: ledger.firing.recover(T0),
    "approve": lambda ledger: ledger.firing.approve([2], T0),
    "retry": lambda ledger: ledger.firing.retry([2], T0, T0),
}


def later(ledger: Ledger, job: Firing) -> None:
    ledger.firing.not_started(job, T0 + 99, T0, code="x", message="x")


def fire_and(ledger: Ledger, answer: Callable[[Ledger, Firing], object]) -> None:
    job = taken(ledger)
    book(ledger, job)
    answer(ledger, job)


@sqlite_alone
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_through_a_large_ledger(ledger: Ledger, name: str) -> None:
    queue(ledger, "a")
    failed(ledger, 1.0)
    queue(ledger, "b", "c")
    fire(ledger, 5.0, T0, Limits(per_generation=1))
    assert scans(ledger, QUESTIONS[name]) == []
