"""What an audit finds, as facts: names that scripts may rely on."""

from dataclasses import dataclass
from enum import StrEnum

from layerwatch.ledger import GenerationRow
from layerwatch.ledger.reports import Known


class Kind(StrEnum):
    """What was found; names that scripts may rely on."""

    MISSING = "missing"  # uploaded or queued, and no longer in its folder
    CHANGED = "changed"  # what lies there is no version that the ledger knows
    UNKNOWN = "unknown"  # lies in a folder, and has no row at all
    CORRUPT_ON_DISK = "corrupt_on_disk"  # same size, time and inode, other bytes
    UNREADABLE = "unreadable"  # what it is could not be looked up
    STUCK = "stuck"  # ought to have moved long ago
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"  # uploaded, and the server confirmed no checksum
    UNRESOLVED = "unresolved"  # a generation that may have been started, and paid: a person decides
    PAID_WITHOUT_RESULT = "paid_without_result"
    RESULT_MISSING = "result_missing"  # saved, and no longer where it was
    RESULT_CHANGED = "result_changed"  # other bytes lie there
    INPUT_MISSING = "input_missing"  # of a generation that still waits for others


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not go together. `file` is the row's id, None where there is no row; `gone`: its file is no
    longer there. `generation` is the id of the one that it is about, None where it is about a file alone."""

    kind: Kind
    folder: str
    path: str
    detail: str
    file: int | None = None
    status: str | None = None
    error_code: str | None = None
    gone: bool = False
    generation: int | None = None


@dataclass(slots=True)
class Checked:
    """How far one folder was looked at. `state` is `there`, or why its files were not: away, unreadable, unconfigured.

    `files` lie there and are wanted; of these, `refused` are known and nothing to upload, and `waiting` not taken yet.
    """

    name: str
    path: str | None
    state: str = "there"
    detail: str = ""
    files: int = 0
    refused: int = 0
    waiting: int = 0


def of_file(kind: Kind, known: Known, detail: str, *, gone: bool = False) -> Finding:
    return Finding(kind, known.folder, known.path, detail, known.id, known.status, known.error_code, gone)


def of_generation(
    kind: Kind, row: GenerationRow, detail: str, *, path: str = "", file: int | None = None, gone: bool = False
) -> Finding:
    return Finding(kind, row.folder, path or row.path, detail, file, row.status, row.error_code, gone, row.id)
