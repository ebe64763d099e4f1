"""The ledger's database as one thread has it: reading, and the one way to write several statements together."""

import json
import os
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

from layerwatch.errors import LedgerTrouble, Problem, UserError
from layerwatch.ledger import schema
from layerwatch.ledger.connecting import SqliteConnection, connect, insist_on_directory, set_up, unusable
from layerwatch.ledger.connection import Connection, Lane
from layerwatch.ledger.groupcommit import GroupCommit
from layerwatch.names import AS_THEY_ARE, Names

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.hosts import HostRow

WAL_MOST_BYTES = 4 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_url(place: str) -> bool:
    """Whether the ledger is a database of a server, not a file."""
    return place.startswith(("postgresql://", "postgres://"))


def to_json(value: object) -> str:
    """JSON that can be bound, whatever paths and answers are in it, and that reads back as it was."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def plain(message: str) -> str:
    """A message that can be bound: it may quote a name that is not UTF-8, or an answer that was cut short."""
    return _SURROGATE.sub("\ufffd", message)


class SqliteStore:
    """One connection to the ledger at `path`: each thread has its own. Created, and migrated, where that is needed.

    `durable=False`: what is written need not outlive a power cut. `group`: with whom it shares its commits. `names`: of
    a copy of a ledger that several hosts share. Raises `UserError` with what to do when the ledger cannot be used.
    """

    def __init__(
        self,
        path: str,
        *,
        create: bool = True,
        durable: bool = True,
        group: GroupCommit | None = None,
        names: Names = AS_THEY_ARE,
    ) -> None:
        self.path = path
        self.names = names
        self.claimant = uuid.uuid4().hex
        self.left_behind = "1 = 1"  # there is one daemon at a time: what was claimed before it began is nobody's
        self._group = group
        self._open: SqliteConnection | None = None  # the connection of those who write together just now
        if not create and not os.path.exists(path):
            raise UserError(
                Problem(path, "there is no ledger yet", "start `layerwatch run` once, or check [ledger] path")
            )
        insist_on_directory(path)
        try:
            self.connection = connect(path)
            self.connection.names = names
        except (sqlite3.Error, OSError) as error:
            raise unusable(path, error) from None
        try:
            self._insist_on_ledger()
            set_up(self.connection, durable=durable)
            schema.migrate(self.connection)
        except BaseException as error:
            self.connection.close()
            if isinstance(error, sqlite3.Error):
                raise unusable(path, error) from None
            raise

    def _insist_on_ledger(self) -> None:
        # The tables first: who makes the ledger just now commits them and the version together.
        tables = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = schema.version(self.connection)
        if tables and not (version and {"files", "history"} <= tables):
            raise UserError(
                Problem(
                    self.path,
                    "this SQLite database is not a layerwatch ledger",
                    "name another file in [ledger] path",
                )
            )
        if version > schema.VERSION:
            raise UserError(
                Problem(
                    self.path,
                    f"written by a newer layerwatch: its version is {version}, this one knows {schema.VERSION}",
                    "upgrade layerwatch, or name another file in [ledger] path",
                )
            )

    def close(self) -> None:
        self.connection.close()

    def announce(self, connection: Connection) -> None:
        """There is nobody elsewhere."""

    def copy_to(self, path: str) -> None:
        """Copy all of it, as it is at one instant, whoever works on it meanwhile. Raises `LedgerTrouble`."""
        copy = connect(path)
        try:
            self.connection.backup(copy)
        except sqlite3.Error as error:
            raise LedgerTrouble(f"the ledger {self.path} cannot be copied to {path}: {error}") from error
        finally:
            copy.close()

    def hosts(self) -> "list[HostRow]":
        """There is one daemon at a time, and it is told by its lock."""
        return []

    def checkpoint_if_due(self) -> None:
        """Fold the write-ahead log into the database when it has grown. To be called by one process and thread
        alone."""
        try:
            if os.stat(f"{self.path}-wal").st_size > WAL_MOST_BYTES:
                self.connection.execute("PRAGMA wal_checkpoint(RESTART)")
        except (FileNotFoundError, sqlite3.OperationalError):
            return  # somebody reads for long, or the disk is full: the next time will do

    def rows(self, sql: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        """What a question answers, all of it. Raises `LedgerTrouble`."""
        try:
            return self.connection.execute(sql, named or values).fetchall()
        except sqlite3.OperationalError as error:
            raise LedgerTrouble(f"the ledger {self.path} cannot be read: {error}") from error

    def row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of it, if there is one."""
        return next(iter(self.rows(sql, *values)), None)

    def write(self, _lane: Lane | None = Lane.ALL, *, single: bool = False) -> AbstractContextManager[SqliteConnection]:
        """Several statements, all or none, on the disk when the block is left.

        Raises `LedgerTrouble` when the disk is full, fails, or somebody holds the ledger for longer than 10 s.
        """
        if self._open is not None:
            return nullcontext(self._open)
        return _Told(self.path, self._group.write(single=single) if self._group else _alone(self.connection))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Every `write` in here is part of one; raises what that raises."""
        with self.write() as self._open:
            try:
                yield
            finally:
                self._open = None


class _Told:
    """A write, of which it is told in our words that it failed."""

    __slots__ = ("_path", "_write")

    def __init__(self, path: str, write: AbstractContextManager[SqliteConnection]) -> None:
        self._path = path
        self._write = write

    def __enter__(self) -> SqliteConnection:
        try:
            return self._write.__enter__()
        except sqlite3.OperationalError as error:
            raise self._trouble(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._write.__exit__(kind, error, trace)
        except sqlite3.OperationalError as failed:
            raise self._trouble(failed) from failed
        if isinstance(error, sqlite3.OperationalError):
            raise self._trouble(error) from error

    def _trouble(self, error: sqlite3.OperationalError) -> LedgerTrouble:
        return LedgerTrouble(f"the ledger {self._path} cannot be written: {error}")


@contextmanager
def _alone(connection: SqliteConnection) -> Iterator[SqliteConnection]:
    # IMMEDIATE: a plain BEGIN that reads first fails at once beside another writer.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # A full disk or an I/O error may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
