"""Each worker has its share of what waits and of what takes long, and no test is lost or run twice."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.ordering import ordered


class Test(pytest.Item):
    """That was never collected."""

    __test__ = False

    def runtest(self) -> None: ...


def made(request: pytest.FixtureRequest, path: str, count: int, *, long: bool = False) -> list[pytest.Item]:
    items: list[pytest.Item] = []
    for number in range(count):
        items.append(Test.from_parent(request.session, name=f"{path}-{number}", path=Path(path)))
        if long:
            items[-1].add_marker("long")
    return items


@pytest.mark.parametrize("workers", [1, 2, 5, 7])
def test_each_worker_has_its_share_evenly_over_its_time(request: pytest.FixtureRequest, workers: int) -> None:
    others = [item for number in range(40) for item in made(request, f"/tests/test_{number}.py", 5)]
    waiting, long = made(request, "/tests/system/test_a.py", 42), made(request, "/tests/test_b.py", 9, long=True)
    everything = [*others[:100], *waiting, *others[100:], *long]
    order = ordered(everything, workers)
    assert len(order) == len(set(order)) == len(everything)
    assert set(order) == set(everything)
    begin = 0
    for worker in range(workers):  # as they are dealt
        end = begin + (len(order) - begin) // (workers - worker)
        piece = order[begin:end]
        mine = [item in long for item in piece].count(True)
        assert mine in (9 // workers, -(-9 // workers))
        assert set(piece[:mine]) <= set(long)
        places = [place for place, item in enumerate(piece) if item in waiting]
        assert len(places) in (42 // workers, -(-42 // workers))
        assert max(after - before for before, after in pairwise([mine, *places, len(piece)])) <= 5 + 2 * 6
        begin = end


def test_those_of_one_file_stay_together(request: pytest.FixtureRequest) -> None:
    others = [item for number in range(9) for item in made(request, f"/tests/test_{number}.py", 4)]
    order = ordered([*made(request, "/tests/system/test_a.py", 30), *others], 1)
    assert [item for item in order if item in others] == others
    for number in range(9):
        places = [place for place, item in enumerate(order) if item.path.name == f"test_{number}.py"]
        assert places == list(range(places[0], places[0] + 4))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_tests_than_workers_are_all_run(request: pytest.FixtureRequest, count: int) -> None:
    items = made(request, "/tests/system/test_a.py", count)
    assert set(ordered(items, 5)) == set(items)
