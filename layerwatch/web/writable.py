"""Can the ledger be written? By its permissions and its disk, if it is on one; nothing is opened, let alone written: it
is asked every few seconds, while the daemon works on it."""

import os

from layerwatch.ledger.store import is_url
from layerwatch.notices import size_text

LEAST_FREE_BYTES = 16 * 1024 * 1024
SEE_THE_REASON = "see the reason; `layerwatch check` looks closer"


def why_unwritable(place: str, trouble: str) -> tuple[str, str] | None:
    """Why the ledger cannot be written, and what to do; by its permissions, its disk, and its last answer."""
    answered = (trouble, SEE_THE_REASON) if trouble else None
    return answered if is_url(place) else _why_not(place) or answered


def _why_not(path: str) -> tuple[str, str] | None:
    directory = os.path.dirname(os.path.realpath(path))
    user = f"uid {os.geteuid()}"
    if not os.access(directory, os.W_OK | os.X_OK):
        return (
            f"the ledger's directory {directory} is not there, or {user} may not write it",
            f"let {user} write {directory}: SQLite needs it beside the file",
        )
    if not os.path.exists(path):
        return f"the ledger {path} is gone", "stop layerwatch, put the ledger back, or a copy of it, then start again"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{user} may not read and write the ledger {path}", f"give it to the user that has {user}"
    return _why_disk(directory)


def _why_disk(directory: str) -> tuple[str, str] | None:
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        return f"the disk of the ledger's directory {directory}: {error.strerror}", "see the reason"
    if disk.f_flag & os.ST_RDONLY:
        return f"the ledger's directory {directory} is on a read-only filesystem", "mount it so that it can be written"
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < LEAST_FREE_BYTES:
        return f"{size_text(free_bytes)} are left on the disk of the ledger, in {directory}", "make room on that disk"
    return None
