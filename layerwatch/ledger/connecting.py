"""Opening the database: whose it is, how durable, and what to do when it cannot be used."""

import errno
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from layerwatch.errors import EnvironmentProblem, Problem, UserError
from layerwatch.names import AS_THEY_ARE

BUSY_MS = 10_000


class SqliteConnection(sqlite3.Connection):
    """A `Connection`."""

    names = AS_THEY_ARE

    def insert(self, statement: str, parameters: Sequence[Any], /) -> int:
        # Not by RETURNING, for which SQLite would keep the row aside.
        row = self.execute(statement, parameters).lastrowid
        assert row is not None
        return row


def connect(path: str, *, any_thread: bool = False) -> SqliteConnection:
    # Its sessions are secrets: nobody else's business unless the owner decides so. Only ever a file that was not there
    # is opened here: closing any descriptor of a database drops the locks of all connections that this process has to
    # it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(
        path,
        isolation_level=None,
        timeout=BUSY_MS / 1000,
        check_same_thread=not any_thread,
        factory=SqliteConnection,
    )


def set_up(connection: sqlite3.Connection, *, durable: bool) -> None:
    """Only once it is known to be ours: the first of these is written into the file."""
    _switch_to_wal(connection)
    # FULL: a power cut must not forget a file_id, nor, worse, a paid generation.
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    connection.execute("PRAGMA foreign_keys = ON")
    # Two connections that checkpoint at once may, in SQLite before 3.51.3, lose a transaction: only the daemon does.
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    for left in reversed(range(100)):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            # Two that switch at once fail at once, without waiting. A transaction waits until the other one is done.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        else:
            return


def insist_on_directory(path: str) -> None:
    directory = os.path.dirname(path) or "."
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if not os.path.exists(path):
            # os.access lies for root on a read-only filesystem, and on network ones: only a try tells.
            probe = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            os.close(probe)
        elif os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: str, error: Exception) -> UserError:
    number = error.errno if isinstance(error, OSError) else None
    word = str(error.strerror if isinstance(error, OSError) else error).lower()
    if number == errno.ENOSPC or "disk is full" in word:
        return EnvironmentProblem(
            Problem(path, "the disk that holds the ledger is full", "free some space there, then start again")
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or "readonly" in word or "unable to open" in word:
        return UserError(
            Problem(
                path,
                f"the ledger's directory cannot be written: {word} (running as uid {os.geteuid()})",
                "let that user write the directory (SQLite needs it beside the file), or set [ledger] path",
            )
        )
    if number in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        return UserError(Problem(path, f"no ledger can be there: {word}", "name another file in [ledger] path"))
    if "not a database" in word or "malformed" in word:
        return UserError(
            Problem(path, f"this is not a usable ledger: {word}", "restore it from a backup, or set [ledger] path")
        )
    return EnvironmentProblem(Problem(path, f"the ledger cannot be opened: {word}", "see the reason, then start again"))


assert sqlite3.sqlite_version_info >= (3, 35), f"SQLite {sqlite3.sqlite_version} has no RETURNING; {sys.executable}"
