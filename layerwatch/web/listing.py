"""The part of the page about files: what is in trouble, what is not taken yet, what came in."""

from dataclasses import dataclass
from urllib.parse import urlencode

from layerwatch.advice import advice
from layerwatch.ledger import FileRow, Ledger, iso
from layerwatch.notices import size_text
from layerwatch.states import File
from layerwatch.web import words
from layerwatch.web.activity import names
from layerwatch.web.sight import Sight
from layerwatch.web.words import When

LATEST = 50
MOST = 10  # of each kind of trouble
MOST_OF_WHY = 160  # characters of an error in the list: all of it is above, or in `layerwatch show`


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that something is wrong with, why, and what to do about it; `again` is when it is tried once more."""

    id: int
    name: str
    code: str
    why: str
    do: str
    at: When
    again: When | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that lies there quiet and is not taken yet."""

    name: str
    size: str
    why: str
    since: When


@dataclass(frozen=True, slots=True)
class Troubles:
    """The first few of each kind, and how many more there are."""

    failed: list[Trouble]
    more_failed: int
    again: list[Trouble]
    candidates: list[Candidate]
    more_candidates: int


@dataclass(frozen=True, slots=True)
class Line:
    """One file of the list."""

    id: int
    name: str
    status: str
    size: str
    at: When
    file_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to narrow the list."""

    text: str
    link: str
    chosen: bool
    count: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the list somebody wants to see; None: all."""

    status: str | None = None
    folder: str | None = None
    before: int | None = None

    def link(self, **changes: str | int | None) -> str:
        now = {"status": self.status, "folder": self.folder, "before": self.before} | changes
        query = urlencode({key: value for key, value in now.items() if value is not None})
        return f"/?{query}#files" if query else "/#files"


@dataclass(frozen=True, slots=True)
class Listing:
    """`older` leads to those before, `newest` back to the beginning."""

    lines: list[Line]
    statuses: list[Choice]
    folders: list[Choice]
    older: str | None
    newest: str | None


# --- in trouble -------------------------------------------------------------------------------------------------------


def troubles(sight: Sight, ledger: Ledger, files: dict[str, int]) -> Troubles:
    failed = ledger.reports.leaf(MOST, status=File.FAILED).rows
    postponed = ledger.reports.postponed(names(sight), iso(sight.wall()), MOST)
    waiting, number = ledger.reports.candidates(MOST), ledger.reports.waiting()
    return Troubles(
        failed=[_trouble(sight, row) for row in failed],
        more_failed=max(files["failed"] - len(failed), 0),
        again=[_trouble(sight, row) for row in postponed if row.error_code],
        candidates=[_candidate(sight, **each) for each in waiting],
        more_candidates=max(number - MOST, 0),
    )


def _trouble(sight: Sight, row: FileRow) -> Trouble:
    now = sight.wall()
    is_queued = row.status == File.QUEUED and row.next_attempt_at is not None
    return Trouble(
        id=row.id,
        name=words.name(sight.settings(), row.path, row.folder),
        code=words.message(row.error_code),
        why=words.message(row.error),
        do=advice(row.error_code),
        at=words.when(row.updated_at, now),
        again=words.when(row.next_attempt_at or "", now) if is_queued else None,
    )


def _candidate(sight: Sight, *, path: str, folder: str, size: int, reason: str, since: str) -> Candidate:
    name = words.name(sight.settings(), path, folder)
    return Candidate(name, size_text(size), words.message(reason), words.when(since, sight.wall()))


# --- the list ---------------------------------------------------------------------------------------------------------


def listing(sight: Sight, ledger: Ledger, files: dict[str, int], asked: Asked) -> Listing:
    leaf = ledger.reports.leaf(LATEST, status=asked.status, folder=asked.folder, before=asked.before)
    return Listing(
        lines=[_line(sight, row) for row in leaf.rows],
        statuses=_statuses(files, asked),
        folders=_folders(sight, asked),
        older=None if leaf.older is None else asked.link(before=leaf.older),
        newest=None if asked.before is None else asked.link(before=None),
    )


def _statuses(files: dict[str, int], asked: Asked) -> list[Choice]:
    total = words.number(sum(files.values()))
    every = Choice("all", asked.link(status=None, before=None), asked.status is None, total)
    each = (
        Choice(status, asked.link(status=status, before=None), asked.status == status, words.number(count))
        for status, count in files.items()
    )
    return [every, *each]


def _folders(sight: Sight, asked: Asked) -> list[Choice]:
    configured = [folder.name for folder in sight.settings().folders]
    if len(configured) < 2 and asked.folder is None:
        return []
    every = Choice("every folder", asked.link(folder=None, before=None), asked.folder is None)
    return [every, *(Choice(name, asked.link(folder=name, before=None), asked.folder == name) for name in configured)]


def _line(sight: Sight, row: FileRow) -> Line:
    is_done = row.status == File.UPLOADED
    return Line(
        id=row.id,
        name=words.name(sight.settings(), row.path, row.folder),
        status=row.status,
        size=size_text(row.size),
        at=words.when(row.uploaded_at or row.created_at, sight.wall()),
        file_id=words.message(row.file_id) if is_done else "",
        why="" if is_done else words.message(row.error, MOST_OF_WHY),
    )
