"""Group commit: all threads of a process write through one connection, and whoever comes while others are at it shares
their commit.

Nobody is told that something is written before it is on the disk: a thread that has done its part waits for the commit,
and the last one in line makes it. So a commit, and its wait for the disk, is shared by as many as there are under load,
and is everybody's own when there is none. What one thread does in vain is rolled back alone.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from layerwatch.ledger.connecting import connect, set_up

MOST = 64  # who share one commit: other processes want to write, too
PATIENCE_S = 0.05  # until somebody else makes the commit; who was to may have been ended


class Turns(AbstractContextManager[object], Protocol):
    """What `threading.Condition` does."""

    def wait(self, timeout: float | None = None) -> bool: ...

    def notify_all(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Batch:
    """Those who share a commit."""

    members: int = 0
    over: bool = False
    error: sqlite3.Error | None = None


class GroupCommit:
    """The connection that writes, for all threads of a process; `turns` is theirs alone. Raises `UserError` as `Store`
    does, for a ledger that is there and up to date."""

    def __init__(self, path: str, turns: Turns, *, durable: bool = True) -> None:
        self._turns = turns
        self._connection = connect(path, any_thread=True)
        set_up(self._connection, durable=durable)
        self._batch = _Batch()
        self._busy = False
        self._waiting = 0

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Several statements, all or none, on the disk when the block is left. Raises what the block raises, and
        `sqlite3.Error`."""
        batch, failed = self._enter(), None
        try:
            self._begin()
            yield self._connection
            self._connection.execute("RELEASE part")
        except BaseException as error:  # noqa: BLE001  raised again, once what it was built on is written
            failed = error
            self._take_back(batch, error)
        self._leave(batch)
        if batch.error and not isinstance(failed, sqlite3.Error):
            raise type(batch.error)(*batch.error.args)
        if failed:
            raise failed

    def _enter(self) -> _Batch:
        with self._turns:
            self._waiting += 1
            while self._busy:
                self._turns.wait()
            self._waiting -= 1
            self._busy = True
            self._batch.members += 1
            return self._batch

    def _begin(self) -> None:
        # IMMEDIATE: a plain BEGIN that reads first fails at once beside another writer.
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("SAVEPOINT part")

    def _take_back(self, batch: _Batch, failed: BaseException) -> None:
        """What this thread has done in vain."""
        try:
            self._connection.execute("ROLLBACK TO part")
            self._connection.execute("RELEASE part")
        except sqlite3.Error as error:
            # A full disk or an I/O error has ended the whole transaction: nothing of anybody's is written.
            batch.error = failed if isinstance(failed, sqlite3.Error) else error

    def _leave(self, batch: _Batch) -> None:
        """Pass the turn on and wait until the commit is made; or make it."""
        with self._turns:
            if self._waiting and batch.members < MOST and batch.error is None:
                self._pass_on()
                if self._made_by_another(batch):
                    return
                self._busy = True
        self._commit(batch)
        with self._turns:
            self._pass_on()

    def _pass_on(self) -> None:
        self._busy = False
        self._turns.notify_all()

    def _made_by_another(self, batch: _Batch) -> bool:
        """Wait for it. False where nobody is left who would."""
        while not batch.over:
            if not self._turns.wait(PATIENCE_S) and not self._busy and not self._waiting:
                break
        return batch.over

    def _commit(self, batch: _Batch) -> None:
        try:
            if batch.error is None:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            batch.error = error
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._batch = _Batch()
        batch.over = True
