"""The ledger on PostgreSQL, for several hosts. Imported only where `[ledger] url` says so; raises `UserError` where
what speaks to such a server is not installed."""

from layerwatch.errors import Problem, UserError

try:
    import psycopg  # noqa: F401  whether it is there, with a libpq
    import psycopg_pool  # noqa: F401
except ImportError as error:
    reason = f"what speaks to PostgreSQL is not installed: {error}"
    fix = 'install layerwatch[postgres], for example: pip install "layerwatch[postgres]"'
    raise UserError(Problem("[ledger] url", " ".join(reason.split()), fix)) from None
