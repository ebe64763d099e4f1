"""A whole ledger, moved from a disk to a server, or back. Nobody works on either meanwhile, the source stays as it is,
and the target has all of it, compared row by row, or nothing."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress

from layerwatch.errors import AnotherInstance, EnvironmentProblem, LedgerTrouble, Problem, UserError
from layerwatch.ledger.lock import Lock
from layerwatch.ledger.store import SqliteStore, is_url
from layerwatch.ledger.transfer import Copied, Damaged, Side, SqliteSide, tables, transfer

_ENDS = ("", "-wal", "-shm", ".lock")


def migrate(source: str, target: str) -> list[Copied]:
    """Copy the ledger at `source` to `target`, paths or URLs. What each table has, the same on both sides. Raises
    `UserError`, and `LedgerTrouble`; then there is nothing in the target."""
    if source == target:
        raise UserError(Problem("--to", "that is where the ledger is", "name another place"))
    with _side(source, target=False) as one, _side(target, target=True) as other:
        try:
            return transfer(one, other)
        except Damaged as error:
            reason = f"not copied: {error}; nothing was left there, and the source is as it was"
            raise EnvironmentProblem(Problem("--to", reason, "check that disk or server, then try again")) from None


def _side(place: str, *, target: bool) -> AbstractContextManager[Side]:
    if not is_url(place):
        return _file(place, target=target)
    from layerwatch.ledger.postgres.moving import moved

    return moved(place, target=target)


@contextmanager
def _file(path: str, *, target: bool) -> Iterator[Side]:
    """One on a disk, with nobody else; what is written into a target is kept when the block is left."""
    missing = _missing(path) if target else []
    with _taken_back(missing, path), closing(SqliteStore(path, create=target)) as store:
        lock = Lock(path)
        try:
            with _held(store) as connection:
                if target and not _is_empty(connection):
                    fix = "name a file that is not there, or move that one away"
                    raise UserError(Problem(path, "there is a ledger with something in it", fix))
                yield SqliteSide(connection)
        finally:
            lock.release()


def _missing(path: str) -> list[str]:
    """What is not there of a ledger and the directories that it is in, what is within before what it is within."""
    missing = [path + end for end in _ENDS if not os.path.lexists(path + end)]
    while (path := os.path.dirname(path)) and not os.path.lexists(path):
        missing.append(path)
    return missing


@contextmanager
def _taken_back(missing: list[str], path: str) -> Iterator[None]:
    """What goes wrong in the block leaves nothing where nothing was, unless somebody else works there by now."""
    try:
        yield
    except BaseException:
        if path in missing:
            with suppress(AnotherInstance):
                _remove(missing, path)
        raise


def _remove(missing: list[str], path: str) -> None:
    lock = Lock(path)  # also of what is removed: who comes now makes a ledger of its own
    try:
        if _is_used(path):
            return
        for each in missing:
            with suppress(OSError):  # not made, or a directory that somebody else has put something into
                (os.rmdir if os.path.isdir(each) else os.remove)(each)
    finally:
        lock.release()


def _is_used(path: str) -> bool:
    """Whether it is more than an empty ledger: a `push` takes no lock."""
    try:
        with closing(SqliteStore(path, create=False)) as store:
            return not _is_empty(store.connection)
    except (UserError, sqlite3.Error):
        return os.path.exists(path) and os.path.getsize(path) > 0


@contextmanager
def _held(store: SqliteStore) -> Iterator[sqlite3.Connection]:
    try:
        with store.write() as connection:
            yield connection
    except sqlite3.Error as error:
        raise LedgerTrouble(f"the ledger {store.path} cannot be copied: {error}") from error


def _is_empty(connection: sqlite3.Connection) -> bool:
    asked = " OR ".join(f"EXISTS (SELECT 1 FROM {table.name})" for table in tables())  # noqa: S608  names of ours
    return bool(connection.execute(f"SELECT NOT ({asked})").fetchone()[0])
