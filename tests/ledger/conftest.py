"""A ledger of its own for each test: on the disk, and on a PostgreSQL server."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerwatch.ledger import Ledger
from tests.ledgers import new_ledger

from .builders import watched

if TYPE_CHECKING:
    import psycopg

    from tests.postgres import Server

SQLITE, POSTGRESQL = "sqlite", "postgresql"


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def engine(request: pytest.FixtureRequest) -> str:
    """Which one is under test. What is about one of them alone says so:
    `pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)`."""
    return str(request.param)


@pytest.fixture
def place(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Where a new, empty ledger can be: each call is the end of the one before."""
    if engine == SQLITE:
        return lambda: f"{tempfile.mkdtemp(dir=tmp_path)}/ledger.db"
    emptied: Callable[[], str] = request.getfixturevalue("emptied")
    return emptied


@pytest.fixture
def path(engine: str, tmp_path: Path, place: Callable[[], str]) -> str:
    """Where the ledger is: the path of an SQLite database, or the URL of another one."""
    return str(tmp_path.resolve() / "ledger.db") if engine == SQLITE else place()


@pytest.fixture
def ledger(path: str) -> Iterator[Ledger]:
    """A ledger that knows a folder `drop`, which is being watched. No power is cut while it is tested."""
    with new_ledger(path, durable=False) as ledger:
        yield watched(ledger)


@pytest.fixture(scope="session")
def emptied(postgres: "Server") -> Iterator[Callable[[], str]]:
    """A database with a ledger, for one test after the other: each call empties it, and returns its URL."""
    name = postgres.create()
    url = postgres.url(name)
    Ledger(url).close()
    with closing(postgres.administer(name)) as connection:
        # Rows of one table may be deleted before those of another that refer to them: all of them go.
        connection.execute("SET session_replication_role = replica")
        emptying = _emptying(connection)

        def empty() -> str:
            connection.execute(emptying, prepare=False)
            return url

        yield empty


def _emptying(connection: "psycopg.Connection[Any]") -> bytes:
    """Statements that leave it as it was when it was new. TRUNCATE would take a hundred times as long: it makes a new
    file for each table and each index, 97 ms against 0.8 ms."""
    asked = "SELECT tablename FROM pg_tables WHERE schemaname = 'layerwatch' AND tablename <> 'ledger'"
    tables = [name for (name,) in connection.execute(asked)]
    asked = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'layerwatch'"
    numbers = [name for (name,) in connection.execute(asked)]
    deleting = "".join(f"DELETE FROM layerwatch.{table};" for table in tables)
    return (deleting + "".join(f"SELECT setval('layerwatch.{name}', 1, false);" for name in numbers)).encode()
