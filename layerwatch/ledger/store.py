"""Opening the ledger, the one lock per ledger, and the one way to write several statements together."""

import errno
import fcntl
import json
import os
import re
import sqlite3
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from layerwatch.errors import AnotherInstance, EnvironmentProblem, LedgerTrouble, Problem, UserError
from layerwatch.ledger import schema

BUSY_MS = 10_000
WAL_MOST_BYTES = 4 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_text(path: str) -> str | bytes:
    """A path as it is bound: text, or the raw bytes where the name is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def to_path(value: str | bytes) -> str:
    """What `to_text` bound, as Python carries paths."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def to_json(value: object) -> str:
    """JSON that can be bound, whatever paths and answers are in it, and that reads back as it was."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def plain(message: str) -> str:
    """A message that can be bound: it may quote a name that is not UTF-8, or an answer that was cut short."""
    return _SURROGATE.sub("\ufffd", message)


class Store:
    """One connection to the ledger at `path`: each thread has its own. Created, and migrated, where that is needed.

    `durable=False`: what is written need not outlive a power cut. Raises `UserError` with what to do when the ledger
    cannot be used.
    """

    def __init__(self, path: str, *, create: bool = True, durable: bool = True) -> None:
        self.path = path
        if not create and not os.path.exists(path):
            raise UserError(
                Problem(path, "there is no ledger yet", "start `layerwatch run` once, or check [ledger] path")
            )
        _insist_on_directory(path)
        try:
            self.connection = _connect(path)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from None
        try:
            self._insist_on_ledger()
            _set_up(self.connection, durable=durable)
            schema.migrate(self.connection)
        except BaseException as error:
            self.connection.close()
            if isinstance(error, sqlite3.Error):
                raise _unusable(path, error) from None
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

    def copy_to(self, path: str) -> None:
        """Copy all of it, as it is at one instant, whoever works on it meanwhile. Raises `LedgerTrouble`."""
        copy = _connect(path)
        try:
            self.connection.backup(copy)
        except sqlite3.Error as error:
            raise LedgerTrouble(f"the ledger {self.path} cannot be copied to {path}: {error}") from error
        finally:
            copy.close()

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

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Several statements, all or none. IMMEDIATE: a plain BEGIN that reads first fails at once beside another
        writer.

        Raises `LedgerTrouble` when the disk is full, fails, or somebody holds the ledger for longer than 10 s.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk or an I/O error may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise LedgerTrouble(f"the ledger {self.path} cannot be written: {error}") from error


def _connect(path: str) -> sqlite3.Connection:
    # Its sessions are secrets: nobody else's business unless the owner decides so. Only ever a file that was not there
    # is opened here: closing any descriptor of a database drops the locks of all connections that this process has to
    # it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)


def _set_up(connection: sqlite3.Connection, *, durable: bool) -> None:
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


def _insist_on_directory(path: str) -> None:
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
        raise _unusable(path, error) from None


def _unusable(path: str, error: Exception) -> UserError:
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


class Lock:
    """The right to be the one daemon on this ledger. Held through an open descriptor: it dies with the process, however
    that ends, and leaves nothing to clean up. Raises `AnotherInstance`."""

    def __init__(self, path: str) -> None:
        self.path = f"{path}.lock"
        _insist_on_directory(path)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            raise self._held(path) from None
        except OSError as error:
            raise _unusable(path, error) from None

    def _held(self, path: str) -> AnotherInstance:
        pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
        os.close(self._fd)
        reason = f"another layerwatch{f' (process {pid})' if pid else ''} works on this ledger"
        return AnotherInstance(Problem(path, reason, "stop that one first, or give this one its own [ledger] path"))

    def release(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(path: str) -> int | None:
    """The process that holds the lock of the ledger at `path`; None when nobody does."""
    try:
        fd = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK))
        if struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK:
            return None
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(fd)


# struct flock: type, whence, start, length (0: all of it), pid. F_OFD: of the open file, not of the process, and who
# asks need not take the lock for a moment, in which a daemon that starts would find it taken.
_FLOCK = "hhqqi0q"


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


assert sqlite3.sqlite_version_info >= (3, 35), f"SQLite {sqlite3.sqlite_version} has no RETURNING; {sys.executable}"
