"""What was pushed: recorded in order, taken once, in one commit with the file, and its outcome told."""

import os
import sqlite3
from contextlib import closing
from typing import cast

import pytest

from layerwatch.errors import Code
from layerwatch.ledger import Ledger, Push, schema
from layerwatch.states import Event

from .builders import T0, WORKSPACE, claimed, raw, record, refusal, sqlite_alone, stored, version


def pushed(ledger: Ledger, *paths: str, folder: str | None = None) -> list[Push]:
    ids = ledger.pushes.add(paths, folder, T0)
    return [push for push in ledger.pushes.untaken(0, 100) if push.id in ids]


def test_numbers_follow_each_other_and_the_oldest_come_first(ledger: Ledger) -> None:
    assert ledger.pushes.add(["/a", "/b"], None, T0) == range(1, 3)
    assert ledger.pushes.add(["/c"], "drop", T0) == range(3, 4)
    assert ledger.pushes.add([], None, T0) == range(0)
    assert ledger.pushes.untaken(0, 2) == [Push(1, "/a", None, T0), Push(2, "/b", None, T0)]
    assert ledger.pushes.untaken(2, 2) == [Push(3, "/c", "drop", T0)]


def test_a_name_that_is_not_utf_8_comes_back_as_it_was(ledger: Ledger) -> None:
    name = os.fsdecode(b"/\xff.png")
    ledger.pushes.add([name], None, T0)
    assert ledger.pushes.untaken(0, 1)[0].path == name
    assert ledger.pushes.outcomes(range(1, 2))[0].path == name


def test_what_is_taken_is_a_file_and_not_taken_again(ledger: Ledger) -> None:
    (push,) = pushed(ledger, "/drop/a.png")
    assert ledger.pushes.unfinished()
    (row,) = ledger.pushes.taken([(push, version())], T0)
    assert row.event is Event.SEEN
    assert not ledger.pushes.unfinished()
    assert ledger.pushes.untaken(0, 1) == []
    (outcome,) = ledger.pushes.outcomes(range(1, 2))
    assert (outcome.status, outcome.file, outcome.settled) == ("queued", row.id, False)
    stored(ledger, claimed(ledger))
    (outcome,) = ledger.pushes.outcomes(range(1, 2))
    assert (outcome.status, outcome.file_id, outcome.settled) == ("uploaded", "file-1", True)


def test_what_the_folder_has_found_already_gets_no_second_row(ledger: Ledger) -> None:
    (found,) = record(ledger, version())
    pushes = pushed(ledger, "/drop/a.png", "/drop/a.png")
    rows = ledger.pushes.taken([(push, version()) for push in pushes], T0)
    assert [(row.id, row.event) for row in rows] == [(found.id, None)] * 2


def test_all_of_a_commit_or_nothing(ledger: Ledger, path: str) -> None:
    one, two = pushed(ledger, "/drop/a.png", "/drop/b.png")
    broken = version("/drop/b.png")._replace(folder=cast("str", object()))
    with pytest.raises(Exception, match="type 'object'"):
        ledger.pushes.taken([(one, version()), (two, broken)], T0)
    assert raw(path, "SELECT count(*) FROM files") == [(0,)]
    assert len(ledger.pushes.untaken(0, 9)) == 2


def test_a_refusal_is_a_skipped_file_and_what_is_no_file_is_refused(ledger: Ledger) -> None:
    one, two = pushed(ledger, "/drop/a.png", "/drop/gone.png")
    ledger.pushes.taken([(one, refusal())], T0)
    ledger.pushes.refused(two, Code.VANISHED, "the file is gone", T0)
    skipped, refused = ledger.pushes.outcomes(range(1, 3))
    assert (skipped.status, skipped.error_code, skipped.settled, skipped.refused) == (
        "skipped", "incomplete", True, False,
    )  # fmt: skip
    assert (refused.status, refused.error_code, refused.error, refused.settled) == (
        None, "vanished", "the file is gone", True,
    )  # fmt: skip


def test_only_what_was_pushed_may_be_claimed_whatever_is_known_of_its_folder(ledger: Ledger) -> None:
    record(ledger, version("/drop/first.png", b"first"))
    (push,) = pushed(ledger, "/elsewhere/a.png")
    ledger.pushes.taken([(push, version("/elsewhere/a.png", b"a", folder="away"))], T0)
    job = ledger.files.claim("c", WORKSPACE, T0, pushes=range(1, 2))
    assert job
    assert job.path == "/elsewhere/a.png"
    assert ledger.files.claim("d", WORKSPACE, T0, pushes=range(1, 2)) is None
    assert ledger.files.claim("d", WORKSPACE, T0, pushes=range(2, 9)) is None


def test_old_ones_are_forgotten_once_they_are_taken(ledger: Ledger) -> None:
    one, _ = pushed(ledger, "/drop/a.png", "/drop/b.png")
    ledger.pushes.taken([(one, version())], T0)
    ledger.pushes.forget(T0)
    assert len(ledger.pushes.outcomes(range(1, 3))) == 2
    ledger.pushes.forget(T0 + 1)
    assert [outcome.id for outcome in ledger.pushes.outcomes(range(1, 3))] == [2]


@sqlite_alone
def test_an_older_ledger_gets_the_table(path: str) -> None:
    with Ledger(path) as ledger:
        record(ledger, version())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE pushed")
        connection.execute("ALTER TABLE files DROP COLUMN outside")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'third'")
        connection.execute("PRAGMA user_version = 2")
    with Ledger(path) as ledger:
        ledger.pushes.add(["/a"], None, T0)
    assert raw(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert raw(path, "SELECT outside FROM files") == [(0,)]
