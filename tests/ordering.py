"""In which order tests run where several workers share them: what waits for processes of its own, as the tests of
`tests/system` do, comes evenly among what computes; and what takes longest comes first, so that no worker is left
with it at the end."""

from collections.abc import Sequence
from itertools import groupby

import pytest


def ordered(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The same tests. Each worker begins with a piece of this, all of the same length: it has its share of each kind.
    Tests of one file stay together, so that what they share is made once, but for those of `tests/system`."""
    long = [item for item in items if item.get_closest_marker("long")]
    waiting = [item for item in items if item.path.parent.name == "system" and not item.get_closest_marker("long")]
    apart = {*long, *waiting}
    others = [item for item in items if item not in apart]
    order: list[pytest.Item] = []
    for worker in range(workers):
        size = (len(items) - len(order)) // (workers - worker)
        first, spread = long[worker::workers], waiting[worker::workers]
        rest = max(size - len(first) - len(spread), 0)
        order += first + _spread(spread, others[:rest])
        del others[:rest]
    return order


def _spread(few: list[pytest.Item], many: list[pytest.Item]) -> list[pytest.Item]:
    """`few` evenly between the files that `many` are in."""
    order: list[pytest.Item] = []
    gone = placed = 0
    for _, of_one_file in groupby(many, key=lambda item: item.path):
        tests = list(of_one_file)
        order += tests
        gone += len(tests)
        due = len(few) * gone // len(many)
        order += few[placed:due]
        placed = due
    return order + few[placed:]
