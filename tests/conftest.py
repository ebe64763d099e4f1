"""A PostgreSQL server for those tests that want one: the first of them in a process starts it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .postgres import Server


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
