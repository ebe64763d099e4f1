"""What may be spent: no more than the limits allow, whoever asks, and however many at once."""

import subprocess
import sys
import threading
from collections import Counter

import pytest

from layerwatch.ledger import Held, Ledger, Limits, day_after, seconds
from layerwatch.ledger.budget import BURST, BURST_S, NO_PRICE, OVER_DAILY, OVER_GENERATION, day_of
from layerwatch.states import Generation

from .builders import (
    HELD,
    RULE,
    T0,
    accept,
    arrive,
    book,
    events_of,
    failed,
    fire,
    planned_for,
    queue,
    raw,
    running,
    shown,
    taken,
    unknown,
    watched,
)

DAY = 86400.0


def fire_next(ledger: Ledger, name: str, price: float | None, *limits: Limits, now: float = T0) -> Held | None:
    queue(ledger, name, now=now)
    return fire(ledger, price, now, *limits)


# --- the budget -------------------------------------------------------------------------------------------------------


def test_what_costs_too_much_is_held_back_with_the_reason(ledger: Ledger) -> None:
    queue(ledger)
    held = fire(ledger, 50.5, T0, Limits(per_generation=50))
    message = "it would cost 50.5 Creative Units; the budget allows 50 per generation"
    assert held == Held(OVER_GENERATION, message, None, first=True)
    row = ledger.stories.one(1)
    assert row is not None
    assert (row.status, row.error_code, row.error) == ("blocked", OVER_GENERATION, message)
    assert (row.estimated_price, row.booked, row.booked_at, row.next_attempt_at) == (50.5, None, None, None)
    assert ledger.stories.history(1)[-1].detail == message
    assert ledger.firing.release(T0 + 99 * DAY) == 0
    assert fire_next(ledger, "b", 50, Limits(per_generation=50)) is None


@pytest.mark.parametrize("limit", [Limits(per_generation=1), Limits(daily=1)])
def test_a_limit_needs_a_price(ledger: Ledger, limit: Limits) -> None:
    queue(ledger, "a", "b")
    held = fire(ledger, None, T0, limit)
    assert held is not None
    assert (held.code, held.until, held.first) == (NO_PRICE, None, True)
    again = fire(ledger, None, T0, limit)
    assert again is not None
    assert not again.first
    assert [Limits(burst=1).needs_price, limit.needs_price] == [False, True]


def test_fifty_files_at_ten_units_and_a_hundred_a_day(path: str) -> None:
    limit = Limits(daily=100, burst=20)
    with Ledger(path, durable=False) as ledger:
        queue(watched(ledger), *map(str, range(50)))
    fired = 0
    for day in range(5):
        now = T0 + day * DAY
        with Ledger(path, durable=False) as ledger:  # a restart each day
            assert ledger.firing.recover(now) == []
            assert ledger.firing.release(now) == (0 if day == 0 else 50 - fired)
            helds = [fire(ledger, 10.0, now, limit, claim=str(n)) for n in range(50 - fired)]
            assert helds.count(None) == 10
            fired += 10
            reasons = [held for held in helds if held]
            assert {held.code for held in reasons} <= {OVER_DAILY}
            assert [held.first for held in reasons] == [True, *[False] * 39][: len(reasons)]
            assert {held.until for held in reasons} <= {day_after(now)}
            assert ledger.stories.counts()["blocked"] == 50 - fired
    with Ledger(path) as ledger:
        assert [(row.generations, row.booked) for row in ledger.stories.spend()] == [(10, 100.0)] * 5
        assert Counter(event for id_ in range(1, 51) for event in events_of(ledger, id_))["submitted"] == 50


def test_what_is_held_back_until_the_next_day_is_released_then_and_not_before(ledger: Ledger) -> None:
    queue(ledger, "a", "b")
    assert fire(ledger, 2.0, T0, Limits(daily=3)) is None
    held = fire(ledger, 2.0, T0, Limits(daily=3))
    assert held is not None
    assert held.until == day_after(T0) == seconds("2025-06-16T00:00:00Z")
    assert "2 Creative Units more than the 2 of today; the budget allows 3 a day" in held.message
    assert ledger.firing.release(held.until - 0.001) == 0
    assert ledger.firing.release(held.until) == 1
    assert ledger.firing.release(held.until) == 0
    assert taken(ledger, held.until).id == 2
    assert events_of(ledger, 2) == ["ready", "held", "released"]


@pytest.mark.parametrize("end", ["unknown", "running", "complete", "failed"])
def test_what_is_paid_for_or_may_be_counts(ledger: Ledger, end: str) -> None:
    queue(ledger, "a", "b")
    if end == "unknown":
        unknown(ledger, 6.0)
    elif end == "failed":
        failed(ledger, 6.0)
    else:
        job = running(ledger, price=6.0)
        if end == "complete":
            ledger.following.completed(job, [], None, None, T0, deliver=False)
    held = fire(ledger, 5.0, T0, Limits(daily=10))
    assert held is not None
    assert held.code == OVER_DAILY


@pytest.mark.parametrize("end", ["held", "refused", "not started"])
def test_what_was_not_paid_for_does_not(ledger: Ledger, end: str) -> None:
    queue(ledger, "a", "b")
    job = taken(ledger)
    book(ledger, job, 6.0)
    match end:
        case "held":
            ledger.firing.hold(job, Generation.SUBMITTING, HELD, None, T0)
        case "refused":
            ledger.firing.refused(job, Generation.SUBMITTING, T0, code="x", message="x")
        case _:
            ledger.firing.not_started(job, T0 + 99, T0, code="x", message="x")
    assert fire(ledger, 5.0, T0, Limits(daily=10)) is None


def test_what_was_charged_takes_the_place_of_the_estimate(ledger: Ledger) -> None:
    queue(ledger, "a", "b", "c")
    ledger.following.completed(running(ledger, price=6.0), [], 9.0, None, T0, deliver=False)
    failed(ledger, 6.0, charged=0.0)
    assert fire(ledger, 1.5, T0, Limits(daily=10)) is not None
    assert ledger.stories.spend()[0].booked == 9.0


def test_sums_of_tenths_reach_the_limit(ledger: Ledger) -> None:
    queue(ledger, *map(str, range(11)))
    assert [fire(ledger, 0.1, T0, Limits(daily=1)) is None for _ in range(11)] == [True] * 10 + [False]


def test_yesterday_does_not_count_and_the_day_is_that_of_utc(ledger: Ledger) -> None:
    midnight = day_after(T0)
    queue(ledger, "a", "b", now=midnight - 1)
    assert fire(ledger, 10.0, midnight - 0.001, Limits(daily=10)) is None
    assert fire(ledger, 10.0, midnight, Limits(daily=10)) is None
    assert (day_of(midnight), day_of(midnight - 0.001), day_after(midnight - 1)) == (midnight, day_of(T0), midnight)


def test_a_rule_has_a_budget_of_its_own(ledger: Ledger) -> None:
    everywhere, own = Limits(daily=100), Limits(daily=10, of=RULE)
    queue(ledger, "a", "b")
    queue(ledger, "c", rule="other")
    assert fire(ledger, 8.0, T0, everywhere, own) is None
    held = fire(ledger, 8.0, T0, everywhere, own)
    assert held is not None
    assert "the budget of rule restyle allows 10 a day" in held.message
    assert fire(ledger, 8.0, T0, everywhere, Limits(daily=10, of="other")) is None
    assert [(row.rule, row.booked) for row in ledger.stories.spend()] == [("other", 8.0), (RULE, 8.0)]


def test_two_folders_may_have_rules_of_the_same_name(ledger: Ledger) -> None:
    watched(ledger, "other")
    queue(ledger, "a")
    seen = shown(ledger, arrive(ledger, "/other/a.png", b"other", folder="other"))
    ledger.planning.plan(seen, [planned_for(seen)], T0)
    for _ in range(2):
        assert fire(ledger, 8.0, T0, Limits(daily=10, of=RULE)) is None


# --- the burst breaker ------------------------------------------------------------------------------------------------


def test_of_five_hundred_at_once_twenty_are_fired_and_one_message_says_that_the_rest_is_held(ledger: Ledger) -> None:
    queue(ledger, *map(str, range(500)))
    helds = [fire(ledger, None, T0 + n / 1000, Limits(burst=20), claim=str(n)) for n in range(500)]
    assert helds[:20] == [None] * 20
    assert {held.code for held in helds[20:] if held} == {BURST}
    assert [held.first for held in helds[20:] if held] == [True, *[False] * 479]
    assert ledger.stories.counts() | {"blocked": 480, "running": 20} == ledger.stories.counts()
    assert ledger.firing.release(T0 + 99 * DAY) == 0, "a person lets them go"


@pytest.mark.parametrize("pace_s", [5.0, 61.0])
def test_however_long_layer_takes_for_each(ledger: Ledger, pace_s: float) -> None:
    queue(ledger, *map(str, range(30)))
    helds = [fire(ledger, None, T0 + n * pace_s, Limits(burst=20), claim=str(n)) for n in range(30)]
    assert [held is None for held in helds] == [True] * 20 + [False] * 10


def test_what_comes_one_after_the_other_is_no_burst(ledger: Ledger) -> None:
    for n in range(60):
        now = T0 + n * 4.0  # fifteen a minute
        assert fire_next(ledger, str(n), None, Limits(burst=20), now=now) is None


def test_a_backlog_of_what_came_one_after_the_other_is_no_burst_while_layer_is_slow(ledger: Ledger) -> None:
    for n in range(60):
        queue(ledger, str(n), now=T0 + n * 4.0)
    for n in range(60):
        assert fire(ledger, None, T0 + 240 + n * 5.0, Limits(burst=20), claim=str(n)) is None


def test_it_holds_what_comes_until_a_minute_has_brought_none(ledger: Ledger) -> None:
    limit = Limits(burst=2)
    queue(ledger, "a", "b", "c")
    assert [fire(ledger, None, T0, limit) is None for _ in range(3)] == [True, True, False]
    now = T0
    for n in range(5):
        now += BURST_S - 1
        assert fire_next(ledger, f"later{n}", None, limit, now=now) is not None
    assert fire_next(ledger, "quiet", None, limit, now=now + BURST_S + 1) is None


def test_what_a_person_approved_does_not_count_as_a_burst(ledger: Ledger) -> None:
    limit = Limits(burst=2)
    ids = queue(ledger, *map(str, range(6)))
    for _ in ids:
        fire(ledger, None, T0, limit)
    assert ledger.firing.approve(ids, T0 + 1) == ids[2:]
    assert [fire(ledger, None, T0 + 1, limit) for _ in ids[2:]] == [None] * 4
    assert fire_next(ledger, "one more", None, limit, now=T0 + BURST_S + 1) is None


def test_a_burst_of_one_rule_is_none_of_all(ledger: Ledger) -> None:
    everywhere, own = Limits(burst=20), Limits(burst=1, of=RULE)
    queue(ledger, "a", "b")
    assert [fire(ledger, None, T0, everywhere, own) is None for _ in range(2)] == [True, False]
    queue(ledger, "c", rule="other")
    assert fire(ledger, None, T0, everywhere, Limits(of="other")) is None


def test_what_the_next_day_brings_is_no_burst_of_the_day_before(ledger: Ledger) -> None:
    limit = Limits(daily=10, burst=3)
    queue(ledger, *map(str, range(8)))
    for _ in range(8):
        fire(ledger, 4.0, T0, limit)
    for day in range(1, 4):
        assert ledger.firing.release(T0 + day * DAY) == 8 - 2 * day
        helds = [fire(ledger, 4.0, T0 + day * DAY, limit) for _ in range(8 - 2 * day)]
        assert [held.code if held else None for held in helds] == [None, None, *[OVER_DAILY] * 6][: 8 - 2 * day]


# --- many at once -----------------------------------------------------------------------------------------------------


def test_threads_never_book_more_than_the_day_allows(ledger: Ledger, path: str) -> None:
    ids = queue(ledger, *map(str, range(60)))
    fire_all(path, 4, Limits(daily=100.0))
    spent = raw(path, "SELECT sum(booked), count(*) FROM generations WHERE booked_at IS NOT NULL")
    assert spent == [(98.0, 14)]
    assert ledger.stories.counts() | {"running": 14, "blocked": 46} == ledger.stories.counts()
    assert Counter(events_of(ledger, id_).count("submitted") for id_ in ids) == {1: 14, 0: 46}


def test_threads_fire_no_more_than_a_burst(ledger: Ledger, path: str) -> None:
    queue(ledger, *map(str, range(60)))
    helds = fire_all(path, 4, Limits(burst=20))
    assert ledger.stories.counts() | {"running": 20, "blocked": 40} == ledger.stories.counts()
    assert [held.first for held in helds].count(True) == 1, "one message says so"


def fire_all(path: str, threads: int, limit: Limits) -> list[Held]:
    """All that is due, by so many threads at once; what was held back."""
    barrier, helds = threading.Barrier(threads), list[Held]()

    def work(name: str) -> None:
        with Ledger(path) as own:
            barrier.wait()
            while job := own.firing.claim(name, T0):
                if held := own.firing.book(job, {}, 7.0, [limit], T0):
                    helds.append(held)
                else:
                    accept(own, job)

    workers = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return helds


FIRE_ALL = """
import sys
from layerwatch.ledger import Ledger, Limits
path, name, now = sys.argv[1], sys.argv[2], float(sys.argv[3])
with Ledger(path) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    while job := ledger.firing.claim(name, now):
        if ledger.firing.book(job, {}, 7.0, [Limits(daily=100.0)], now) is None:
            print(job.id, flush=True)
"""


def test_processes_never_book_more_than_the_day_allows(ledger: Ledger, path: str) -> None:
    queue(ledger, *map(str, range(60)))
    commands = [[sys.executable, "-c", FIRE_ALL, path, name, str(T0)] for name in ("one", "two")]
    processes = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    booked = [int(id_) for process in processes for id_ in process.communicate()[0].split()]
    assert len(booked) == len(set(booked)) == 14
    assert raw(path, "SELECT sum(booked) FROM generations") == [(98.0,)]
    assert ledger.stories.counts() | {"submitting": 14, "blocked": 46} == ledger.stories.counts()
    assert sorted(ledger.firing.recover(T0)) == sorted(booked), "two that died: what they sent is unknown"


def test_what_was_booked_in_a_future_that_was_none_counts_today(ledger: Ledger) -> None:
    queue(ledger, "a", now=T0 + DAY)
    assert fire(ledger, 8.0, T0 + DAY) is None
    assert fire_next(ledger, "b", 8.0, Limits(daily=10)) is not None
