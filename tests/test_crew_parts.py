"""The small parts that the daemon's threads are held together by: the roster, the bell, and several things at once."""

import threading
import time
from collections.abc import Callable

import pytest

from layerwatch.daemon.doorbell import Doorbell
from layerwatch.daemon.roster import Post, Roster
from layerwatch.daemon.sidebyside import side_by_side


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Places:
    """Posts whose threads stay until they are told to leave, and one can be held back longer than that."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.hold = threading.Event()

    def post(self, name: str, depends: object, *, alone: bool = True, held: bool = False) -> Post:
        def work(leave: threading.Event) -> None:
            self.began.append(f"{name} {depends}")
            leave.wait(30)
            if held:
                self.hold.wait(30)
            self.ended.append(f"{name} {depends}")

        return Post(name, depends, work, alone)


def test_who_hangs_on_nothing_that_has_changed_stays_and_the_others_leave() -> None:
    places, roster = Places(), Roster()
    roster.fill([places.post("a", 1), places.post("b", 1), places.post("c", 1)])
    until(lambda: len(places.began) == 3)
    threads = {thread.name: thread for thread in roster.threads()}
    assert sorted(roster.fill([places.post("a", 1), places.post("b", 2), places.post("d", 1)])) == ["b", "c"]
    until(lambda: sorted(places.ended) == ["b 1", "c 1"])
    until(lambda: sorted(places.began) == ["a 1", "b 1", "b 2", "c 1", "d 1"])
    until(lambda: not roster.anybody_leaving())
    assert threads["a"] in roster.threads()
    assert threads["a"].is_alive()
    roster.fill([])
    until(lambda: not roster.anybody_leaving())


def test_a_post_that_only_one_may_have_is_taken_over_when_it_is_free() -> None:
    places, roster = Places(), Roster()
    roster.fill([places.post("one", 1, held=True), places.post("many", 1, held=True, alone=False)])
    until(lambda: len(places.began) == 2)
    roster.fill([places.post("one", 2), places.post("many", 2, alone=False)])
    until(lambda: "many 2" in places.began)
    time.sleep(0.05)
    assert "one 2" not in places.began
    assert roster.anybody_leaving()
    assert len(roster.threads()) == 4
    places.hold.set()
    until(lambda: "one 2" in places.began)
    assert places.ended.count("one 1") == 1
    roster.fill([])
    until(lambda: not roster.anybody_leaving())


def test_three_in_a_row_never_work_side_by_side() -> None:
    places, roster = Places(), Roster()
    for turn in range(3):
        roster.fill([places.post("one", turn, held=turn == 0)])
        until(lambda: places.began[:1] == ["one 0"])
    time.sleep(0.05)
    assert places.began == ["one 0"]
    places.hold.set()
    until(lambda: places.began[-1:] == ["one 2"])
    assert places.ended == ["one 0", "one 1"]
    roster.fill([])
    until(lambda: not roster.anybody_leaving())


def test_one_is_woken_for_one_and_all_for_all() -> None:
    bell, woken = Doorbell(), []

    def sleep(name: int, heard: int) -> None:
        bell.wait(heard, 30)
        woken.append(name)

    sleepers = [threading.Thread(target=sleep, args=(name, bell.rings)) for name in range(3)]
    for sleeper in sleepers:
        sleeper.start()
    until(lambda: len(bell._condition._waiters) == 3)  # type: ignore[attr-defined]
    bell.ring_one()
    until(lambda: len(woken) == 1)
    time.sleep(0.05)
    assert len(woken) == 1
    bell.ring()
    until(lambda: len(woken) == 3)


def test_whoever_was_not_asleep_misses_no_ring() -> None:
    bell = Doorbell()
    heard = bell.rings
    bell.ring_one()
    began = threading.Thread(target=bell.wait, args=(heard, 30))
    began.start()
    began.join(10)
    assert not began.is_alive()


def test_several_at_once_return_in_their_order() -> None:
    gate = threading.Barrier(3)

    def work(number: int) -> int:
        gate.wait(30)  # none of them gets on before all are at it
        return number

    assert side_by_side([lambda number=number: work(number) for number in range(3)]) == [0, 1, 2]  # type: ignore[misc]
    assert side_by_side([]) == []


def test_what_one_of_them_raises_is_raised_when_all_are_done() -> None:
    done = []

    def fail() -> None:
        raise KeyError

    def work() -> None:
        time.sleep(0.05)
        done.append(1)

    with pytest.raises(KeyError):
        side_by_side([work, fail, work])
    assert done == [1, 1]
