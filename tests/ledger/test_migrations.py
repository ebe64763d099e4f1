"""Every ledger is brought to the present form, once, whoever comes first; what was promised of its tables is there."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from layerwatch.errors import UserError
from layerwatch.ledger import Ledger, schema

from .builders import everything, raw, version

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
