"""Walks go on a slice at a time, and wait while there is enough to be worked on."""

from collections.abc import Iterator

from layerwatch.scan import Scan
from layerwatch.walk import Directory

NEVER_S = 1e9


class Bench:
    """A scan over three directories of which each has one file that is news, at a clock that counts the looks at it."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.is_enough = False
        self.now = 0.0
        self.scan = Scan(self._take, lambda: self.is_enough, self._tick)
        self.scan.begin(self._walk(), whole=True)

    def _walk(self) -> Iterator[Directory]:
        for number in range(3):
            yield Directory(f"/drop/{number}", number)

    def _take(self, directory: Directory) -> int:
        self.taken.append(directory.path)
        return 1

    def _tick(self) -> float:
        self.now += 1.0
        return self.now


def test_a_whole_walk_tells_what_it_saw() -> None:
    bench = Bench()
    scanned = bench.scan.step(NEVER_S)
    assert scanned is not None
    assert scanned.directories == [("/drop/0", 0), ("/drop/1", 1), ("/drop/2", 2)]
    assert (scanned.unknown, bench.scan.ended, bench.scan.busy) == (3, 1, False)


def test_a_slice_ends_when_its_time_is_over_and_the_next_one_goes_on() -> None:
    bench = Bench()
    assert bench.scan.step(2.0) is None
    assert bench.taken == ["/drop/0"]
    assert bench.scan.step(NEVER_S) is not None
    assert bench.taken == ["/drop/0", "/drop/1", "/drop/2"]


def test_while_there_is_enough_nothing_is_walked_and_nothing_forgotten() -> None:
    bench = Bench()
    bench.is_enough = True
    assert bench.scan.step(NEVER_S) is None
    assert (bench.taken, bench.scan.busy, bench.scan.ended) == ([], True, 0)
    bench.is_enough = False
    scanned = bench.scan.step(NEVER_S)
    assert scanned is not None
    assert scanned.unknown == 3


def test_what_becomes_enough_on_the_way_ends_the_slice() -> None:
    bench = Bench()
    taken = bench.taken

    def take(directory: Directory) -> int:
        taken.append(directory.path)
        bench.is_enough = len(taken) == 2
        return 1

    bench.scan = Scan(take, lambda: bench.is_enough, bench._tick)
    bench.scan.begin(bench._walk(), whole=True)
    assert bench.scan.step(NEVER_S) is None
    assert taken == ["/drop/0", "/drop/1"]
