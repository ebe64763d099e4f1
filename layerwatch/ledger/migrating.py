"""A whole ledger, moved from a disk to a server, or back. Nobody works on either meanwhile, the source stays as it is,
and the target has all of it, compared row by row, or nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from layerwatch.errors import EnvironmentProblem, LedgerTrouble, Problem, UserError
from layerwatch.ledger.lock import Lock
from layerwatch.ledger.store import SqliteStore, is_url
from layerwatch.ledger.transfer import Copied, Damaged, Side, SqliteSide, tables, transfer


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
    with closing(SqliteStore(path, create=target)) as store:
        lock = Lock(path)
        try:
            with _held(store) as connection:
                if target and not _is_empty(connection):
                    fix = "name a file that is not there, or move that one away"
                    raise UserError(Problem(path, "there is a ledger with something in it", fix))
                yield SqliteSide(connection)
        finally:
            lock.release()


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
