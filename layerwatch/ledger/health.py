"""How a ledger is, looked at without changing anything of it: not even an older one is brought up to date.

Opened by SQLite alone. Whoever opens and closes the file by other means drops the locks that this process has on it.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import schema
from layerwatch.ledger.connecting import BUSY_MS

VERSION = schema.VERSION
MOST_FAULTS = 5
_STEPS = 100_000  # of SQLite's machine between two looks whether it is enough


@dataclass(frozen=True, slots=True)
class Health:
    """`version` is the number of migrations behind it, `faults` what SQLite found wrong with the file, None where it
    did not come to an end."""

    is_empty: bool
    is_ledger: bool
    version: int
    faults: tuple[str, ...] | None
    size_bytes: int
    wal_bytes: int


def examine(path: str, enough: Callable[[], bool]) -> Health:
    """Look at the ledger at `path`, whoever works on it meanwhile. Asks `enough` now and then whether to stop.

    Raises `LedgerTrouble` where it cannot be read.
    """
    try:
        # Read-only: what is not there is not made either.
        address = f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=BUSY_MS / 1000)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = schema.version(connection)
            faults = _faults(connection, enough)
    except sqlite3.Error as error:
        raise LedgerTrouble(str(error)) from None
    is_ledger = version > 0 and {"files", "history"} <= tables
    return Health(not tables, is_ledger, version, faults, _size(path), _size(f"{path}-wal"))


def _faults(connection: sqlite3.Connection, enough: Callable[[], bool]) -> tuple[str, ...] | None:
    connection.set_progress_handler(enough, _STEPS)
    try:
        said = [text for (text,) in connection.execute(f"PRAGMA quick_check({MOST_FAULTS})")]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None
        raise
    return () if said == ["ok"] else tuple(said)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
