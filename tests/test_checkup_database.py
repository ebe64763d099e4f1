"""What a check finds where the ledger is a PostgreSQL database, and that it changes nothing of it."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from layerwatch import __version__
from layerwatch.checkup import Area, Finding, Level, at_start, check
from layerwatch.config import Settings, load
from layerwatch.ledger import FolderState, Ledger
from layerwatch.ledger.health import VERSION

from .api.servers import unused_port

if TYPE_CHECKING:
    from tests.postgres import Server

SEEN = """INSERT INTO layerwatch.hosts (instance, name, pid, version, backend, lease_s, seen_at)
VALUES (%s, %s, 4711, %s, 0, 20, clock_timestamp() - make_interval(secs => %s))"""
Found = Callable[[], dict[str, Finding]]


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    return configured(tmp_path, database)


def configured(home: Path, url: str) -> Settings:
    (home / "drop").mkdir(exist_ok=True)
    config = home / "config.toml"
    config.write_text(f'[ledger]\nurl = "{url}"\n[[folders]]\nname = "drop"\npath = "drop"\n')
    return load(str(config), require_token=False)


def found(settings: Settings, area: Area = Area.LEDGER) -> dict[str, Finding]:
    every = [each for each in check(settings, time.time, time.monotonic, offline=True) if each.area is area]
    assert [each for each in every if (each.do == "") is not (each.level is Level.OK)] == []
    return {each.what: each for each in every}


def run(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def seen(url: str, name: str, *, silent_s: float = 0.0, version: str = __version__) -> None:
    run(url, SEEN, os.urandom(8).hex(), name, version, silent_s)


def test_a_database_with_nothing_in_it_is_well_and_stays_so(settings: Settings, database: str) -> None:
    about = found(settings)
    assert {each.level for each in about.values()} == {Level.OK}
    assert set(about) == {"server", "version", "write"}
    assert "PostgreSQL" in about["server"].detail
    assert "makes one" in about["version"].detail
    assert run(database, "SELECT to_regnamespace('layerwatch')") == [(None,)]


def test_of_a_ledger_it_reads_what_the_folders_are_and_writes_nothing(settings: Settings, database: str) -> None:
    with Ledger(database) as ledger:
        root = settings.folders[0].root
        ledger.facts.folder("drop", root, FolderState.WATCHING, time.time(), detail="", mount=os.path.dirname(root))
    about = found(settings)
    assert {each.level for each in about.values()} == {Level.OK}
    assert str(VERSION) in about["version"].detail
    assert run(database, "SELECT count(*) FROM layerwatch.notes") == [(0,)]
    # That a share was mounted there, and is gone, is known from the ledger alone.
    every = check(settings, time.time, time.monotonic, offline=True)
    assert [each.what for each in every if each.area is Area.FOLDER and each.level is Level.PROBLEM] == ["path"]


def test_it_names_who_works_on_it_and_who_is_gone(settings: Settings, database: str) -> None:
    assert "none works" in found(settings, Area.DAEMON)["process"].detail
    Ledger(database).close()
    seen(database, "render-1")
    (host,) = found(settings, Area.DAEMON).values()
    assert (host.level, host.what) == (Level.OK, "process")
    assert "process 4711 on render-1" in host.detail
    seen(database, "render-2", version="0.0.1")
    seen(database, "render-3", silent_s=45)
    every = [each for each in check(settings, time.time, time.monotonic, offline=True) if each.area is Area.DAEMON]
    assert [(each.what, each.level) for each in every] == [
        ("process", Level.OK),
        ("version", Level.WARNING),
        ("process", Level.WARNING),
    ]
    assert "render-3" in every[2].detail


def test_a_server_that_is_not_there_is_a_problem_of_the_machine(tmp_path: Path) -> None:
    settings = configured(tmp_path, f"postgresql://u:secretsecret@127.0.0.1:{unused_port()}/d")
    about = found(settings)["server"]
    assert (about.level, about.code) == (Level.PROBLEM, 1)
    assert "secretsecret" not in f"{about}"
    assert "refused" in about.detail


def test_a_user_who_may_not_write_is_a_problem(tmp_path: Path, postgres: "Server", database: str) -> None:
    Ledger(database).close()
    name = database.rpartition("/")[2]
    with closing(postgres.administer(name)) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'readerpassword'")
        connection.execute("GRANT USAGE ON SCHEMA layerwatch TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA layerwatch TO reader")
        url = f"postgresql://reader:readerpassword@127.0.0.1:{postgres.port}/{name}"
        about = found(configured(tmp_path, url))["write"]
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")
    assert about.level is Level.PROBLEM
    assert "permission denied" in about.detail


def test_a_newer_ledger_and_a_server_that_forgets_are_told(
    settings: Settings, postgres: "Server", database: str
) -> None:
    Ledger(database).close()
    name = sql.Identifier(database.rpartition("/")[2])
    run(database, "UPDATE layerwatch.ledger SET version = version + 1")
    with closing(postgres.administer()) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    about = found(settings)
    assert about["version"].level is Level.PROBLEM
    assert "newer layerwatch" in about["version"].detail
    assert about["durable"].level is Level.WARNING


def test_too_few_connections_for_the_hosts_are_told(settings: Settings, database: str) -> None:
    Ledger(database).close()
    assert "connections" not in found(settings)
    for number in range(200 // 14):
        seen(database, f"render-{number}")
    assert found(settings)["connections"].level is Level.WARNING


def test_a_start_asks_no_disk_for_it(settings: Settings) -> None:
    assert [each for each in at_start(settings) if each.area is Area.LEDGER] == []
