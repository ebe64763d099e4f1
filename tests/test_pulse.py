"""Whoever is silent for longer than allowed is late, and nobody else is."""

import sys
import threading

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from layerwatch.pulse import Heart, Pulse


def test_silence_within_the_allowance_is_fine() -> None:
    pulse = Pulse()
    heart = pulse.heart("uploader 1", 10, now=100)
    assert pulse.late(110) == []
    assert pulse.late(110.1) == ["uploader 1"]
    heart.beat(111)
    assert pulse.late(121) == []


def test_a_thread_that_never_comes_to_its_first_beat_is_late() -> None:
    pulse = Pulse()
    pulse.heart("planner", 5, now=0)
    assert pulse.late(6) == ["planner"]


def test_a_long_wait_that_was_announced_is_no_silence_and_the_next_beat_ends_it() -> None:
    pulse = Pulse()
    heart = pulse.heart("runner 1", 10, now=0)
    heart.busy(300, now=0)
    assert pulse.late(299) == []
    assert pulse.late(301) == ["runner 1"]
    heart.beat(301)
    assert pulse.late(312) == ["runner 1"]


def test_who_is_done_is_not_waited_for() -> None:
    pulse = Pulse()
    heart = pulse.heart("folder concepts", 1, now=0)
    heart.stop()
    heart.stop()
    assert pulse.late(1000) == []


def test_the_longest_silent_come_first() -> None:
    pulse = Pulse()
    for allowance_s, name in ((3, "c"), (1, "a"), (2, "b")):
        pulse.heart(name, allowance_s, now=0)
    assert pulse.late(2.5) == ["a", "b"]


def test_two_of_one_name_do_not_speak_for_each_other() -> None:
    pulse = Pulse()
    old = pulse.heart("folder concepts", 1, now=0)
    new = pulse.heart("folder concepts", 1, now=0)
    new.beat(10)
    assert pulse.late(10) == ["folder concepts"]
    old.stop()
    assert pulse.late(10) == []


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.001, 10))
def test_whoever_keeps_its_allowance_is_never_late(pauses: list[float], more_s: float) -> None:
    pulse, now = Pulse(), 0.0
    heart = pulse.heart("a", 10, now)
    for pause_s in pauses:
        now += pause_s
        assert pulse.late(now) == []
        heart.beat(now)
    assert pulse.late(now + 10 + more_s) == ["a"]


class Ward(RuleBasedStateMachine):
    """Any number of threads come, beat, wait and go; the law is written down a second time, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.pulse = Pulse()
        self.now = 0
        self.hearts: list[Heart] = []
        self.due: list[int | None] = []

    @rule(allowance_s=st.integers(0, 20))
    def comes(self, allowance_s: int) -> None:
        self.hearts.append(self.pulse.heart(f"thread {len(self.hearts)}", allowance_s, self.now))
        self.due.append(self.now + allowance_s)

    @precondition(lambda self: self.hearts)
    @rule(data=st.data())
    def beats(self, data: st.DataObject) -> None:
        which = self.one_of_those(data)
        self.hearts[which].beat(self.now)
        self.due[which] = self.now + int(self.hearts[which].allowance_s)

    @precondition(lambda self: self.hearts)
    @rule(data=st.data(), allowance_s=st.integers(0, 100))
    def is_busy(self, data: st.DataObject, allowance_s: int) -> None:
        which = self.one_of_those(data)
        self.hearts[which].busy(allowance_s, self.now)
        self.due[which] = self.now + allowance_s

    @precondition(lambda self: self.hearts)
    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        which = self.one_of_those(data)
        self.hearts[which].stop()
        self.due[which] = None

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def late_are_those_whose_time_is_over(self) -> None:
        expected = {f"thread {which}" for which, due in enumerate(self.due) if due is not None and due < self.now}
        late = self.pulse.late(self.now)
        assert set(late) == expected
        assert len(late) == len(expected)

    def one_of_those(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.hearts) - 1))


TestWard = Ward.TestCase


def test_threads_come_and_go_while_somebody_listens() -> None:
    pulse, over = Pulse(), threading.Event()
    for _ in range(2000):  # so many that looking through them takes longer than a thread's turn
        pulse.heart("rests", 10_000, now=0)

    def live() -> None:
        while not over.is_set():
            for heart in [pulse.heart("comes and goes", 10_000, now=0) for _ in range(50)]:
                heart.stop()

    thread = threading.Thread(target=live)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        assert [pulse.late(1) for _ in range(200)] == [[]] * 200
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
