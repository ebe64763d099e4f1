"""One configured folder: is it there, and what is to be expected in it? Reads only."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from layerwatch import source
from layerwatch.audit.findings import Checked, Finding, Kind, of_file
from layerwatch.config import AfterUpload, Folder
from layerwatch.errors import Superseded, TryAgain
from layerwatch.ignore import Selection
from layerwatch.ledger import FolderFacts, FolderState
from layerwatch.ledger.reports import Known
from layerwatch.roots import Lost, Root
from layerwatch.source import Digest, Identity
from layerwatch.states import File

LOST = (FolderState.AWAY, FolderState.UNREADABLE)
GONE = "no longer there"


class WentAway(Exception):
    """The folder is no longer the one that was being looked at."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing under a path."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a result was when it was saved."""

    sha256: str
    size: int


class Place:
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
        except WentAway:
            self.checked.state, self.checked.detail = FolderState.AWAY, "it went away while it was looked at"

    def _arrive(self) -> None:
        self.root = os.path.realpath(self.folder.path)
        lost = trouble(self.folder.path, self._mount)
        if lost is None and self._told and self._told.state in LOST:
            lost = Lost(self._told.state, self._told.detail)
        if lost:
            self.checked.state, self.checked.detail = lost.state, lost.trouble
        else:
            self._device = self._now_there()

    def _now_there(self) -> tuple[int, int]:
        try:
            status = os.stat(self.root)
        except OSError:
            raise WentAway from None
        return status.st_dev, status.st_ino

    def look(self, path: str) -> os.stat_result | Gone | None:
        """What lies at `path`; None where that cannot be told."""
        if self.checked.state != "there" or not path.startswith(os.path.join(self.root, "")):
            return None
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return Gone()
        except OSError:
            return None

    def missing(self, known: Known) -> Iterator[Finding]:
        """A finding if the file should lie here, and does not. In a share that was unmounted just now none is."""
        if not keeps(self.folder, known) or not isinstance(self.look(known.path), Gone):
            return
        if self._now_there() != self._device:
            raise WentAway
        detail = "queued, never uploaded" if known.status == File.QUEUED else "uploaded"
        yield of_file(Kind.MISSING, known, detail, gone=True)

    def result(self, path: str, saved: Saved, *, rehash: bool) -> str:
        """What is wrong with a result; empty where nothing is, or where that cannot be told."""
        status = self.look(path)
        if isinstance(status, Gone):
            if self._now_there() != self._device:
                raise WentAway
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
            yield of_file(Kind.UNREADABLE, known, error.message)
        else:
            if found is not None and found.sha256 != known.hash:
                detail = f"its sha256 is {found.sha256}, the ledger's {known.hash}"
                yield of_file(Kind.CORRUPT_ON_DISK, known, detail)


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


def keeps(folder: Folder, known: Known) -> bool:
    """Whether the file is to stay where it is, as far as layerwatch is concerned."""
    if known.status != File.UPLOADED or folder.after_upload is not AfterUpload.KEEP:
        return known.status == File.QUEUED
    # It may have been moved or deleted under an earlier setting.
    return known.aftermath != "done" or (known.aftermath_detail or "").startswith("kept")
