"""The PostgreSQL server that tests are given: real, apart for each test, and gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
import pytest

from . import postgres as rig
from .postgres import Server, programs
from .system.conftest import until

ROOT = Path(__file__).parent.parent


def ask(url: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def processes(directory: str) -> list[str]:
    """The command lines of all that works on it."""
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if directory in line]


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def shared_memory(pid: int) -> list[str]:
    """The segments that this process made and nobody has removed."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    return [line for line in lines if line.split()[4] == str(pid)]


def test_it_answers_over_tcp_as_a_role_that_is_no_superuser(database: str) -> None:
    query = "SELECT current_user, rolsuper, host(inet_server_addr()) FROM pg_roles WHERE rolname = current_user"
    assert ask(database, query) == [("layerwatch", False, "127.0.0.1")]
    assert ask(database, "CREATE TABLE mine (n int)") == []


def test_without_the_password_nobody_comes_in_over_tcp(postgres: Server, database: str) -> None:
    for user in ("layerwatch", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(database, user=user, password="guessed")


def test_two_databases_are_apart_and_one_can_begin_as_another_is(postgres: Server, database: str) -> None:
    ask(database, "CREATE TABLE here AS SELECT 7 AS n")
    other, copy = postgres.create(), postgres.create(template=database.rpartition("/")[2])
    assert ask(postgres.url(other), "SELECT to_regclass('here')") == [(None,)]
    assert ask(postgres.url(copy), "SELECT n FROM here") == [(7,)]
    for name in (other, copy):
        postgres.drop(name)


def test_a_database_is_dropped_whoever_is_connected(postgres: Server) -> None:
    name = postgres.create()
    with closing(psycopg.connect(postgres.url(name))) as connection:
        postgres.drop(name)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restart_cuts_connections_and_keeps_what_was_committed(
    postgres: Server, database: str, immediate: bool
) -> None:
    with closing(psycopg.connect(database)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        connection.commit()
        connection.execute("UPDATE kept SET n = 8")
        postgres.restart(immediate=immediate)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert ask(database, "SELECT n FROM kept") == [(7,)]


def test_only_a_power_cut_is_not_reckoned_with(database: str) -> None:
    assert ask(database, "SHOW synchronous_commit") == [("on",)]
    assert ask(database, "SHOW fsync") == [("off",)]


def test_durable_unless_told_otherwise_and_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose port somebody took in the last moment has another one."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free = rig._free_port()
        ports = [taken.getsockname()[1], free]
        monkeypatch.setattr(rig, "_free_port", lambda: ports.pop(0))
        with Server() as server:
            assert server.port == free
            assert ask(server.url(server.create()), "SHOW fsync") == [("on",)]
            assert processes(server.directory)
            assert answers(server.port)
            assert shared_memory(server.pid)
            pid = server.pid
    assert not os.path.exists(server.directory)
    assert processes(server.directory) == []
    assert not answers(server.port)
    assert shared_memory(pid) == []


def test_a_server_that_was_stopped_already_leaves_nothing_behind() -> None:
    with Server(durable=False) as server:
        server.stop()
        assert not answers(server.port)
    assert not os.path.exists(server.directory)
    assert processes(server.directory) == []


def test_it_goes_when_its_process_is_killed() -> None:
    code = "from tests.postgres import Server; s = Server(); print(s.directory, s.port, s.pid, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with child:
        assert child.stdout
        directory, port, pid = child.stdout.readline().decode().split()
        assert answers(int(port))
        child.send_signal(signal.SIGKILL)
    until(lambda: not os.path.exists(directory), "the directory is deleted")
    until(lambda: not processes(directory), "nothing works on it")
    assert not answers(int(port))
    assert shared_memory(int(pid)) == []


def test_a_server_that_does_not_start_says_why_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)  # the server's user is to come through, and may not write
        monkeypatch.setattr(tempfile, "tempdir", place)
        monkeypatch.setitem(rig._SETTINGS, "shared_buffers", "much")
        with pytest.raises(RuntimeError, match='invalid value for parameter "shared_buffers"'):
            Server()
        assert os.listdir(place) == []
        assert processes(place) == []


def test_without_a_server_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install postgresql"):
        programs(debian=f"{tmp_path}/*/bin")


def test_of_several_outside_of_the_path_the_newest_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And one that is only half there, a client alone, is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, names in (("9.6", rig._PROGRAMS), ("15", rig._PROGRAMS), ("17", ("pg_ctl",))):
        place = tmp_path / version / "bin"
        place.mkdir(parents=True)
        for name in names:
            (place / name).touch(mode=0o755)
    assert programs(debian=f"{tmp_path}/*/bin") == str(tmp_path / "15" / "bin")
