"""What the status page asks: the right rows, and never at the cost of all of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from layerwatch.errors import Code, Final
from layerwatch.ledger import Ledger, iso
from layerwatch.ledger import reports as rooms
from layerwatch.ledger.reports import Leaf

from .builders import T0, claimed, faulted, passing, record, refusal, sqlite_alone, sqlite_connection, version, watched


def ids(leaf: Leaf) -> list[int]:
    return [row.id for row in leaf.rows]


def every(ledger: Ledger, limit: int, **narrowed: Any) -> list[int]:
    """All rows, leaf by leaf."""
    found: list[int] = []
    leaf = ledger.reports.leaf(limit, **narrowed)
    while True:
        found += ids(leaf)
        if leaf.older is None:
            return found
        leaf = ledger.reports.leaf(limit, before=leaf.older, **narrowed)


@pytest.fixture
def mixed(ledger: Ledger) -> Ledger:
    """Files 1 to 9: every third in `other`, 8 and 9 skipped."""
    watched(ledger, "drop", "other")
    for number in range(1, 8):
        folder = "other" if number % 3 == 0 else "drop"
        record(ledger, version(f"/{folder}/{number}.png", b"%d" % number, folder=folder))
    record(ledger, refusal("/drop/8.txt"))
    record(ledger, replace(refusal("/other/9.txt"), folder="other"))
    return ledger


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 10])
def test_leaf_by_leaf_every_row_comes_once_the_latest_first(mixed: Ledger, limit: int) -> None:
    assert every(mixed, limit) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert every(mixed, limit, status="queued") == [7, 6, 5, 4, 3, 2, 1]
    assert every(mixed, limit, folder="other") == [9, 6, 3]
    assert every(mixed, limit, folder="other", status="queued") == [6, 3]
    assert every(mixed, limit, folder="nowhere") == []


def test_the_last_leaf_leads_nowhere(mixed: Ledger) -> None:
    assert mixed.reports.leaf(9).older is None
    assert mixed.reports.leaf(8).older == 2
    assert mixed.reports.leaf(3, before=4).older is None
    assert mixed.reports.leaf(3, before=1) == Leaf([], None)


@pytest.mark.parametrize("reach", [1, 2, 3, 4, 8, 9])
def test_where_few_are_of_the_folder_a_leaf_may_be_short_and_the_next_goes_on(
    mixed: Ledger, monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    monkeypatch.setattr(rooms, "_NEAR", 1)
    monkeypatch.setattr(rooms, "_REACH", reach)
    assert len(mixed.reports.leaf(5, folder="other").rows) == -(-reach // 3)
    assert every(mixed, 5, folder="other") == [9, 6, 3]
    assert every(mixed, 1, folder="other", status="queued") == [6, 3]


def test_postponed_are_those_that_wait_for_their_time_the_soonest_first(ledger: Ledger) -> None:
    watched(ledger, "drop", "other")
    for number, folder in enumerate(("drop", "other", "drop")):
        record(ledger, version(f"/{folder}/{number}.png", b"%d" % number, folder=folder))
        error = passing()
        error.after_s = 300.0 - 100 * number
        faulted(ledger, claimed(ledger), error)
    record(ledger, version("/drop/untried.png", b"untried"))
    record(ledger, version("/drop/failed.png", b"failed"), now=T0 - 1)
    faulted(ledger, claimed(ledger, T0), Final(Code.REJECTED, "no"))

    def postponed(*folders: str, now: float = T0, limit: int = 9) -> list[int]:
        return [row.id for row in ledger.reports.postponed(folders, iso(now), limit)]

    assert postponed("drop", "other") == [3, 2, 1]
    assert postponed("drop", "other", limit=2) == [3, 2]
    assert postponed("drop", "other", now=T0 + 150) == [2, 1]
    assert postponed("other") == [2]
    assert postponed() == []


# --- at what cost -----------------------------------------------------------------------------------------------------

FEW, MANY = 2_000, 20_000


def _fill(ledger: Ledger, rows: int) -> None:
    """That many files, one in a thousand of them queued and of another folder, and as many generations."""
    with ledger._store.write() as connection:
        connection.execute("DELETE FROM files")
        connection.execute("DELETE FROM generations")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO files (id, folder, path, dir, size, mtime_ns, inode, hash, status, error_code,"
            " next_attempt_at, created_at, updated_at)"
            " SELECT i, iif(i % 1000, 'drop', 'other'), '/drop/' || i, '/drop', 1, 1, i, i,"
            " CASE i % 1000 WHEN 0 THEN 'queued' WHEN 1 THEN 'failed' ELSE 'uploaded' END, 'network',"
            " iif(i % 1000, NULL, ?), ?, ? FROM n",
            (rows, iso(T0 + 60), iso(T0), iso(T0)),
        )
        connection.execute(
            "INSERT INTO generations (id, folder, rule, kind, status, path, created_at, updated_at, booked_at, booked)"
            " SELECT id, folder, 'restyle', 'inference', CASE status WHEN 'queued' THEN 'blocked' WHEN 'failed' THEN"
            " 'failed' ELSE 'complete' END, path, created_at, updated_at, created_at, 1 FROM files"
        )


QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "latest files": lambda ledger: ledger.reports.leaf(50),
    "older files": lambda ledger: ledger.reports.leaf(50, before=1500),
    "uploaded files": lambda ledger: ledger.reports.leaf(50, status="uploaded"),
    "files of the folder": lambda ledger: ledger.reports.leaf(50, folder="drop"),
    "latest generations": lambda ledger: ledger.stories.latest(24),
}
BY_INDEX: dict[str, Callable[[Ledger], object]] = {
    "oldest queued": lambda ledger: ledger.gauges.oldest_queued(["drop", "other"]),
    "failed files": lambda ledger: ledger.reports.leaf(50, status="failed"),
    "postponed": lambda ledger: ledger.reports.postponed(["drop", "other"], iso(T0), 10),
    "failed generations": lambda ledger: ledger.stories.newest("failed", 10),
    "held back": lambda ledger: ledger.stories.held_back(),
}


def _steps(ledger: Ledger, question: Callable[[Ledger], object]) -> int:
    """What SQLite does to answer, in hundreds of instructions."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite_connection(ledger)
    connection.set_progress_handler(count, 100)
    question(ledger)
    connection.set_progress_handler(None, 0)
    return steps


@sqlite_alone
def test_no_answer_costs_more_in_a_larger_ledger(ledger: Ledger) -> None:
    """The first kind costs the same; the second as much as there is to tell, which is a thousandth of all rows."""
    _fill(ledger, FEW)
    few = {name: _steps(ledger, question) for name, question in (QUESTIONS | BY_INDEX).items()}
    _fill(ledger, MANY)
    many = {name: _steps(ledger, question) for name, question in (QUESTIONS | BY_INDEX).items()}
    assert {name: many[name] for name in QUESTIONS if many[name] > 1.2 * few[name] + 2} == {}
    assert {name: many[name] for name in BY_INDEX if many[name] > MANY // 1000 + 20} == {}


@sqlite_alone
def test_the_cost_is_measured_by_something_that_grows(ledger: Ledger) -> None:
    """Of a question that does look at all rows."""
    _fill(ledger, FEW)
    few = _steps(ledger, lambda ledger: ledger.reports.files(limit=50))
    _fill(ledger, MANY)
    assert _steps(ledger, lambda ledger: ledger.reports.files(limit=50)) > 5 * few


@sqlite_alone
def test_a_folder_that_has_few_files_costs_no_more_than_its_reach(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(ledger, MANY)
    whole = _steps(ledger, lambda ledger: ledger.reports.leaf(50, folder="other"))
    monkeypatch.setattr(rooms, "_REACH", MANY // 10)
    assert _steps(ledger, lambda ledger: ledger.reports.leaf(50, folder="other")) < whole / 5
