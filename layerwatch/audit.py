"""The ledger held against the disk: what does not go together. Reads only, and changes nothing.

Holds one directory's listing and one page of rows at a time, however large the ledger is. A folder that is not there
is said to be so, and none of its files is called missing.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from layerwatch import source
from layerwatch.config import PUSHED, AfterUpload, Folder
from layerwatch.errors import Code, Superseded, TryAgain
from layerwatch.ignore import Selection
from layerwatch.ledger import FolderFacts, FolderState, GenerationRow, Ledger, iso, seconds
from layerwatch.ledger.reports import Known
from layerwatch.roots import Lost, Root
from layerwatch.source import Digest, Identity
from layerwatch.states import File, Generation
from layerwatch.walk import Directory, walk

QUIET_S = 60.0  # while a daemon runs, what is younger than that is its business
STUCK_S = 600.0
HUNG_S = 3600.0  # an upload URL lives 15 minutes: no attempt takes as long as this


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


@dataclass(frozen=True, slots=True)
class Moment:
    """When the audit looks, in unix seconds, and what is known of the daemon: does one run, does everything wait?"""

    now: float
    daemon: bool
    hold: bool


class _WentAway(Exception):
    """The folder is no longer the one that was being looked at."""


class Audit:
    """One look at `folders`, or at the one called `only`. `checked` is complete once `findings` has come to its end."""

    def __init__(
        self,
        ledger: Ledger,
        folders: Sequence[Folder],
        moment: Moment,
        *,
        only: str | None = None,
        rehash: bool = False,
    ) -> None:
        self._reports = ledger.reports
        self._stories = ledger.stories
        self._folders = {folder.name: folder for folder in folders}
        self._moment = moment
        self._only = only
        self._rehash = rehash
        self._facts = {facts.name: facts for facts in ledger.facts.folders()}
        since = ledger.reports.noted_at("daemon") if moment.daemon else None
        self._places = {
            folder.name: _Place(folder, self._facts.get(folder.name), since)
            for folder in folders
            if only in (None, folder.name)
        }
        self._walked: set[str] = set()
        self.checked = [place.checked for place in self._places.values()]

    def findings(self) -> Iterator[Finding]:
        for name, rows in self._reports.rows_by_folder().items():
            if self._wants(name) and name not in self._places:
                what = "pushed, and in no folder: not looked at" if name == PUSHED else "no longer configured"
                detail = f"{what}; rows in the ledger: {rows}"
                self.checked.append(Checked(name, None, "unconfigured", detail))
        for place in self._places.values():
            yield from place.guarded(self._walk(place))
        yield from self._beyond()
        yield from self._stuck()
        yield from filter(None, map(self._failed, self._reports.with_status(File.FAILED, self._only)))
        for known in self._reports.unconfirmed():
            if self._wants(known.folder):
                yield _finding(Kind.UNCONFIRMED, known, f"the server confirmed {_CONFIRMED[known.verified or '']}")
        yield from self._generations()

    def _wants(self, folder: str) -> bool:
        return self._only in (None, folder)

    # --- what lies in a folder ----------------------------------------------------------------------------------------

    def _walk(self, place: "_Place") -> Iterator[Finding]:
        folder, root = place.folder, place.root
        for directory in walk(root, root, place.selection, recursive=folder.recursive):
            if directory.error:
                yield Finding(Kind.UNREADABLE, folder.name, directory.path, f"a folder: {directory.error}")
                continue
            self._walked.add(directory.path)
            yield from self._directory(place, directory)

    def _directory(self, place: "_Place", directory: Directory) -> Iterator[Finding]:
        there = dict(directory.files)
        place.checked.files += len(there)
        for known in self._reports.newest_in(directory.path):
            identity = there.pop(known.path, None)
            if identity is not None:
                yield from self._known(place, known, identity)
            else:
                yield from place.missing(known)
        for path, identity in there.items():
            if place.baseline:
                place.checked.refused += 1  # `existing = false`: the first scan sets them aside
            elif self._is_news(place, path, identity):
                yield Finding(Kind.UNKNOWN, place.folder.name, path, "no row in the ledger")

    def _known(self, place: "_Place", newest: Known, identity: Identity) -> Iterator[Finding]:
        # An older version that was put back is no news either: the ledger has it.
        known = newest if _is(newest, identity) else self._version(newest.path, identity)
        if known is None:
            if self._is_news(place, newest.path, identity):
                yield _finding(Kind.CHANGED, newest, f"not the {newest.status} one")
        elif known.status == File.SKIPPED:
            place.checked.refused += 1
        elif self._rehash and known.hash:
            yield from place.rehash(known)

    def _version(self, path: str, identity: Identity) -> Known | None:
        return next((known for known in self._reports.known_at(path) if _is(known, identity)), None)

    def _is_news(self, place: "_Place", path: str, identity: Identity) -> bool:
        """Whether somebody should have taken the file that lies there by now."""
        try:
            status = os.lstat(path)
        except OSError:
            return False
        waits = self._reports.waits(path)
        is_young = self._moment.daemon and (
            place.to_be_scanned
            or source.identity(status) != identity
            or abs(self._moment.now - status.st_ctime) < max(QUIET_S, place.folder.settle)
        )
        if is_young or (waits and waits[0] == identity.size and status.st_ctime <= seconds(waits[1])):
            place.checked.waiting += 1
            return False
        return True

    # --- what the ledger knows ----------------------------------------------------------------------------------------

    def _beyond(self) -> Iterator[Finding]:
        """Rows of directories that were not walked: they are gone, or nothing is taken from them any more."""
        for directory in self._reports.directories():
            if directory in self._walked:
                continue
            for known in self._reports.newest_in(directory):
                place = self._places.get(known.folder)
                if place is not None:
                    yield from place.guarded(place.missing(known))

    def _failed(self, known: Known) -> Finding | None:
        """None where the version that failed has been replaced: then it is another one that counts."""
        place = self._places.get(known.folder)
        status = place.look(known.path) if place is not None else None
        if isinstance(status, os.stat_result):
            is_it = source.identity(status) == known.identity
        else:
            is_it = self._reports.known_at(known.path)[0].id == known.id
        gone = isinstance(status, _Gone)
        detail = f"{known.error_code}, and no longer there" if gone else str(known.error_code)
        return _finding(Kind.FAILED, known, detail, gone=gone) if is_it else None

    def _stuck(self) -> Iterator[Finding]:
        now, daemon = self._moment.now, self._moment.daemon
        stands_still = daemon and not self._moment.hold and self._stands_still()
        for known in self._reports.overdue(iso(now - STUCK_S)):
            configured, facts = known.folder in self._places, self._facts.get(known.folder)
            is_stuck = stands_still and facts is not None and facts.state not in _LOST
            if self._wants(known.folder) and (is_stuck or not configured or (daemon and facts is None)):
                due_at = seconds(known.next_attempt_at or known.updated_at)
                yield _finding(Kind.STUCK, known, f"due for {(now - due_at) // 60:.0f} min")
        for known in self._reports.with_status(File.UPLOADING, self._only):
            began_s = now - seconds(known.updated_at)
            if not daemon or began_s > HUNG_S:
                detail = f"being uploaded for {began_s // 60:.0f} min" if daemon else "interrupted"
                yield _finding(Kind.STUCK, known, detail)

    def _stands_still(self) -> bool:
        """A long queue is nothing wrong. One is, of which nobody has taken anything since it was last time to."""
        signs = (self._reports.last_attempt_at(), self._reports.noted_at("daemon"))
        latest = max(map(seconds, filter(None, signs)), default=0.0)
        return not self._reports.in_flight() and self._moment.now - latest > STUCK_S

    # --- generations --------------------------------------------------------------------------------------------------

    def _generations(self) -> Iterator[Finding]:
        yield from self._not_moving()
        unpaid = self._failed_generations()
        for row in filter(self._is_wanted, self._stories.without_result()):
            unpaid.pop(row.id, None)
            is_unknown = row.status == Generation.UNKNOWN
            kind = Kind.UNRESOLVED if is_unknown else Kind.PAID_WITHOUT_RESULT
            yield _about(kind, row, str(row.error_code) if is_unknown else _paid(row))
        yield from (_about(Kind.FAILED, row, str(row.error_code)) for row in unpaid.values())
        yield from self._results()
        yield from self._inputs()

    def _is_wanted(self, row: GenerationRow) -> bool:
        return self._wants(row.folder)

    def _failed_generations(self) -> dict[int, GenerationRow]:
        """The failed ones, but for those in whose place there is a later one for the same file."""
        latest: dict[tuple[str, str, str], GenerationRow] = {}
        for row in self._stories.some(folder=self._only):
            key = row.folder, row.rule, row.path
            if key not in latest or latest[key].id < row.id:
                latest[key] = row
        failed = [row for row in latest.values() if row.status == Generation.FAILED]
        return {row.id: row for row in sorted(failed, key=lambda row: row.id)}

    def _not_moving(self) -> Iterator[Finding]:
        now, daemon = self._moment.now, self._moment.daemon
        stands_still = daemon and not self._moment.hold and self._nothing_turns()
        for row in filter(self._is_wanted, self._stories.stuck(iso(now))):
            late_s = now - seconds(row.next_attempt_at or row.updated_at)
            if row.status == Generation.SUBMITTING:
                if not daemon or late_s > STUCK_S:
                    detail = f"being sent for {late_s // 60:.0f} min" if daemon else "interrupted while it was sent"
                    yield _about(Kind.STUCK, row, detail)
            elif late_s > STUCK_S and (stands_still or self._is_left(row)):
                yield _about(Kind.STUCK, row, f"due for {late_s // 60:.0f} min")

    def _is_left(self, row: GenerationRow) -> bool:
        """Layer works on it, or has done it, and nobody asks for it."""
        return row.status == Generation.RUNNING and not self._moment.daemon

    def _nothing_turns(self) -> bool:
        """As with files: a long queue is nothing wrong, but one of which nothing has moved for long is."""
        latest = [row.updated_at for row in self._stories.some(limit=1)]
        signs = (*latest, self._reports.noted_at("daemon"))
        return self._moment.now - max(map(seconds, filter(None, signs)), default=0.0) > STUCK_S

    def _results(self) -> Iterator[Finding]:
        """Results that are not where they were saved. Nothing is said of those whose folder is away."""
        for id_, path, sha256, size in self._stories.saved_results():
            place = self._home(path)
            if place is not None:
                yield from place.guarded(self._result(place, id_, path, _Saved(sha256, size)))

    def _result(self, place: "_Place", id_: int, path: str, saved: "_Saved") -> Iterator[Finding]:
        detail = place.result(path, saved, rehash=self._rehash)
        row = self._stories.one(id_) if detail else None
        if row is None or not self._is_wanted(row) or self._was_taken(path):
            return
        kind = Kind.RESULT_MISSING if detail == GONE else Kind.RESULT_CHANGED
        yield _about(kind, row, detail, path=path, gone=detail == GONE)

    def _home(self, path: str) -> "_Place | None":
        """The folder that a result was saved in: of those that lie in each other, for a chain, the outermost."""
        homes = [place for place in self._places.values() if path.startswith(os.path.join(place.folder.root, ""))]
        return min(homes, key=lambda place: len(place.folder.root), default=None)

    def _was_taken(self, path: str) -> bool:
        """Whether it was the next rule's input, and is where that folder wants its files once they are uploaded."""
        known = next(iter(self._reports.known_at(path)), None)
        folder = self._folders.get(known.folder) if known else None
        return bool(known and folder and not _keeps(folder, known) and known.status == File.UPLOADED)

    def _inputs(self) -> Iterator[Finding]:
        """Layer has them; but who took them away may not want the generation any more."""
        for row in self._stories.some(status=Generation.WAITING, folder=self._only):
            place = self._places.get(row.folder)
            if place is not None:
                yield from place.guarded(self._vanished(place, row))

    def _vanished(self, place: "_Place", row: GenerationRow) -> Iterator[Finding]:
        for each in self._stories.inputs(row.id):
            known = self._reports.known(each.file)
            if known and any(place.missing(known)):
                yield _about(
                    Kind.INPUT_MISSING, row, f"its {each.role} is gone", path=each.path, file=each.file, gone=True
                )


class _Place:
    """One configured folder: is it there, and what is to be expected in it? `since` is when the daemon that runs
    began."""

    def __init__(self, folder: Folder, facts: FolderFacts | None, since: str | None) -> None:
        self.folder = folder
        self.selection = Selection(folder.include, folder.exclude, folder.own)
        if facts and facts.path != os.path.realpath(folder.path):
            facts = None  # the name was given to another folder
        self.baseline = not folder.existing and (facts is None or facts.known_at is None)
        self.to_be_scanned = since is not None and facts is not None and (facts.scanned_at or "") < since
        self._told = facts if since is not None else None
        self._mount = facts.mount if facts else None
        self._device = (0, 0)
        self.root = ""
        self.checked = Checked(folder.name, folder.root)

    def guarded(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """The findings, as far as the folder is there while they are made."""
        try:
            if not self.root:
                self._arrive()
            if self.checked.state == "there":
                yield from findings
        except _WentAway:
            self.checked.state, self.checked.detail = FolderState.AWAY, "it went away while it was looked at"

    def _arrive(self) -> None:
        self.root = os.path.realpath(self.folder.path)
        lost = trouble(self.folder.path, self._mount)
        if lost is None and self._told and self._told.state in _LOST:
            lost = Lost(self._told.state, self._told.detail)
        if lost:
            self.checked.state, self.checked.detail = lost.state, lost.trouble
        else:
            self._device = self._now_there()

    def _now_there(self) -> tuple[int, int]:
        try:
            status = os.stat(self.root)
        except OSError:
            raise _WentAway from None
        return status.st_dev, status.st_ino

    def look(self, path: str) -> "os.stat_result | _Gone | None":
        """What lies at `path`; None where that cannot be told."""
        if self.checked.state != "there" or not path.startswith(os.path.join(self.root, "")):
            return None
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return _Gone()
        except OSError:
            return None

    def missing(self, known: Known) -> Iterator[Finding]:
        """A finding if the file should lie here, and does not. In a share that was unmounted just now none is."""
        if not _keeps(self.folder, known) or not isinstance(self.look(known.path), _Gone):
            return
        if self._now_there() != self._device:
            raise _WentAway
        detail = "queued, never uploaded" if known.status == File.QUEUED else "uploaded"
        yield _finding(Kind.MISSING, known, detail, gone=True)

    def result(self, path: str, saved: "_Saved", *, rehash: bool) -> str:
        """What is wrong with a result; empty where nothing is, or where that cannot be told."""
        status = self.look(path)
        if isinstance(status, _Gone):
            if self._now_there() != self._device:
                raise _WentAway
            return GONE
        if status is None:
            return ""
        if status.st_size != saved.size:
            return f"it has {status.st_size} bytes instead of {saved.size}"
        with suppress(TryAgain):
            found = digest_of(path, self.root, source.identity(status)) if rehash else None
            if found is not None and found.sha256 != saved.sha256:
                return f"its sha256 is {found.sha256}, the ledger's {saved.sha256}"
        return ""

    def rehash(self, known: Known) -> Iterator[Finding]:
        """A finding if the file's bytes are not those that the ledger has the hash of."""
        try:
            found = digest_of(known.path, self.root, known.identity)
        except TryAgain as error:
            yield _finding(Kind.UNREADABLE, known, error.message)
        else:
            if found is not None and found.sha256 != known.hash:
                detail = f"its sha256 is {found.sha256}, the ledger's {known.hash}"
                yield _finding(Kind.CORRUPT_ON_DISK, known, detail)


@dataclass(frozen=True, slots=True)
class _Gone:
    """There is nothing under a path."""


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a result was when it was saved."""

    sha256: str
    size: int


_LOST = (FolderState.AWAY, FolderState.UNREADABLE)
GONE = "no longer there"
_CONFIRMED = {"size": "its size alone", "nothing": "nothing"}


def trouble(path: str, mount: str | None) -> Lost | None:
    """Why the drop folder at `path`, last seen on the mount point `mount`, is not there; None when it is."""
    seen = Root(path, mount).check(lambda: True)
    return seen if isinstance(seen, Lost) else None


def digest_of(path: str, root: str, identity: Identity) -> Digest | None:
    """What the file at `path` holds, as long as it is `identity`; None when it is not. Raises `TryAgain`."""
    try:
        with source.opened(path, root) as fd:
            digest = source.digest(fd, identity.size) if source.identity(os.fstat(fd)) == identity else None
            is_same = source.identity(os.fstat(fd)) == identity
    except Superseded:
        return None
    return digest if is_same else None


def _is(known: Known, identity: Identity) -> bool:
    """Whether the row stands for the file that lies there; one that says "gone" stands for none."""
    says_gone = known.status == File.SKIPPED and known.error_code in (Code.VANISHED, Code.CHANGED)
    return known.identity == identity and not says_gone


def _finding(kind: Kind, known: Known, detail: str, *, gone: bool = False) -> Finding:
    return Finding(kind, known.folder, known.path, detail, known.id, known.status, known.error_code, gone)


def _keeps(folder: Folder, known: Known) -> bool:
    """Whether the file is to stay where it is, as far as layerwatch is concerned."""
    if known.status != File.UPLOADED or folder.after_upload is not AfterUpload.KEEP:
        return known.status == File.QUEUED
    # It may have been moved or deleted under an earlier setting.
    return known.aftermath != "done" or (known.aftermath_detail or "").startswith("kept")


def _about(
    kind: Kind, row: GenerationRow, detail: str, *, path: str = "", file: int | None = None, gone: bool = False
) -> Finding:
    return Finding(kind, row.folder, path or row.path, detail, file, row.status, row.error_code, gone, row.id)


def _paid(row: GenerationRow) -> str:
    """What is known to have been paid, and for what."""
    cost = f"charged {row.price:g}" if row.price else "charged"
    if row.status == Generation.COMPLETE:
        return f"complete, {cost}, without any result"
    return f"{row.error_code}, {cost}" if row.price else f"{row.error_code}, complete in Layer"
