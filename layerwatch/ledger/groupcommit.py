"""Group commit: all threads of a process write through one connection, and whoever comes while others are at it shares
their commit.

Nobody is told that something is written before it is on the disk: a thread that has done its part waits for the commit,
and the last one in line makes it. So a commit, and its wait for the disk, is shared by as many as there are under load,
and is everybody's own when there is none. What one thread does in vain is rolled back alone.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from layerwatch.ledger.connecting import BUSY_MS, SqliteConnection, connect, set_up

MOST = 64  # who share one commit: other processes want to write, too
PATIENCE_S = 0.05  # until somebody else makes the commit; who was to may have been ended


class Turn(Protocol):
    """What `threading.Lock` does."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


class Signal(Protocol):
    """What `threading.Event` does."""

    def set(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


@dataclass(slots=True, eq=False)
class _Batch:
    """Those who share a commit."""

    members: int = 0
    over: Signal | None = None  # made by the first who has to wait for it
    error: sqlite3.Error | None = None


class _Part:
    """What one thread writes, as a `with` block. A class of its own: as a generator it would cost as much again."""

    __slots__ = ("batch", "first", "group", "single")

    def __init__(self, group: "GroupCommit", single: bool) -> None:
        self.group = group
        self.single = single
        self.batch: _Batch | None = None
        self.first = False

    def __enter__(self) -> SqliteConnection:
        return self.group.begin(self)

    def __exit__(self, _: object, failed: BaseException | None, __: object) -> None:
        self.group.end(self, failed)


class GroupCommit:
    """The connection that writes, for all threads of a process; `turn` is theirs alone, `signal` makes one. For a
    ledger that is there and up to date. Raises what `sqlite3` raises."""

    def __init__(self, path: str, turn: Turn, signal: Callable[[], Signal], *, durable: bool = True) -> None:
        self._turn = turn
        self._signal = signal
        self._connection = connect(path, any_thread=True)
        set_up(self._connection, durable=durable)
        self._batch = _Batch()
        self._queue: deque[None] = deque()  # one for each who waits for a turn

    def close(self) -> None:
        self._connection.close()

    def write(self, *, single: bool = False) -> "_Part":
        """Several statements, all or none, on the disk when the block is left; `single`: one of them changes something,
        and SQLite itself does that wholly or not at all. Raises what the block raises, and `sqlite3.Error`."""
        return _Part(self, single)

    def begin(self, part: "_Part") -> SqliteConnection:
        """The connection is the caller's alone until `end`."""
        part.batch = self._enter()
        part.first = not self._connection.in_transaction
        self._begin(part)
        return self._connection

    def end(self, part: "_Part", failed: BaseException | None) -> None:
        """Wait until it is on the disk; or take back what was done in vain, and raise what failed of the rest."""
        batch = part.batch
        assert batch
        try:
            if failed is None and not (part.first or part.single):
                self._connection.execute("RELEASE part")
        except sqlite3.Error as error:
            failed = error
        if failed is not None:
            self._take_back(batch, failed, part)
        self._leave(batch)
        if batch.error and not isinstance(failed, sqlite3.Error):
            raise type(batch.error)(*batch.error.args)
        if failed is not None:
            raise failed

    def _enter(self) -> _Batch:
        self._queue.append(None)
        try:
            # Whoever writes may be waiting for another process: all wait for that together, not one after the other.
            if not self._turn.acquire(timeout=BUSY_MS / 1000):
                raise sqlite3.OperationalError("database is locked")
        finally:
            self._queue.pop()
        self._batch.members += 1
        return self._batch

    def _begin(self, part: "_Part") -> None:
        try:
            if part.first:
                # IMMEDIATE: a plain BEGIN that reads first fails at once beside another writer.
                self._connection.execute("BEGIN IMMEDIATE")
            elif not part.single:
                self._connection.execute("SAVEPOINT part")
        except BaseException:
            self._turn.release()  # those who are in the batch make the commit themselves
            raise

    def _take_back(self, batch: _Batch, failed: BaseException, part: "_Part") -> None:
        """What this thread has done in vain; there is nothing else yet where it was the first."""
        try:
            if part.first:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            elif not part.single:
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            elif not self._connection.in_transaction:
                raise sqlite3.OperationalError(f"rolled back: {failed}")
        except sqlite3.Error as error:
            # A full disk or an I/O error has ended the whole transaction: nothing of anybody's is written.
            batch.error = failed if isinstance(failed, sqlite3.Error) else error

    def _leave(self, batch: _Batch) -> None:
        """Pass the turn on and wait until the commit is made; or make it."""
        if not self._queue or batch.members >= MOST or batch.error is not None:
            self._commit(batch)
            self._turn.release()
            return
        over = batch.over = batch.over or self._signal()
        self._turn.release()
        while not over.wait(PATIENCE_S):
            if self._turn.acquire(blocking=False):  # whoever was to come next has not
                if self._batch is batch:
                    self._commit(batch)
                self._turn.release()

    def _commit(self, batch: _Batch) -> None:
        try:
            if batch.error is None and self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            batch.error = error
        finally:
            self._batch = _Batch()
            if batch.over:
                batch.over.set()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
