"""All uploaders together stay below the bandwidth."""

import threading
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch.pacing import Bandwidth

# --- bandwidth --------------------------------------------------------------------------------------------------------


def test_without_a_limit_nobody_waits() -> None:
    bandwidth = Bandwidth(None, nullcontext())
    assert [bandwidth.reserve(10**9, now=0) for _ in range(3)] == [0, 0, 0]


def test_each_waits_for_those_before_it() -> None:
    bandwidth = Bandwidth(100, nullcontext())
    assert [bandwidth.reserve(50, now=10) for _ in range(4)] == [0, 0.5, 1, 1.5]


def test_time_in_which_nobody_sent_is_not_saved_up() -> None:
    bandwidth = Bandwidth(100, nullcontext())
    bandwidth.reserve(50, now=0)
    assert bandwidth.reserve(50, now=1000) == 0
    assert bandwidth.reserve(50, now=1000) == 0.5


@given(st.floats(1, 1e6), st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 100)), min_size=1, max_size=30))
def test_no_more_is_sent_in_any_time_than_the_rate_allows(rate: float, asked: list[tuple[int, float]]) -> None:
    bandwidth, now, sent = Bandwidth(rate, nullcontext()), 0.0, []
    for size_bytes, pause_s in asked:
        now += pause_s
        wait_s = bandwidth.reserve(size_bytes, now)
        assert wait_s >= 0
        sent.append((now + wait_s, size_bytes))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            # What was sent before the last block began had to fit into the time until then.
            between = sum(size_bytes for _, size_bytes in sent[first:last])
            assert between <= rate * (sent[last][0] - sent[first][0]) * (1 + 1e-6) + 1e-3


def test_the_limit_is_one_for_all_threads() -> None:
    bandwidth = Bandwidth(1000, threading.Lock())
    waits: list[float] = []
    barrier = threading.Barrier(8)

    def send() -> None:
        barrier.wait()
        waits.extend(bandwidth.reserve(10, now=0.0) for _ in range(500))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([n / 100 for n in range(4000)])
