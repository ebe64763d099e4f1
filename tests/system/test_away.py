"""A daemon that is started while the server with its ledger is away: it waits, and says so; and what no waiting mends.
And one that is ended while nothing that it sends arrives. Real servers and processes, a proxy for the network."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from layerwatch.errors import EnvironmentProblem, LedgerAway
from layerwatch.ledger import Ledger
from layerwatch.samples import sample
from layerwatch.sandbox import Sandbox
from tests.api.servers import unused_port
from tests.postgres import Server
from tests.starts import Start
from tests.system.conftest import Site, until
from tests.system.cuttable import Cuttable
from tests.system.test_on_a_server import Hosted
from tests.system.test_watchdog import Manager

HANGS_MOST_S = 30.0  # where it may: that it does not is what is looked for, not how fast it is


@pytest.fixture
def proxy(postgres: Server) -> Iterator[Cuttable]:
    with Cuttable(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def far(
    tmp_path: Path, sandbox: Sandbox, postgres: Server, proxy: Cuttable, database: str, started: Start
) -> Iterator[Hosted]:
    """A site whose ledger is behind the proxy."""
    place = Hosted(tmp_path, sandbox, database.replace(f":{postgres.port}/", f":{proxy.port}/"), started)
    yield place
    for process in place.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def events(site: Site, name: str) -> list[dict[str, Any]]:
    return [event for event in site.events() if event["event"] == name]


def drop(site: Site, name: str) -> None:
    (site.drop / name).write_bytes(sample("png", len(name)))


def direct(database: str, question: str) -> list[tuple[Any, ...]]:
    """Past the proxy."""
    with closing(psycopg.connect(database, options="-c search_path=layerwatch", autocommit=True)) as connection:
        return connection.execute(question.encode()).fetchall()


# --- started while it is away -----------------------------------------------------------------------------------------


def test_it_waits_says_so_once_and_begins_when_the_server_is_there(
    far: Hosted, proxy: Cuttable, database: str, tmp_path: Path
) -> None:
    proxy.away(is_away=True)
    manager = Manager(tmp_path / "notify")
    daemon = far.start(NOTIFY_SOCKET=str(manager.path))
    until(lambda: manager.count("EXTEND_TIMEOUT_USEC=60000000") >= 4, "the service manager to hear of it")
    assert any(line.startswith("STATUS=waiting for the ledger: postgresql://127.0.0.1:") for line in manager.heard)
    assert manager.count("READY=1") == 0
    (said,) = events(far, "ledger_away")
    assert said["level"] == "warning"
    assert "the ledger cannot be opened" in said["message"]
    drop(far, "a.png")
    proxy.away(is_away=False)
    until(lambda: manager.count("READY=1") == 1, "READY")
    manager.close()
    until(lambda: [row["status"] for row in far.ask("SELECT status FROM files")] == ["uploaded"], "the file")
    assert len(events(far, "ledger_away")) == len(events(far, "ledger_back")) == 1
    assert far.end(daemon) == 0
    assert direct(database, "SELECT * FROM hosts") == []
    assert far.password not in far.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_a_signal_ends_it_while_it_waits(far: Hosted, proxy: Cuttable, number: signal.Signals, how: str) -> None:
    if how == "refused":
        proxy.away(is_away=True)
    else:
        proxy.silent(is_silent=True)
    daemon = far.start()
    until(lambda: events(far, "ledger_away"), "word of it")
    daemon.send_signal(number)
    assert daemon.wait(HANGS_MOST_S) == 0, far.said()
    assert events(far, "ended")[0]["signal"] == number.name


def test_a_server_that_starts_up_is_waited_for(tmp_path: Path, sandbox: Sandbox, postgres_of_its_own: Server) -> None:
    server = postgres_of_its_own
    far = Hosted(tmp_path, sandbox, server.url(server.create()))
    server.stop()
    daemon = far.start()
    until(lambda: events(far, "ledger_away"), "word of it")
    drop(far, "a.png")
    server.start()
    until(lambda: events(far, "uploaded"), "the upload")
    assert far.end(daemon) == 0


@pytest.fixture
def postgres_of_its_own() -> Iterator[Server]:
    with Server(durable=False) as server:
        yield server


def test_the_server_goes_away_in_the_middle_of_the_start(far: Hosted, proxy: Cuttable, tmp_path: Path) -> None:
    """Behind what Layer was asked, before anybody works."""
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import os, time
from layerwatch.daemon import opening, run
before = opening.open_books
def open_books(*given, **more):
    open({str(tmp_path / "reached")!r}, "a").write("x")
    while not os.path.exists({str(tmp_path / "cut")!r}):
        time.sleep(0.02)
    return before(*given, **more)
run.open_books = open_books
"""
    )
    daemon = far.start(PYTHONPATH=f"{tmp_path}:{Path.cwd()}")
    until((tmp_path / "reached").exists, "the middle of it")
    proxy.away(is_away=True)
    (tmp_path / "cut").touch()
    until(lambda: events(far, "ledger_away"), "word of it")
    drop(far, "a.png")
    proxy.away(is_away=False)
    until(lambda: events(far, "uploaded"), "the upload")
    assert far.end(daemon) == 0
    assert (tmp_path / "reached").read_text().count("x") >= 2


def test_a_run_that_ends_by_itself_waits_for_a_while_and_then_says_why(far: Hosted, proxy: Cuttable) -> None:
    proxy.away(is_away=True)
    (far.home / "sitecustomize.py").write_text("from layerwatch.daemon import run\nrun.ONCE_PATIENCE_S = 3.0\n")
    done = far.once("--log", "json", PYTHONPATH=f"{far.home}:{Path.cwd()}")
    assert done.returncode == 1
    assert "waiting for it for 3 s at most" in done.stderr
    assert done.stderr.count("the ledger cannot be opened") == 2, "when it begins to wait, and when it gives up"
    assert "fix: check [ledger] url" in done.stderr


def test_a_run_that_ends_by_itself_does_all_once_the_server_is_there(far: Hosted, proxy: Cuttable) -> None:
    proxy.away(is_away=True)
    drop(far, "a.png")
    run = far.start("--once")
    until(lambda: events(far, "ledger_away"), "word of it")
    proxy.away(is_away=False)
    assert run.wait(60) == 0, far.said()
    assert events(far, "ended")[0]["uploaded"] == 1


# --- what only a person can mend --------------------------------------------------------------------------------------


def ended_with(far: Hosted, url: str, code: int = 1) -> str:
    done = far.call("run", LAYERWATCH_LEDGER__URL=url)
    assert done.returncode == code, done.stderr
    assert "ledger_away" not in done.stderr
    return done.stderr


def test_what_no_waiting_would_mend_ends_it(far: Hosted, database: str) -> None:
    assert "password authentication failed" in ended_with(far, database.replace(f":{far.password}@", ":wrong@"))
    assert "does not exist" in ended_with(far, f"{database}_none")
    assert "does not support SSL" in ended_with(far, f"{database}?sslmode=require")


def test_a_table_that_is_not_ours_ends_it(far: Hosted, database: str) -> None:
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("CREATE SCHEMA layerwatch")
        connection.execute("CREATE TABLE layerwatch.ledger (page TEXT)")
    assert 'column "version" does not exist' in ended_with(far, database)


def test_a_newer_ledger_ends_it(far: Hosted, database: str) -> None:
    Ledger(database).close()
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("UPDATE layerwatch.ledger SET version = version + 1")
    assert "written by a newer layerwatch" in ended_with(far, database, code=2)


def test_who_may_not_write_the_hosts_is_told(far: Hosted, postgres: Server, database: str) -> None:
    Ledger(database).close()
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    with closing(postgres.administer(name)) as connection:
        connection.execute("ALTER TABLE layerwatch.hosts OWNER TO postgres")
        connection.execute("REVOKE ALL ON layerwatch.hosts FROM layerwatch")
    assert "permission denied for table hosts" in ended_with(far, database)


# A server that answers every greeting with one error, in a language that nobody here speaks; it tells its port first.
# Not in this process, which the client's library may halt while it asks.
REFUSES = """
import socket, struct, sys
fields = (b"SVETL", b"VFATAL", b"C" + sys.argv[1].encode(), "M\u0135a\u016ddas nun".encode())
text = b"\\0".join(fields) + b"\\0\\0"
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    with listener.accept()[0] as client:
        client.recv(4096)
        client.sendall(b"E" + struct.pack("!I", len(text) + 4) + text)
"""


@pytest.mark.parametrize(("sqlstate", "kind"), [("57P03", LedgerAway), ("28P01", EnvironmentProblem)])
def test_a_server_of_any_language_is_understood(sqlstate: str, kind: type[EnvironmentProblem]) -> None:
    with subprocess.Popen([sys.executable, "-c", REFUSES, sqlstate], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        port = int(server.stdout.readline())
        with pytest.raises(EnvironmentProblem, match="VETL: ĵaŭdas nun") as caught:
            Ledger(f"postgresql://u:p@127.0.0.1:{port}/d?sslmode=disable")
        server.kill()
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:{port}/d",
        "postgresql://u:p@password.ssl.invalid/certificate",
        "postgresql://u:p@/d?host=/nowhere",
    ],
)
def test_who_is_not_there_may_come(url: str) -> None:
    with pytest.raises(LedgerAway):
        Ledger(url.format(port=unused_port()))


# --- ended while nothing arrives --------------------------------------------------------------------------------------


def test_ended_while_nothing_that_is_sent_arrives(far: Hosted, proxy: Cuttable) -> None:
    daemon = far.start()
    until(lambda: events(far, "folder"), "the folder to be watched")
    drop(far, "a.png")
    until(lambda: events(far, "uploaded"), "an upload")
    proxy.silent(is_silent=True)
    drop(far, "b.png")
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(HANGS_MOST_S) == 0, far.said()
    assert "what is left to do is not known" in far.said()


def test_a_run_that_ends_by_itself_is_ended_while_nothing_arrives(far: Hosted, proxy: Cuttable) -> None:
    far.configure(folder='settle = "1h"')
    drop(far, "a.png")
    run = far.start("--once")
    until(lambda: events(far, "folder"), "the folder to be watched")
    proxy.silent(is_silent=True)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(2)
    run.send_signal(signal.SIGTERM)
    assert run.wait(HANGS_MOST_S) == 1, "what is left to do is not known"
