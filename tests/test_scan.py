"""Walks go on a slice at a time, and wait while there is enough to be worked on."""

from collections.abc import Iterator

from layerwatch.scan import AT_LEAST_S, Scan
from layerwatch.walk import Directory

NEVER_S = 1e9
LOOK_S = AT_LEAST_S / 100


class Bench:
    """A scan over three directories of which each has one file that is news; a look at the clock takes a while."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.enough_after = 4  # so many directories
        self.now = 0.0
        self.scan = Scan(self._take, lambda: len(self.taken) >= self.enough_after, self._look)
        self.scan.begin(self._walk(), whole=True)

    def _walk(self) -> Iterator[Directory]:
        for number in range(3):
            yield Directory(f"/drop/{number}", number)

    def _take(self, directory: Directory) -> int:
        self.taken.append(directory.path)
        return 1

    def _look(self) -> float:
        self.now += LOOK_S
        return self.now


def test_a_whole_walk_tells_what_it_saw() -> None:
    bench = Bench()
    scanned = bench.scan.step(NEVER_S)
    assert scanned is not None
    assert scanned.directories == [("/drop/0", 0), ("/drop/1", 1), ("/drop/2", 2)]
    assert (scanned.unknown, bench.scan.ended, bench.scan.busy) == (3, 1, False)


def test_a_slice_ends_when_its_time_is_over_and_the_next_one_goes_on() -> None:
    bench = Bench()
    assert bench.scan.step(2 * LOOK_S) is None
    assert bench.taken == ["/drop/0"]
    assert bench.scan.step(NEVER_S) is not None
    assert bench.taken == ["/drop/0", "/drop/1", "/drop/2"]


def test_a_walk_waits_while_there_is_enough_and_forgets_nothing() -> None:
    bench = Bench()
    bench.enough_after = 2
    assert bench.scan.step(NEVER_S) is None
    assert bench.scan.step(NEVER_S) is None
    assert (bench.taken, bench.scan.busy, bench.scan.ended) == (["/drop/0", "/drop/1"], True, 0)
    bench.enough_after = 4
    scanned = bench.scan.step(NEVER_S)
    assert scanned is not None
    assert scanned.unknown == 3


def test_where_there_is_always_enough_a_walk_comes_to_its_end_all_the_same() -> None:
    bench = Bench()
    bench.enough_after = 0
    ends = []
    for _ in range(4):  # the fourth finds that there is no more
        ends.append(bench.scan.step(NEVER_S))
        bench.now += AT_LEAST_S
    assert bench.taken == ["/drop/0", "/drop/1", "/drop/2"]
    assert [end is not None for end in ends] == [False, False, False, True]
