"""A ledger of its own for each test, on the disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from layerwatch.ledger import Ledger

from .builders import watched


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path.resolve() / "ledger.db")


@pytest.fixture
def ledger(path: str) -> Iterator[Ledger]:
    """A ledger that knows a folder `drop`, which is being watched. No power is cut while it is tested."""
    with Ledger(path, durable=False) as ledger:
        yield watched(ledger)
