"""What is counted from notices, from any thread."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from layerwatch.errors import Code
from layerwatch.meters import BUCKETS_S, Meters, Readings
from layerwatch.notices import Notice


def read(*told: tuple[str, dict[str, Any]]) -> Readings:
    meters = Meters(nullcontext())
    for event, facts in told:
        meters.count(Notice(event, event, facts=facts))
    return meters.read()


def test_nothing_was_counted_at_first_and_what_nobody_counts_stays_uncounted() -> None:
    assert read(("queued", {"file": 1}), ("resumed", {}), ("person", {})) == Readings()


def test_a_file_that_was_sent_counts_with_its_bytes_and_one_that_was_reused_without() -> None:
    now = read(
        ("uploaded", {"size": 100, "reused": False, "waited_s": 3.0}),
        ("uploaded", {"size": 50, "reused": False}),
        ("uploaded", {"size": 25, "reused": True, "waited_s": 0.25}),
    )
    assert (now.uploaded_files, now.uploaded_bytes, now.reused_files) == (3, 150, 1)
    assert (sum(now.waits), now.waited_s) == (2, 3.25)


@pytest.mark.parametrize(
    ("waited_s", "bound"), [(0.0, 0.5), (0.5, 0.5), (0.501, 1.0), (86_400.0, 86_400.0), (86_401.0, float("inf"))]
)
def test_each_wait_is_in_the_first_bucket_that_holds_it(waited_s: float, bound: float) -> None:
    waits = read(("uploaded", {"size": 1, "waited_s": waited_s})).waits
    assert [bound for bound, count in zip(BUCKETS_S, waits, strict=True) if count] == [bound]


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        ("postponed", lambda now: now.retries),
        ("failed", lambda now: now.failures),
        ("skipped", lambda now: now.skipped),
        ("superseded", lambda now: now.skipped),
        ("push_refused", lambda now: now.pushes_refused),
    ],
)
def test_what_has_a_reason_is_counted_by_it_and_others_words_are_no_reasons(
    event: str, counted: Callable[[Readings], dict[str, int]]
) -> None:
    words = (Code.NETWORK, Code.NETWORK, Code.CHANGED, '"; DROP', None)
    now = read(*((event, {"file": 1, "error_code": word}) for word in words))
    assert counted(now) == {"network": 2, "changed": 1, "other": 2}


def test_a_file_that_is_uploaded_and_cannot_be_moved_yet_is_no_retry() -> None:
    assert not read(("postponed", {"file": 1, "error_code": "unreadable", "stage": "finish"})).retries


def test_a_generation_that_something_took_the_place_of_is_no_file() -> None:
    assert not read(("superseded", {})).skipped


def test_generations_count_by_how_they_ended_those_that_were_found_at_a_start_each() -> None:
    now = read(
        ("generation_complete", {"generation": 1}),
        ("generation_failed", {"generation": 2}),
        ("generation_unknown", {"generation": 3}),
        ("generation_unknown", {"generations": [4, 5]}),
        ("generation_started", {"generation": 6}),
    )
    assert now.outcomes == {"complete": 1, "failed": 1, "unknown": 3}


def test_troubles_and_deliveries_are_counted() -> None:
    now = read(
        ("overflow", {"folder": "drop"}),
        ("clock_jumped", {"seconds": -5}),
        ("ledger_trouble", {}),
        ("ledger_trouble", {}),
        ("delivered", {}),
        ("delivery_postponed", {}),
        ("delivery_failed", {}),
    )
    assert (now.overflows, now.clock_jumps, now.ledger_troubles) == (1, 1, 2)
    assert now.deliveries == {"delivered": 1, "postponed": 1, "failed": 1}


def test_what_was_read_does_not_change_any_more() -> None:
    meters = Meters(nullcontext())
    before = meters.read()
    meters.count(Notice("failed", "", facts={"error_code": "network"}))
    meters.count(Notice("uploaded", "", facts={"size": 1, "waited_s": 1.0}))
    assert before == Readings()


def test_a_sum_that_is_corrected_downwards_is_told_as_it_was_until_it_is_beyond_it() -> None:
    meters, key = Meters(nullcontext()), ("drop", "restyle")
    assert [meters.charged({key: units})[key] for units in (5.0, 3.0, 6.0)] == [5.0, 5.0, 6.0]
    assert meters.charged({}) == {key: 6.0}


def test_threads_that_count_at_once_lose_nothing() -> None:
    meters = Meters(threading.Lock())
    told = [
        Notice("uploaded", "", facts={"size": 2, "waited_s": 1.0}),
        Notice("failed", "", facts={"error_code": "network"}),
    ]

    def work() -> None:
        for _ in range(2000):
            for notice in told:
                meters.count(notice)
            meters.read()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = meters.read()
    assert (now.uploaded_files, now.uploaded_bytes, now.failures["network"]) == (8000, 16_000, 8000)
    assert (sum(now.waits), now.waited_s) == (8000, 8000.0)
