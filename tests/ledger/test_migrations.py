"""Every ledger is brought to the present form, once, whoever comes first; what was promised of its tables is there."""

import hashlib
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database, Migrations

from layerwatch.errors import UserError
from layerwatch.ledger import FolderState, Ledger, schema

from .builders import (
    T0,
    WORKSPACE,
    arrive,
    book,
    everything,
    planned_for,
    raw,
    shown,
    taken,
    version,
)


@pytest.fixture
def engine() -> str:
    """PostgreSQL has its own: test_postgres_store."""
    return "sqlite"


PROMISED = {
    "files": "id, folder, path, size, mtime_ns, hash, content_type, status, file_id, error_code, error, attempts,"
    " bytes_sent, next_attempt_at, created_at, updated_at, uploaded_at",
    "generations": "id, folder, rule, kind, status, remote_id, request, estimated_price, price, error_code, error,"
    " outputs, created_at, updated_at, completed_at",
    "generation_inputs": "generation_id, file, role",
}


@pytest.mark.parametrize("table", PROMISED)
def test_the_columns_that_were_promised_are_there(path: str, table: str) -> None:
    Ledger(path).close()
    assert raw(path, f"SELECT {PROMISED[table]} FROM {table}") == []


def test_a_new_ledger_is_of_this_version_in_wal_mode_and_sound(path: str) -> None:
    Ledger(path).close()
    assert raw(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert raw(path, "PRAGMA journal_mode") == [("wal",)]
    assert raw(path, "PRAGMA integrity_check") == [("ok",)]


def test_opening_again_changes_nothing(path: str) -> None:
    with Ledger(path) as ledger:
        ledger.files.record([version()], 0.0)
    before = everything(path), raw(path, "SELECT * FROM sqlite_master")
    Ledger(path).close()
    assert (everything(path), raw(path, "SELECT * FROM sqlite_master")) == before


def test_an_empty_file_becomes_a_ledger(path: str) -> None:
    Path(path).touch()
    with Ledger(path, create=False) as ledger:
        assert ledger.reports.counts()["queued"] == 0


def test_many_that_open_a_new_ledger_at_once_all_get_it(tmp_path: Path) -> None:
    for round_ in range(8):
        path, barrier = str(tmp_path / f"{round_}.db"), threading.Barrier(8)
        faults: list[BaseException] = []

        def work(path: str, barrier: threading.Barrier, faults: list[BaseException]) -> None:
            barrier.wait()
            try:
                with Ledger(path) as ledger:
                    ledger.facts.note("here", 1, 0.0)
            except BaseException as fault:  # noqa: BLE001  told by the thread that waits
                faults.append(fault)

        threads = [threading.Thread(target=work, args=(path, barrier, faults)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []


def test_a_step_that_breaks_off_leaves_nothing_behind(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = schema._FIRST
    monkeypatch.setattr(schema, "_FIRST", whole + ";\nCREATE TABLE files (again TEXT);\n")
    with pytest.raises(UserError, match="already exists"):
        Ledger(path)
    assert raw(path, "SELECT * FROM sqlite_master") == []
    monkeypatch.setattr(schema, "_FIRST", whole)
    Ledger(path).close()


def test_a_ledger_of_a_newer_layerwatch_is_left_as_it_is(path: str) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = Path(path).read_bytes()
    with pytest.raises(UserError, match="newer layerwatch") as caught:
        Ledger(path)
    assert "upgrade layerwatch" in caught.value.problems[0].fix
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("user_version", [0, schema.VERSION])
def test_somebody_elses_database_is_refused_and_left_as_it_is(path: str, user_version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
        connection.execute(f"PRAGMA user_version = {user_version}")
        connection.commit()
    before = Path(path).read_bytes()
    with pytest.raises(UserError, match="not a layerwatch ledger"):
        Ledger(path)
    assert Path(path).read_bytes() == before


# --- from version 1 ---------------------------------------------------------------------------------------------------

RELEASED = {"_FIRST": "1da7d4ab2cc17d7844cec704c90870e3a24f87d8975d8ec82a371b311c14211a"}
ODD = b"/drop/\xff.png"
AT = "2025-06-15T15:06:40.000000Z"
FILES = (
    # id, path, hash, status, file_id, error_code, bytes_sent, next_attempt_at, uploaded_at, aftermath
    (1, "/drop/a.png", "aa", "uploaded", "f1", None, 5, None, AT, None),
    (2, "/drop/b.png", "bb", "uploaded", "f2", None, 5, AT, AT, "pending"),
    (3, "/drop/c.png", "cc", "queued", None, "network", 2, AT, None, None),
    (4, ODD, "dd", "uploading", None, None, 3, AT, None, None),
    (5, "/drop/e.png", "ee", "failed", None, "rejected", 0, None, None, None),
    (6, "/drop/f.png", None, "skipped", None, "empty", 0, None, None, None),
)


@pytest.mark.parametrize("step", RELEASED)
def test_a_step_that_was_released_is_never_changed(step: str) -> None:
    assert hashlib.sha256(getattr(schema, step).encode()).hexdigest() == RELEASED[step]


def version_1(path: str) -> None:
    """As version 1 left it, with something in each of its tables."""
    migrations = Migrations("layerwatch")

    @migrations()
    def first(db: Database) -> None:
        schema._run(db, schema._FIRST)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        migrations.apply(Database(connection))
        connection.execute("PRAGMA user_version = 1")
        connection.executemany(
            "INSERT INTO files (id, path, hash, status, file_id, error_code, bytes_sent, next_attempt_at, uploaded_at,"
            " aftermath, folder, dir, size, mtime_ns, inode, crc32c, content_type, workspace_id, verified, created_at,"
            " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'drop', '/drop', 5, 1, 7, 9, 'image/png',"
            f" '{WORKSPACE}', 'crc32c', '{AT}', '{AT}')",
            FILES,
        )
        for table, row in (
            ("sessions", (3, "https://storage/secret", "f3", "image/png", "2030-01-01T00:00:00.000000Z")),
            ("history", (1, "file", 1, AT, "seen", "queued", None, None)),
            ("history", (2, "file", 1, AT, "claimed", "uploading", None, None)),
            ("folders", ("drop", "/drop", "watching", "", AT, AT, 0, 0, "/", AT)),
            ("candidates", ("/drop/x.png", "drop", 5, "still written", AT, AT)),
            ("notes", ("daemon", '{"pid": 1}', AT)),
        ):
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        connection.execute("COMMIT")


def kept(path: str) -> dict[str, list[tuple[Any, ...]]]:
    """All that version 1 had columns for."""
    with closing(sqlite3.connect(":memory:")) as before:
        before.executescript(schema._FIRST)
        tables = [name for (name,) in before.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {table: [row[1] for row in before.execute(f"PRAGMA table_info({table})")] for table in tables}
    return {table: raw(path, f"SELECT {', '.join(names)} FROM {table} ORDER BY 1") for table, names in columns.items()}


def test_a_ledger_of_version_1_keeps_all_its_rows(path: str) -> None:
    version_1(path)
    before = kept(path)
    assert {table for table, found in before.items() if not found} == {"generations", "generation_inputs"}
    Ledger(path, create=False).close()
    assert kept(path) == before
    assert raw(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert raw(path, "PRAGMA integrity_check") == [("ok",)]
    assert raw(path, "PRAGMA foreign_key_check") == []


def test_a_ledger_of_version_1_becomes_what_a_new_one_is(path: str, tmp_path: Path) -> None:
    version_1(path)
    new = str(tmp_path / "new.db")
    for each in (path, new):
        Ledger(each).close()
    shape = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    assert raw(path, shape) == raw(new, shape)


def test_a_ledger_of_version_1_goes_on_with_what_it_had_begun(path: str) -> None:
    version_1(path)
    with Ledger(path) as ledger:
        assert ledger.files.recover(T0) == [4]
        job = ledger.files.claim("me", WORKSPACE, T0)
        assert job is not None
        assert job.session is not None
        assert (job.id, job.session.uri, job.bytes_sent) == (3, "https://storage/secret", 2)
        finishing = ledger.finishing.claim("me", T0)
        assert finishing is not None
        assert finishing.id == 2


def test_what_version_1_had_uploaded_fires_nothing_and_serves_as_an_input(path: str) -> None:
    version_1(path)
    with Ledger(path) as ledger:
        assert ledger.planning.pending(["drop"], 9) == []
        assert not ledger.planning.unfinished()
        depth = ledger.planning.exactly("drop", "b.png", "/drop/b.png")
        assert depth is not None
        assert (depth.id, depth.file_id, depth.depth) == (2, "f2", 0)
        ledger.facts.folder("drop", "/drop", FolderState.AWAY, T0, detail="", mount="/")
        ledger.facts.folder("new", "/new", FolderState.WATCHING, T0, detail="", mount="/")
        seen = shown(ledger, arrive(ledger, "/new/a.png", b"new", folder="new"))
        ledger.planning.plan(seen, [planned_for(seen, companions={"depth": depth})], T0)
        assert book(ledger, taken(ledger), 1.0) is None


OPEN = """
import sys
from layerwatch.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
with Ledger(sys.argv[1]) as ledger:
    print(sum(ledger.reports.counts().values()), sum(ledger.stories.counts().values()))
"""


def test_processes_that_open_a_ledger_of_version_1_at_once_all_get_it(path: str) -> None:
    version_1(path)
    before = kept(path)
    command = [sys.executable, "-c", OPEN, path]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["6 0\n"] * 4
    assert kept(path) == before
    assert raw(path, "SELECT count(*) FROM _sqlite_migrations") == [(schema.VERSION,)]


def test_an_upgrade_that_breaks_off_leaves_version_1_as_it_was(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version_1(path)
    before = kept(path), raw(path, "SELECT * FROM sqlite_master")
    whole = schema._SECOND
    monkeypatch.setattr(schema, "_SECOND", whole + ";\nCREATE TABLE files (again TEXT);\n")
    with pytest.raises(UserError, match="already exists"):
        Ledger(path)
    assert (kept(path), raw(path, "SELECT * FROM sqlite_master")) == before
    assert raw(path, "PRAGMA user_version") == [(1,)]
    monkeypatch.setattr(schema, "_SECOND", whole)
    Ledger(path).close()
    assert kept(path) == before[0]


# --- from version 3 ---------------------------------------------------------------------------------------------------


def version_3(path: str) -> None:
    """As version 3 left it, with a file in its queue."""
    version_1(path)
    migrations = Migrations("layerwatch")

    @migrations()
    def first(db: Database) -> None:
        pytest.fail("it was done before")

    @migrations()
    def second(db: Database) -> None:
        schema._run(db, schema._SECOND)

    @migrations()
    def third(db: Database) -> None:
        schema._run(db, schema._THIRD)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        migrations.apply(Database(connection))
        connection.execute("PRAGMA user_version = 3")
        connection.execute("COMMIT")


def test_a_ledger_of_version_3_becomes_what_a_new_one_is_and_keeps_its_rows(path: str, tmp_path: Path) -> None:
    version_3(path)
    before, new = kept(path), str(tmp_path / "new.db")
    for each in (path, new):
        Ledger(each).close()
    shape = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    assert raw(path, shape) == raw(new, shape)
    assert kept(path) == before
    assert raw(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert raw(path, "PRAGMA integrity_check") == [("ok",)]


def test_of_what_version_3_had_queued_nobody_knows_since_when_it_lay_there(path: str) -> None:
    version_3(path)
    with Ledger(path) as ledger:
        job = ledger.files.claim("me", WORKSPACE, T0)
        assert job is not None
        assert (job.id, job.seen_at) == (3, None)
        ledger.files.record([version("/drop/new.png", b"new")], T0)
        new = ledger.files.claim("me", WORKSPACE, T0)
        assert new is not None
        assert new.seen_at == T0
