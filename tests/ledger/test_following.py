"""What runs is polled, its results are known before they can be seen, and its end is written down once."""

from collections.abc import Callable
from typing import Any

import pytest

from layerwatch.ledger import Following, Ledger, LostClaim, Result, iso
from layerwatch.states import Generation, Turn

from .builders import (
    RULE,
    T0,
    accept,
    all_there_is,
    book,
    events_of,
    followed,
    queue,
    raw,
    replayed,
    running,
    scans,
    sqlite_alone,
    taken,
    watched,
)

ODD = "/drop/out/\udcff.png"


def start(ledger: Ledger, *names: str, price: float | None = None) -> list[int]:
    """Layer has started a generation for each of these; their ids."""
    ids = queue(ledger, *names)
    for number in range(len(ids)):
        job = taken(ledger, claim=str(number))
        book(ledger, job, price)
        accept(ledger, job)
    return ids


def again(ledger: Ledger, job: Following, due: float = T0 + 9, **more: Any) -> None:
    ledger.following.again(job, due, **more)


def complete(ledger: Ledger, job: Following, *, price: float | None = None, deliver: bool = False) -> None:
    ledger.following.completed(job, [], price, None, T0 + 9, deliver=deliver)


def end(ledger: Ledger, job: Following, **more: Any) -> None:
    facts: dict[str, Any] = {"code": "CONTENT_POLICY_VIOLATION", "message": "no", "remote_state": "failed"}
    ledger.following.ended(job, Turn.FAILED, T0 + 9, **facts | more)


# --- polling ----------------------------------------------------------------------------------------------------------


def test_a_claim_has_all_that_a_poll_needs(ledger: Ledger) -> None:
    (id_,) = start(ledger, "a")
    assert ledger.following.next_due() == T0 + 3
    assert ledger.following.claim("early", T0 + 2.9) is None
    job = followed(ledger, T0 + 3, "me")
    assert job == Following(
        id_, "me", "drop", RULE, "inference", "model", "/drop/a.png", f"remote-{id_}", None, 0, T0 + 3600, ()
    )
    assert ledger.following.claim("other", T0 + 99) is None
    assert ledger.following.next_due() is None


def test_what_has_been_due_longest_is_first(ledger: Ledger) -> None:
    a, b, c = start(ledger, "a", "b", "c")
    again(ledger, followed(ledger, T0 + 3), T0 + 20)
    again(ledger, followed(ledger, T0 + 3), T0 + 10)
    assert [followed(ledger, T0 + 99, str(n)).id for n in range(3)] == [c, b, a]


def test_it_is_looked_at_again_with_what_went_wrong(ledger: Ledger, path: str) -> None:
    start(ledger, "a")
    again(ledger, followed(ledger, T0 + 3), T0 + 9, attempts=2, code="network", message="reset \ud83d")
    assert raw(path, "SELECT status, error_code, error FROM generations") == [("running", "network", "reset \ufffd")]
    job = followed(ledger, T0 + 9)
    assert (job.attempts, job.remote_state) == (2, None)
    again(ledger, job, T0 + 10, remote_state="complete")
    job = followed(ledger, T0 + 10)
    assert (job.attempts, job.remote_state) == (0, "complete")
    again(ledger, job, T0 + 11)
    assert followed(ledger, T0 + 11).remote_state == "complete", "what Layer has said once stays said"
    assert events_of(ledger, 1) == ["ready", "submitted", "accepted"], "a look is no news"


def test_what_layer_has_done_is_not_unsaid_by_a_look_that_began_before(ledger: Ledger) -> None:
    start(ledger, "a")
    job = followed(ledger, T0 + 3)
    ledger.following.fetching(job)
    again(ledger, job, T0 + 9)
    assert followed(ledger, T0 + 9).remote_state == "complete"


# --- results ----------------------------------------------------------------------------------------------------------


def test_a_result_is_known_before_it_is_there(path: str) -> None:
    with Ledger(path) as before:
        start(watched(before), "a")
        job = followed(before, T0 + 3)
        before.following.intend(job, 1, "/drop/out/1.png", "aa", 5)
        before.following.saved(job, 1)
        before.following.intend(job, 2, ODD, "bb", 6)
    with Ledger(path) as after:
        origin = after.planning.origin("bb")
        assert origin is not None
        assert origin.id == job.id
        assert after.firing.recover(T0 + 9) == []
        job = followed(after, T0 + 9)
        assert job.results == (Result(1, "/drop/out/1.png", "aa", 5, saved=True), Result(2, ODD, "bb", 6, saved=False))
        assert job.remote_state == "complete"
        assert after.stories.saved_results() == [(job.id, "/drop/out/1.png", "aa", 5)]
        assert [each["saved"] for each in after.stories.results(job.id)] == [True, False]


def test_a_result_that_could_not_have_its_name_has_another(ledger: Ledger) -> None:
    start(ledger, "a")
    job = followed(ledger, T0 + 3)
    for name in ("1.png", "1 (2).png"):
        ledger.following.intend(job, 1, f"/drop/out/{name}", "aa", 5)
    ledger.following.saved(job, 1)
    assert ledger.stories.saved_results() == [(job.id, "/drop/out/1 (2).png", "aa", 5)]


def test_a_result_is_progress(ledger: Ledger) -> None:
    start(ledger, "a")
    again(ledger, followed(ledger, T0 + 3), T0 + 4, attempts=7)
    job = followed(ledger, T0 + 4)
    ledger.following.intend(job, 1, "/drop/out/1.png", "aa", 5)
    ledger.firing.recover(T0 + 5)
    assert followed(ledger, T0 + 5).attempts == 0


# --- its end ----------------------------------------------------------------------------------------------------------


def test_a_complete_one_has_its_results_its_price_and_its_time(ledger: Ledger) -> None:
    (id_,) = start(ledger, "a", price=4.0)
    outputs: list[dict[str, Any]] = [{"path": ODD, "size": 5}, {"path": "/drop/out/ö.png"}]
    ledger.following.completed(followed(ledger, T0 + 3), outputs, 3.5, "2025-06-15T15:07:00Z", T0 + 9, deliver=False)
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.status, row.price, row.booked, row.estimated_price) == ("complete", 3.5, 3.5, 4.0)
    assert (list(row.outputs), row.completed_at) == (outputs, "2025-06-15T15:07:00Z")
    assert (row.remote_state, row.error_code, row.next_attempt_at) == ("complete", None, None)
    assert ledger.stories.history(id_)[-1].detail == "2 results"
    assert ledger.following.claim("me", T0 + 999) is None
    assert "ö.png" in raw(ledger.path, "SELECT outputs FROM generations")[0][0]


def test_where_layer_says_no_price_what_was_booked_stays_booked(ledger: Ledger) -> None:
    start(ledger, "a", price=4.0)
    complete(ledger, followed(ledger, T0 + 3))
    assert raw(ledger.path, "SELECT price, booked, completed_at FROM generations") == [(None, 4.0, iso(T0 + 9))]


@pytest.mark.parametrize(
    ("remote_state", "completed_at"), [("failed", iso(T0 + 9)), ("cancelled", iso(T0 + 9)), (None, None)]
)
@pytest.mark.parametrize(("price", "booked"), [(None, 4.0), (0.0, 0.0), (2.0, 2.0)])
def test_one_that_was_ended_has_the_apis_own_code_and_is_booked_at_what_it_cost(
    ledger: Ledger, remote_state: str | None, completed_at: str | None, price: float | None, booked: float
) -> None:
    (id_,) = start(ledger, "a", price=4.0)
    end(ledger, followed(ledger, T0 + 3), remote_state=remote_state, price=price)
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.status, row.error_code, row.error) == ("failed", "CONTENT_POLICY_VIOLATION", "no")
    assert (row.remote_state, row.completed_at, row.price, row.booked) == (remote_state, completed_at, price, booked)
    assert replayed(ledger, id_) is Generation.FAILED


def test_what_is_to_be_done_then_is_queued_with_it(ledger: Ledger) -> None:
    a, _, _ = start(ledger, "a", "b", "c")
    complete(ledger, followed(ledger, T0 + 3), deliver=True)
    complete(ledger, followed(ledger, T0 + 3))
    end(ledger, followed(ledger, T0 + 3))
    delivery = ledger.deliveries.claim("courier", T0 + 9)
    assert delivery is not None
    assert (delivery.folder, delivery.event, delivery.item_id) == ("drop", "complete", a)
    assert ledger.deliveries.claim("courier", T0 + 99) is None


# --- lost claims ------------------------------------------------------------------------------------------------------

MOVES: dict[str, Callable[[Ledger, Following], object]] = {
    "again": again,
    "fetching": lambda ledger, job: ledger.following.fetching(job),
    "intend": lambda ledger, job: ledger.following.intend(job, 1, "/drop/out/1.png", "aa", 5),
    "saved": lambda ledger, job: ledger.following.saved(job, 1),
    "completed": lambda ledger, job: complete(ledger, job, price=1.0, deliver=True),
    "ended": end,
}


@pytest.mark.parametrize("since", ["taken over", "waiting for its turn", "complete", "failed"])
@pytest.mark.parametrize("name", MOVES)
def test_who_no_longer_holds_it_changes_nothing(ledger: Ledger, path: str, name: str, since: str) -> None:
    start(ledger, "a")
    old = followed(ledger, T0 + 3, "old")
    ledger.following.intend(old, 1, "/drop/out/0.png", "00", 1)
    ledger.firing.recover(T0 + 4)
    if since != "waiting for its turn":
        new = followed(ledger, T0 + 4, "new")
        if since == "complete":
            complete(ledger, new)
        if since == "failed":
            end(ledger, new)
    before = all_there_is(path)
    with pytest.raises(LostClaim):
        MOVES[name](ledger, old)
    assert all_there_is(path) == before


# --- large ledgers ----------------------------------------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "claim": lambda ledger: followed(ledger, T0 + 3),
    "next_due": lambda ledger: ledger.following.next_due(),
}


def moved(name: str) -> Callable[[Ledger], object]:
    return lambda ledger: MOVES[name](ledger, followed(ledger, T0 + 3))


QUESTIONS |= {name: moved(name) for name in MOVES}


@sqlite_alone
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_through_a_large_ledger(ledger: Ledger, name: str) -> None:
    start(ledger, "a", "b")
    complete(ledger, followed(ledger, T0 + 3))
    assert scans(ledger, QUESTIONS[name]) == []


def test_one_that_was_fired_anew_shows_nothing_of_the_time_before(ledger: Ledger) -> None:
    (id_,) = start(ledger, "a", price=4.0)
    end(ledger, followed(ledger, T0 + 3), price=2.0)
    ledger.firing.retry([id_], T0 + 10, T0)
    job = running(ledger, T0 + 10)
    assert (job.remote_state, job.attempts) == (None, 0)
    complete(ledger, job)
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.price, row.booked, row.error_code) == (None, 0.0, None), "2 is what the first one cost"
