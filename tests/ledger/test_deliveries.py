"""What a folder wants done is queued with what it is about, tried by one at a time until it succeeds, and noted."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from layerwatch.ledger import Deliveries, Delivery, HistoryLine, Job, Ledger, LostClaim, iso
from layerwatch.states import Event, Generation

from .builders import (
    T0,
    WORKSPACE,
    all_there_is,
    claimed,
    queue,
    raw,
    record,
    replayed,
    running,
    scans,
    sqlite_alone,
    version,
    watched,
)


def stored(ledger: Ledger, job: Job, now: float = T0) -> None:
    """An upload of a folder that wants to be told."""
    ledger.files.uploaded(job, Event.STORED, now, file_id="f", workspace_id=WORKSPACE, verified="md5", deliver=True)


def uploads(ledger: Ledger, number: int = 1, now: float = T0) -> list[int]:
    ids = []
    for n in range(number):
        ids += [each.id for each in record(ledger, version(f"/drop/{n}.png", b"%d" % n), now=now)]
        stored(ledger, claimed(ledger, now), now)
    return ids


def taken(ledger: Ledger, now: float = T0, claim: str = "courier") -> Delivery:
    job = ledger.deliveries.claim(claim, now)
    assert job is not None
    return job


# --- the queue --------------------------------------------------------------------------------------------------------


def test_an_upload_and_what_is_to_be_done_then_are_one_commit(path: str) -> None:
    with Ledger(path) as before:
        (id_,) = uploads(watched(before))
    with Ledger(path) as after:  # whatever happened in between
        assert (after.deliveries.unfinished(T0), after.deliveries.next_due()) == (True, T0)
        assert taken(after) == Delivery(1, "courier", "drop", "uploaded", id_, 0)
        assert after.deliveries.claim("other", T0 + 99) is None
        assert (after.deliveries.unfinished(T0), after.deliveries.next_due()) == (True, None)


def test_an_upload_that_could_not_be_recorded_is_told_to_nobody(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    ledger.files.recover(T0)
    with pytest.raises(LostClaim):
        stored(ledger, job)
    assert not ledger.deliveries.unfinished(T0)


def test_the_one_that_has_been_due_longest_is_first(ledger: Ledger) -> None:
    uploads(ledger, 3)
    ledger.deliveries.again(taken(ledger), T0 + 9, "no route", T0)
    assert [taken(ledger, T0 + 9, str(n)).item_id for n in range(3)] == [2, 3, 1]


def test_one_that_does_not_succeed_is_tried_again_in_time(ledger: Ledger, path: str) -> None:
    uploads(ledger)
    ledger.deliveries.again(taken(ledger), T0 + 5, "no route", T0 + 1)
    assert ledger.deliveries.claim("early", T0 + 4.9) is None
    assert [ledger.deliveries.unfinished(T0 + s) for s in (4.9, 5)] == [False, True], "a run that ends does not wait"
    assert taken(ledger, T0 + 5).attempts == 1
    ledger.deliveries.again(taken_again(ledger), T0 + 6, "stopped", T0 + 5, counts=False)
    assert taken(ledger, T0 + 6).attempts == 1
    assert raw(path, "SELECT detail, updated_at FROM deliveries") == [("stopped", iso(T0 + 5))]
    assert [line.event for line in ledger.reports.history(1)] == ["seen", "claimed", "stored"], "not done yet"


def taken_again(ledger: Ledger) -> Delivery:
    ledger.deliveries.recover()
    return taken(ledger, T0 + 5)


@pytest.mark.parametrize(("done", "status", "code"), [(True, "done", None), (False, "failed", "action_failed")])
def test_what_came_of_it_is_in_the_files_history(
    ledger: Ledger, path: str, done: bool, status: str, code: str | None
) -> None:
    (id_,) = uploads(ledger)
    ledger.deliveries.ended(taken(ledger), T0 + 2, done=done, detail="exit status 0 \udcff")
    assert ledger.reports.history(id_)[-1] == HistoryLine(
        iso(T0 + 2), "delivered", "uploaded", code, "exit status 0 \ufffd"
    )
    assert raw(path, "SELECT status, attempts, next_attempt_at, claim FROM deliveries") == [(status, 1, None, None)]
    assert not ledger.deliveries.unfinished(T0)
    assert ledger.deliveries.claim("courier", T0 + 99) is None


def test_what_came_of_it_is_in_the_generations_history_and_changes_no_status(ledger: Ledger) -> None:
    (id_,) = queue(ledger)
    ledger.following.completed(running(ledger), [], None, None, T0 + 4, deliver=True)
    job = taken(ledger, T0 + 4)
    assert (job.event, job.item_id) == ("complete", id_)
    ledger.deliveries.ended(job, T0 + 5, done=True, detail="the webhook answered 204")
    assert ledger.stories.history(id_)[-1] == HistoryLine(
        iso(T0 + 5), "delivered", "complete", None, "the webhook answered 204"
    )
    assert replayed(ledger, id_) is Generation.COMPLETE


# --- claims -----------------------------------------------------------------------------------------------------------

MOVES: dict[str, Callable[[Ledger, Delivery], object]] = {
    "done": lambda ledger, job: ledger.deliveries.ended(job, T0, done=True, detail="x"),
    "failed": lambda ledger, job: ledger.deliveries.ended(job, T0, done=False, detail="x"),
    "again": lambda ledger, job: ledger.deliveries.again(job, T0, "x", T0),
}


@pytest.mark.parametrize("since", ["taken over", "waiting for its turn", "done"])
@pytest.mark.parametrize("name", MOVES)
def test_who_no_longer_holds_it_changes_nothing(ledger: Ledger, path: str, name: str, since: str) -> None:
    uploads(ledger)
    old = taken(ledger, claim="old")
    ledger.deliveries.recover()
    if since != "waiting for its turn":
        new = taken(ledger, claim="new")
        if since == "done":
            MOVES["done"](ledger, new)
    before = all_there_is(path)
    with pytest.raises(LostClaim):
        MOVES[name](ledger, old)
    assert all_there_is(path) == before


def test_what_a_crash_interrupted_is_done_again(path: str) -> None:
    with Ledger(path) as before:
        uploads(watched(before), 2)
        taken(before)
    with Ledger(path) as after:
        after.deliveries.recover()
        assert {taken(after, T0, str(n)).item_id for n in range(2)} == {1, 2}


def test_threads_that_claim_at_once_get_each_once(ledger: Ledger, path: str) -> None:
    ids = uploads(ledger, 40)
    got: list[int] = []
    barrier = threading.Barrier(4)

    def work(name: str) -> None:
        with Ledger(path) as own:
            barrier.wait()
            while job := own.deliveries.claim(name, T0):
                got.append(job.item_id)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(got) == Counter(ids)


def test_a_clock_that_was_set_back_keeps_nothing_waiting(ledger: Ledger) -> None:
    uploads(ledger)
    ledger.deliveries.again(taken(ledger), T0 + 1e7, "no route", T0)
    ledger.files.hurry(T0 + 5)
    assert ledger.deliveries.next_due() == T0 + 5


# --- large ledgers ----------------------------------------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Deliveries], object]] = {
    "claim": lambda deliveries: deliveries.claim("courier", T0),
    "next_due": lambda deliveries: deliveries.next_due(),
    "unfinished": lambda deliveries: deliveries.unfinished(T0),
    "recover": lambda deliveries: deliveries.recover(),
    "ended": lambda deliveries: ended(deliveries),
}


def ended(deliveries: Deliveries) -> None:
    job = deliveries.claim("courier", T0)
    assert job is not None
    deliveries.ended(job, T0, done=True, detail="")


@sqlite_alone
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_through_a_large_ledger(ledger: Ledger, name: str) -> None:
    uploads(ledger, 2)
    assert scans(ledger, lambda ledger: QUESTIONS[name](ledger.deliveries)) == []
