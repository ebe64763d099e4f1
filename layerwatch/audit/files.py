"""The files of an audit: what lies in the folders, and what the ledger says of it."""

import os
from collections.abc import Iterator

from layerwatch import source
from layerwatch.audit.findings import Finding, Kind, of_file
from layerwatch.audit.look import HUNG_S, QUIET_S, STUCK_S, Look
from layerwatch.audit.place import LOST, Gone, Place
from layerwatch.errors import Code
from layerwatch.ledger import iso, seconds
from layerwatch.ledger.reports import Known
from layerwatch.source import Identity
from layerwatch.states import File
from layerwatch.walk import Directory, walk

_CONFIRMED = {"size": "its size alone", "nothing": "nothing"}


class Files:
    """The files of all places, once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._reports = look.reports
        self._walked: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        look = self._look
        for place in look.places.values():
            yield from place.guarded(self._walk(place))
        yield from self._beyond()
        yield from self._stuck()
        yield from filter(None, map(self._failed, self._reports.with_status(File.FAILED, look.only)))
        for known in self._reports.unconfirmed():
            if look.wants(known.folder):
                yield of_file(Kind.UNCONFIRMED, known, f"the server confirmed {_CONFIRMED[known.verified or '']}")

    # --- what lies in a folder ----------------------------------------------------------------------------------------

    def _walk(self, place: Place) -> Iterator[Finding]:
        folder, root = place.folder, place.root
        for directory in walk(root, root, place.selection, recursive=folder.recursive):
            if directory.error:
                yield Finding(Kind.UNREADABLE, folder.name, directory.path, f"a folder: {directory.error}")
                continue
            self._walked.add(directory.path)
            yield from self._directory(place, directory)

    def _directory(self, place: Place, directory: Directory) -> Iterator[Finding]:
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

    def _known(self, place: Place, newest: Known, identity: Identity) -> Iterator[Finding]:
        # An older version that was put back is no news either: the ledger has it.
        known = newest if _is(newest, identity) else self._version(newest.path, identity)
        if known is None:
            if self._is_news(place, newest.path, identity):
                yield of_file(Kind.CHANGED, newest, f"not the {newest.status} one")
        elif known.status == File.SKIPPED:
            place.checked.refused += 1
        elif self._look.rehash and known.hash:
            yield from place.rehash(known)

    def _version(self, path: str, identity: Identity) -> Known | None:
        return next((known for known in self._reports.known_at(path) if _is(known, identity)), None)

    def _is_news(self, place: Place, path: str, identity: Identity) -> bool:
        """Whether somebody should have taken the file that lies there by now."""
        try:
            status = os.lstat(path)
        except OSError:
            return False
        waits = self._reports.waits(path)
        is_young = self._look.moment.daemon and (
            place.to_be_scanned
            or source.identity(status) != identity
            or abs(self._look.moment.now - status.st_ctime) < max(QUIET_S, place.folder.settle)
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
                place = self._look.places.get(known.folder)
                if place is not None:
                    yield from place.guarded(place.missing(known))

    def _failed(self, known: Known) -> Finding | None:
        """None where the version that failed has been replaced: then it is another one that counts."""
        place = self._look.places.get(known.folder)
        status = place.look(known.path) if place is not None else None
        if isinstance(status, os.stat_result):
            is_it = source.identity(status) == known.identity
        else:
            is_it = self._reports.known_at(known.path)[0].id == known.id
        gone = isinstance(status, Gone)
        detail = f"{known.error_code}, and no longer there" if gone else str(known.error_code)
        return of_file(Kind.FAILED, known, detail, gone=gone) if is_it else None

    def _stuck(self) -> Iterator[Finding]:
        now, daemon = self._look.moment.now, self._look.moment.daemon
        stands_still = daemon and not self._look.moment.hold and self._stands_still()
        for known in self._reports.overdue(iso(now - STUCK_S)):
            configured, facts = known.folder in self._look.places, self._look.facts.get(known.folder)
            is_stuck = stands_still and facts is not None and facts.state not in LOST
            if self._look.wants(known.folder) and (is_stuck or not configured or (daemon and facts is None)):
                due_at = seconds(known.next_attempt_at or known.updated_at)
                yield of_file(Kind.STUCK, known, f"due for {(now - due_at) // 60:.0f} min")
        for known in self._reports.with_status(File.UPLOADING, self._look.only):
            began_s = now - seconds(known.updated_at)
            if not daemon or began_s > HUNG_S:
                detail = f"being uploaded for {began_s // 60:.0f} min" if daemon else "interrupted"
                yield of_file(Kind.STUCK, known, detail)

    def _stands_still(self) -> bool:
        """A long queue is nothing wrong. One is, of which nobody has taken anything since it was last time to."""
        signs = (self._reports.last_attempt_at(), self._reports.noted_at("daemon"))
        latest = max(map(seconds, filter(None, signs)), default=0.0)
        return not self._reports.in_flight() and self._look.moment.now - latest > STUCK_S


def _is(known: Known, identity: Identity) -> bool:
    """Whether the row stands for the file that lies there; one that says "gone" stands for none."""
    says_gone = known.status == File.SKIPPED and known.error_code in (Code.VANISHED, Code.CHANGED)
    return known.identity == identity and not says_gone
