"""Files that somebody named by `layerwatch push`: written down by any process, taken by the one that works.

`push` writes its rows by itself, past this room, to be quick: see `layerwatch.push`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from layerwatch.ledger.connection import Connection, Store
from layerwatch.ledger.found import Recorded, Refusal, Version, written
from layerwatch.ledger.times import iso, seconds


@dataclass(frozen=True, slots=True)
class Push:
    """One that nobody has taken yet. `folder`: the one it is meant for; None: the one it lies in, if any. `pushed_at`
    is unix seconds."""

    id: int
    path: str
    folder: str | None
    pushed_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of one. `status` is the file's; None while it is not taken, or where it was `refused`."""

    id: int
    path: str
    refused: bool
    file: int | None
    status: str | None
    file_id: str | None
    error_code: str | None
    error: str | None

    @property
    def settled(self) -> bool:
        """Nothing more will come of it by itself."""
        return self.refused or self.status in ("uploaded", "failed", "skipped")


_OUTCOME = """
SELECT pushed.id, pushed.path, taken_at IS NOT NULL AND file IS NULL, file, status, file_id,
  coalesce(pushed.error_code, files.error_code), coalesce(pushed.error, files.error)
FROM pushed LEFT JOIN files ON files.id = file WHERE pushed.id BETWEEN ? AND ? ORDER BY pushed.id
"""
_ADD = "INSERT INTO pushed (path, folder, created_at) VALUES (?, ?, ?)"
_UNTAKEN = "taken_at IS NULL AND id > ?"


class Pushes:
    """Those of one ledger. Times are unix seconds; the numbers of one `push` follow each other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, paths: Sequence[str], folder: str | None, now: float) -> range:
        """Write these down, all or none; returns their numbers."""
        with self._store.write() as connection:
            self._store.announce(connection)
            named = map(connection.names.to_text, paths)
            ids = [connection.insert(_ADD, (name, folder, iso(now))) for name in named]
        return range(ids[0], ids[-1] + 1) if ids else range(0)

    def untaken(self, after: int, limit: int) -> list[Push]:
        """The oldest that nobody has taken, from behind that number on."""
        rows = self._store.rows(
            f"SELECT id, path, folder, created_at FROM pushed WHERE {_UNTAKEN} ORDER BY id LIMIT ?",  # noqa: S608  ours alone
            after,
            limit,
        )
        return [Push(id_, self._store.names.to_path(path), folder, seconds(at)) for id_, path, folder, at in rows]

    def unfinished(self, after: int = 0) -> bool:
        """Whether there are any."""
        return self._store.row(f"SELECT 1 FROM pushed WHERE {_UNTAKEN} LIMIT 1", after) is not None  # noqa: S608

    def taken(self, found: Sequence[tuple[Push, Version | Refusal]], now: float) -> list[Recorded]:
        """Write down what they are, and that they are taken, all in one commit."""
        with self._store.write() as connection:
            recorded = written(connection, [item for _, item in found], now)
            for (push, _), row in zip(found, recorded, strict=True):
                _take(connection, push, now, file=row.id)
            return recorded

    def refused(self, push: Push, code: str, message: str, now: float) -> None:
        """There is nothing that could be a file of the ledger."""
        with self._store.write() as connection:
            _take(connection, push, now, error_code=code, error=message)

    def outcomes(self, ids: range) -> list[Outcome]:
        """What has become of these, in their order."""
        return [
            Outcome(id_, self._store.names.to_path(path), bool(refused), *rest)
            for id_, path, refused, *rest in self._store.rows(_OUTCOME, ids.start, ids.stop - 1)
        ]

    def forget(self, before: float) -> None:
        """Those that were taken by then are of no use to anybody: a farm pushes thousands a night."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM pushed WHERE taken_at < ?", (iso(before),))


def _take(connection: Connection, push: Push, now: float, **columns: object) -> None:
    columns["taken_at"] = iso(now)
    connection.execute(
        f"UPDATE pushed SET {', '.join(f'{name} = ?' for name in columns)}"  # noqa: S608  ours alone
        " WHERE id = ? AND taken_at IS NULL",
        (*columns.values(), push.id),
    )
