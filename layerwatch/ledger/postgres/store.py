"""The ledger's database as one thread has it, on PostgreSQL."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from layerwatch.errors import LedgerTrouble, Problem, UserError
from layerwatch.ledger import schema
from layerwatch.ledger.connection import Connection, Lane
from layerwatch.ledger.postgres import dialect
from layerwatch.ledger.postgres.connecting import FAULTS, Connections, One, Raw, lock_key, told, unusable
from layerwatch.ledger.postgres.copying import copy
from layerwatch.ledger.postgres.hosts import CHANNEL, LEFT_BEHIND, HostRow, hosts
from layerwatch.ledger.postgres.tables import migrate, version
from layerwatch.names import AS_THEY_ARE, Names

_Values = Sequence[object] | Mapping[str, object]
_CLASS = 0x4C57  # of the advisory locks of those who write
# What is known of the tables is from a minute ago: had hardly any file been queued then, the whole queue would be
# sorted for each that is taken. To the end of the transaction.
_BY_AN_INDEX = ", set_config('enable_sort', 'off', true)"


class Session:
    """A connection that takes the statements that SQLite takes: a `Connection`."""

    def __init__(self, raw: Raw, names: Names = AS_THEY_ARE) -> None:
        self._raw = raw
        self.names = names

    def execute(self, statement: str, parameters: _Values = (), /) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._raw.execute(dialect.statement(statement), dialect.values(parameters))

    def executemany(self, statement: str, parameters: Iterable[_Values], /) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor = self._raw.cursor()
        cursor.executemany(dialect.statement(statement), dialect.many(parameters))
        return cursor

    def insert(self, statement: str, parameters: Sequence[object], /) -> int:
        row = self.execute(f"{statement} RETURNING id", parameters).fetchone()
        assert row is not None
        return int(row[0])

    def take(self, lane: Lane | None) -> None:
        """Wait until the lane is free; it is one's own to the end of the transaction."""
        if lane is not None:
            asked = "SELECT pg_advisory_xact_lock(%s, %s)" + (_BY_AN_INDEX if lane is Lane.CLAIMS else "")
            self._raw.execute(asked, (_CLASS, lock_key(lane)))


class PostgresStore:
    """The ledger at `url`. Created, and migrated, where that is needed. `shared`: the connections of all threads of a
    daemon. Raises `UserError` with what to do when it cannot be used."""

    def __init__(
        self, url: str, *, create: bool = True, shared: Connections | None = None, names: Names = AS_THEY_ARE
    ) -> None:
        self.path = url
        self.names = names
        self._own = None if shared else One(url)
        self._connections: Connections = shared or self._own or One(url)
        self._open: Session | None = None
        self.claimant = f"{self._connections.instance}/{uuid.uuid4().hex[:12]}"
        self.left_behind = LEFT_BEHIND
        if shared:
            return  # it was there when the daemon began; that it cannot be reached just now ends no thread
        try:
            with self._connections.lend() as raw:
                self._insist_on_ledger(raw, create=create)
        except psycopg.Error as error:
            self.close()
            raise unusable(url, error) from None
        except BaseException:
            self.close()
            raise

    def _insist_on_ledger(self, raw: Raw, *, create: bool) -> None:
        found = version(raw)
        if found == schema.VERSION:
            return
        if found > schema.VERSION:
            reason = f"written by a newer layerwatch: its version is {found}, this one knows {schema.VERSION}"
            raise UserError(Problem("[ledger] url", reason, "upgrade layerwatch, or name another database"))
        if not found and not create:
            fix = "start `layerwatch run` once, or check [ledger] url"
            raise UserError(Problem("[ledger] url", "there is no ledger in this database yet", fix))
        migrate(raw)

    def close(self) -> None:
        if self._own:
            self._own.close()

    def announce(self, connection: Connection) -> None:
        """Ring at all who listen, when this is committed."""
        connection.execute("SELECT pg_notify(?, '')", (CHANNEL,))

    def copy_to(self, path: str) -> None:
        """All of it, as it is at one instant, to an SQLite ledger. Raises `LedgerTrouble`."""
        try:
            with self._connections.lend() as raw:
                copy(raw, path)
        except FAULTS as error:
            raise LedgerTrouble(told(self.path, "copied", error)) from error

    def hosts(self) -> list[HostRow]:
        try:
            with self._connections.lend() as raw:
                return hosts(raw)
        except FAULTS as error:
            raise LedgerTrouble(told(self.path, "read", error)) from error

    def checkpoint_if_due(self) -> None:
        """The server sees to that."""

    def rows(self, sql: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        """What a question answers, all of it. Raises `LedgerTrouble`."""
        try:
            return self._asked(sql, named or values)
        except FAULTS as error:
            raise LedgerTrouble(told(self.path, "read", error)) from error

    def _asked(self, sql: str, values: _Values) -> list[tuple[Any, ...]]:
        with self._connections.lend() as raw:
            try:
                return Session(raw).execute(sql, values).fetchall()
            except FAULTS:
                if not raw.closed:
                    raise
        # It was lost while nobody used it. Asked again: that changes nothing.
        with self._connections.lend() as raw:
            return Session(raw).execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of it, if there is one."""
        return next(iter(self.rows(sql, *values)), None)

    @contextmanager
    def write(self, lane: Lane | None = Lane.ALL, *, single: bool = False) -> Iterator[Session]:  # noqa: ARG002  it costs nothing here
        """Several statements, all or none, on the server's disk when the block is left. Raises `LedgerTrouble`."""
        if self._open is not None:
            self._open.take(lane)
            yield self._open
            return
        try:
            with self._connections.lend() as raw, raw.transaction():
                session = Session(raw, self.names)
                session.take(lane)
                yield session
        except FAULTS as error:
            raise LedgerTrouble(told(self.path, "written", error)) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """Every `write` in here is part of one; raises what that raises."""
        with self.write(None) as self._open:
            try:
                yield
            finally:
                self._open = None
