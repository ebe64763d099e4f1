"""One daemon among those that share a ledger."""

import json
import select
import uuid
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import Ledger
from layerwatch.ledger.postgres.connecting import FAULTS, Pool, Raw, connect, lock_key, told, unusable
from layerwatch.ledger.postgres.hosts import CHANNEL, LONG_SILENT, SILENT
from layerwatch.ledger.tenure import Daemon
from layerwatch.names import AS_THEY_ARE, Names

_CLASS = 0x4C58  # of the advisory locks of those who watch
_SEEN = """
INSERT INTO hosts (instance, name, pid, version, lease_s, backend, watches, workers)
VALUES (%s, %s, %s, %s, %s, pg_backend_pid(), %s, %s)
ON CONFLICT (instance) DO UPDATE SET backend = excluded.backend, watches = excluded.watches,
  workers = excluded.workers, seen_at = excluded.seen_at
"""
_HOLD = """
UPDATE hosts SET hold_message = %s, hold_until = clock_timestamp() + make_interval(secs => %s) WHERE instance = %s
"""
_HELD = """
SELECT name, hold_message, extract(epoch FROM hold_until - clock_timestamp())::float8 FROM hosts
WHERE hold_until > clock_timestamp() AND instance <> %s ORDER BY hold_until DESC LIMIT 1
"""
# Of the connection by which it was heard of last: the number of its process may be somebody else's by now.
_CUT = f"""
SELECT pg_terminate_backend(backend::int) FROM hosts JOIN pg_stat_activity AS served ON served.pid = backend
WHERE {SILENT} AND backend_start < seen_at AND application_name = 'layerwatch' AND backend <> pg_backend_pid()
"""  # noqa: S608  ours alone


class Membership:
    """One daemon among the others, through a connection of its own: by it others can tell that it is gone. For one
    thread. Raises `LedgerTrouble`."""

    def __init__(self, url: str, instance: str, daemon: Daemon, names: Names = AS_THEY_ARE) -> None:
        self._url = url
        self._names = names
        self.lease_s = daemon.lease_s
        self._about = (instance, daemon.name, daemon.pid, daemon.version, daemon.lease_s)
        self._raw: Raw | None = None
        self._held: set[str] = set()

    def alive(self, watches: Sequence[str], workers: int) -> None:
        """Show that it is; to be called every few seconds."""
        try:
            self._connection().execute(_SEEN, (*self._about, json.dumps(sorted(watches)), workers))
        except FAULTS as error:
            raise self._lost(error) from error

    def holds(self, message: str, for_s: float) -> None:
        """The API has asked this one to wait: so do all the others."""
        try:
            connection = self._connection()
            connection.execute(_HOLD, (message, for_s, *self._about[:1]))
            connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        except FAULTS as error:
            raise self._lost(error) from error

    def held(self) -> tuple[str, str, float] | None:
        """Which other one was told what, and for how many seconds it still counts; None where none was."""
        try:
            return self._connection().execute(_HELD, self._about[:1]).fetchone()
        except FAULTS as error:
            raise self._lost(error) from error

    def watches(self, place: str) -> bool:
        """Whether it is this one that watches the folder that is kept there: one does at a time."""
        try:
            connection = self._connection()
            if place not in self._held:
                row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_CLASS, self._key(place))).fetchone()
                if row == (True,):
                    self._held.add(place)
        except FAULTS as error:
            raise self._lost(error) from error
        return place in self._held

    def leaves(self, place: str) -> None:
        """It watches that one no more."""
        if place in self._held:
            self._held.discard(place)
            try:
                self._connection().execute("SELECT pg_advisory_unlock(%s, %s)", (_CLASS, self._key(place)))
            except FAULTS as error:
                raise self._lost(error) from error

    def _key(self, place: str) -> int:
        """The same on every host, wherever it has mounted that."""
        return lock_key(self._names.outside(place))

    def bury(self) -> dict[str, str]:
        """Those that were not heard of for longer than they may be: the folders that they watch are anybody's. Returns
        their names by instance. Their claims are recovered by whoever asks for that."""
        try:
            connection = self._connection()
            connection.execute(_CUT)
            dead = connection.execute(f"SELECT instance, name FROM hosts WHERE {SILENT}").fetchall()  # noqa: S608  ours
        except FAULTS as error:
            raise self._lost(error) from error
        return dict(dead)

    def forget_the_dead(self) -> None:
        """Those who look at the hosts have had time to see them; what they claimed is nobody's with or without."""
        try:
            self._connection().execute(f"DELETE FROM hosts WHERE {LONG_SILENT}")  # noqa: S608  ours alone
        except FAULTS as error:
            raise self._lost(error) from error

    def heard(self, timeout_s: float) -> bool:
        """Wait until somebody rings, or so long. Whether it rang."""
        try:
            connection = self._connection()
            select.select([connection.fileno()], [], [], timeout_s)
            return bool(list(connection.notifies(timeout=0)))
        except (*FAULTS, OSError, ValueError) as error:
            raise self._lost(error) from error

    def leave(self) -> None:
        """It ends: what it watched is free at once."""
        if self._raw is not None:
            with suppress(psycopg.Error):  # else its lease runs out
                self._raw.execute("DELETE FROM hosts WHERE instance = %s", self._about[:1])
            self._raw.close()
            self._raw = None

    def _connection(self) -> Raw:
        if self._raw is None or self._raw.closed:
            self._held.clear()
            self._raw = connect(self._url)
            self._raw.execute(f"LISTEN {CHANNEL}")
        return self._raw

    def _lost(self, error: Exception) -> LedgerTrouble:
        """What it watched is anybody's."""
        self._held.clear()
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        return LedgerTrouble(told(self._url, "reached", error))


class Shared:
    """A ledger of several daemons: each is a member, and its threads share a few connections."""

    def __init__(self, url: str, daemon: Daemon, names: Names = AS_THEY_ARE) -> None:
        self._url = url
        self._names = names
        self._instance = uuid.uuid4().hex
        self._pool: Pool | None = None
        self._folders: Sequence[str] = ()
        self.membership = Membership(url, self._instance, daemon, names)

    def open(self) -> Ledger:
        """Before `share`, it makes it a member, too: done again, as one that could not be is, that changes nothing.
        Raises `UserError`, and `LedgerTrouble`."""
        ledger = Ledger(self._url, shared=self._pool, names=self._names)
        if self._pool is None:
            self._join(ledger)
        return ledger

    def _join(self, ledger: Ledger) -> None:
        try:
            self.membership.alive((), 0)
        except psycopg.Error as error:  # no way to reach it is none of these: `LedgerTrouble`
            ledger.close()
            raise unusable(self._url, error) from None
        except LedgerTrouble:
            ledger.close()
            raise

    def share(self) -> None:
        self._pool = Pool(self._url, self._instance, self._folders)

    def take(self, folders: Sequence[str]) -> None:
        self._folders = folders
        if self._pool:
            self._pool.take(folders)

    def close(self) -> None:
        if self._pool:
            self._pool.close()

    def release(self) -> None:
        self.membership.leave()
