"""What is still to be done with uploaded files: claimed by one at a time, tried again while it may pass, and noted.

A column beside the status, not a status: the file is uploaded, whatever becomes of its source.
"""

from collections.abc import Callable
from dataclasses import dataclass

from layerwatch.ledger.connection import Store
from layerwatch.ledger.queues import Queue
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import LostClaim
from layerwatch.names import bound, unbound
from layerwatch.source import Digest, Identity
from layerwatch.states import Event, File, move

MOVED_TO = "moved to "
_PRESENT = "folder IN (SELECT name FROM folders WHERE state IN ('watching', 'polling'))"
_COLUMNS = (
    "id, claim, folder, path, size, mtime_ns, inode, hash, crc32c, content_type, file_id, workspace_id, uploaded_at,"
    " verified, attempts"
)
_QUEUE = Queue("files", f"aftermath = 'pending' AND {_PRESENT}", _COLUMNS)


@dataclass(frozen=True, slots=True)
class Finishing:
    """A claimed file that is uploaded and not dealt with yet. `uploaded_at` is ISO 8601, `called` what the
    ledger calls it: the path, as other hosts know it, too."""

    id: int
    claim: str
    folder: str
    path: str
    called: str
    identity: Identity
    digest: Digest
    content_type: str
    file_id: str
    workspace_id: str
    uploaded_at: str
    verified: str
    attempts: int


class FinishingTable:
    """The files of one ledger whose aftermath is pending. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def due(self, now: float) -> bool:
        """Whether there is one that could be claimed."""
        return _QUEUE.is_due(self._store, now)

    def claim(self, claim: str, now: float) -> Finishing | None:
        """Take one that is due; None when none is. Costs no commit when there is none."""
        if not self.due(now):
            return None
        with self._store.write() as connection:
            row = _QUEUE.take(connection, claim, now)
        if row is None:
            return None
        id_, claimed, folder, path, size, mtime_ns, inode, sha256, crc32c, *rest = row
        identity, digest = Identity(size, mtime_ns, inode), Digest(sha256, crc32c)
        here = self._store.names.to_path(path)
        return Finishing(id_, claimed, folder, here, unbound(path), identity, digest, *rest)

    def finished(self, job: Finishing, *, done: bool, detail: str, code: str | None, now: float) -> None:
        """It is done, or left alone for good; `detail` says where the file is, or why."""
        status = move(File.UPLOADED, Event.FINISHED)
        detail = placed(detail, self._store.names.outside)
        with self._store.write() as connection:
            changed = connection.execute(
                "UPDATE files SET aftermath = ?, aftermath_detail = ?, claim = NULL, next_attempt_at = NULL,"
                " updated_at = ?, attempts = 0 WHERE id = ? AND claim = ?",
                ("done" if done else "left", bound(detail), iso(now), job.id, job.claim),
            ).rowcount
            _insist(changed, job)
            connection.execute(
                "INSERT INTO history (item, item_id, at, event, status, error_code, detail)"
                " VALUES ('file', ?, ?, ?, ?, ?, ?)",
                (job.id, iso(now), Event.FINISHED, status, code, plain(detail)),
            )

    def again(self, job: Finishing, detail: str, due: float) -> None:
        """Not now, for a reason that may pass: again at `due`."""
        with self._store.write() as connection:
            changed = connection.execute(
                "UPDATE files SET aftermath_detail = ?, claim = NULL, next_attempt_at = ?, attempts = attempts + 1"
                " WHERE id = ? AND claim = ?",
                (bound(detail), iso(due), job.id, job.claim),
            ).rowcount
            _insist(changed, job)

    def recover(self, claim: str | None = None) -> None:
        """Whoever had claimed one is no more; or, by its `claim`, has given it back."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE files SET claim = NULL"  # noqa: S608  ours alone
                " WHERE aftermath = 'pending' AND claim IS NOT NULL"
                f" AND (claim = ? OR CAST(? AS TEXT) IS NULL AND {self._store.left_behind})",
                (claim, claim),
            )


def placed(detail: str, called: Callable[[str], str]) -> str:
    """What became of a file's source; where it was moved to is `called` otherwise in the ledger, or out of it."""
    place = detail.removeprefix(MOVED_TO)
    return detail if place == detail else MOVED_TO + called(place)


def _insist(changed: int, job: Finishing) -> None:
    if changed != 1:
        raise LostClaim(f"file {job.id} is no longer held by claim {job.claim}")
