"""From `layerwatch push` to the ledger's files: what was named by hand, examined and written down.

Whoever pushes a file says that it is done: there is no quiet time, and no include or exclude. It belongs to the folder
that was named, else to the one it lies in, else to none: to `PUSHED`, which has no rules and wants nothing done.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import DEBUG, INFO, WARNING

from layerwatch import points
from layerwatch.config import PUSHED, Folder
from layerwatch.errors import Code
from layerwatch.examine import Changed, Gone, Limits, NotYet, examine, look
from layerwatch.ledger import FolderState, Ledger, Origin, Push, Recorded, Refusal, Version, Waiting
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.source import Identity

BATCH = 100
SLICE_S = 0.5  # how long files are read before what was found is written down
FIRST_S, MOST_S = 0.5, 30.0  # until one that is not whole is looked at again
KEPT_S = 30 * 86_400.0  # how long it is known what was pushed
INCOMPLETE_S = float(Folder.model_fields["incomplete_after"].default)


@dataclass(frozen=True)
class Desk:
    """What it works with. `root` tells a folder's real path by its name, `aftermath` whether it wants something done
    with what is uploaded, `why_no_input` why a result of ours is not to be its file; clocks in seconds; `queued` is
    called when a file was. `only`: of all that is pushed only this is to be taken."""

    ledger: Ledger
    folders: Mapping[str, Folder]
    root: Callable[[str], str]
    aftermath: Callable[[str], bool]
    why_no_input: Callable[[Folder, Origin], str | None]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    queued: Callable[[], None]
    tell: Tell
    max_size: int
    only: range | None = None


@dataclass
class _Look:
    """One that is not taken yet. `looked`: it had to be put off, until `due_at`."""

    push: Push
    due_at: float
    delay_s: float = FIRST_S
    looked: bool = False
    identity: Identity | None = None
    same_since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Lost:
    """There is nothing to be written down as a file."""

    code: Code
    message: str


@dataclass
class Pushed:
    """One thread drives it by `step`; `idle` may be asked from any."""

    desk: Desk
    _looks: dict[int, _Look] = field(default_factory=dict)
    _seen: int = 0
    _begun: bool = False
    _open: bool = False

    def idle(self, ledger: Ledger) -> bool:
        """All is taken but for files that are not whole. `ledger` is the asking thread's."""
        after = self._seen
        if not self._begun or ledger.pushes.unfinished(after):
            return False
        return all(each.looked for each in list(self._looks.values()))

    def step(self) -> bool:
        """Take a batch of what is due. False when nothing was."""
        self._begin()
        self._see_new()
        now = self.desk.monotonic()
        due = [each for each in self._looks.values() if each.due_at <= now][:BATCH]
        found: list[tuple[Push, Version | Refusal]] = []
        for each in due:
            if self.desk.stopping() or self.desk.monotonic() > now + SLICE_S:
                break
            match self._decide(each):
                case _Lost() as lost:
                    self._refuse(each, lost)
                case None:
                    pass
                case item:
                    found.append((each.push, item))
        if found:
            self._record(found)
        return bool(due)

    def _begin(self) -> None:
        if self._begun:
            return
        desk = self.desk
        if desk.only is None:
            desk.ledger.pushes.forget(desk.wall() - KEPT_S)
            if desk.ledger.reports.knows_files_of(PUSHED):
                self._open_pseudo_folder()
        else:
            self._seen = desk.only.start - 1
        self._begun = True

    def _open_pseudo_folder(self) -> None:
        """The ledger lets nobody claim files of a folder that it does not know to be there."""
        if not self._open and self.desk.only is None:
            self.desk.ledger.facts.folder(PUSHED, "/", FolderState.WATCHING, self.desk.wall(), detail="", mount=None)
            self._open = True

    def _see_new(self) -> None:
        only, now = self.desk.only, self.desk.monotonic()
        for push in self.desk.ledger.pushes.untaken(self._seen, BATCH):
            if only is not None and push.id not in only:
                return
            self._looks[push.id] = _Look(push, now)
            self._seen = push.id

    # --- what it is ---------------------------------------------------------------------------------------------------

    def _decide(self, about: _Look) -> Version | Refusal | _Lost | None:
        desk, push, now = self.desk, about.push, self.desk.monotonic()
        name = push.folder or self._folder_of(push.path)
        folder = desk.folders.get(name)
        if folder is None and name != PUSHED:
            return _Lost(Code.REJECTED, f"there is no folder called {name} any more")
        seen = look(push.path)
        if seen is None:
            return self._gone(about, name)
        if seen[0] != about.identity:
            about.identity, about.same_since = seen[0], now
        if folder and os.path.splitext(push.path)[1].lower() in folder.sidecars:
            return Refusal(name, push.path, seen[0], Code.SIDECAR, "read by a rule for the file beside it")
        patient = now - about.same_since >= (folder.incomplete_after if folder else INCOMPLETE_S)
        limits = Limits(desk.max_size, settled=True, patient=patient)
        match examine(name, push.path, os.path.dirname(push.path), seen[0], limits, desk.stopping):
            case Gone():
                return self._gone(about, name)
            case Changed():
                self._put_off(about, name, "it changes while it is read")
            case NotYet(reason):
                self._put_off(about, name, reason)
            case Version() as version:
                return self._ready(version._replace(seen_at=push.pushed_at), folder)
            case Refusal() as refusal:
                return refusal
        return None

    def _folder_of(self, path: str) -> str:
        """The configured folder that it lies in; the inner one where one lies in another."""
        roots = ((self.desk.root(name), name) for name in self.desk.folders)
        inside = [(root, name) for root, name in roots if path.startswith(os.path.join(root, ""))]
        return max(inside, key=lambda each: len(each[0]))[1] if inside else PUSHED

    def _gone(self, about: _Look, name: str) -> _Lost | None:
        if not os.path.isdir(self.desk.root(name) if name in self.desk.folders else "/"):
            self._put_off(about, name, "the folder is not there")
            return None
        return _Lost(Code.VANISHED, "the file is gone")

    def _ready(self, version: Version, folder: Folder | None) -> Version | Refusal:
        """Results do not come back as inputs, whoever pushes them, unless a chain of rules wants them to."""
        if folder is None:
            return version
        origin = self.desk.ledger.planning.origin(version.digest.sha256)
        if origin and (reason := self.desk.why_no_input(folder, origin)):
            return Refusal(version.folder, version.path, version.identity, Code.GENERATED, reason)
        outside = not version.path.startswith(os.path.join(self.desk.root(folder.name), ""))
        aftermath = self.desk.aftermath(folder.name) and not outside
        return version._replace(outside=outside, aftermath=aftermath, origin=origin.id if origin else None)

    def _put_off(self, about: _Look, name: str, reason: str) -> None:
        desk, push = self.desk, about.push
        if about.looked and about.identity:  # on the second look: a file that is being written is no news
            item = Waiting(push.path, name, about.identity.size, reason, desk.wall())
            desk.ledger.facts.waiting(item, desk.wall())
        elif not about.looked:
            self._tell("waiting", push, f"waits: {reason}", INFO, folder=name, reason=reason)
        about.due_at, about.looked = desk.monotonic() + about.delay_s, True
        about.delay_s = min(about.delay_s * 2, MOST_S)

    # --- writing it down ----------------------------------------------------------------------------------------------

    def _record(self, found: list[tuple[Push, Version | Refusal]]) -> None:
        desk = self.desk
        if any(item.folder == PUSHED for _, item in found):
            self._open_pseudo_folder()
        recorded = desk.ledger.pushes.taken(found, desk.wall())
        points.passed("recorded")
        for (push, item), row in zip(found, recorded, strict=True):
            self._drop(push)
            self._tell_recorded(push, item, row)
        desk.queued()

    def _refuse(self, about: _Look, lost: _Lost) -> None:
        self.desk.ledger.pushes.refused(about.push, lost.code, lost.message, self.desk.wall())
        self._drop(about.push)
        text = f"not uploaded ({lost.code}): {lost.message}"
        self._tell("push_refused", about.push, text, WARNING, error_code=lost.code, error=lost.message)

    def _drop(self, push: Push) -> None:
        about = self._looks.pop(push.id)
        if about.looked:
            self.desk.ledger.facts.no_longer_waiting([push.path])

    def _tell_recorded(self, push: Push, item: Version | Refusal, row: Recorded) -> None:
        if isinstance(item, Version):
            text = "queued" if row.event else "known already"
            self._tell("queued", push, text, DEBUG, file=row.id, folder=item.folder)
        elif row.event:
            text = f"skipped ({item.code}): {item.message}"
            facts = {"file": row.id, "folder": item.folder, "error_code": item.code, "error": item.message}
            self._tell("skipped", push, text, WARNING, **facts)

    def _tell(self, event: str, push: Push, text: str, level: int, **facts: object) -> None:
        facts |= {"push": push.id, "path": push.path}
        self.desk.tell(Notice(event, f"pushed {name_text(push.path)} {text}", level, facts))
