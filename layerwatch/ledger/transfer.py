"""All rows of a ledger, from one database to another, whatever engine each has: table by table, in one order, each
value in one spelling, and compared by what was read back.

What a PostgreSQL database cannot hold is spelled as that one has it: see `dialect`.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from layerwatch.ledger import schema
from layerwatch.names import BYTES

Row = tuple[Any, ...]
# Where a name may stand that is not UTF-8; in any other column, what looks like one is a message.
_NAMES = frozenset(("path", "dir", "rule_key", "key", "glob", "mount", "aftermath_detail"))


@dataclass(frozen=True, slots=True)
class Table:
    """`texts`: which columns are text; `order`: the columns that rows are told apart by."""

    name: str
    columns: tuple[str, ...]
    texts: frozenset[str]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """So many rows of a table, and the SHA-256 over all of them in their order."""

    table: str
    rows: int
    sha256: str


class Side(Protocol):
    """A ledger's database, in the middle of a transaction."""

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows in the table's order, never all of them in memory."""
        ...

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Put these into the table, which is empty."""
        ...


class Damaged(Exception):
    """What was read back is not what was written: in this table."""


def transfer(source: Side, target: Side) -> list[Copied]:
    """Copy everything, and read it back. Raises `Damaged`."""
    sent = [_sent(source, target, table) for table in tables()]
    for table, expected in zip(tables(), sent, strict=True):
        summed = _Sum(table)
        for _ in summed.through(target.rows(table)):
            pass
        if summed.copied() != expected:
            raise Damaged(f"table {table.name}: {expected.rows} rows were written, and {summed.count} read back differ")
    return sent


def _sent(source: Side, target: Side, table: Table) -> Copied:
    summed = _Sum(table)
    target.fill(table, summed.through(source.rows(table)))
    return summed.copied()


class _Sum:
    """Counts and hashes rows on their way."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hash = hashlib.sha256()
        self.count = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.count += 1
            self._hash.update(repr(row).encode())
            yield row

    def copied(self) -> Copied:
        return Copied(self._table.name, self.count, self._hash.hexdigest())


# --- the tables -------------------------------------------------------------------------------------------------------


@cache
def tables() -> tuple[Table, ...]:
    """Those of this version, each behind those that its rows refer to."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in schema.STEPS:
            for statement in schema.statements(script):
                connection.execute(statement)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        referred = {name: _referred(connection, name) for name in names}
        return tuple(_table(connection, name) for name in _sorted(referred))


def _referred(connection: sqlite3.Connection, name: str) -> set[str]:
    return {row[0] for row in connection.execute('SELECT "table" FROM pragma_foreign_key_list(?)', (name,))} - {name}


def _sorted(referred: dict[str, set[str]]) -> list[str]:
    done: list[str] = []
    while len(done) < len(referred):
        done += [name for name in referred if name not in done and referred[name] <= set(done)]
    return done


def _table(connection: sqlite3.Connection, name: str) -> Table:
    found = connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    columns = tuple(column for column, _, _ in found)
    keys = sorted((place, column) for column, _, place in found if place)
    order = tuple(column for _, column in keys) or columns
    return Table(name, columns, frozenset(column for column, kind, _ in found if kind == "TEXT"), order)


# --- SQLite -----------------------------------------------------------------------------------------------------------


class SqliteSide:
    """A `Side`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, table: Table) -> Iterator[Row]:
        order = ", ".join(f"{_ordered(column, table)} NULLS FIRST" for column in table.order)
        asked = f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {order}"  # noqa: S608  names of ours
        for row in self._connection.execute(asked):
            yield tuple(map(_spelled, row))

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608  ours
        are_names = [column in _NAMES for column in table.columns]
        self._connection.executemany(statement, (tuple(map(_restored, row, are_names)) for row in rows))


def _ordered(column: str, table: Table) -> str:
    """Bytes are in the order that their spelling has."""
    if column not in table.texts:
        return column
    return f"CASE typeof({column}) WHEN 'blob' THEN char(1) || lower(hex({column})) ELSE {column} END"


def _spelled(value: object) -> object:
    if isinstance(value, bytes):
        return BYTES + value.hex()
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _restored(value: object, is_name: bool) -> object:
    return bytes.fromhex(value[1:]) if is_name and isinstance(value, str) and value.startswith(BYTES) else value
