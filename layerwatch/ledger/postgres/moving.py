"""A ledger on PostgreSQL while it is moved: with nobody else, and, where it is the target, with nothing in it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from layerwatch.errors import AnotherInstance, LedgerTrouble, Problem, UserError
from layerwatch.ledger.postgres.connecting import SCHEMA, Raw, connect, told, without_password
from layerwatch.ledger.postgres.copying import PostgresSide, held
from layerwatch.ledger.postgres.hosts import hosts
from layerwatch.ledger.postgres.store import PostgresStore


@contextmanager
def moved(url: str, *, target: bool) -> Iterator[PostgresSide]:
    """See `migrating`. Raises `UserError`, and `LedgerTrouble` for what goes wrong in the block."""
    PostgresStore(url, create=target).close()
    try:
        with closing(connect(url)) as raw, raw.transaction():
            side = held(raw)
            _insist_on_nobody(raw, url)
            if target and not side.is_empty():
                reason = "there is a ledger with something in it"
                fix = f"name another database or, if nobody needs that one, DROP SCHEMA {SCHEMA} CASCADE in it first"
                raise UserError(Problem(without_password(url), reason, fix))
            yield side
    except psycopg.Error as error:
        raise LedgerTrouble(told(url, "copied", error)) from error


def _insist_on_nobody(raw: Raw, url: str) -> None:
    if names := sorted({host.name for host in hosts(raw) if host.alive}):
        reason = f"layerwatch works on this ledger on {', '.join(names)}"
        raise AnotherInstance(Problem(without_password(url), reason, "stop it there first"))
