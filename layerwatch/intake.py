"""From "look at this path" to the ledger: the candidates of one folder, waited for, examined, and written down.

Everything remembered here is a hint. Whatever goes wrong with the ledger, `forget` is right: the files lie where
they are, and the next scan finds them again.
"""

import logging
import os
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from layerwatch import points
from layerwatch.config import Folder
from layerwatch.errors import Code
from layerwatch.examine import Changed, Finding, Gone, Limits, NotYet, examine, examine_listed, look
from layerwatch.ledger import Ledger, Origin, Recorded, Refusal, Version, Waiting
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.settle import Candidate, Settle
from layerwatch.source import Held, Identity, hold

BATCH = 400  # files that are written down in one commit: others want to write, too
BACKLOG = 500  # candidates, of which a batch can be made
BATCH_BYTES = 32 * 1024 * 1024  # what can go up now should not wait for many others to be read
LARGE_BYTES = 4 * 1024 * 1024  # of these two are read at once
SIDE_BY_SIDE = 2
AFTER_SIGN_S = 0.2  # quiet enough after a writer closed the file, where its structure proves it whole


Look = Callable[[], list[Finding]]


@dataclass(frozen=True)
class Surroundings:
    """What a folder works with: clocks in seconds, whether it is time to end, and what to do when a file was queued.
    `side_by_side` does several things at once. `hears`: whether anybody listens at a level of `logging` to what nobody
    counts."""

    ledger: Ledger
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    queued: Callable[[], None]
    tell: Tell
    max_size: int
    aftermath: bool  # the folder wants something done with a file once it is uploaded
    why_no_input: Callable[[Origin], str | None]  # why a result of ours is not to be taken as a file; None: it is
    side_by_side: Callable[[Sequence[Look]], Sequence[list[Finding]]] = lambda looks: [look() for look in looks]
    hears: Callable[[int], bool] = lambda _level: True


class Intake:
    """The candidates of one folder. `root` is its real path now."""

    def __init__(self, folder: Folder, around: Surroundings, root: Callable[[], str]) -> None:
        self._folder = folder
        self._around = around
        self._root = root
        self._settle = Settle()
        self._told_waiting: set[str] = set()
        self._any_results = False

    @property
    def busy(self) -> bool:
        """Candidates are settling; those that are quiet and not whole do not count. From any thread."""
        return self._settle.busy

    @property
    def behind(self) -> bool:
        """There are many candidates, and some are due: no time to look for more. They are kept in memory, and what was
        just looked at is opened faster than what the machine has forgotten again."""
        due_at = self._settle.next_due_at() if len(self._settle) > BACKLOG else None
        return due_at is not None and due_at <= self._around.monotonic()

    def next_due_at(self) -> float | None:
        return self._settle.next_due_at()

    def forget(self) -> None:
        """All of it: the folder is away, or the ledger could not be written."""
        self._settle.clear()
        self._told_waiting.clear()

    def see(self, path: str, identity: Identity, *, finished: bool = False) -> None:
        """The file is there, as `identity`; `finished`: its writer has just closed it, or renamed it to this."""
        quiet_s = min(self._folder.settle, AFTER_SIGN_S) if finished else self._folder.settle
        self._settle.see(path, identity, self._around.monotonic(), quiet_s)

    def see_all(self, files: Sequence[tuple[str, Identity]], irregular: Container[str]) -> None:
        """These are there, and the ledger, which has just been asked, knows none of them; `irregular` are those that
        are links, FIFOs and the like."""
        self._settle.see_all(files, irregular, self._around.monotonic(), self._folder.settle)

    def set_aside(self, files: list[tuple[str, Identity]]) -> None:
        """These were there before us, and `existing = false`."""
        reason = "was there before layerwatch first saw the folder (existing = false)"
        name = self._folder.name
        self._record([Refusal(name, path, identity, Code.EXISTING, reason) for path, identity in files])

    def take_due(self, until: float) -> None:
        """Examine a batch of what is due, up to the monotonic time `until`, and write it down in one commit."""
        # What a result is is known before it can be seen, let alone before it is due here.
        self._any_results = self._any_results or self._around.ledger.planning.any_results()
        due = self._due(until)
        if found := self._decided(due, until) if due else []:
            self._record(found)

    def _due(self, until: float) -> list[Candidate]:
        """A batch of those that are due: so many, or so much; of large ones two, to be read at once."""
        due: list[Candidate] = []
        size = large = 0
        while len(due) < BATCH and large < SIDE_BY_SIDE and (large or size < BATCH_BYTES):
            now = self._around.monotonic()
            if now >= until or self._around.stopping() or (candidate := self._settle.due(now)) is None:
                break
            due.append(candidate)
            size += candidate.identity.size
            large += candidate.identity.size >= LARGE_BYTES
        return due

    def _decided(self, due: list[Candidate], until: float) -> list[Version | Refusal]:
        """Those of them that are to be written down."""
        now = self._around.monotonic()
        found: list[Version | Refusal] = []
        files: list[Candidate] = []
        for candidate in due:
            if not candidate.unknown and self._around.ledger.files.is_known(candidate.path, candidate.identity):
                self._drop(candidate.path)
            elif self._folder.sidecars and self._is_sidecar(candidate):
                reason = "read by a rule for the file beside it"
                found.append(Refusal(self._folder.name, candidate.path, candidate.identity, Code.SIDECAR, reason))
            else:
                files.append(candidate)
        for candidate, finding in self._examined(files, now, until):
            if (decided := self._decide(candidate, finding, now)) is not None:
                found.append(decided)
        return found

    def _examined(self, files: list[Candidate], now: float, until: float) -> Iterator[tuple[Candidate, Finding]]:
        """What each of them is, as far as there was time; a large one is read beside the others."""
        last = [files.pop()] if len(files) > 1 and files[-1].identity.size >= LARGE_BYTES else []
        lanes = [lane for lane in (files, last) if lane]
        looked = self._around.side_by_side([partial(self._examine, lane, now, until) for lane in lanes])
        for lane, findings in zip(lanes, looked, strict=True):
            self._settle.give_back(lane[len(findings) :], now)
            yield from zip(lane, findings, strict=False)

    def _examine(self, candidates: list[Candidate], now: float, until: float) -> list[Finding]:
        """What the first of them is, and others while there is time."""
        findings: list[Finding] = []
        for directory, together in groupby(candidates, _directory_of):
            asked = list(together)
            found = self._examine_in(directory, asked, now, until)
            findings += found
            if len(found) < len(asked) or self._around.monotonic() >= until:
                break
        return findings

    def _examine_in(self, directory: str, candidates: list[Candidate], now: float, until: float) -> list[Finding]:
        """The same of those in one directory; of several, that is held meanwhile."""
        held = hold(directory, self._root()) if len(candidates) > 1 else None
        if held is None:
            return self._examine_each(candidates, None, now, until)
        try:
            findings = self._examine_each(candidates, held, now, until)
            if held.is_in_place():
                return findings
        finally:
            held.close()
        return self._examine_each(candidates, None, now, until)  # it went meanwhile: what is there now counts

    def _examine_each(self, candidates: list[Candidate], held: Held | None, now: float, until: float) -> list[Finding]:
        name, root, stopping = self._folder.name, self._root(), self._around.stopping
        since, limits = candidates[0].quiet_since, self._limits(candidates[0].quiet_since, now)
        findings: list[Finding] = []
        for candidate in candidates:
            if candidate.quiet_since != since:  # what a scan saw at once has the same
                since, limits = candidate.quiet_since, self._limits(candidate.quiet_since, now)
            path, identity, finding = candidate.path, candidate.identity, None
            if held is not None and candidate.regular:
                finding = examine_listed(name, path, held, identity, limits, stopping)
            findings.append(finding or examine(name, path, root, identity, limits, stopping))
            if self._around.monotonic() >= until:
                break
        return findings

    def _decide(self, candidate: Candidate, finding: Finding, now: float) -> Version | Refusal | None:
        match finding:
            case Version() as version:  # nearly all
                return self._unless_ours(version)
            case Gone():
                self._drop(candidate.path)
            case Changed(identity):
                candidate.unknown = False
                # Since now: it may have been read for long.
                self._settle.see(candidate.path, identity, self._around.monotonic(), self._folder.settle)
            case NotYet(_, settling) if settling:
                self._settle.wait_for_all(candidate, now, self._folder.settle)
            case NotYet(reason):
                self._put_off(candidate, now, reason)
            case Refusal() as refusal:
                return refusal
        return None

    def _is_sidecar(self, candidate: Candidate) -> bool:
        if os.path.splitext(candidate.path)[1].lower() not in self._folder.sidecars:
            return False
        seen = look(candidate.path)
        return seen is not None and seen[0] == candidate.identity and stat.S_ISREG(seen[1])

    def _unless_ours(self, version: Version) -> Version | Refusal:
        """Results do not come back as inputs, wherever somebody has put them, unless a chain of rules wants them to."""
        planning = self._around.ledger.planning
        origin = planning.origin(version.digest.sha256) if self._any_results else None
        if origin is None:
            return version
        if reason := self._around.why_no_input(origin):
            return Refusal(version.folder, version.path, version.identity, Code.GENERATED, reason)
        return version._replace(origin=origin.id)

    def _limits(self, quiet_since: float, now: float) -> Limits:
        folder, around, quiet_s = self._folder, self._around, now - quiet_since
        settled, patient = quiet_s >= folder.settle, quiet_s >= folder.incomplete_after
        return Limits(around.max_size, settled, patient, around.aftermath, around.wall() - quiet_s)

    def _put_off(self, candidate: Candidate, now: float, reason: str) -> None:
        said_before = candidate.path in self._told_waiting and candidate.waiting_for == reason
        self._settle.put_off(candidate, now, reason)
        # Said on the second look only: a file that is being written is no news.
        if said_before or candidate.looks < 2:
            return
        since = self._since(candidate)
        item = Waiting(candidate.path, self._folder.name, candidate.identity.size, reason, since)
        self._around.ledger.facts.waiting(item, self._around.wall())
        self._told_waiting.add(candidate.path)
        self._tell("waiting", candidate.path, f"waits: {reason}", logging.INFO, reason=reason)

    def _since(self, candidate: Candidate) -> float:
        """Since when it lies there as it is, unix seconds."""
        return self._around.wall() - (self._around.monotonic() - candidate.quiet_since)

    def _record(self, found: list[Version | Refusal]) -> None:
        recorded = self._around.ledger.files.record(found, self._around.wall())
        points.passed("recorded")
        tells_queued = self._around.hears(logging.DEBUG)  # of each file: not to be put into words for nobody
        for item, row in zip(found, recorded, strict=True):
            self._drop(item.path)
            if row.event is not None and (tells_queued or isinstance(item, Refusal)):
                self._tell_recorded(item, row)
        if any(row.event is not None for row in recorded):
            self._around.queued()  # a sidecar, too, is news

    def _drop(self, path: str) -> None:
        self._settle.drop(path)
        if path in self._told_waiting:
            self._around.ledger.facts.no_longer_waiting([path])
            self._told_waiting.discard(path)

    def _tell_recorded(self, item: Version | Refusal, row: Recorded) -> None:
        if isinstance(item, Version):
            self._tell("queued", item.path, "queued", logging.DEBUG, file=row.id)
            return
        level = logging.DEBUG if item.code in (Code.EXISTING, Code.SIDECAR, Code.GENERATED) else logging.WARNING
        text = f"skipped ({item.code}): {item.message}"
        self._tell("skipped", item.path, text, level, file=row.id, error_code=item.code, error=item.message)

    def _tell(self, event: str, path: str, text: str, level: int, **facts: object) -> None:
        name = name_text(f"{self._folder.name}/{path.removeprefix(self._root()).lstrip('/')}")
        facts |= {"folder": self._folder.name, "path": path}
        self._around.tell(Notice(event, f"{name} {text}", level, facts))


def _directory_of(candidate: Candidate) -> str:
    return candidate.path.rpartition("/")[0]
