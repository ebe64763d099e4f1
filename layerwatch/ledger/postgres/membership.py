"""One daemon among those that share a ledger."""

import json
import select
import uuid
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import Ledger
from layerwatch.ledger.postgres.connecting import FAULTS, Pool, Raw, connect, lock_key, told
from layerwatch.ledger.postgres.hosts import CHANNEL, LEASE_S
from layerwatch.ledger.tenure import Daemon

_CLASS = 0x4C58  # of the advisory locks of those who watch
_SEEN = """
INSERT INTO hosts (instance, name, pid, version, backend, watches, workers)
VALUES (%s, %s, %s, %s, pg_backend_pid(), %s, %s)
ON CONFLICT (instance) DO UPDATE SET backend = excluded.backend, watches = excluded.watches,
  workers = excluded.workers, seen_at = excluded.seen_at
"""


class Membership:
    """One daemon among the others, through a connection of its own: by it others can tell that it is gone. For one
    thread. Raises `LedgerTrouble`."""

    def __init__(self, url: str, instance: str, daemon: Daemon) -> None:
        self._url = url
        self._about = (instance, daemon.name, daemon.pid, daemon.version)
        self._raw: Raw | None = None
        self._held: set[str] = set()

    def alive(self, watches: Sequence[str], workers: int) -> None:
        """Show that it is; to be called every few seconds."""
        try:
            self._connection().execute(_SEEN, (*self._about, json.dumps(sorted(watches)), workers))
        except FAULTS as error:
            raise self._lost(error) from error

    def watches(self, place: str) -> bool:
        """Whether it is this one that watches the folder that is kept there: one does at a time."""
        try:
            connection = self._connection()
            if place not in self._held:
                row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_CLASS, lock_key(place))).fetchone()
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
                self._connection().execute("SELECT pg_advisory_unlock(%s, %s)", (_CLASS, lock_key(place)))
            except FAULTS as error:
                raise self._lost(error) from error

    def bury(self) -> list[str]:
        """Those that were not heard of for `LEASE_S`: what they hold is let go. Returns their names. Their claims are
        recovered by whoever asks for that, before they are `forgotten`."""
        asked = f"SELECT name, backend FROM hosts WHERE seen_at < clock_timestamp() - interval '{LEASE_S} s'"  # noqa: S608
        try:
            connection = self._connection()
            dead = connection.execute(asked).fetchall()
            for _, backend in dead:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND pid <> pg_backend_pid()"
                    " AND application_name = 'layerwatch'",
                    (backend,),
                )
        except FAULTS as error:
            raise self._lost(error) from error
        return [str(name) for name, _ in dead]

    def forget_the_dead(self) -> None:
        """Nothing is claimed by them any more."""
        try:
            self._connection().execute(
                f"DELETE FROM hosts WHERE seen_at < clock_timestamp() - interval '{3 * LEASE_S} s'"  # noqa: S608  ours
            )
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

    def __init__(self, url: str, daemon: Daemon) -> None:
        self._url = url
        self._instance = uuid.uuid4().hex
        self._pool: Pool | None = None
        self._folders: Sequence[str] = ()
        Ledger(url).close()  # it is there, and up to date
        self.membership = Membership(url, self._instance, daemon)
        self.membership.alive((), 0)

    def open(self) -> Ledger:
        return Ledger(self._url, shared=self._pool)

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
