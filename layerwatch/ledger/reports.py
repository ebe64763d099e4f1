"""What people and scripts ask the ledger. Reads only, and never a secret: the `sessions` table is not opened here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from layerwatch.ledger.connection import NO_LIMIT, Store
from layerwatch.ledger.finishing import placed
from layerwatch.names import unbound
from layerwatch.source import Identity
from layerwatch.states import File

_COLUMNS = (
    "id, folder, path, size, mtime_ns, hash, content_type, status, file_id, error_code, error, attempts, bytes_sent,"
    " next_attempt_at, created_at, updated_at, uploaded_at, verified"
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of `files`, as commands show it. Sizes in bytes, times as ISO 8601 text."""

    id: int
    folder: str
    path: str
    size: int
    mtime_ns: int
    hash: str | None
    content_type: str | None
    status: str
    file_id: str | None
    error_code: str | None
    error: str | None
    attempts: int
    bytes_sent: int
    next_attempt_at: str | None
    created_at: str
    updated_at: str
    uploaded_at: str | None
    verified: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Known:
    """One version of a file as it is held against the disk: what it was there, and what became of it."""

    id: int
    folder: str
    path: str
    identity: Identity
    hash: str | None
    status: str
    error_code: str | None
    verified: str | None
    next_attempt_at: str | None
    updated_at: str
    aftermath: str | None
    aftermath_detail: str | None


_KNOWN = (
    "id, folder, path, size, mtime_ns, inode, hash, status, error_code, verified, next_attempt_at, updated_at,"
    " aftermath, aftermath_detail"
)
# Most files are uploaded, and are what is left of all: how many rows there are SQLite reads off the pages of an index,
# hundreds at once; those of one status it counts one by one. In one statement, so as they are at one instant, and not
# grouped, for which it would look at all of them.
_OTHERS = tuple(status for status in File if status is not File.UPLOADED)
_EACH = ", ".join(f"(SELECT count(*) FROM files WHERE status = '{status}')" for status in _OTHERS)  # noqa: S608  ours
_COUNTS = f"SELECT (SELECT count(*) FROM files), {_EACH}"  # noqa: S608
_PAGE = 1000
# Rows that are looked at for those of one folder, for which no index has them in order: at first, and at the most.
_NEAR, _REACH = 1_000, 100_000
# The latest version of its path, as `versions` orders them.
_IS_NEWEST = (
    "NOT EXISTS (SELECT 1 FROM files AS newer WHERE newer.path = files.path"
    " AND (newer.updated_at, newer.id) > (files.updated_at, files.id))"
)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event of one file."""

    at: str
    event: str
    status: str
    error_code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """Some rows, the latest first; those older than the row `older` were not looked at (None: there are none)."""

    rows: list[FileRow]
    older: int | None


class Reports:
    """Questions to one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[str, int]:
        """Files by status; every status is there."""
        ((whole, *others),) = self._store.rows(_COUNTS)
        counted = dict(zip(_OTHERS, others, strict=True)) | {File.UPLOADED: whole - sum(others)}
        return {str(status): counted[status] for status in File}

    def queued(self) -> int:
        """How many files are queued: what `counts` says, at the cost of these alone."""
        ((number,),) = self._store.rows("SELECT count(*) FROM files WHERE status = 'queued'")
        return int(number)

    def in_flight(self) -> list[FileRow]:
        return self._files("WHERE status = 'uploading' ORDER BY updated_at, id")

    def oldest_queued(self) -> FileRow | None:
        return next(iter(self._files("WHERE status = 'queued' ORDER BY id LIMIT 1")), None)

    def knows_files_of(self, folder: str) -> bool:
        """Whether any file was ever found in this folder."""
        return self._store.row("SELECT 1 FROM files WHERE folder = ? LIMIT 1", folder) is not None

    def troubled(self, limit: int) -> list[FileRow]:
        """Queued files that have met a fault, latest first."""
        return self._files(
            "WHERE status = 'queued' AND error_code IS NOT NULL ORDER BY updated_at DESC, id LIMIT ?", limit
        )

    def waiting(self) -> int:
        """How many candidates there are."""
        ((number,),) = self._store.rows("SELECT count(*) FROM candidates")
        return int(number)

    def candidates(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Files that lie there quiet and are not taken yet: path, folder, size (bytes), reason, since."""
        asked = "SELECT path, folder, size, reason, since FROM candidates ORDER BY since, path LIMIT ?"
        rows = self._store.rows(asked, NO_LIMIT if limit is None else limit)
        return [
            {"path": self._store.names.to_path(path), "folder": folder, "size": size, "reason": reason, "since": since}
            for path, folder, size, reason, since in rows
        ]

    def files(self, *, status: str | None = None, folder: str | None = None, limit: int | None = None) -> list[FileRow]:
        """Rows, latest change first."""
        wanted = {"status": status, "folder": folder}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = "WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
        tail = f"{where} ORDER BY updated_at DESC, id DESC LIMIT ?"
        return self._files(tail, *given.values(), NO_LIMIT if limit is None else limit)

    def file(self, id_: int) -> FileRow | None:
        return next(iter(self._files("WHERE id = ?", id_)), None)

    def versions(self, path: str) -> list[FileRow]:
        """All rows of one path, the latest first."""
        return self._files(
            "WHERE path = ? ORDER BY updated_at DESC, id DESC", self._store.names.to_text(os.path.abspath(path))
        )

    def history(self, id_: int) -> list[HistoryLine]:
        asked = (
            "SELECT at, event, status, error_code, detail FROM history WHERE item = 'file' AND item_id = ? ORDER BY id"
        )
        here = self._store.names.here
        rows = self._store.rows(asked, id_)
        return [
            HistoryLine(at, event, status, code, text and placed(text, here)) for at, event, status, code, text in rows
        ]

    # --- for the status page: a few rows, or entries of an index, are looked at, however many there are ---------------

    def leaf(
        self, limit: int, *, status: str | None = None, folder: str | None = None, before: int | None = None
    ) -> Leaf:
        """Rows by when they came in, the latest first: `limit` of them, all older than the row `before`.

        Where few are of that folder there may be less, and older ones still.
        """
        where = "WHERE id < :before" + ("" if status is None else " AND status = :status")
        named = {
            "before": NO_LIMIT if before is None else before,
            "status": status,
            "folder": folder,
            "most": limit + 1,
        }
        if folder is None:
            return self._leaf(limit, where, named, None)
        leaf = Leaf([], None)
        for reach in (_NEAR, _REACH):
            bottom = self._reached(where, named, reach)
            # The plus keeps SQLite to the order of the ids.
            leaf = self._leaf(limit, f"{where} AND +folder = :folder", named, bottom)
            if len(leaf.rows) == limit or bottom is None:
                break
        return leaf

    def _leaf(self, limit: int, where: str, named: Mapping[str, object], bottom: int | None) -> Leaf:
        tail = f"{where} AND id >= :bottom ORDER BY id DESC LIMIT :most"
        rows = self._files(tail, **named, bottom=0 if bottom is None else bottom)
        return Leaf(rows[:limit], rows[limit - 1].id if len(rows) > limit else bottom)

    def _reached(self, where: str, named: Mapping[str, object], reach: int) -> int | None:
        """The row that is the last of `reach` rows; None where these are all that there are."""
        asked = f"SELECT id FROM files {where} ORDER BY id DESC LIMIT 2 OFFSET {reach - 1}"  # noqa: S608  ours alone
        found = self._store.rows(asked, **named)
        return found[0][0] if len(found) > 1 else None

    def postponed(self, folders: Sequence[str], now: str, limit: int) -> list[FileRow]:
        """Queued files of these folders that are to be tried again later than `now`, the soonest first."""
        each = "WHERE status = 'queued' AND folder = ? AND next_attempt_at > ? ORDER BY next_attempt_at, id LIMIT ?"
        found = [row for folder in folders for row in self._files(each, folder, now, limit)]
        return sorted(found, key=lambda row: (row.next_attempt_at or "", row.id))[:limit]

    # --- for an audit: a page at a time, however large the ledger is --------------------------------------------------

    def known(self, id_: int) -> Known | None:
        return next(iter(self._known("WHERE id = ?", id_)), None)

    def known_at(self, path: str) -> list[Known]:
        """All versions of one path, the latest first."""
        return self._known("WHERE path = ? ORDER BY updated_at DESC, id DESC", self._store.names.to_text(path))

    def newest_in(self, directory: str) -> Iterator[Known]:
        """The latest version of each path directly in `directory`."""
        return self._paged(f"dir = ? AND {_IS_NEWEST}", self._store.names.to_text(directory))

    def with_status(self, status: str, folder: str | None = None) -> Iterator[Known]:
        """All rows with this status, the oldest first."""
        return self._paged("status = ? AND (folder = ? OR CAST(? AS TEXT) IS NULL)", status, folder, folder)

    def overdue(self, since: str) -> Iterator[Known]:
        """Queued files that have been due since then, or longer."""
        # The plus keeps SQLite to the index over the status, which has the pages in order.
        return self._paged("status = 'queued' AND +next_attempt_at <= ?", since)

    def unconfirmed(self) -> Iterator[Known]:
        """Uploaded files of which the server has confirmed no checksum."""
        return self._paged("status = 'uploaded' AND verified IN ('size', 'nothing')")

    def directories(self) -> Iterator[str]:
        """Every directory that a file was ever found in."""
        before: object = ""
        while True:
            # No text, and no BLOB, comes before the empty one.
            asked = "SELECT DISTINCT dir FROM files WHERE dir > ? ORDER BY dir LIMIT ?"
            page = self._store.rows(asked, before, _PAGE)
            if not page:
                return
            yield from (self._store.names.to_path(directory) for (directory,) in page)
            before = page[-1][0]

    def rows_by_folder(self) -> dict[str, int]:
        """How many rows each folder has, configured or not."""
        return dict(self._store.rows("SELECT folder, count(*) FROM files GROUP BY folder ORDER BY folder"))

    def last_attempt_at(self) -> str | None:
        """When an uploader last took a file, or was done with one."""
        asked = "SELECT at FROM history WHERE item = 'file' AND event NOT IN ('seen', 'refused', 'retried')"
        row = self._store.row(f"{asked} ORDER BY id DESC LIMIT 1")
        return str(row[0]) if row else None

    def noted_at(self, key: str) -> str | None:
        """When the daemon noted this down."""
        row = self._store.row("SELECT updated_at FROM notes WHERE key = ?", key)
        return str(row[0]) if row else None

    def waits(self, path: str) -> tuple[int, str] | None:
        """The size, and when that was said, of a file that lies there quiet and is not taken yet."""
        asked = "SELECT size, updated_at FROM candidates WHERE path = ?"
        row = self._store.row(asked, self._store.names.to_text(path))
        return (row[0], row[1]) if row else None

    def _paged(self, where: str, *values: object) -> Iterator[Known]:
        page = self._known(f"WHERE {where} ORDER BY id LIMIT {_PAGE}", *values)
        while page:
            yield from page
            page = self._known(f"WHERE {where} AND id > ? ORDER BY id LIMIT {_PAGE}", *values, page[-1].id)

    def _known(self, tail: str, *values: object) -> list[Known]:
        rows = self._store.rows(f"SELECT {_KNOWN} FROM files {tail}", *values)  # noqa: S608  ours alone
        found, names = [], self._store.names
        for id_, folder, path, size, mtime_ns, inode, *rest in rows:
            rest[-1] = None if rest[-1] is None else placed(unbound(rest[-1]), names.here)
            found.append(Known(id_, folder, names.to_path(path), Identity(size, mtime_ns, inode), *rest))
        return found

    def _files(self, tail: str, *values: object, **named: object) -> list[FileRow]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM files {tail}", *values, **named)  # noqa: S608  ours alone
        to_path = self._store.names.to_path
        return [FileRow(id_, folder, to_path(path), *rest) for id_, folder, path, *rest in rows]
