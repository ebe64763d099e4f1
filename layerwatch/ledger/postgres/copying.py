"""All rows of a ledger on PostgreSQL, out of it and into it; see `transfer`. Not its hosts: they are there, or not."""

from collections.abc import Iterable, Iterator
from contextlib import closing

from psycopg import sql

from layerwatch.ledger.postgres.connecting import Raw
from layerwatch.ledger.store import SqliteStore
from layerwatch.ledger.transfer import Row, SqliteSide, Table, tables

_PAGE = 1000  # rows
_ONE_INSTANT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"  # the other side may take its time


class PostgresSide:
    """A `Side`. Raises `psycopg.Error`."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw

    def rows(self, table: Table) -> Iterator[Row]:
        order = sql.SQL(", ").join(sql.SQL("{} NULLS FIRST").format(sql.Identifier(each)) for each in table.order)
        asked = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(_columns(table), sql.Identifier(table.name), order)
        with self._raw.cursor(name=f"all_{table.name}") as cursor:
            cursor.itersize = _PAGE
            yield from cursor.execute(asked)

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), _columns(table))
        with self._raw.cursor() as cursor, cursor.copy(into) as copy:
            for row in rows:
                copy.write_row(row)
        if "id" in table.columns:
            self._raw.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence({}, 'id'), coalesce(max(id), 1), max(id) IS NOT NULL) FROM {}"
                ).format(sql.Literal(table.name), sql.Identifier(table.name))
            )

    def is_empty(self) -> bool:
        asked = (sql.SQL("EXISTS (SELECT FROM {})").format(sql.Identifier(table.name)) for table in tables())
        return self._raw.execute(sql.SQL("SELECT {}").format(sql.SQL(" OR ").join(asked))).fetchone() == (False,)


def _columns(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))


def at_one_instant(raw: Raw) -> PostgresSide:
    """All that is read in the transaction that has just begun is as it is now."""
    raw.execute(_ONE_INSTANT)
    raw.execute(_PATIENT)
    return PostgresSide(raw)


def held(raw: Raw) -> PostgresSide:
    """The same, and nobody else writes, nor begins to work on it, to the end of the transaction."""
    raw.execute(_ONE_INSTANT)
    raw.execute(_PATIENT)
    names = sql.SQL(", ").join(sql.Identifier(name) for name in ("hosts", *(table.name for table in tables())))
    raw.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(names))
    return PostgresSide(raw)


def copy(raw: Raw, path: str) -> None:
    """Make an SQLite ledger at `path` that has all that is in this one at one instant. Raises `psycopg.Error`."""
    with closing(SqliteStore(path, durable=False)) as store, store.write() as connection, raw.transaction():
        source, target = at_one_instant(raw), SqliteSide(connection)
        raw.execute("SET TRANSACTION READ ONLY")
        for table in tables():
            target.fill(table, source.rows(table))
