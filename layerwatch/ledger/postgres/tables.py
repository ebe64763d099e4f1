"""The tables on PostgreSQL: made by the very steps that make them in SQLite, in a schema of their own."""

from layerwatch.ledger import schema
from layerwatch.ledger.postgres import dialect
from layerwatch.ledger.postgres.connecting import SCHEMA, Raw
from layerwatch.ledger.postgres.hosts import TABLE

_LOCK = 0x4C574D  # of those who migrate
_IS_THERE = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'ledger'"
_HAS_SCHEMA = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s"
_HERE_ALONE = """
-- Uploads of the same bytes take turns: here two hosts could take two files at the same moment.
DROP INDEX files_in_flight;
CREATE UNIQUE INDEX files_in_flight ON files (hash) WHERE status = 'uploading';
-- What is queued is mostly what came last: by the primary key all that was ever uploaded would be passed over.
CREATE INDEX files_queued ON files (id) WHERE status = 'queued';
"""


def version(raw: Raw) -> int:
    """How many steps this ledger has behind it; 0 is a database without one."""
    # Not by `to_regclass`: that goes by what its connection has looked up before, and does not see a ledger that was
    # made while it waited for its turn to make one.
    if raw.execute(_IS_THERE, (SCHEMA,)).fetchone() is None:
        return 0
    ((number,),) = raw.execute("SELECT version FROM ledger")
    return int(number)


def migrate(raw: Raw) -> None:
    """Bring the ledger to `schema.VERSION`. Several may do so at once: the first does it, the others wait."""
    with raw.transaction():
        raw.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        done = version(raw)
        if not done:
            # Not IF NOT EXISTS: for that, too, one has to be allowed to create it.
            if raw.execute(_HAS_SCHEMA, (SCHEMA,)).fetchone() is None:
                raw.execute(f"CREATE SCHEMA {SCHEMA}")
            raw.execute("CREATE TABLE ledger (version INTEGER NOT NULL)")
            raw.execute("INSERT INTO ledger VALUES (0)")
        for script in schema.STEPS[done:]:
            _run(raw, script)
        if not done:
            _run(raw, _HERE_ALONE)
            raw.execute(TABLE)
        raw.execute("UPDATE ledger SET version = %s", (schema.VERSION,))


def _run(raw: Raw, script: str) -> None:
    for statement in schema.statements(script):
        raw.execute(dialect.definition(statement))
