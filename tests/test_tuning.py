"""How many uploaders are of use: against models of machines and servers, with a clock that is handed in."""

import random
import threading
from collections.abc import Callable

import pytest

from layerwatch.tuning import FIRST, MOST, REFUSED_S, Tuner

Rate = Callable[[int], float]  # units a second that so many bring

TICK_S = 0.02


class World:
    """A tuner at work where `rate` holds, unit after unit; `noise`: by how much each moment is better or worse."""

    def __init__(self, rate: Rate, *, noise: float = 0.0, seed: int = 0) -> None:
        self.rate, self.noise = rate, noise
        self.tuner = Tuner(None, threading.Lock())
        self.now = 100.0
        self.done = 0.0
        self._lucky = random.Random(seed)

    def work(self, seconds: float) -> float:
        """Returns what was got done, in units a second."""
        end, before = self.now + seconds, self.done
        while self.now < end:
            self.now += TICK_S
            units = self.rate(self.tuner.limit) * TICK_S * (1 + self._lucky.uniform(-self.noise, self.noise))
            self.done += units
            self.tuner.done(units, self.now)
        return (self.done - before) / seconds


def waits(latency_s: float, most: float) -> Rate:
    """Each waits for answers that long; no more than `most` units a second are to be had."""
    return lambda workers: min(workers / latency_s, most)


def fights(best: int, peak: float) -> Rate:
    """More than `best` are in each other's way."""
    return lambda workers: peak * (workers / best if workers <= best else 1 / (1 + 0.15 * (workers - best)))


MODELS = {
    "20 ms": waits(0.020, 1e9),
    "100 ms": waits(0.100, 1e9),
    "100 ms, and a slow line": waits(0.100, 55.0),
    "one is best": fights(1, 1000.0),
    "two are best": fights(2, 1000.0),
    "eight are best": fights(8, 1000.0),
    "all the same": lambda _: 500.0,
}


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("name", MODELS)
def test_it_finds_the_useful_number_soon_and_loses_little_by_trying(name: str, noise: float) -> None:
    rate = MODELS[name]
    best = max(map(rate, range(1, MOST + 1)))
    world = World(rate, noise=noise)
    world.work(10)
    assert world.work(120) >= 0.9 * best


def test_no_more_hands_than_are_of_use() -> None:
    world = World(waits(0.100, 55.0))
    world.work(60)
    assert world.tuner.limit <= 8, "six would do"
    world = World(MODELS["all the same"])
    world.work(60)
    assert world.tuner.limit == 1


def test_what_has_changed_is_noticed() -> None:
    world = World(waits(0.020, 1e9))
    world.work(20)
    assert world.tuner.limit == MOST
    world.rate = fights(2, 300.0)
    world.work(30)
    assert world.work(60) >= 0.85 * 300
    world.rate = waits(0.050, 1e9)
    world.work(600)
    assert world.work(60) >= 0.9 * MOST / 0.050


def test_a_server_that_says_too_many_is_heeded_at_once_and_for_a_while() -> None:
    world = World(waits(0.020, 1e9))
    world.work(20)
    for _ in range(MOST):  # all that were under way
        world.tuner.refused(world.now)
    assert world.tuner.limit == MOST // 2
    world.now += 2
    world.tuner.refused(world.now)
    assert world.tuner.limit == MOST // 4
    world.work(REFUSED_S - 1)
    assert world.tuner.limit == MOST // 4
    world.work(20)
    assert world.tuner.limit > MOST // 4
    for _ in range(20):
        world.now += 2
        world.tuner.refused(world.now)
    assert world.tuner.limit == 1


def test_a_trial_of_fewer_that_is_cut_short_says_that_more_are_wanted_again() -> None:
    world = World(fights(8, 1000.0))
    settled = world.tuner.limit
    while world.tuner.limit >= settled:
        world.work(TICK_S)
        settled = max(settled, world.tuner._settled)
    world.work(0.2)
    assert world.tuner.limit < world.tuner._settled
    assert world.tuner.idle()
    assert world.tuner.limit == world.tuner._settled
    assert not world.tuner.idle()


def test_without_enough_to_do_nothing_is_tried() -> None:
    world = World(waits(0.020, 1e9))
    for _ in range(2000):
        world.work(0.06)
        world.tuner.idle()
    assert world.tuner.limit == FIRST


def test_a_number_that_was_given_stays() -> None:
    tuner = Tuner(7, threading.Lock())
    now = 0.0
    for _ in range(10_000):
        now += 0.01
        assert not tuner.done(10.0, now)
    tuner.refused(now)
    tuner.idle()
    assert tuner.limit == 7


def test_few_large_files_are_as_good_as_many_small_ones() -> None:
    """Blocks count as they go: nothing has to come to its end before it is known what a number brings."""
    world = World(waits(0.5, 40.0))  # each of them has two blocks a second, and the line 40
    world.work(40)
    assert world.work(20) >= 0.9 * 40
