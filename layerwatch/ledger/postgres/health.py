"""How a ledger's database is, looked at without changing anything of it: no ledger is made, none brought up to date."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg

from layerwatch.ledger.postgres.connecting import SCHEMA, Raw, connect, unusable
from layerwatch.ledger.postgres.hosts import HostRow, hosts
from layerwatch.ledger.postgres.tables import version

OLDEST = 14  # of PostgreSQL: what is older gets no repairs any more, and was not tried


@dataclass(frozen=True, slots=True)
class Health:
    """`server` is the version of PostgreSQL in words, `release` its first number, `version` the migrations that the
    ledger has behind it, 0 where there is none; `barred` says why it cannot be written, empty where it can; `durable`:
    what was committed outlives a power cut."""

    server: str
    release: int
    version: int
    barred: str
    durable: bool
    most_connections: int
    hosts: tuple[HostRow, ...]


def examine(url: str) -> Health:
    """Raises `UserError` where the server cannot be reached."""
    with _connected(url) as raw:
        found = version(raw)
        known = hosts(raw) if found else []
        return Health(
            _setting(raw, "server_version"), raw.info.server_version // 10_000, found, _why_barred(raw, found),
            _setting(raw, "synchronous_commit") != "off", int(_setting(raw, "max_connections")), tuple(known),
        )  # fmt: skip


def worker(url: str) -> int | None:
    """The process of a daemon that works on it, on whichever host. Raises `UserError`."""
    with _connected(url) as raw:
        return next((host.pid for host in hosts(raw) if host.alive), None) if version(raw) else None


@contextmanager
def _connected(url: str) -> Iterator[Raw]:
    try:
        with closing(connect(url)) as raw:
            yield raw
    except psycopg.Error as error:
        raise unusable(url, error) from None


def _setting(raw: Raw, name: str) -> str:
    ((value,),) = raw.execute("SELECT current_setting(%s)", (name,))
    return str(value)


def _why_barred(raw: Raw, found: int) -> str:
    """Told by a real try, which is taken back: of a copy that only reads, permissions say nothing."""
    tried = "INSERT INTO notes (key, value, updated_at) VALUES ('tried', '', '')"
    try:
        with raw.transaction(force_rollback=True):
            raw.execute(tried if found else f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            if not found:
                raw.execute(f"CREATE TABLE {SCHEMA}.tried ()")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        return " ".join(str(error).split())
    return ""
