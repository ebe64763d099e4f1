"""What the rooms of the ledger need of a database: the same for each engine."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from layerwatch.names import Names

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.hosts import HostRow

# Of a ledger that several hosts share each takes only what its own configuration knows.
OURS = """/*postgres AND coalesce(
  {} = ANY(string_to_array(nullif(current_setting('layerwatch.folders', true), ''), E'\\x01')), true)*/"""
NO_LIMIT = 2**63 - 1  # rows


class Cursor(Protocol):
    """What a statement brought."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Statements inside one transaction, written as SQLite takes them. `names`: what they call files."""

    names: Names

    def execute(self, statement: str, parameters: Any = ..., /) -> Cursor: ...

    def executemany(self, statement: str, parameters: Iterable[Any], /) -> Cursor: ...

    def insert(self, statement: str, parameters: Sequence[Any], /) -> int:
        """Add one row to a table that has an `id`; returns that."""
        ...


class Lane(StrEnum):
    """Where an engine lets several write at the same time: who is in a lane is alone in it."""

    ALL = "all"  # whoever looks at many rows to decide about one
    CLAIMS = "claims"  # whoever looks for something to take


class Store(Protocol):
    """The ledger's database as one thread has it. Raises `LedgerTrouble`."""

    path: str
    names: Names  # what files are called in it
    claimant: str  # nobody else's claims begin so
    left_behind: str  # SQL: whether who holds a row's `claim` is no more, asked by one who has just begun

    def rows(self, sql: str, *values: object, **named: object) -> list[tuple[Any, ...]]:
        """What a question answers, all of it."""
        ...

    def row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of it, if there is one."""
        ...

    def write(self, lane: Lane | None = ..., /, *, single: bool = ...) -> AbstractContextManager[Connection]:
        """Several statements, all or none, on the disk when the block is left. With no `lane` they concern rows alone
        that the caller holds by its claim. `single`: only one of them changes anything, and none fails after it."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Every `write` in here is part of one."""
        ...

    def announce(self, connection: Connection) -> None:
        """Once this is written, let those who work elsewhere know that there may be something to do."""
        ...

    def copy_to(self, path: str) -> None:
        """Copy all of it, as it is at one instant, to an SQLite ledger that is not there yet."""
        ...

    def hosts(self) -> "list[HostRow]":
        """The daemons that share it; none where there is one at a time."""
        ...

    def checkpoint_if_due(self) -> None: ...

    def close(self) -> None: ...
