"""What tests share that want it, and what the first of them in a process starts: a PostgreSQL server, a fork server."""

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .ordering import ordered
from .starts import ForkServer, Start

if TYPE_CHECKING:
    from .postgres import Server


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        items[:] = ordered(items, workers)


def pytest_collection_finish() -> None:
    gc.freeze()  # six thousand tests live as long as we do: to look through them again and again is a tenth of the work


@pytest.fixture(scope="session")
def postgres() -> Iterator["Server"]:
    """One server for all tests of this process; each takes a database of its own. No power is cut."""
    from .postgres import Server  # psycopg costs 0.2 s, which most have no use for

    with Server(durable=False) as server:
        yield server


@pytest.fixture
def database(postgres: "Server") -> Iterator[str]:
    """The URL of a new, empty database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def started() -> Iterator[Start]:
    """How layerwatch's processes start: none imports again what one of them has imported."""
    with ForkServer() as server:
        yield server
