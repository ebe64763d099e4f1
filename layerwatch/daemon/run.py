"""The daemon: every thread, signal, wait and stop is here, and nowhere else.

One thread per drop folder (a hung share holds up only itself), one per uploader, watchdog's own. Signals only set
flags. What feeds is stopped before what works, within one budget; what does not end in time is left behind: the
ledger already says all that matters, and the next start goes on from there. A thread that dies of a bug ends the
process with an error.
"""

import logging
import os
import select
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Self

from layerwatch import __version__, points
from layerwatch.api import Layer, Storage, Workspace, tls_context
from layerwatch.board import Board
from layerwatch.config import Folder, Settings
from layerwatch.dropfolder import DropFolder
from layerwatch.errors import ApiDown, Code, CredentialsRefused, JobError, LedgerTrouble, NotTheApi, Problem, UserError
from layerwatch.finish import Policy
from layerwatch.intake import Surroundings
from layerwatch.ledger import Ledger, Lock, iso
from layerwatch.notices import Notice, Tell
from layerwatch.pacing import Bandwidth, Gate, Pass
from layerwatch.pipeline import Pipeline, Shared
from layerwatch.stages import Tools
from layerwatch.watch import Watch

STOP_BUDGET_S = 4.0
SUPERVISE_S = 1.0
ONCE_S = 0.05  # how often a run that ends by itself looks whether it is done
IDLE_MOST_S = 5.0
LEDGER_RETRY_S = 1.0
ONCE_PROBES = 5
ONCE_PATIENCE_S = 60.0
TWIN_S = 1.0
# After these somebody who sleeps may have something to do: a twin, or everything.
RINGING = frozenset(("uploaded", "postponed", "failed", "superseded", "resumed"))
CLOCK_SLACK_S = 5.0
TROUBLE_QUIET_S = 60.0


class Doorbell:
    """ "Look again": a hint, never work. Nobody who was not asleep misses a ring."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0

    def ring(self) -> None:
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Until it has rung since it stood at `heard`."""
        with self._condition:
            self._condition.wait_for(lambda: self.rings != heard, timeout_s)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `left` files are still to be uploaded, `failed` ended so during the run."""

    signal: str
    left: int
    failed: int
    reason: str = ""


class Daemon:
    """One run on one configuration. `tell` and `board` are how others see what is going on."""

    def __init__(self, settings: Settings, *, once: bool, tell: Tell, board: Board | None = None) -> None:
        self._settings = settings
        self._once = once
        self._board = board or Board()
        self._outside = tell
        self._failed = 0
        self._stop = threading.Event()
        self._doorbell = Doorbell()
        self._gate = Gate(threading.Lock())
        self._bandwidth = Bandwidth(settings.upload.max_bandwidth, threading.Lock())
        self._tls = tls_context()
        self._watch = Watch(self._overflowed)
        self._folders: dict[str, DropFolder] = {}
        self._threads: list[threading.Thread] = []
        self._crash = ""
        self._signals: list[int] = []
        self._asked_to_stop = False
        self._clock_offset_s = time.time() - time.monotonic()
        self._quiet_until = 0.0
        self._noted_hold: tuple[str, str] | None = None
        self._wake: Callable[[], None] = lambda: None

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> Ended:
        """Work until a signal comes or, with `once`, until everything is done. Raises `UserError` where it cannot
        begin."""
        lock = Lock(self._settings.ledger.path)
        try:
            with Ledger(self._settings.ledger.path) as ledger:
                self._check_api()
                self._prepare(ledger)
                with self._signals_caught() as signals:
                    self._wake = signals.wake
                    self._start()
                    reason = self._supervise(ledger, signals.wait)
                    self._end()
                return self._ended(ledger, reason)
        finally:
            lock.release()

    def stop(self) -> None:
        """End the run as a signal would. From any thread, at any time."""
        self._asked_to_stop = True
        self._wake()

    def _check_api(self) -> None:
        layer = self._layer()
        try:
            workspace = layer.workspace()
        except JobError as error:
            self._refused(error)
        else:
            self._tell(Notice("connected", _greeting(workspace), facts={"workspace_id": workspace.workspace_id}))
        finally:
            layer.close()

    def _refused(self, error: JobError) -> None:
        where = f"{self._settings.path}: api.base_url"
        if error.code in (Code.UNAUTHORIZED, Code.FORBIDDEN):
            fix = "give a valid token (LAYER_TOKEN or token_file) of a member of api.workspace_id"
            raise CredentialsRefused(Problem(self._settings.api.base_url, error.message, fix)) from None
        if isinstance(error, NotTheApi):
            raise UserError(Problem(where, error.message, "Layer's is https://api.app.layer.ai/api")) from None
        # No network yet, or a bad moment: that is what waiting is for.
        if isinstance(error, ApiDown):
            now = time.monotonic()
            self._gate.down(Pass(now, probe=False), error, now)
        self._tell(Notice("api_unavailable", f"{error.message}; files are recorded, uploads wait", logging.WARNING))

    def _prepare(self, ledger: Ledger) -> None:
        settings, now = self._settings, time.time()
        for text in (*settings.warnings, *_without_effect(settings)):
            self._tell(Notice("configuration", text, logging.WARNING))
        ledger.facts.forget_folders_but([folder.name for folder in settings.folders])
        ledger.facts.nothing_seen_yet(now)
        ledger.facts.note("hold", None, now)
        ledger.facts.note("clock", None, now)
        ledger.facts.note("daemon", {"pid": os.getpid(), "version": __version__, "once": self._once}, now)
        ledger.finishing.recover()
        ledger.files.hurry(now)  # nothing waits for longer because the clock was wrong, or we were away
        if recovered := ledger.files.recover(now):
            points.passed("recovered")
            text = f"{len(recovered)} uploads had been interrupted: going on where they were"
            self._tell(Notice("recovered", text, facts={"files": recovered}))

    def _start(self) -> None:
        self._watch.start()
        for folder in self._settings.folders:
            self._thread(f"folder {folder.name}", partial(self._folder_loop, folder))
        for number in range(self._settings.upload.workers):
            self._thread(f"uploader {number + 1}", self._upload_loop)

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _supervise(self, ledger: Ledger, wait: Callable[[float], None]) -> str:
        while True:
            if not self._asked_to_stop:
                wait(ONCE_S if self._once else SUPERVISE_S)
            if self._signals:
                return signal.Signals(self._signals[0]).name
            if not self._crash and not self._watch.alive:
                self._crash = "the thread that watches the folders has died"
            if self._crash:
                return ""
            if self._asked_to_stop:
                return "stopped"
            try:
                self._keep_house(ledger)
                if self._once and (reason := self._finished(ledger)) is not None:
                    return reason
            except LedgerTrouble as error:
                self._ledger_trouble(error)

    def _keep_house(self, ledger: Ledger) -> None:
        """What is nobody else's: the clock, the note of why everything waits, the ledger's write-ahead log."""
        self._mind_the_clock(ledger)
        hold = self._gate.hold
        noted = (hold.code, hold.message) if hold else None
        if noted != self._noted_hold:
            note = {"code": hold.code, "message": hold.message} if hold else None
            ledger.facts.note("hold", note, time.time())
            self._noted_hold = noted
        ledger.checkpoint_if_due()

    def _mind_the_clock(self, ledger: Ledger) -> None:
        """A clock that was set, or a machine that slept: what waits for a time must not wait the difference out."""
        offset_s = time.time() - time.monotonic()
        jump_s = offset_s - self._clock_offset_s
        if abs(jump_s) > CLOCK_SLACK_S:
            text = (
                f"the clock jumped {'forward' if jump_s > 0 else 'back'} by {abs(jump_s):.0f} s, or the machine slept"
            )
            ledger.files.hurry(time.time())
            ledger.facts.note("clock", {"message": text, "at": iso(time.time())}, time.time())
            self._tell(Notice("clock_jumped", text, logging.WARNING, {"seconds": round(jump_s)}))
            self._doorbell.ring()
        self._clock_offset_s = offset_s

    def _finished(self, ledger: Ledger) -> str | None:
        """Why a run that ends by itself is over; None while it is not."""
        if len(self._folders) < len(self._settings.folders) or not all(f.idle for f in self._folders.values()):
            return None
        if not ledger.files.unfinished() and not ledger.finishing.due(time.time()):
            return "done"
        hold = self._gate.hold
        if hold and (hold.probes >= ONCE_PROBES or hold.until - time.monotonic() > ONCE_PATIENCE_S):
            return f"gave up: {hold.message}"
        return None

    def _end(self) -> None:
        """Stop what feeds, then what works; whoever is not done by then is left behind."""
        deadline = time.monotonic() + STOP_BUDGET_S
        self._stop.set()
        self._watch.stop()
        for folder in list(self._folders.values()):
            folder.wake()
        self._doorbell.ring()
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._watch.join(max(deadline - time.monotonic(), 0))

    def _ended(self, ledger: Ledger, reason: str) -> Ended:
        if self._crash:
            raise RuntimeError(self._crash)
        with suppress(LedgerTrouble):
            ledger.facts.note("daemon", None, time.time())
        counts = ledger.reports.counts()
        by_signal = reason if reason.startswith("SIG") else ""
        return Ended(by_signal, counts["queued"] + counts["uploading"], self._failed, "" if by_signal else reason)

    # --- threads ------------------------------------------------------------------------------------------------------

    def _folder_loop(self, folder: Folder) -> None:
        with Ledger(self._settings.ledger.path) as ledger:
            around = Surroundings(
                ledger=ledger,
                wall=time.time,
                monotonic=time.monotonic,
                stopping=self._stop.is_set,
                queued=self._doorbell.ring,
                tell=self._tell,
                max_size=self._settings.upload.max_file_size,
                aftermath=_policy(folder).wanted,
            )
            drop = DropFolder(folder, self._watch, around)
            self._folders[folder.name] = drop
            while not self._stop.is_set():
                try:
                    drop.wait(drop.step())
                except LedgerTrouble as error:
                    self._ledger_trouble(error)

    def _upload_loop(self) -> None:
        tools = self._tools()
        with Ledger(self._settings.ledger.path) as ledger:
            pipeline = Pipeline(ledger, tools, self._shared())
            while not self._stop.is_set():
                heard = self._doorbell.rings
                try:
                    if not pipeline.step():
                        self._doorbell.wait(heard, self._idle_s(ledger))
                except LedgerTrouble as error:
                    self._ledger_trouble(error)
        tools.layer.close()
        tools.storage.close()

    def _idle_s(self, ledger: Ledger) -> float:
        """How long an uploader with nothing to do may sleep; other processes queue files too, and cannot ring."""
        closed_s = self._gate.wait_s(time.monotonic())
        wait_s = max(_wait_s(ledger.files.next_due()), closed_s)
        if closed_s and self._gate.lets_begun_go_on:
            wait_s = min(wait_s, _wait_s(ledger.files.next_due(begun=True)))
        return min(max(wait_s, 0.01), IDLE_MOST_S)

    def _ledger_trouble(self, error: LedgerTrouble) -> None:
        self._tell(Notice("ledger_trouble", f"{error}; trying again", logging.ERROR))
        self._stop.wait(LEDGER_RETRY_S)

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "a thread"
        said = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        self._tell(Notice("thread_died", f"{name} has died:\n{said}", logging.CRITICAL))
        self._crash = f"{name} has died: {args.exc_value}"

    def _overflowed(self) -> None:
        for drop in list(self._folders.values()):
            drop.overflowed()

    # --- parts --------------------------------------------------------------------------------------------------------

    def _layer(self) -> Layer:
        settings = self._settings
        token = settings.token().get_secret_value()
        return Layer(settings.api.base_url, token, settings.workspace(), self._tls)

    def _tools(self) -> Tools:
        return Tools(
            layer=self._layer(),
            storage=Storage(self._tls),
            bandwidth=self._bandwidth,
            chunk_size=self._settings.upload.chunk_size,
            wall=time.time,
            monotonic=time.monotonic,
            stopping=self._stop.is_set,
            pause=self._stop.wait,
        )

    def _shared(self) -> Shared:
        folders = {folder.name: folder for folder in self._settings.folders}
        policies = {folder.name: _policy(folder) for folder in self._settings.folders}
        return Shared(
            root=lambda name: os.path.realpath(folders[name].path),
            policy=lambda name: policies[name],
            gate=self._gate,
            board=self._board,
            tell=self._tell,
            max_attempts=self._settings.upload.max_attempts,
            workspace_id=self._settings.workspace(),
        )

    def _tell(self, notice: Notice) -> None:
        if notice.event == "failed":
            self._failed += 1
        if notice.event in RINGING:
            self._doorbell.ring()
        if notice.event == "ledger_trouble":
            # Every thread meets it, every second: said once a minute.
            if time.monotonic() < self._quiet_until:
                return
            self._quiet_until = time.monotonic() + TROUBLE_QUIET_S
        self._outside(notice)

    def _signals_caught(self) -> "_Signals":
        return _Signals(self._signals.append, self._thread_died)


class _Signals:
    """SIGTERM and SIGINT are noted, and wake the main thread; the second one ends the process on the spot."""

    def __init__(self, note: Callable[[int], None], thread_died: Callable[[threading.ExceptHookArgs], None]) -> None:
        self._note = note
        self._thread_died = thread_died
        self._count = 0

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._caught) for number in (signal.SIGTERM, signal.SIGINT)}
        # The kernel tells the holder of a lease by SIGIO, which would end us: see source.being_written.
        self._before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self._excepthook, threading.excepthook = threading.excepthook, self._thread_died
        return self

    def __exit__(self, *_: object) -> None:
        threading.excepthook = self._excepthook
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def _caught(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        self._note(number)
        if self._count > 1:
            os._exit(1)

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        with suppress(OSError):  # awake already, or over
            self._writer.send(b"\0")

    def wait(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self._reader], [], [], timeout_s)
        if ready:
            with suppress(BlockingIOError):
                self._reader.recv(64)


def _wait_s(due: float | None) -> float:
    if due is None:
        return IDLE_MOST_S
    # One that is due and cannot be claimed: its twin is being uploaded, and will ring.
    return due - time.time() if due > time.time() else TWIN_S


def _without_effect(settings: Settings) -> list[str]:
    """What is configured, and nothing is done about in this version: said, so that nobody relies on it."""
    given = {
        "[[folders.rules]]": any(folder.rules for folder in settings.folders),
        "[budget]": settings.budget != type(settings.budget)(),
        "[http] listen": settings.http.listen is not None,
    }
    return [
        f"{key} has no effect in this version: no generation is fired, no page served" for key in given if given[key]
    ]


def _policy(folder: Folder) -> Policy:
    return Policy(folder.after_upload, folder.move_to, folder.receipt)


def _greeting(workspace: Workspace) -> str:
    name = workspace.name or workspace.workspace_id
    return f"connected to workspace {name}" + (
        f", {workspace.available:g} Creative Units available" if workspace.available is not None else ""
    )
