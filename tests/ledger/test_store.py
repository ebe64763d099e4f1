"""A ledger that cannot be used says why and what to do; one daemon at a time holds it."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from layerwatch.errors import AnotherInstance, LedgerTrouble, UserError
from layerwatch.ledger import Ledger, Lock, connecting, holder

from .builders import T0, everything, in_namespace, raw, version


@pytest.fixture
def engine() -> str:
    """PostgreSQL has its own: test_postgres_store."""
    return "sqlite"


def refused(path: str, *, create: bool = True) -> UserError:
    with pytest.raises(UserError) as caught:
        Ledger(path, create=create)
    (problem,) = caught.value.problems
    assert problem.where == path
    assert problem.fix
    return caught.value


# --- opening ----------------------------------------------------------------------------------------------------------


def test_it_is_made_with_its_directory_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "layerwatch" / "ledger.db"
    Ledger(str(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


def test_a_relative_path_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Ledger("ledger.db").close()
    assert (tmp_path / "ledger.db").exists()


def test_nothing_is_made_by_who_only_wants_to_read(path: str) -> None:
    assert "there is no ledger yet" in str(refused(path, create=False))
    assert os.listdir(os.path.dirname(path)) == []


def test_a_text_file_is_no_ledger_and_stays_as_it_is(path: str) -> None:
    Path(path).write_text("my notes\n" * 1000)
    assert "not a usable ledger" in str(refused(path))
    assert Path(path).read_text() == "my notes\n" * 1000


def test_a_damaged_ledger_says_so(path: str) -> None:
    Ledger(path).close()
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    assert "not a usable ledger" in str(refused(path))


def test_a_directory_in_its_place_or_a_file_in_its_way_is_told(path: str, tmp_path: Path) -> None:
    os.mkdir(path)
    assert "is a directory" in str(refused(path))
    (tmp_path / "file").touch()
    for name in ("ledger.db", "sub/ledger.db"):
        assert "no ledger can be there" in str(refused(str(tmp_path / "file" / name)))


OPEN = """
import sys
from layerwatch.errors import LayerwatchError
from layerwatch.ledger import Ledger
try:
    Ledger(sys.argv[1]).close()
    print("opened")
except LayerwatchError as error:
    print(type(error).__name__, error)
"""
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && set -- "$1/ledger.db"'


def test_a_read_only_directory_is_told_with_who_would_have_to_write_it(tmp_path: Path) -> None:
    for _ in range(2):  # without a ledger in it, and with one
        said = in_namespace(READ_ONLY, OPEN, str(tmp_path))
        assert said[0].startswith("UserError")
        assert "the ledger's directory cannot be written: " in said[0]
        assert said[0].endswith("(running as uid 0)")
        assert "let that user write the directory" in said[1]
        Ledger(str(tmp_path / "ledger.db")).close()


FULL = """
import os, sys
from layerwatch.errors import LayerwatchError
from layerwatch.ledger import Ledger
sys.path.insert(0, sys.argv[2])
from tests.ledger.builders import version

def fill():
    with open(sys.argv[1] + "/ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def attempt(what):
    try:
        print(what())
    except LayerwatchError as error:
        print(type(error).__name__, str(error).replace(chr(10), " "))

path = sys.argv[1] + "/ledger.db"
fill()
attempt(lambda: Ledger(path).close())
os.unlink(sys.argv[1] + "/ballast")
with Ledger(path) as ledger:
    ledger.files.record([version()], 0.0)
    fill()
    many = [version(f"/drop/{n}.png", b"%d" % n) for n in range(2000)]
    attempt(lambda: ledger.files.record(many, 0.0))
    attempt(lambda: ledger.reports.counts()["queued"])
    os.unlink(sys.argv[1] + "/ballast")
    attempt(lambda: len(ledger.files.record(many[:50], 0.0)))
    attempt(lambda: ledger.reports.counts()["queued"])
"""


def test_a_full_disk_is_told_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1"'
    said = in_namespace(mount, FULL, str(tmp_path), str(Path(__file__).parents[2]))
    assert said[0].startswith("EnvironmentProblem")
    assert "the disk that holds the ledger is full" in said[0]
    assert said[1].startswith("LedgerTrouble")
    assert said[2:] == ["1", "50", "51"]


# --- writing ----------------------------------------------------------------------------------------------------------


def test_what_fails_in_the_middle_is_not_written(path: str) -> None:
    with Ledger(path) as ledger:
        before = everything(path)
        with suppress(ZeroDivisionError), ledger._store.write() as connection:
            connection.execute("INSERT INTO notes VALUES ('a', '1', '')")
            _ = 1 / 0
        assert everything(path) == before
        assert raw(path, "SELECT * FROM notes") == []
        ledger.files.record([version()], T0)  # and the next one is not held up by it


def test_who_waits_too_long_for_another_writer_is_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "BUSY_MS", 50)
    with Ledger(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerTrouble, match="database is locked"):
            ledger.files.record([version()], T0)
        other.execute("ROLLBACK")
        ledger.files.record([version()], T0)


def test_others_read_while_one_writes(path: str) -> None:
    with Ledger(path) as ledger, ledger._store.write() as connection:
        connection.execute("INSERT INTO notes VALUES ('a', '1', '')")
        assert raw(path, "SELECT * FROM notes") == []


# --- the lock ---------------------------------------------------------------------------------------------------------


def test_a_second_daemon_is_told_which_process_holds_the_ledger(path: str) -> None:
    assert holder(path) is None
    lock = Lock(path)
    assert holder(path) == os.getpid()
    with pytest.raises(AnotherInstance, match=rf"\(process {os.getpid()}\)") as caught:
        Lock(path)
    assert caught.value.exit_code == 3
    lock.release()
    assert holder(path) is None
    Lock(path).release()


def test_two_ledgers_are_held_by_two(tmp_path: Path) -> None:
    one, two = (Lock(str(tmp_path / name / "ledger.db")) for name in ("one", "two"))
    one.release()
    two.release()


HOLD = (
    "import sys, time; from layerwatch.ledger import Lock; lock = Lock(sys.argv[1]); print(flush=True); time.sleep(99)"
)


def test_the_lock_dies_with_its_process_however_that_ends(path: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert holder(path) == process.pid
        with pytest.raises(AnotherInstance, match=f"process {process.pid}"):
            Lock(path)
        process.kill()
    assert holder(path) is None
    lock = Lock(path)
    assert holder(path) == os.getpid()
    lock.release()


def test_who_only_asks_does_not_keep_a_daemon_from_starting(path: str) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            holder(path)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            Lock(path).release()
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_lock_that_cannot_be_made_is_a_problem_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "ledger.db.lock").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        Lock(str(tmp_path / "ledger.db"))
