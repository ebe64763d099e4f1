"""A look into a ledger on PostgreSQL, and a hand in it, past the ledger's own connections."""

import atexit
from typing import Any

import psycopg

from layerwatch.ledger.postgres.connecting import Raw, configure
from layerwatch.ledger.postgres.store import Session
from layerwatch.names import BYTES, unbound


class Window:
    """One connection, to the database that was asked last: tests ask thousands of times."""

    def __init__(self) -> None:
        self._url = ""
        self._raw: Raw | None = None
        atexit.register(self.close)

    def rows(self, url: str, question: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """An answer as SQLite would give it: what is no text as bytes."""
        return [tuple(map(_as_sqlite_has_it, row)) for row in self._session(url).execute(question, values).fetchall()]

    def change(self, url: str, statement: str, values: tuple[object, ...]) -> int:
        """How many rows it changed."""
        return self._session(url).execute(statement, values).rowcount

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    def _session(self, url: str) -> Session:
        if self._raw is None or self._raw.closed or url != self._url:
            self.close()
            self._url, self._raw = url, psycopg.connect(url, autocommit=True)
            configure(self._raw)
        return Session(self._raw)


def _as_sqlite_has_it(value: object) -> object:
    if isinstance(value, str) and value.startswith(BYTES):
        return unbound(value).encode(errors="surrogateescape")
    return value


WINDOW = Window()
