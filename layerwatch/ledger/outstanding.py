"""What is still to be done about a file beside its upload, and what was pushed and is no file yet. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass

from layerwatch.ledger.connection import Store
from layerwatch.ledger.finishing import placed
from layerwatch.names import unbound


@dataclass(frozen=True, slots=True)
class PushRow:
    """One `layerwatch push` of a path. `taken_at`: the daemon has looked at it; then it has a `file`, or an error."""

    id: int
    folder: str | None
    created_at: str
    taken_at: str | None
    file: int | None
    error_code: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ActionRow:
    """A command or webhook that is to be tried again (`pending`), or was given up (`failed`); `detail` is what the last
    try said."""

    status: str
    attempts: int
    next_attempt_at: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Rest:
    """Of an uploaded file: what becomes of its source (`aftermath`: pending, done, left; None: nothing is wanted), and
    whether its rules are yet to be looked at."""

    aftermath: str | None
    aftermath_detail: str | None
    planning: bool


class Outstanding:
    """Questions to one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def left(self, folders: Sequence[str] | None) -> int:
        """How many files and generations of these folders, or of all, are still to be seen through."""
        ours = "" if folders is None else f" AND folder IN ({', '.join('?' * len(folders))})"
        row = self._store.row(
            f"SELECT (SELECT count(*) FROM files WHERE status IN ('queued', 'uploading'){ours})"  # noqa: S608  ours alone
            f" + (SELECT count(*) FROM generations WHERE status IN ('queued', 'submitting', 'running'){ours})",
            *(folders or ()),
            *(folders or ()),
        )
        return int(row[0]) if row else 0

    def pushes(self, path: str) -> list[PushRow]:
        """All that are known of this absolute path, the latest first."""
        rows = self._store.rows(
            "SELECT id, folder, created_at, taken_at, file, error_code, error FROM pushed WHERE path = ?"
            " ORDER BY id DESC",
            self._store.names.to_text(path),
        )
        return [PushRow(*row) for row in rows]

    def of_file(self, id_: int) -> Rest:
        row = self._store.row("SELECT aftermath, aftermath_detail, planning IS NOT NULL FROM files WHERE id = ?", id_)
        here = self._store.names.here
        return Rest(row[0], row[1] and placed(unbound(row[1]), here), bool(row[2])) if row else Rest(None, None, False)

    def actions(self, event: str, item_id: int) -> list[ActionRow]:
        """`event`: uploaded or complete; `item_id`: the file's, or the generation's."""
        rows = self._store.rows(
            "SELECT status, attempts, next_attempt_at, detail FROM deliveries"
            " WHERE event = ? AND item_id = ? AND status <> 'done' ORDER BY id",
            event,
            item_id,
        )
        return [ActionRow(*row) for row in rows]
