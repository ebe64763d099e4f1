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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long begins first, in each of the workers, who take equal parts of the list to begin with: else one of
    them is at it when all others are done."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if "system" in item.path.parts]
    short = [item for item in items if "system" not in item.path.parts]
    ends = [len(items) * (number + 1) // workers for number in range(workers)]
    items.clear()
    for number, end in enumerate(ends):
        items += long[number::workers]
        # As they lie, for the sake of what the tests of a file share.
        room = end - len(items)
        items += short[:room]
        del short[:room]
