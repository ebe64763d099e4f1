"""`layerwatch ledger migrate`: a whole ledger from a file to a server and back, all of it or nothing."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from layerwatch.cli import cli
from layerwatch.ledger import Ledger, Lock, migrating
from layerwatch.ledger.transfer import tables

from .conftest import HOSTILE, Place

SEEN = """INSERT INTO layerwatch.hosts (instance, name, pid, version, backend, lease_s)
VALUES ('x', 'render-9', 1, '0', 0, 60)"""


def migrate(place: Place, target: str, *more: str) -> Result:
    return CliRunner().invoke(cli, ["ledger", "migrate", "-c", str(place.config), "--to", target, *more])


def failed(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert [word for word in words if word not in result.stderr] == []


def dump(path: str) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in it, with bytes as bytes, read by SQLite alone."""
    with closing(sqlite3.connect(path)) as connection:
        asked = {table.name: f"SELECT * FROM {table.name}" for table in tables()}
        return {name: sorted(connection.execute(sql).fetchall(), key=repr) for name, sql in asked.items()}


def count(path: str) -> int:
    return sum(map(len, dump(path).values()))


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def count_there(url: str) -> int:
    return sum(run(url, f"SELECT count(*) FROM layerwatch.{table.name}")[0][0] for table in tables())


@pytest.fixture
def filled(tmp_path: Path) -> Place:
    """Something in every table, and names that are not UTF-8 wherever there are names."""
    place, now = Place(tmp_path.resolve()), time.time()
    with place.open() as ledger:
        place.watched(ledger)
        ledger.facts.note("workspace", "5a9db0c5", now)
        place.complete(ledger, "done.png")
        job = place.running(ledger, HOSTILE)
        ledger.following.intend(job, 1, place.write(f"generated/{HOSTILE}"), "0" * 64, 1)
        ledger.following.saved(job, 1)
        ledger.following.completed(job, [{"url": "https://x"}], 0.1 + 0.2, None, now, deliver=True)
        place.unknown(ledger, "unknown.png")
        place.waiting(ledger, f"lone{HOSTILE}")
        place.failing(ledger, "failing.png", charged=2)
        place.blocked(ledger, "blocked.png")
        assert ledger.firing.retry([place.failing(ledger, "again.png", price=1 / 3)], now, now + 60)
        place.refuse(ledger, "notes.txt", message="it is \0 text")
        place.record(ledger, "failed.png", b"f")
        place.failure(ledger)
        place.waits(ledger, f"b{HOSTILE}")
        place.waits(ledger, "b.png")
        place.record(ledger, HOSTILE, b"another")
        place.claim(ledger, sent=1)
        ledger.pushes.add([place.write(f"p{HOSTILE}"), place.write("q.png")], None, now)
    assert [name for name, rows in dump(place.path).items() if not rows] == []
    return place


# --- there and back ---------------------------------------------------------------------------------------------------


def test_what_goes_there_and_back_is_what_it_was(filled: Place, database: str) -> None:
    before = dump(filled.path)
    there = migrate(filled, database)
    assert there.exit_code == 0, there.output
    back = str(filled.home / "back" / "ledger.db")
    result = migrate(filled, back, "--from", database)
    assert result.exit_code == 0, result.output
    # A database of theirs knows no character 0 in a text; nothing else may differ, not even the type of a value.
    expected = {
        name: [tuple(v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in row) for row in rows]
        for name, rows in before.items()
    }
    assert dump(back) == expected
    assert dump(filled.path) == before
    assert Path(back).stat().st_mode & 0o077 == 0


def test_what_is_told_is_what_is_there(filled: Place, database: str) -> None:
    result = migrate(filled, database, "--json")
    assert result.exit_code == 0, result.output
    told = {each["table"]: each["rows"] for each in json.loads(result.stdout)["tables"]}
    assert told == {name: len(rows) for name, rows in dump(filled.path).items()}
    assert told == {name: run(database, f"SELECT count(*) FROM layerwatch.{name}")[0][0] for name in told}


def test_both_answer_alike_and_go_on_with_the_next_number(filled: Place, database: str) -> None:
    migrate(filled, database)
    with filled.open() as one, Ledger(database, create=False) as other:
        told = [replace(row, error=row.error and row.error.replace("\0", "\ufffd")) for row in one.reports.files()]
        assert other.reports.files() == told
        assert other.stories.some() == one.stories.some()
        assert other.stories.spend() == one.stories.spend()
        assert filled.queued(other, "made.png") == max(row.id for row in one.stories.some()) + 1
        assert filled.record(other, "next.png", b"next").id == max(row.id for row in one.reports.files()) + 2


def test_one_that_was_never_used_can_be_moved_as_well(tmp_path: Path, database: str) -> None:
    place = Place(tmp_path.resolve())
    place.open().close()
    assert migrate(place, database).exit_code == 0
    with Ledger(database) as ledger:
        assert place.record(ledger, "first.png").id == 1


# --- what is refused --------------------------------------------------------------------------------------------------


def test_not_while_a_daemon_works_on_the_source(filled: Place, database: str) -> None:
    lock = filled.runs()
    try:
        failed(migrate(filled, database), 3, "works on this ledger", "stop that one first")
    finally:
        lock.release()
    assert migrate(filled, database).exit_code == 0


def test_nor_on_a_target_that_is_a_server(filled: Place, database: str) -> None:
    Ledger(database).close()
    run(database, SEEN)
    failed(migrate(filled, database), 3, "on render-9", "stop it there first")
    run(database, "DELETE FROM layerwatch.hosts")
    assert migrate(filled, database).exit_code == 0
    run(database, SEEN)
    failed(migrate(filled, str(filled.home / "back.db"), "--from", database), 3, "on render-9")


def test_nor_on_a_target_that_is_a_file(filled: Place, database: str) -> None:
    migrate(filled, database)
    back = str(filled.home / "back.db")
    lock = Lock(back)
    try:
        failed(migrate(filled, back, "--from", database), 3, "works on this ledger")
    finally:
        lock.release()
    assert migrate(filled, back, "--from", database).exit_code == 0


def test_a_target_with_something_in_it_is_left_alone(filled: Place, database: str) -> None:
    migrate(filled, database)
    there = count_there(database)
    failed(migrate(filled, database), 2, "something in it", "DROP SCHEMA layerwatch CASCADE")
    assert count_there(database) == there
    back = str(filled.home / "back.db")
    migrate(filled, back)
    failed(migrate(filled, back, "--from", database), 2, "something in it", "move that one away")


def test_a_source_that_is_not_there_is_told_of_and_nothing_made(filled: Place, database: str) -> None:
    nowhere = filled.home / "nowhere.db"
    failed(migrate(filled, database, "--from", str(nowhere)), 2, "there is no ledger yet")
    assert not nowhere.exists()
    failed(migrate(filled, filled.path), 2, "name another place")


def test_of_a_file_that_was_not_there_nothing_is_left_when_it_fails(filled: Place, database: str) -> None:
    migrate(filled, database)
    run(database, "ALTER TABLE layerwatch.files ALTER path DROP NOT NULL; UPDATE layerwatch.files SET path = NULL")
    (filled.home / "there").mkdir()
    before = sorted(filled.home.rglob("*"))
    for back in ("back.db", "new/deep/back.db", "there/back.db"):
        failed(migrate(filled, str(filled.home / back), "--from", database), 1, "cannot be copied")
        assert sorted(filled.home.rglob("*")) == before


def test_but_what_others_have_put_there_meanwhile_is(tmp_path: Path) -> None:
    new = tmp_path / "new"
    pushed, held, neither = (str(new / name) for name in ("pushed.db", "held.db", "neither.db"))

    def fails(path: str, meanwhile: Callable[[], object]) -> None:
        missing = migrating._missing(path)
        with suppress(ZeroDivisionError), migrating._taken_back(missing, path):
            Ledger(path).close()
            meanwhile()
            _ = 1 / 0

    def push() -> None:
        with Ledger(pushed) as ledger:
            ledger.pushes.add(["/a.png"], None, 0.0)

    locks: list[Lock] = []
    fails(pushed, push)
    fails(held, lambda: locks.append(Lock(held)))
    fails(neither, (new / "other").touch)
    locks[0].release()
    left = sorted(each.name for each in new.iterdir() if not each.name.endswith(".lock"))
    assert left == ["held.db", "other", "pushed.db"]


def test_a_password_in_an_address_that_is_refused_is_not_said(filled: Place) -> None:
    for target in ("postgresql://u:VERYSECRET/x@127.0.0.1/d", "postgresql://u:VERYSECRET@127.0.0.1:1/d", "mysql://x"):
        result = migrate(filled, target)
        assert result.exit_code in (1, 2)
        assert "VERYSECRET" not in result.output
        assert result.stderr


# --- a copy that is damaged -------------------------------------------------------------------------------------------


def test_a_server_that_keeps_something_else_is_found_out(filled: Place, database: str) -> None:
    Ledger(database).close()
    run(
        database,
        "CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.mtime_ns := NEW.mtime_ns + 1; RETURN NEW; END $$;"
        "CREATE TRIGGER lies BEFORE INSERT ON layerwatch.files FOR EACH ROW EXECUTE FUNCTION lie()",
    )
    failed(migrate(filled, database), 1, "table files", "nothing was left there")
    assert count_there(database) == 0
    run(database, "DROP TRIGGER lies ON layerwatch.files")
    assert migrate(filled, database).exit_code == 0


@pytest.mark.parametrize(
    "lie",
    [
        "DELETE FROM history WHERE id = 1",
        "UPDATE generations SET price = 0.3 WHERE price IS NOT NULL",
        "UPDATE files SET path = 'x' || id WHERE id = 1",
    ],
)
def test_so_is_a_file_that_does(lie: str, filled: Place, database: str) -> None:
    migrate(filled, database)
    back = str(filled.home / "back.db")
    Ledger(back).close()
    with closing(sqlite3.connect(back)) as connection, connection:
        connection.execute(f"CREATE TRIGGER lies AFTER INSERT ON pushed BEGIN {lie}; END")
    failed(migrate(filled, back, "--from", database), 1, "rows were written", "nothing was left there")
    assert count(back) == 0
