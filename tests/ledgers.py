"""New ledgers for tests that are about what is in them: made once, and copied, which takes a tenth of the time."""

import functools
import os
import tempfile
from pathlib import Path

from layerwatch.ledger import Ledger
from layerwatch.ledger.store import is_url


def new_ledger(path: str, *, durable: bool = True) -> Ledger:
    """As `Ledger(path)`, of a path or URL where none need be yet."""
    if not is_url(path) and not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(_empty())  # before SQLite has it open: closing it later would drop SQLite's locks
    return Ledger(path, durable=durable)


@functools.cache
def _empty() -> bytes:
    """The file of a ledger that was opened and closed."""
    with tempfile.TemporaryDirectory() as home:
        path = f"{home}/ledger.db"
        Ledger(path, durable=False).close()
        return Path(path).read_bytes()
