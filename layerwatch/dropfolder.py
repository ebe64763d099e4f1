"""One drop folder: is it there, is it heard, what lies in it? One thread drives it by `step`; events only drop hints.

A scan at the start, after events were lost, after the folder was away, and every `rescan`, sees what no event told of.
What the kernel does not report (network filesystems, beyond its watch limit, a watch that went deaf) is polled.
"""

import logging
import math
import os
import queue
from collections.abc import Iterator

from layerwatch.config import Folder
from layerwatch.config import Watch as WatchMode
from layerwatch.errors import LedgerTrouble
from layerwatch.examine import look
from layerwatch.hearing import Canary, unheard, watch_limit, watched_inodes
from layerwatch.ignore import Selection
from layerwatch.intake import Intake, Surroundings
from layerwatch.ledger import FolderState
from layerwatch.mounts import Mount
from layerwatch.notices import Notice, name_text
from layerwatch.roots import Found, Lost, Root
from layerwatch.scan import Scan, Scanned
from layerwatch.walk import Directory, walk
from layerwatch.watch import Sign, Watch

CHECK_ROOT_S = 2.0
SLICE_S = 0.1  # how long one step may walk, or take files, before it looks at new hints again
POLL_SHARE = 20  # a polled folder is walked at most 1/20 of the time


class DropFolder:
    """A folder being watched. `hint`, `overflowed` and `wake` may be called from any thread, all else from one."""

    def __init__(self, folder: Folder, watch: Watch, around: Surroundings) -> None:
        self.folder = folder
        self._watch = watch
        self._around = around
        self._hints: queue.SimpleQueue[tuple[str, Sign] | None] = queue.SimpleQueue()
        beside = tuple(f"*{suffix}" for suffix in sorted(folder.sidecars))
        self._selection = Selection((*folder.include, *beside), folder.exclude, folder.own)
        known = around.ledger.facts.one_folder(folder.name)
        if known and known.path != os.path.realpath(folder.path):
            known = None  # the name was given to another folder: what lies there is new
        self._root = Root(folder.path, known.mount if known else None)
        self._baseline = not folder.existing and (known is None or known.known_at is None)
        self._intake = Intake(folder, around, lambda: self._root.path)
        self._scan = Scan(self._take_directory, lambda: self._intake.behind, around.monotonic)
        self._canary = Canary()
        self._state: FolderState | None = None
        self._detail = ""
        self._mount: Mount | None = None
        self._said = True  # whether the ledger knows state and detail
        self._check_root_at = 0.0
        self._scan_at = 0.0
        self._watch_again_at = math.inf  # while it is polled for want of a working watch
        self._deaf = False  # until a canary was heard again
        self._unheard: list[str] = []
        self._poll_unheard_at = 0.0
        self._overflows = 0  # written by the observer's thread alone
        self._overflows_seen = 0
        self._scan_twice = False
        self._took_s = 0.0  # the last walk of the whole folder
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

    @property
    def root(self) -> str:
        """Its real path, as it was found last; empty before that."""
        return self._root.path if self._state is not None else ""

    @property
    def deaf(self) -> bool:
        """Whether the kernel ought to report what happens here, or in a part of it, and does not."""
        return bool(self._unheard) or self._deaf

    @property
    def state(self) -> tuple[FolderState | None, str]:
        """How it is, and why; None before it was looked at."""
        return self._state, self._detail

    # --- from the folder's own thread ---------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """All that is to be found by a scan has been found and decided, but for files that are not whole."""
        if self._state is not None and not self._root.present:
            return True
        return self._scan.ended > 0 and not self._scan.busy and not self._intake.busy and self._hints.empty()

    def wait(self, timeout_s: float) -> None:
        """Until there is a hint, or the time is over."""
        try:
            first = self._hints.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return
        self._take_hint(first)

    def step(self) -> float:
        """Do what is due now, a bounded piece of it; returns the seconds until something is due again.

        Raises `LedgerTrouble`; everything that was only in memory is found again by a scan then.
        """
        try:
            self._step()
        except LedgerTrouble:
            self._forget()
            self._said = False  # what waits is to be said anew, too
            self._scan_at = self._around.monotonic() + CHECK_ROOT_S
            raise
        return self._next_due()

    def close(self) -> None:
        """Nobody watches it any more."""
        self._watch.remove(self._root.path, self.hint)

    def _step(self) -> None:
        now = self._around.monotonic()
        if now >= self._check_root_at:
            self._check_root_at = now + CHECK_ROOT_S
            self._check_root()
        self._say_state()
        self._take_hints()
        if self._root.present:
            self._note_overflows()
            self._note_silence()
            self._begin_scan_if_due()
            self._poll_unheard()
            if scanned := self._scan.step(self._around.monotonic() + SLICE_S):
                self._scanned(scanned)
            self._intake.take_due(self._around.monotonic() + SLICE_S)

    def _next_due(self) -> float:
        if self._scan.busy or (self._root.present and self._overflows != self._overflows_seen):
            return 0.0
        times = [self._check_root_at]
        if self._root.present:
            times.append(self._scan_at)
        if self._unheard:
            times.append(self._poll_unheard_at)
        times += [at for at in (self._intake.next_due_at(), self._canary.due_at()) if at is not None]
        return max(min(times) - self._around.monotonic(), 0.0)

    def _forget(self) -> None:
        self._scan.clear()
        self._intake.forget()

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
        relative = path.removeprefix(f"{self._root.path}/")
        if relative == path:
            return
        if self._canary.hear(path):
            self._deaf = False
            return
        if sign is Sign.TREE:
            if self.folder.recursive and self._selection.why_not_enter(relative, os.path.basename(path)) is None:
                self._scan.begin(self._walk(path), whole=False)
        elif self._selection.why_not(relative) is None and (seen := look(path)):
            self._intake.see(path, seen[0], finished=sign is Sign.DONE)

    # --- scans --------------------------------------------------------------------------------------------------------

    def _walk(self, start: str) -> Iterator[Directory]:
        known = self._around.ledger.files.known
        return walk(start, self._root.path, self._selection, recursive=self.folder.recursive, known=known)

    def _begin_scan_if_due(self) -> None:
        if not self._scan.whole and self._around.monotonic() >= self._scan_at:
            self._scan.begin(self._walk(self._root.path), whole=True)

    def _take_directory(self, directory: Directory) -> int:
        self._tell_unreadable(directory)
        if self._baseline:
            self._intake.set_aside(directory.files)
            return 0
        self._intake.see_all(directory.files, directory.irregular)
        return len(directory.files)

    def _scanned(self, scanned: Scanned) -> None:
        now = self._around.monotonic()
        self._took_s = scanned.took_s
        self._scan_at = now + (CHECK_ROOT_S if self._scan_twice else self.folder.rescan)
        self._scan_twice = False
        self._around.ledger.facts.folder_scanned(self.folder.name, scanned.unknown, self._around.wall())
        self._baseline = False
        if self._state is FolderState.WATCHING:
            self._look_for_unheard(scanned)
            self._canary.send(self._root.path, now)
            self._deaf = self._deaf and self._canary.due_at() is not None  # else nothing will ever tell
            return
        self._scan_at = min(self._scan_at, now + self._poll_every_s(scanned.took_s))
        if now >= self._watch_again_at:
            self._begin_watching()

    def _poll_every_s(self, took_s: float) -> float:
        return max(1.0, self.folder.settle, took_s * POLL_SHARE)

    def _note_overflows(self) -> None:
        if self._scan.whole or self._overflows == self._overflows_seen:
            return
        overflows = self._overflows
        self._around.ledger.facts.folder_overflowed(self.folder.name, overflows - self._overflows_seen)
        self._overflows_seen = overflows
        self._scan_at = self._around.monotonic()
        self._scan_twice = True  # the second time when watchdog, too, has come to terms with it
        self._tell("overflow", "the kernel dropped events; looking at everything", logging.WARNING)

    def _tell_unreadable(self, directory: Directory) -> None:
        if not directory.error:
            self._unreadable_directories.discard(directory.path)
        elif directory.path not in self._unreadable_directories:
            self._unreadable_directories.add(directory.path)
            text = f"{name_text(directory.path)} cannot be read: {directory.error}; what lies in it is not seen"
            self._tell("directory_unreadable", text, logging.WARNING, path=directory.path)

    # --- deafness -----------------------------------------------------------------------------------------------------

    def _note_silence(self) -> None:
        now = self._around.monotonic()
        if self._state is FolderState.WATCHING and self._canary.missed(now):
            self._watch.remove(self._root.path)
            self._watch_again_at, self._deaf = now + self.folder.rescan, True
            self._enter(FolderState.POLLING, "the kernel does not report what happens here: a canary file went unseen")

    def _look_for_unheard(self, scanned: Scanned) -> None:
        self._unheard = unheard(scanned.directories, watched_inodes()) if self.folder.recursive else []
        self._poll_unheard_at = self._around.monotonic()
        detail = ""
        if self._unheard:
            detail = (
                f"{len(self._unheard)} of {len(scanned.directories)} sub-folders, and what is below them, are beyond"
                f" the kernel's watch limit and polled, {name_text(self._unheard[0])} the first: raise"
                f" fs.inotify.max_user_watches (now {watch_limit()})"
            )
        if detail != self._detail:
            self._detail, self._said = detail, False
            self._tell("watch_limit", detail or "is watched as a whole again", logging.WARNING)

    def _poll_unheard(self) -> None:
        now = self._around.monotonic()
        if self._unheard and not self._scan.busy and now >= self._poll_unheard_at:
            self._poll_unheard_at = now + self._poll_every_s(self._took_s)
            for path in self._unheard:
                self._scan.begin(self._walk(path), whole=False)

    # --- the folder itself --------------------------------------------------------------------------------------------

    def _check_root(self) -> None:
        path_before = self._root.path
        match self._root.check(lambda: self._around.ledger.reports.knows_files_of(self.folder.name)):
            case Found(mount, again):
                self._mount, self._deaf = mount, False
                self._watch.remove(path_before)  # where a link led before
                self._forget()
                if again:
                    self._tell("folder_back", "is there again")
                self._begin_watching()
            case Lost(state, trouble):
                self._watch.remove(path_before)
                self._forget()
                self._deaf = False
                self._enter(state, trouble)

    def _begin_watching(self) -> None:
        assert self._mount
        self._watch_again_at = math.inf
        if self.folder.watch is WatchMode.POLLING:
            self._enter(FolderState.POLLING, "as configured")
        elif self.folder.watch is WatchMode.AUTO and self._mount.is_network:
            self._enter(FolderState.POLLING, f"{self._mount.fstype} is a network filesystem")
        else:
            try:
                self._watch.add(self._root.path, self.hint, recursive=self.folder.recursive)
            except OSError as error:
                self._watch_again_at, self._deaf = self._around.monotonic() + self.folder.rescan, True
                self._enter(FolderState.POLLING, (error.strerror or str(error)).lower())
            else:
                self._enter(FolderState.WATCHING, "")

    def _enter(self, state: FolderState, detail: str) -> None:
        """From now on the folder is in this state, and to be looked through: what came meanwhile was not told."""
        self._state, self._detail, self._said = state, detail, False
        self._unheard = []
        self._canary = Canary()
        self._scan_at = self._around.monotonic()
        lost = state in (FolderState.AWAY, FolderState.UNREADABLE)
        text = f"{state} {name_text(self._root.path)}" + (f" ({name_text(detail)})" if detail else "")
        self._tell("folder", text, logging.WARNING if lost else logging.INFO, state=state)

    def _say_state(self) -> None:
        """Until it is written: the ledger lets nobody claim files of a folder that it does not know to be there."""
        if self._said or self._state is None:
            return
        facts, name, present = self._around.ledger.facts, self.folder.name, self._root.present
        mount_point = self._mount.point if self._mount and present else None
        facts.nobody_waits(name)
        facts.folder(name, self._root.path, self._state, self._around.wall(), detail=self._detail, mount=mount_point)
        self._said = True
        if present:
            self._around.queued()  # what had been queued here may go on

    def _tell(self, event: str, text: str, level: int = logging.INFO, **facts: object) -> None:
        text = f"folder {self.folder.name}: {text}"
        self._around.tell(Notice(event, text, level, {"folder": self.folder.name, **facts}))
