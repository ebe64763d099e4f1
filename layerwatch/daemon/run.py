"""One run: start what works, supervise it, end it.

Signals only set flags. What feeds is stopped before what works, within one budget; what does not end in time is left
behind: the ledger already says all that matters, and the next start goes on from there. A thread that dies of a bug
ends the process with an error.
"""

import logging
import math
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from layerwatch import __version__
from layerwatch.board import Board
from layerwatch.config import PUSHED, Settings
from layerwatch.daemon.admission import admit
from layerwatch.daemon.beginning import ONCE_PATIENCE_S, Beginning, Over
from layerwatch.daemon.crew import Crew
from layerwatch.daemon.doorbell import Doorbell
from layerwatch.daemon.ending import Ending
from layerwatch.daemon.house import House
from layerwatch.daemon.once import why_over
from layerwatch.daemon.opening import open_books
from layerwatch.daemon.page import StatusPage, Troubles
from layerwatch.daemon.reload import Load, Reload, Steps
from layerwatch.daemon.roster import Post, Roster
from layerwatch.daemon.signals import Signals, hangups
from layerwatch.errors import ApiDown, EnvironmentProblem, LedgerTrouble, Problem
from layerwatch.ledger import Ledger
from layerwatch.ledger import tenure as tenures
from layerwatch.meters import Meters
from layerwatch.notices import Notice, Tell
from layerwatch.pacing import Pass
from layerwatch.pulse import Pulse
from layerwatch.sdnotify import Notifier
from layerwatch.watch import Watch

STOP_BUDGET_S = 4.0
SUPERVISE_S = 1.0
ONCE_S = 0.05  # how often a run that ends by itself looks whether it is done
LEDGER_RETRY_S = 1.0
# After these somebody who sleeps may have something to do: a twin, or everything.
RINGING = frozenset(("uploaded", "postponed", "failed", "superseded", "resumed")) | frozenset(
    ("released", "generation_queued", "generation_started", "generation_complete")
)
FAILURES = frozenset(("failed", "generation_failed", "generation_unknown"))
TROUBLE_QUIET_S = 60.0
TROUBLE_S = 10.0  # whoever has to do with the ledger meets it again sooner than that
ALLOWANCE_S = 180.0  # longer than any one request may take


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `left` files and generations are still to be seen through, `failed` ended so during the run."""

    signal: str
    left: int
    failed: int
    reason: str = ""


class Daemon:
    """One run on one configuration. `tell` and `board` are how others see what is going on. With `only` it is an
    errand: what was pushed under these numbers is uploaded, and nothing else is touched, let alone paid for.
    `patience_s`: how long a run that ends by itself may take. `load` reads the configuration anew, when SIGHUP asks for
    that; it raises `UserError`."""

    def __init__(
        self,
        settings: Settings,
        *,
        once: bool,
        tell: Tell,
        board: Board | None = None,
        only: range | None = None,
        patience_s: float | None = None,
        load: Load | None = None,
    ) -> None:
        self._settings = settings
        self._once = once
        self._only = only
        self._deadline = None if patience_s is None else time.monotonic() + patience_s
        self._outside = tell
        self._meters = Meters(threading.Lock())
        self._failed = 0
        self._stop = threading.Event()
        self._doorbell = Doorbell()
        self._watch = _watch(lambda: self._crew.lookout.overflowed())
        self._notifier = Notifier.from_environment(lambda text: self._tell(Notice("notify", text, logging.WARNING)))
        self._pulse = Pulse()
        self._crew = Crew(
            settings, board or Board(), self._tell, self._ledger_trouble, self._stop, self._doorbell, self._watch,
            self._pulse, 2 * self._notifier.watchdog_s if self._notifier.watchdog_s else ALLOWANCE_S, only,
        )  # fmt: skip
        self._gate = self._crew.gate
        self._house = House(self._gate, self._tell, self._crew.wake)
        self._roster = Roster()
        steps = Steps(load, self._crew.layer, self._prepare, self._take)
        self._reload = Reload(steps, self._tell, self._notifier, lambda: self._wake())
        troubles = Troubles(lambda: self._crash, self._recent_trouble, lambda: self._reload.kept)
        self._page = None if once else StatusPage(self._crew, self._meters, troubles)
        self._crash = ""
        self._signals: list[int] = []
        self._asked_to_stop = False
        self._quiet_until = 0.0
        self._troubled = (-math.inf, "")
        self._late: list[str] = []
        self._fed_at = 0.0
        self._wake: Callable[[], None] = lambda: None

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> Ended:
        """Work until a signal comes or, with `once`, until everything is done. Raises `UserError` where it cannot
        begin, and with `once` `LedgerTrouble` where what is left is not known."""
        tenure = self._crew.tenure = _tenure(self._settings)
        self._shared = self._crew.tenure.membership is not None
        self._ending = Ending(STOP_BUDGET_S, shared=self._shared)
        try:
            with (
                Signals(self._signals.append, self._thread_died) as signals,
                hangups(self._reload.ask, self._terminal_gone),
            ):
                self._wake = signals.wake
                self._beginning = self._patient(signals.wait)
                try:
                    with self._beginning.ledger(tenure.open) as ledger:
                        self._start(self._begin(ledger))
                        # From now on by one that knows which folders are this host's.
                        reason = self._supervise(tenure.open() if self._shared else ledger, signals.wait)
                        self._notifier.stopping()
                        self._end()
                        return self._ended(ledger, reason)
                except Over:
                    return self._ended_early()
        finally:
            with suppress(LedgerTrouble):  # its lease runs out
                self._ending.ledger(tenure.release)

    def stop(self) -> None:
        """End the run as a signal would. From any thread, at any time."""
        self._asked_to_stop = True
        self._wake()

    def _patient(self, wait: Callable[[float], None]) -> Beginning:
        left_s = ONCE_PATIENCE_S if self._deadline is None else min(self._deadline - time.monotonic(), ONCE_PATIENCE_S)
        return Beginning(
            wait, self._wake, lambda: self._why_end() is not None, self._tell, self._notifier,
            self._settings.ledger.shown, self._shared, left_s if self._once else math.inf,
        )  # fmt: skip

    def _begin(self, ledger: Ledger) -> list[Post]:
        """What may still say that it cannot be. Who is to work."""
        self._warn()
        self._prepare(self._settings)
        self._beginning.unless_over(self._check_api)
        self._house.alone = not self._shared
        return self._beginning.ledger(partial(self._open_books, ledger))

    def _open_books(self, ledger: Ledger) -> list[Post]:
        open_books(ledger, self._settings, self._tell, once=self._once, alone=not self._shared)
        return list(self._crew.posts(ledger))

    def _check_api(self) -> None:
        layer = self._crew.layer(self._settings)
        try:
            error = admit(self._settings, layer, self._tell, rules=self._only is None)
        finally:
            layer.close()
        if isinstance(error, ApiDown):
            now = time.monotonic()
            self._gate.down(Pass(now, probe=False), error, now)

    def _start(self, posts: list[Post]) -> None:
        self._crew.share()
        self._watch.start()
        self._roster.fill(posts)
        if self._page:
            self._page.take(self._settings)
        self._notifier.ready(f"watching {len(self._settings.folders)} folders")

    def _supervise(self, ledger: Ledger, wait: Callable[[float], None]) -> str:
        while True:
            if not self._asked_to_stop:
                wait(ONCE_S if self._once else SUPERVISE_S)
            if not self._crash and not self._watch.alive:
                self._crash = "the thread that watches the folders has died"
            if (reason := self._why_end()) is not None:
                return reason
            self._feed_watchdog()
            try:
                self._reload.mind(ledger, self._settings)
                self._house.keep(ledger, anybody_leaving=self._roster.anybody_leaving())
                if self._once and (reason := self._why_over(ledger)) is not None:
                    return reason
            except LedgerTrouble as error:
                self._ledger_trouble(error)

    def _why_end(self) -> str | None:
        """The signal, or what else wants it to end; empty where it cannot go on."""
        if self._signals:
            return signal.Signals(self._signals[0]).name
        if self._crash:
            return ""
        return "stopped" if self._asked_to_stop else None

    def _why_over(self, ledger: Ledger) -> str | None:
        asked = partial(why_over, ledger, self._crew, self._deadline)
        try:
            return self._beginning.unless_over(asked) if self._shared else asked()
        except Over:
            return None

    def _feed_watchdog(self) -> None:
        """Only while every thread gets on: one that hangs is for the service manager to end."""
        now = time.monotonic()
        late = self._pulse.late(now)
        if late and late != self._late:
            text = f"not heard of for {self._crew.allowance_s:.0f} s: {', '.join(late)}"
            self._tell(Notice("thread_hangs", text, logging.ERROR, {"threads": late}))
        self._late = late
        every_s = self._notifier.watchdog_s
        if every_s is not None and not late and now >= self._fed_at + every_s / 2:
            self._fed_at = now
            self._notifier.alive()

    def _terminal_gone(self) -> None:
        self._signals.append(signal.SIGHUP)
        self._wake()

    # --- a new configuration ------------------------------------------------------------------------------------------

    def _prepare(self, new: Settings) -> None:
        if self._page:
            self._page.prepare(new)

    def _take(self, ledger: Ledger, new: Settings) -> None:
        """Whose work stays the same is not disturbed; an upload in flight is finished by whoever has it in hand. Raises
        `LedgerTrouble`, to be done again."""
        self._crew.take(new)
        self._crew.share_out()
        self._roster.fill(list(self._crew.posts(ledger)))
        self._crew.wake()
        if self._page:
            self._page.take(new)
        self._house.forget_all_but([folder.name for folder in new.folders])
        self._settings = new
        self._warn()

    def _warn(self) -> None:
        for text in self._settings.warnings:
            self._tell(Notice("configuration", text, logging.WARNING))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Stop what feeds, then what works; whoever is not done by then is left behind."""
        self._stop.set()
        self._watch.stop()
        self._crew.wake()
        self._ending.join(self._roster.threads())
        if self._page:
            self._page.close()
        if not any(thread.is_alive() for thread in self._roster.threads()):
            # And whoever closes the ledger last folds its write-ahead log in.
            self._ending.ledger(self._crew.tenure.close)
        self._watch.join(self._ending.left_s)

    def _ended_early(self) -> Ended:
        """Before it has begun. Raises why it could not, where it was to do all that there is to do."""
        if self._once and self._beginning.away:
            raise self._beginning.away
        reason = self._why_end() or ""
        if self._crash:
            raise RuntimeError(self._crash)
        by_signal = reason if reason.startswith("SIG") else ""
        return Ended(by_signal, 0, self._failed, "" if by_signal else reason)

    def _ended(self, ledger: Ledger, reason: str) -> Ended:
        if self._crash:
            raise RuntimeError(self._crash)
        with suppress(LedgerTrouble):
            if self._house.alone:
                ledger.facts.note("daemon", None, time.time())
        left = self._left(ledger)
        by_signal = reason if reason.startswith("SIG") else ""
        return Ended(by_signal, left, self._failed, "" if by_signal else reason)

    def _ours(self) -> list[str] | None:
        """The folders whose work is this host's, too; None where all is."""
        return [*(folder.name for folder in self._settings.folders), PUSHED] if self._shared else None

    def _left(self, ledger: Ledger) -> int:
        try:
            return self._ending.ledger(partial(ledger.outstanding.left, self._ours()))
        except LedgerTrouble as error:
            if self._once:
                raise
            self._tell(Notice("ledger_trouble", f"{error}; what is left to do is not known", logging.ERROR))
            return 0  # whoever ends it by a signal ends it whatever is left

    # --- threads ------------------------------------------------------------------------------------------------------

    def _ledger_trouble(self, error: LedgerTrouble) -> None:
        self._tell(Notice("ledger_trouble", f"{error}; trying again", logging.ERROR))
        self._stop.wait(LEDGER_RETRY_S)

    def _recent_trouble(self) -> str:
        at, text = self._troubled
        return text if time.monotonic() < at + TROUBLE_S else ""

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "a thread"
        said = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        self._tell(Notice("thread_died", f"{name} has died:\n{said}", logging.CRITICAL))
        self._crash = f"{name} has died: {args.exc_value}"

    def _tell(self, notice: Notice) -> None:
        if notice.event in FAILURES:
            self._failed += 1
        if notice.event in RINGING:
            self._crew.ring(everybody=notice.event == "resumed")
        self._meters.count(notice)
        if notice.event == "ledger_trouble":
            self._troubled = (time.monotonic(), notice.text)
            # Every thread meets it, every second: said once a minute.
            if time.monotonic() < self._quiet_until:
                return
            self._quiet_until = time.monotonic() + TROUBLE_QUIET_S
        self._outside(notice)


def _tenure(settings: Settings) -> tenures.Tenure:
    ours = settings.ledger
    about = tenures.Daemon(ours.host or socket.gethostname(), os.getpid(), __version__, ours.lease)
    return tenures.hold(ours.place, about, threading.Lock(), threading.Event, ours.names)


def _watch(overflowed: Callable[[], None]) -> Watch:
    try:
        return Watch(overflowed)
    except OSError as error:
        fix = "raise fs.inotify.max_user_instances, or end what holds them; see `layerwatch check`"
        raise EnvironmentProblem(Problem("inotify", f"the kernel gives no watch: {error.strerror}", fix)) from None
