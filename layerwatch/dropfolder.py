"""One drop folder: is it there, what lies in it, what of that is finished, written down. One thread drives it by
`step`.

The folder is the durable record before the ledger: everything remembered here is a hint, and lost without harm.
"""

import logging
import os
import queue
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from layerwatch.config import Folder
from layerwatch.config import Watch as WatchMode
from layerwatch.errors import Code, LedgerTrouble
from layerwatch.examine import Changed, Gone, Limits, NotYet, examine, look
from layerwatch.ignore import Selection
from layerwatch.ledger import FolderState, Ledger, Recorded, Refusal, Version, Waiting
from layerwatch.mounts import Mount
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.roots import Found, Lost, Root
from layerwatch.settle import Candidate, Settle
from layerwatch.source import Identity
from layerwatch.states import Event
from layerwatch.walk import Directory, walk
from layerwatch.watch import Sign, Watch

CHECK_ROOT_S = 2.0
AFTER_SIGN_S = 0.2  # quiet enough after a writer closed the file, where its structure proves it whole
SLICE_S = 0.1  # how long one step may walk or take files, before it looks at new hints again
BATCH = 100
POLL_SHARE = 20  # a polled folder is walked at most 1/20 of the time


@dataclass(frozen=True)
class Surroundings:
    """What a folder works with: clocks in seconds, whether it is time to end, and what to do when a file was queued."""

    ledger: Ledger
    watch: Watch
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    queued: Callable[[], None]
    tell: Tell
    max_size: int


class DropFolder:
    """A folder being watched. `hint` and `rescan` may be called from any thread, all else from one."""

    def __init__(self, folder: Folder, around: Surroundings) -> None:
        self.folder = folder
        self.settle = Settle()
        self._around = around
        self._hints: queue.SimpleQueue[tuple[str, Sign] | None] = queue.SimpleQueue()
        own = tuple(rule.outputs for rule in folder.rules if rule.outputs)
        self._selection = Selection(folder.include, folder.exclude, own)
        known = around.ledger.facts.one_folder(folder.name)
        if known and known.path != os.path.realpath(folder.path):
            known = None  # the name was given to another folder: what lies there is new
        self._root = Root(folder.path, known.mount if known else None)
        self._baseline = not folder.existing and (known is None or known.known_at is None)
        self._state: FolderState | None = None
        self._check_root_at = 0.0
        self._walks: deque[Iterator[Directory]] = deque()
        self._full_walk: Iterator[Directory] | None = None
        self._full_walk_began = 0.0
        self._unknown = 0
        self._scan_at = 0.0
        self._scans = 0
        self._overflows = 0  # written by the observer's thread alone
        self._overflows_seen = 0
        self._told_waiting: set[str] = set()
        self._unreadable_directories: set[str] = set()

    # --- from any thread ----------------------------------------------------------------------------------------------

    def hint(self, path: str, sign: Sign) -> None:
        """An event said: look at this path."""
        self._hints.put((path, sign))

    def overflowed(self) -> None:
        """Events were lost: look at everything."""
        self._overflows += 1
        self.wake()

    def wake(self) -> None:
        """End a `wait`."""
        self._hints.put(None)

    # --- from the folder's own thread ---------------------------------------------------------------------------------

    @property
    def root(self) -> str:
        return self._root.path

    @property
    def idle(self) -> bool:
        """All that is to be found by a scan has been found and decided, but for files that are not whole."""
        if self._state is not None and not self._root.present:
            return True
        return self._scans > 0 and not self._walks and not self.settle.settling and self._hints.empty()

    def wait(self, timeout_s: float) -> None:
        """Until there is a hint, or the time is over."""
        try:
            first = self._hints.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return
        self._take_hint(first)

    def step(self) -> float:
        """Do what is due now, a bounded piece of it; returns the seconds until something is due again."""
        now = self._around.monotonic()
        if now >= self._check_root_at:
            self._check_root()
            self._check_root_at = now + CHECK_ROOT_S
        self._take_hints()
        if self._root.present:
            self._begin_scan_if_due()
            self._walk_on()
            self._take_due()
        return self._next_due()

    def _next_due(self) -> float:
        now = self._around.monotonic()
        if self._walks or self._overflows != self._overflows_seen:
            return 0.0
        times = [self._check_root_at]
        if self._root.present:
            times.append(self._scan_at)
        if (due_at := self.settle.next_due_at()) is not None:
            times.append(due_at)
        return max(min(times) - now, 0.0)

    # --- hints --------------------------------------------------------------------------------------------------------

    def _take_hints(self) -> None:
        until = self._around.monotonic() + SLICE_S
        while self._around.monotonic() < until:
            try:
                self._take_hint(self._hints.get_nowait())
            except queue.Empty:
                return

    def _take_hint(self, hint: tuple[str, Sign] | None) -> None:
        if hint is None or not self._root.present:
            return
        path, sign = hint
        if not path.startswith(f"{self._root.path}/"):
            return
        relative = self._relative(path)
        if sign is Sign.TREE:
            if self._selection.why_not_enter(relative, os.path.basename(path)) is None and self.folder.recursive:
                self._walks.append(walk(path, self._root.path, self._selection, recursive=True))
        elif self._selection.why_not(relative) is None and (seen := look(path)):
            self._see(path, seen[0], sign)

    def _see(self, path: str, identity: Identity, sign: Sign) -> None:
        settle_s = self.folder.settle
        quiet_s = min(settle_s, AFTER_SIGN_S) if sign is Sign.DONE else settle_s
        self.settle.see(path, identity, self._around.monotonic(), quiet_s)

    # --- scans --------------------------------------------------------------------------------------------------------

    def _begin_scan_if_due(self) -> None:
        now = self._around.monotonic()
        overflows = self._overflows
        if overflows != self._overflows_seen and self._full_walk is None:
            self._around.ledger.facts.folder_overflowed(self.folder.name, overflows - self._overflows_seen)
            text = f"folder {self.folder.name}: the kernel dropped events; looking at everything"
            self._tell("overflow", text, logging.WARNING)
            self._overflows_seen = overflows
            self._scan_at = now
        if self._full_walk is None and now >= self._scan_at:
            self._unknown = 0
            self._full_walk_began = now
            self._full_walk = walk(self._root.path, self._root.path, self._selection, recursive=self.folder.recursive)
            self._walks.append(self._full_walk)

    def _walk_on(self) -> None:
        until = self._around.monotonic() + SLICE_S
        while self._walks and self._around.monotonic() < until and not self._around.stopping():
            directory = next(self._walks[0], None)
            if directory is not None:
                self._take_directory(directory)
            elif self._walks.popleft() is self._full_walk:
                self._full_walk_ended()

    def _take_directory(self, directory: Directory) -> None:
        self._tell_unreadable(directory)
        known = self._around.ledger.files.known(directory.path) if directory.files else {}
        new = [(path, identity) for path, identity in directory.files if identity not in known.get(path, ())]
        if self._baseline:
            self._record([self._was_there(path, identity) for path, identity in new])
            return
        self._unknown += len(new)
        for path, identity in new:
            self._see(path, identity, Sign.THERE)

    def _was_there(self, path: str, identity: Identity) -> Refusal:
        reason = "was there before layerwatch first saw the folder (existing = false)"
        return Refusal(self.folder.name, path, identity, Code.EXISTING, reason)

    def _full_walk_ended(self) -> None:
        now = self._around.monotonic()
        took_s = now - self._full_walk_began
        self._full_walk = None
        self._baseline = False
        self._scans += 1
        every_s = self.folder.rescan
        if self._state is FolderState.POLLING:
            every_s = min(every_s, max(1.0, self.folder.settle, took_s * POLL_SHARE))
        self._scan_at = now + every_s
        self._around.ledger.facts.folder_scanned(self.folder.name, self._unknown, self._around.wall())

    def _tell_unreadable(self, directory: Directory) -> None:
        if not directory.error:
            self._unreadable_directories.discard(directory.path)
        elif directory.path not in self._unreadable_directories:
            self._unreadable_directories.add(directory.path)
            text = f"{name_text(directory.path)} cannot be read: {directory.error}; what lies in it is not seen"
            self._tell("directory_unreadable", text, logging.WARNING, path=directory.path)

    # --- taking what is finished --------------------------------------------------------------------------------------

    def _take_due(self) -> None:
        until = self._around.monotonic() + SLICE_S
        found: list[Version | Refusal] = []
        while len(found) < BATCH and not self._around.stopping():
            now = self._around.monotonic()
            candidate = self.settle.due(now) if now < until else None
            if candidate is None:
                break
            if (decided := self._decide(candidate, now)) is not None:
                found.append(decided)
        if found:
            self._record(found)

    def _decide(self, candidate: Candidate, now: float) -> Version | Refusal | None:
        path, quiet_s = candidate.path, now - candidate.quiet_since
        if self._around.ledger.files.is_known(path, candidate.identity):
            self._drop(path)
            return None
        limits = Limits(
            max_size=self._around.max_size,
            settled=quiet_s >= self.folder.settle,
            patient=quiet_s >= self.folder.incomplete_after,
        )
        name = self.folder.name
        match examine(name, path, self._root.path, candidate.identity, limits, self._around.stopping):
            case Gone():
                self._drop(path)
            case Changed(identity):
                self.settle.see(path, identity, now, self.folder.settle)
            case NotYet(reason, settling):
                self._put_off(candidate, now, reason, settling=settling)
            case Version() | Refusal() as decided:
                return decided
        return None

    def _put_off(self, candidate: Candidate, now: float, reason: str, *, settling: bool) -> None:
        if settling:
            self.settle.wait_for_all(candidate, now, self.folder.settle)
            return
        told_before = candidate.waiting_for == reason and candidate.path in self._told_waiting
        self.settle.put_off(candidate, now, reason)
        # Said on the second look only: a file that is being written is no news.
        if not told_before and candidate.looks > 1:
            self._told_waiting.add(candidate.path)
            wall = self._around.wall()
            since = wall - (now - candidate.quiet_since)
            item = Waiting(candidate.path, self.folder.name, candidate.identity.size, reason, since)
            self._around.ledger.facts.waiting(item, wall)
            self._tell("waiting", f"{self._short(candidate.path)} waits: {reason}", path=candidate.path, reason=reason)

    def _record(self, found: list[Version | Refusal]) -> None:
        try:
            recorded = self._around.ledger.files.record(found, self._around.wall())
        except LedgerTrouble:
            # Nothing is lost: the files lie where they are, and the scan that is due now finds them again.
            for item in found:
                self.settle.drop(item.path)
            self._scan_at = self._around.monotonic() + CHECK_ROOT_S
            raise
        for item, row in zip(found, recorded, strict=True):
            self._drop(item.path)
            if row.event is not None:
                self._tell_recorded(item, row)
        if any(row.event is Event.SEEN for row in recorded):
            self._around.queued()

    def _drop(self, path: str) -> None:
        self.settle.drop(path)
        if path in self._told_waiting:
            self._told_waiting.discard(path)
            self._around.ledger.facts.no_longer_waiting([path])

    def _tell_recorded(self, item: Version | Refusal, row: Recorded) -> None:
        if isinstance(item, Version):
            self._tell("queued", f"{self._short(item.path)} queued", logging.DEBUG, file=row.id, path=item.path)
        else:
            text = f"{self._short(item.path)} skipped ({item.code}): {item.message}"
            level = logging.DEBUG if item.code is Code.EXISTING else logging.WARNING
            self._tell("skipped", text, level, file=row.id, path=item.path, error_code=item.code, error=item.message)

    # --- the folder itself --------------------------------------------------------------------------------------------

    def _check_root(self) -> None:
        path_before = self._root.path
        name = self.folder.name
        match self._root.check(lambda: self._around.ledger.reports.knows_files_of(name)):
            case Found(mount, again):
                self._found(mount, again=again)
            case Lost(state, trouble):
                self._around.watch.remove(path_before)
                self._forget()
                self._enter(state, trouble, mount_point=None)
                self._tell("folder", f"folder {name} is {state}: {name_text(trouble)}", logging.WARNING, state=state)

    def _forget(self) -> None:
        self._walks.clear()
        self._full_walk = None
        self.settle.clear()
        self._told_waiting.clear()
        self._around.ledger.facts.nobody_waits(self.folder.name)

    def _found(self, mount: Mount, *, again: bool) -> None:
        self._forget()
        state, why = self._begin_watching(mount)
        self._scan_at = self._around.monotonic()
        self._enter(state, why, mount_point=mount.point)
        text = f"folder {self.folder.name} {'is back, ' if again else ''}{state} {name_text(self._root.path)}"
        self._tell("folder", text + (f" ({why})" if why else ""), state=state)

    def _begin_watching(self, mount: Mount) -> tuple[FolderState, str]:
        if self.folder.watch is WatchMode.POLLING:
            return FolderState.POLLING, "as configured"
        if self.folder.watch is WatchMode.AUTO and mount.is_network:
            return FolderState.POLLING, f"{mount.fstype} is a network filesystem"
        try:
            self._around.watch.add(self._root.path, self.hint, recursive=self.folder.recursive)
        except OSError as error:
            return FolderState.POLLING, (error.strerror or str(error)).lower()
        return FolderState.WATCHING, ""

    def _enter(self, state: FolderState, detail: str, *, mount_point: str | None) -> None:
        self._state = state
        name, path, facts = self.folder.name, self._root.path, self._around.ledger.facts
        facts.folder(name, path, state, self._around.wall(), detail=detail, mount=mount_point)
        if self._root.present:
            self._around.queued()  # what had been queued here may go on

    # --- saying so ----------------------------------------------------------------------------------------------------

    def _short(self, path: str) -> str:
        return name_text(f"{self.folder.name}/{self._relative(path)}")

    def _relative(self, path: str) -> str:
        return path[len(self._root.path) + 1 :]

    def _tell(self, event: str, text: str, level: int = logging.INFO, **facts: object) -> None:
        self._around.tell(Notice(event, text, level, {"folder": self.folder.name, **facts}))
