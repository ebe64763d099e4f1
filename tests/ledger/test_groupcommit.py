"""Threads that write at the same time share their commits, and nothing else."""

import sqlite3
import struct
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import GroupCommit, Ledger, connecting, groupcommit

from .builders import at_once

FRAME_HEAD, WAL_HEAD = 24, 32


def commits(path: str) -> int:
    """How many frames of the write-ahead log end a transaction. Its header is salted anew by each checkpoint."""
    raw = Path(f"{path}-wal").read_bytes()
    if not raw:
        return 0
    page_size, salt = struct.unpack(">I", raw[8:12])[0], raw[16:24]
    frames = [raw[at : at + FRAME_HEAD] for at in range(WAL_HEAD, len(raw), FRAME_HEAD + page_size)]
    return sum(frame[8:16] == salt and struct.unpack(">I", frame[4:8])[0] > 0 for frame in frames)


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "ledger.db")
    Ledger(path).close()
    return path


def note(group: GroupCommit, key: str, value: int) -> None:
    with group.write() as connection:
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, '')", (key, str(value)))


def in_vain(group: GroupCommit, key: str) -> None:
    with group.write() as connection:
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?, '', '')", (key,))
        raise KeyError


def test_who_comes_while_others_write_shares_their_commit_and_returns_when_it_is_made(path: str) -> None:
    group = GroupCommit(path, threading.Lock(), threading.Event)
    before = commits(path)

    def work(number: int) -> None:
        with closing(sqlite3.connect(path)) as reader:
            for value in range(100):
                note(group, str(number), value)
                asked = "SELECT value FROM notes WHERE key = ?"
                assert reader.execute(asked, (str(number),)).fetchone() == (str(value),)

    at_once(8, work)
    made = commits(path) - before
    assert 100 <= made < 600, "800 writes of 8 threads"
    group.close()


def test_one_alone_makes_its_own(path: str) -> None:
    group = GroupCommit(path, threading.Lock(), threading.Event)
    before = commits(path)
    for value in range(10):
        note(group, "a", value)
    assert commits(path) - before == 10
    group.close()


def test_what_one_does_in_vain_is_taken_back_alone(path: str) -> None:
    group = GroupCommit(path, threading.Lock(), threading.Event)

    def work(number: int) -> None:
        for value in range(50):
            if number % 2:
                note(group, str(number), value)
                continue
            with pytest.raises(KeyError):
                in_vain(group, str(number))
            with pytest.raises(sqlite3.IntegrityError), group.write() as connection:
                connection.execute("INSERT INTO notes VALUES ('none', NULL, '')")

    at_once(6, work)
    with closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT key, value FROM notes ORDER BY key").fetchall()
    assert rows == [("1", "49"), ("3", "49"), ("5", "49")]
    group.close()


def test_a_single_statement_that_fails_has_done_nothing_and_takes_nobody_with_it(path: str) -> None:
    group = GroupCommit(path, threading.Lock(), threading.Event)
    twice = "INSERT INTO notes VALUES (?, ?, ''), ('taken', '', '')"  # the second row breaks it, after the first
    note(group, "taken", 0)

    def work(number: int) -> None:
        for value in range(50):
            with group.write(single=True) as connection:
                connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, '')", (f"single {number}", value))
            with pytest.raises(sqlite3.IntegrityError), group.write(single=True) as connection:
                connection.execute(twice, (f"vain {number}", value))
            note(group, f"several {number}", value)

    at_once(6, work)
    with closing(sqlite3.connect(path)) as reader:
        rows = dict(reader.execute("SELECT key, value FROM notes").fetchall())
    kept = {f"{kind} {number}": "49" for kind in ("single", "several") for number in range(6)}
    assert {key: str(value) for key, value in rows.items()} == kept | {"taken": "0"}
    group.close()


@pytest.mark.parametrize("single", [False, True])
def test_a_commit_that_fails_fails_for_all_who_share_it(path: str, single: bool) -> None:
    """The disk is full for the one who writes much, and nobody is told that what came before it is written."""
    group = GroupCommit(path, threading.Lock(), threading.Event)
    with group.write() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    group._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    told: list[str] = []
    refused: list[str] = []

    def work(number: int) -> None:
        for value in range(30):
            try:
                with group.write(single=single) as connection:
                    filling = "x" * (200_000 if number == 0 else 1)
                    connection.execute("INSERT INTO notes VALUES (?, ?, '')", (f"{number}-{value}", filling))
            except sqlite3.OperationalError as error:
                refused.append(str(error))
            else:
                told.append(f"{number}-{value}")

    at_once(6, work)
    with closing(sqlite3.connect(path)) as reader:
        assert sorted(told) == [key for (key,) in reader.execute("SELECT key FROM notes ORDER BY key")]
    assert not any(name.startswith("0-") for name in told)
    assert set(refused) == {"database or disk is full"}
    group.close()


def test_a_ledger_says_so_as_it_does_alone(path: str) -> None:
    group = GroupCommit(path, threading.Lock(), threading.Event)
    with Ledger(path, shared=group) as ledger:
        group._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(LedgerTrouble, match="cannot be written"):
            ledger.facts.note("much", "x" * 1_000_000, 0.0)
        group._connection.execute("PRAGMA max_page_count = 100000")
        ledger.facts.note("little", "x", 0.0)
        assert ledger.facts.notes() == {"little": "x"}
    group.close()


def test_another_process_gets_its_turn(path: str) -> None:
    group, stop = GroupCommit(path, threading.Lock(), threading.Event), threading.Event()

    def busy(number: int) -> None:
        value = 0
        while not stop.is_set():
            note(group, str(number), value)
            value += 1

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        with Ledger(path) as other:  # a connection of its own, as another process has
            for value in range(20):
                other.facts.note("other", value, 0.0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with Ledger(path) as ledger:
        assert ledger.facts.notes()["other"] == 19, "the last of what it wrote"
    group.close()


def test_who_waits_for_another_process_does_not_let_the_others_wait_one_after_the_other(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "BUSY_MS", 300)
    monkeypatch.setattr(groupcommit, "BUSY_MS", 300)
    group, failed, waited = GroupCommit(path, threading.Lock(), threading.Event), [], []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def work(number: int) -> None:
            began = time.monotonic()
            try:
                note(group, str(number), 0)
            except sqlite3.OperationalError as error:
                failed.append(str(error))
            waited.append(time.monotonic() - began)

        at_once(12, work)
        other.execute("ROLLBACK")
    assert failed == ["database is locked"] * 12
    assert max(waited) < 6 * min(waited), "twelve times as long, if each waited for the one before it"
    note(group, "after", 1)
    group.close()
