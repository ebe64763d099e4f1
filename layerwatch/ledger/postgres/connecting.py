"""Connections to a PostgreSQL database: one of its own for a command, a few for all threads of a daemon."""

import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from layerwatch.errors import EnvironmentProblem, LedgerAway, Problem, UserError
from layerwatch.ledger.postgres.passing import passes

SCHEMA = "layerwatch"
FOLDERS_SEPARATOR = "\x01"  # in the setting by which statements know the folders that are configured here
MOST = 12  # connections of one daemon: its threads mostly wait for others than the database
PATIENCE_S = 10
RECONNECT_S = 2.0
# A host that was stopped in the middle of a transaction must not hold up the others; one that lost its network must
# not believe for long that it still has the database.
_SETTINGS = {
    "lock_timeout": f"{PATIENCE_S}s",
    "idle_in_transaction_session_timeout": f"{PATIENCE_S}s",
    "client_min_messages": "warning",
}
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": PATIENCE_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "layerwatch",
}

Raw = psycopg.Connection[tuple[Any, ...]]
FAULTS = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class Connections(Protocol):
    """Where a connection is lent from, for one thread at a time. `instance`: whose they are; see `hosts`."""

    instance: str

    def lend(self) -> AbstractContextManager[Raw]: ...

    def close(self) -> None: ...


def lock_key(name: str) -> int:
    """The number of the advisory lock that is called so."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape")) - 2**31


def connect(url: str) -> Raw:
    """A connection with our settings. Raises `psycopg.Error`."""
    connection: Raw = psycopg.connect(url, autocommit=True, **_PARAMETERS)
    configure(connection)
    return connection


def configure(connection: Raw) -> None:
    for name, value in {**_SETTINGS, "search_path": SCHEMA}.items():
        connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))


class One:
    """One connection, made anew where it was lost."""

    def __init__(self, url: str) -> None:
        self.instance = f"command-{uuid.uuid4().hex}"
        self._url = url
        self._connection: Raw | None = None

    @contextmanager
    def lend(self) -> Iterator[Raw]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url)
        yield self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Pool:
    """A few connections for all threads of a process; what was lost is made anew."""

    def __init__(self, url: str, instance: str, folders: Sequence[str], most: int = MOST) -> None:
        self.instance = instance
        self._folders = FOLDERS_SEPARATOR.join(folders)
        self._pool: ConnectionPool[Raw] = ConnectionPool(
            url,
            kwargs={"autocommit": True, **_PARAMETERS},
            configure=self._configure,
            min_size=1,
            max_size=most,
            timeout=PATIENCE_S,
            # With every failure it waits twice as long before it tries again, unless it gives up: then the next one
            # who wants a connection makes it try at once.
            reconnect_timeout=RECONNECT_S,
            open=True,
            name="ledger",
        )

    def lend(self) -> AbstractContextManager[Raw]:
        return self._pool.connection()

    def take(self, folders: Sequence[str]) -> None:
        """Only files of these are taken from now on: those that are configured here."""
        self._folders = FOLDERS_SEPARATOR.join(folders)
        self._pool.drain()

    def _configure(self, connection: Raw) -> None:
        configure(connection)
        connection.execute("SELECT set_config('layerwatch.folders', %s, false)", (self._folders,))

    def close(self) -> None:
        self._pool.close()


def without_password(url: str) -> str:
    """The address as it may be shown."""
    try:
        known = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "postgresql://..."
    place = known.get("host", "localhost")
    port = f":{known['port']}" if "port" in known else ""
    return f"postgresql://{place}{port}/{known.get('dbname', '')}"


def unusable(url: str, error: Exception) -> UserError:
    """Why the database cannot be used, and what to do: `LedgerAway` where that is to wait."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        fix = f"let this user create the schema {SCHEMA} in that database, or create it for them"
    else:
        fix = "check [ledger] url, and that the server is there and lets this user in"
    kind = LedgerAway if passes(url, error) else EnvironmentProblem
    return kind(Problem(without_password(url), f"the ledger cannot be opened: {reason}", fix))


def told(url: str, doing: str, error: Exception) -> str:
    """What went wrong with a connection that was good."""
    return f"the ledger {without_password(url)} cannot be {doing}: {' '.join(str(error).split())}"


Lend = Callable[[], AbstractContextManager[Raw]]
