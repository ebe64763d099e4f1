"""No question of PostgreSQL walks through a large ledger: by the plans that it really used, however much or little it
knows of its tables."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg
import pytest

from layerwatch.ledger import Ledger
from layerwatch.source import Identity
from tests.postgres import Server

from . import test_deliveries, test_firing, test_following, test_leaves, test_planning
from .builders import T0, WORKSPACE, claimed, faulted, passing, record, refusal, upload, version
from .large import Work, fill, forget_the_queue, work

MOST = 300  # pages for one statement; `files` has 5,000, its larger indexes have 1,000
Questions = Mapping[str, Callable[[Ledger], object]]
new = map(str, itertools.count(1))


def found() -> Any:
    name = next(new)
    return version(f"/drop/new/{name}.png", name.encode())


def on_deliveries(ask: Callable[[Any], object]) -> Callable[[Ledger], object]:
    return lambda ledger: ask(ledger.deliveries)


HOT: Questions = {
    "claim": lambda ledger: claimed(ledger, claim=next(new)),
    "known": lambda ledger: ledger.files.known("/drop/shot7"),
    "is_known": lambda ledger: ledger.files.is_known("/drop/shot7/707.png", Identity(1, 1, 1)),
    "unfinished": lambda ledger: ledger.files.unfinished(),
    "a new file": lambda ledger: record(ledger, found()),
    "a new version": lambda ledger: record(ledger, version("/drop/shot7/707.png", next(new).encode())),
    "a refusal": lambda ledger: record(ledger, refusal(f"/drop/new/{next(new)}.png")),
    "an upload": upload,
    "a fault": lambda ledger: faulted(ledger, claimed(ledger), passing()),
}
OTHERS: Questions = {
    "claim of one that was begun": lambda ledger: ledger.files.claim("me", WORKSPACE, T0, begun=True),
    "next_due": lambda ledger: ledger.files.next_due(),
    "next_due of one that was begun": lambda ledger: ledger.files.next_due(begun=True),
    "claim of what was pushed": lambda ledger: ledger.files.claim("me", WORKSPACE, T0, pushes=range(100, 110)),
    "a refused file that becomes whole": lambda ledger: record(ledger, refusal("/drop/x.png"), version("/drop/x.png")),
    "a file that is seen again": lambda ledger: record(ledger, version("/drop/x.png", mtime_ns=int(next(new)))),
    "what is to be done with a file": lambda ledger: ledger.finishing.claim("me", T0),
    "pushes": lambda ledger: (ledger.pushes.untaken(0, 50), ledger.pushes.unfinished()),
    "what came of pushes": lambda ledger: ledger.pushes.outcomes(range(100, 110)),
    "the queue's oldest": lambda ledger: (ledger.gauges.oldest_queued(["drop"]), ledger.reports.oldest_queued()),
    "one file": lambda ledger: (ledger.reports.file(5), ledger.reports.history(5), ledger.reports.known(5)),
    "versions": lambda ledger: ledger.reports.versions("/drop/shot7/707.png"),
    "a page of an audit": lambda ledger: next(ledger.reports.with_status("uploaded")),
    "the last attempt": lambda ledger: ledger.reports.last_attempt_at(),
    "generations of a path": lambda ledger: ledger.stories.of_path("/drop/shot7/707.png"),
    "one generation": lambda ledger: (ledger.stories.one(5), ledger.stories.inputs(5), ledger.stories.history(5)),
    "spend since then": lambda ledger: ledger.stories.spend("2025-05-18"),
}
# Those of which SQLite's plans are tested. To recover is to look at all that is on its way, once.
AS_ON_SQLITE: Questions = {
    **{f"firing: {name}": ask for name, ask in test_firing.QUESTIONS.items() if name != "recover"},
    **{f"following: {name}": ask for name, ask in test_following.QUESTIONS.items()},
    **{f"planning: {name}": ask for name, ask in test_planning.QUESTIONS.items()},
    **{f"deliveries: {name}": on_deliveries(ask) for name, ask in test_deliveries.QUESTIONS.items()},
    **{f"a leaf: {name}": ask for name, ask in test_leaves.QUESTIONS.items()},
}


@pytest.fixture(scope="module")
def large(postgres: Server) -> Iterator[tuple[Ledger, psycopg.Connection[Any]]]:
    """A large ledger of which the server has no statistics, as after a first scan; and a superuser's connection."""
    name = postgres.create()
    with closing(postgres.administer(name)) as connection:
        fill(postgres.url(name), connection)
        with Ledger(postgres.url(name)) as ledger:
            yield ledger, connection
    postgres.drop(name)


def costly(ledger: Ledger, questions: Questions, times: int = 3) -> dict[str, list[Work]]:
    """Those that look at too much, and the statements that do."""
    found: dict[str, list[Work]] = {}
    for name, ask in questions.items():
        works = [each for _ in range(times) for each in work(ledger, ask) if each.pages > MOST or each.walked]
        if works:
            found[name] = works
    return found


def test_no_question_walks_through_a_large_ledger(large: tuple[Ledger, psycopg.Connection[Any]]) -> None:
    ledger, connection = large
    assert costly(ledger, HOT, 12) == {}, "nobody knows anything: from the sixth time on by plans that are kept"

    forget_the_queue(connection)
    claimed(ledger)  # before anybody goes on to claim one it is asked whether there is any: not as quick, and once
    assert costly(ledger, HOT, 12) == {}, "a minute ago there was no queue"

    connection.execute("VACUUM ANALYZE")
    assert costly(ledger, {**HOT, **OTHERS}) == {}, "ten thousand queued files came last"

    connection.execute("UPDATE layerwatch.files SET status = 'uploaded' WHERE dir = '/drop/late'")
    connection.execute("VACUUM ANALYZE")
    assert costly(ledger, AS_ON_SQLITE) == {}


def test_files_are_counted_by_indexes_where_the_server_has_tidied_up(
    large: tuple[Ledger, psycopg.Connection[Any]],
) -> None:
    ledger, connection = large
    connection.execute("VACUUM ANALYZE")
    (counting,) = work(ledger, lambda ledger: ledger.reports.counts())
    assert not counting.walked


def test_what_walks_through_it_is_told(large: tuple[Ledger, psycopg.Connection[Any]]) -> None:
    """Of a question that does look at all rows."""
    ledger, _ = large
    (counting,) = work(ledger, lambda ledger: ledger._store.rows("SELECT count(*) FROM files WHERE size = 7"))
    assert counting.walked == ("files",)
    assert counting.pages > 2000
