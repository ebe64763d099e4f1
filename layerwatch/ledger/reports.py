"""What people and scripts ask the ledger. Reads only, and never a secret: the `sessions` table is not opened here."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from layerwatch.ledger.store import Store, to_path, to_text

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
class HistoryLine:
    """One event of one file."""

    at: str
    event: str
    status: str
    error_code: str | None
    detail: str | None


class Reports:
    """Questions to one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[str, int]:
        """Files by status; every status is there."""
        counted = dict(self._store.rows("SELECT status, count(*) FROM files GROUP BY status"))
        return {status: counted.get(status, 0) for status in ("queued", "uploading", "uploaded", "failed", "skipped")}

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
        return self._files("WHERE status = 'queued' AND error_code IS NOT NULL ORDER BY updated_at DESC LIMIT ?", limit)

    def candidates(self) -> list[dict[str, Any]]:
        """Files that lie there quiet and are not taken yet: path, folder, size (bytes), reason, since."""
        rows = self._store.rows("SELECT path, folder, size, reason, since FROM candidates ORDER BY since, path")
        return [
            {"path": to_path(path), "folder": folder, "size": size, "reason": reason, "since": since}
            for path, folder, size, reason, since in rows
        ]

    def files(self, *, status: str | None = None, folder: str | None = None, limit: int | None = None) -> list[FileRow]:
        """Rows, latest change first."""
        wanted = {"status": status, "folder": folder}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = "WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
        tail = f"{where} ORDER BY updated_at DESC, id DESC LIMIT ?"
        return self._files(tail, *given.values(), -1 if limit is None else limit)

    def file(self, id_: int) -> FileRow | None:
        return next(iter(self._files("WHERE id = ?", id_)), None)

    def versions(self, path: str) -> list[FileRow]:
        """All rows of one path, the latest first."""
        return self._files("WHERE path = ? ORDER BY updated_at DESC, id DESC", to_text(os.path.abspath(path)))

    def history(self, id_: int) -> list[HistoryLine]:
        asked = (
            "SELECT at, event, status, error_code, detail FROM history WHERE item = 'file' AND item_id = ? ORDER BY id"
        )
        return [HistoryLine(*row) for row in self._store.rows(asked, id_)]

    def _files(self, tail: str, *values: object) -> list[FileRow]:
        rows = self._store.rows(f"SELECT {_COLUMNS} FROM files {tail}", *values)  # noqa: S608  ours alone
        return [FileRow(id_, folder, to_path(path), *rest) for id_, folder, path, *rest in rows]
