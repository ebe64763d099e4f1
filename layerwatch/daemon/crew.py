"""What each thread does: one per drop folder (a hung share holds up only itself), one per uploader; and, where there
are rules or actions, one that plans, a few that fire and follow, and one that delivers.

One more takes what `layerwatch push` names. Every loop is the same: do what is due, then sleep until something is, or
the bell rings. Whoever asks whether it is time to end shows that it is alive: so does every block that is sent, hashed
or fetched.

A thread works by the configuration that it was given; what it asks the crew is answered by the one in force.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from layerwatch.api import Assets, Layer, Storage, Webhook, tls_context
from layerwatch.board import Board
from layerwatch.config import PUSHED, Folder, Settings
from layerwatch.daemon.benches import Benches
from layerwatch.daemon.doorbell import Doorbell
from layerwatch.daemon.lookout import Lookout
from layerwatch.daemon.restraint import Restraint
from layerwatch.daemon.roster import Post
from layerwatch.daemon.sidebyside import side_by_side
from layerwatch.daemon.vigil import Vigil, uptime_s
from layerwatch.delivering import Courier
from layerwatch.errors import LedgerTrouble
from layerwatch.finish import Policy
from layerwatch.intake import Surroundings
from layerwatch.ledger import Ledger, Origin
from layerwatch.ledger.tenure import Tenure
from layerwatch.notices import Tell
from layerwatch.pacing import Bandwidth, Gate
from layerwatch.pipeline import Pipeline, Shared
from layerwatch.planner import Planner
from layerwatch.pulse import Pulse
from layerwatch.pushed import Desk, Pushed
from layerwatch.runner import Runner
from layerwatch.site import why_no_input
from layerwatch.stages import Tools
from layerwatch.watch import Watch
from layerwatch.workbench import Kit, Site

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.membership import Membership

RUNNERS = 4
IDLE_MOST_S = 5.0
PUSHED_S = 0.5  # how often it is asked whether something was pushed: other processes do, and cannot ring
PLAN_S = 1.0  # how often the planner looks for what has waited for too long
TWIN_S = 1.0
PAUSE_S = 5.0  # how long a thread that waits is silent

Stopping = Callable[[], bool]


@dataclass
class Crew:
    """All threads' work, and what they share. `trouble` is told when the ledger cannot be used; it waits a little.
    `only`: nothing but what was pushed under these numbers is worked on, and only uploaded."""

    settings: Settings
    board: Board
    tell: Tell
    trouble: Callable[[LedgerTrouble], None]
    stop: threading.Event
    doorbell: Doorbell
    watch: Watch
    pulse: Pulse
    allowance_s: float  # for which a thread may be silent
    only: range | None = None
    pushed: Pushed | None = None
    tenure: Tenure = field(init=False)  # set before anybody begins
    vigil: Vigil | None = None

    def __post_init__(self) -> None:
        self.gate = Gate(threading.Lock())
        self.lookout = Lookout(self.watch, self.trouble, self.stop)
        self._bandwidth = Bandwidth(self.settings.upload.max_bandwidth, threading.Lock())
        self._tls = tls_context()
        self._benches = Benches(self.settings.upload.workers)
        self._hooks = Doorbell()  # for who takes what is pushed: not by the other bell, which rings for every file
        self._paths: dict[str, str] = {}
        self._delivers = False  # also after the last action was taken away: somebody may still leave one to deliver
        self._configured: dict[str, Folder] = {}
        self.take(self.settings)

    def take(self, settings: Settings) -> None:
        """Go by this configuration from now on; `posts` says who works on it."""
        if settings.api != self.settings.api:
            self.gate.reopen()  # it was closed to the old credentials
        self._benches.take(settings.upload.workers)
        self._bandwidth.rate = settings.upload.max_bandwidth
        # Those of folders that are no longer configured stay known to whoever has a file of theirs in hand.
        self._paths |= {folder.name: folder.path for folder in settings.folders}
        self._configured = _by_name(settings)
        self.settings = settings

    def share(self) -> None:
        """Threads are about to begin."""
        self.share_out()
        self.tenure.share()
        if self.tenure.membership:
            self.lookout.take_only(frozenset())

    def share_out(self) -> None:
        """Of a ledger that others have, too, the files of these folders are taken here."""
        self.tenure.take([*self._configured, PUSHED])

    def wake(self) -> None:
        """Let everybody look again, above all whether to leave."""
        self.ring(everybody=True)
        self._benches.wake()
        self._hooks.ring()
        self.lookout.wake()

    def ring(self, *, everybody: bool = False) -> None:
        """There may be something to do: for one uploader, who wakes the next one when there is. Or for all of them."""
        self.doorbell.ring()
        self._benches.ring(everybody=everybody)

    def posts(self, ledger: Ledger) -> Iterator[Post]:
        """The threads that the configuration in force, and what the ledger still holds, need."""
        settings, folders, upload = self.settings, self.settings.folders, self.settings.upload
        yield Post("pushed", (folders, upload.max_file_size), partial(self._pushed_loop, settings))
        sending = (settings.api, upload.chunk_size, upload.max_attempts)
        for number in range(self._benches.seats):
            yield Post(f"uploader {number + 1}", sending, partial(self._upload_loop, settings, number), alone=False)
        if self.tenure.membership:
            yield Post("membership", (), partial(self._membership_loop, self.tenure.membership))
        if self.only is not None:
            return
        for folder in folders:
            work = partial(self._folder_loop, settings, folder)
            # By its place, not by its name: that may be another one's by now, and two must never watch one.
            yield Post(
                f"folder {folder.name}", (folder, upload.max_file_size), work, place=os.path.realpath(folder.path)
            )
        if any(folder.rules for folder in folders) or any(ledger.stories.counts().values()):
            yield Post("planner", folders, partial(self._plan_loop, settings))
            paying = (settings.api, folders, settings.budget, upload.max_attempts)
            for number in range(RUNNERS):
                name = f"runner {number + 1}"
                yield Post(name, paying, partial(self._run_loop, settings, name), alone=False)
        self._delivers |= any(f.on_uploaded or f.on_complete for f in folders)
        if self._delivers or ledger.deliveries.next_due() is not None:
            yield Post("courier", (folders, upload.max_attempts), partial(self._deliver_loop, settings))

    def layer(self, settings: Settings) -> Layer:
        token = settings.token().get_secret_value()
        return Layer(settings.api.base_url, token, settings.workspace(), self._tls)

    # --- loops --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _alive(self, name: str, allowance_s: float) -> Iterator[Stopping]:
        """Whether it is time to end; asking it is a sign of life."""
        heart = self.pulse.heart(name, allowance_s, time.monotonic())

        def stopping() -> bool:
            heart.beat(time.monotonic())
            return self.stop.is_set()

        yield stopping
        heart.stop()

    def _loop(
        self,
        step: Callable[[], bool],
        idle_s: Callable[[], float],
        stopping: Stopping,
        leave: threading.Event,
        bell: Doorbell | None = None,
    ) -> None:
        bell = bell or self.doorbell
        while not (stopping() or leave.is_set()):
            heard = bell.rings
            try:
                if not step():
                    bell.wait(heard, min(max(idle_s(), 0.01), IDLE_MOST_S))
            except LedgerTrouble as error:
                self.trouble(error)

    def _folder_loop(self, settings: Settings, folder: Folder, leave: threading.Event) -> None:
        with self._alive(f"folder {folder.name}", self.allowance_s) as stopping, self._ledger() as ledger:
            around = Surroundings(
                ledger=ledger,
                wall=time.time,
                monotonic=time.monotonic,
                stopping=lambda: stopping() or leave.is_set(),
                queued=self.ring,
                tell=self.tell,
                max_size=settings.upload.max_file_size,
                aftermath=Policy.of(folder).wanted,
                why_no_input=partial(self._why_no_input, folder),
                side_by_side=side_by_side,
                hears=logging.getLogger("layerwatch").isEnabledFor,
            )
            self.lookout.keep(folder, around, leave)

    def _membership_loop(self, membership: "Membership", leave: threading.Event) -> None:
        with self._alive("membership", self.allowance_s) as stopping, self._ledger() as ledger:
            restraint = Restraint(membership, self.gate, self.tell)
            vigil = self.vigil = Vigil(
                membership, ledger, self._to_watch, lambda: self._benches.limit, self.lookout.take_only,
                partial(self.ring, everybody=True), self.tell,
            )  # fmt: skip
            while not (stopping() or leave.is_set()):
                try:
                    vigil.step(uptime_s())
                    restraint.step(time.monotonic())
                except LedgerTrouble as error:
                    self.trouble(error)

    def _to_watch(self) -> tuple[Folder, ...]:
        return self.settings.folders if self.only is None else ()

    def _may_pay(self) -> bool:
        if self.tenure.membership is None:
            return True
        return self.vigil is not None and self.vigil.certain()

    def _pushed_loop(self, settings: Settings, leave: threading.Event) -> None:
        configured = _by_name(settings)
        with self._alive("pushed", self.allowance_s) as stopping, self._ledger() as ledger:
            desk = Desk(
                ledger=ledger,
                folders=configured,
                root=self._root,
                aftermath=lambda name: Policy.of(configured[name]).wanted,
                why_no_input=self._why_no_input,
                wall=time.time,
                monotonic=time.monotonic,
                stopping=lambda: stopping() or leave.is_set(),
                queued=self.ring,
                tell=self.tell,
                max_size=settings.upload.max_file_size,
                only=self.only,
            )
            self.pushed = Pushed(desk)
            self._loop(self.pushed.step, lambda: PUSHED_S, stopping, leave, self._hooks)

    def _upload_loop(self, settings: Settings, number: int, leave: threading.Event) -> None:
        with self._alive(f"uploader {number + 1}", self.allowance_s) as stopping:
            benches = self._benches

            def leaves() -> bool:
                return stopping() or leave.is_set()

            def is_wanted() -> bool:
                return benches.wanted(number, leaves, self.allowance_s / 4)

            if not is_wanted():
                return  # it was never called for, and has opened nothing
            with self._ledger() as ledger:
                tools = self._tools(settings, stopping)
                pipeline = Pipeline(ledger, tools, self._shared(settings))

                def goes_on() -> bool:
                    return benches.is_wanted(number) and not leaves()

                def step() -> bool:
                    return is_wanted() and pipeline.step(goes_on)

                self._loop(step, partial(self._upload_idle_s, ledger), stopping, leave, benches.bell)
            tools.layer.close()
            tools.storage.close()

    def _upload_idle_s(self, ledger: Ledger) -> float:
        """How long an uploader with nothing to do may sleep; other processes queue files too, and cannot ring."""
        self._benches.idles()
        closed_s = self.gate.wait_s(time.monotonic())
        wait_s = max(_until(ledger.files.next_due()), closed_s)
        if closed_s and self.gate.lets_begun_go_on:
            wait_s = min(wait_s, _until(ledger.files.next_due(begun=True)))
        return wait_s

    def _plan_loop(self, settings: Settings, leave: threading.Event) -> None:
        configured = _by_name(settings)
        with self._alive("planner", self.allowance_s) as stopping, self._ledger() as ledger:
            planner = Planner(ledger, configured, self._root, time.time, self.tell)
            self._loop(planner.step, lambda: PLAN_S, stopping, leave)

    def _run_loop(self, settings: Settings, name: str, leave: threading.Event) -> None:
        configured, attempts = _by_name(settings), settings.upload.max_attempts
        layer, assets = self.layer(settings), Assets(self._tls)
        with self._alive(name, self.allowance_s) as stopping, self._ledger() as ledger:
            pause = partial(self._pause, stopping)
            kit = Kit(layer, assets, time.time, time.monotonic, stopping, pause, self._may_pay)
            site = Site(configured, self._root, settings.budget, self.gate, self.tell, attempts)
            self._loop(Runner(ledger, kit, site).step, partial(self._run_idle_s, ledger), stopping, leave)
        layer.close()
        assets.close()

    def _run_idle_s(self, ledger: Ledger) -> float:
        due = min(_until(ledger.firing.next_due()), _until(ledger.following.next_due()))
        return max(due, self.gate.wait_s(time.monotonic()))

    def _deliver_loop(self, settings: Settings, leave: threading.Event) -> None:
        webhook, configured = Webhook(self._tls), _by_name(settings)
        actions = [each for folder in settings.folders for each in (folder.on_uploaded, folder.on_complete) if each]
        longest_s = max((action.timeout for action in actions), default=0.0)
        with (
            self._alive("courier", self.allowance_s + longest_s) as stopping,
            self._ledger() as ledger,
        ):
            courier = Courier(
                ledger, configured, self._root, webhook, time.time, stopping, partial(self._pause, stopping), self.tell,
                settings.upload.max_attempts,
            )  # fmt: skip
            self._loop(courier.step, lambda: _until(ledger.deliveries.next_due()), stopping, leave)
        webhook.close()

    # --- parts --------------------------------------------------------------------------------------------------------

    def _ledger(self) -> Ledger:
        return self.tenure.open()

    def _why_no_input(self, folder: Folder, origin: Origin) -> str | None:
        return why_no_input(self._configured, self._root, folder, origin)

    def _root(self, name: str) -> str:
        if name == PUSHED:
            return "/"
        return self.lookout.root(name, self._paths[name])

    def _policy(self, name: str) -> Policy:
        """That of a folder that is no longer configured is to leave its files alone."""
        folder = self._configured.get(name)
        return Policy.of(folder) if folder else Policy()

    def _pause(self, stopping: Stopping, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stopping() and (left := until - time.monotonic()) > 0:
            self.stop.wait(min(left, PAUSE_S))

    def _tools(self, settings: Settings, stopping: Stopping) -> Tools:
        return Tools(
            layer=self.layer(settings),
            storage=Storage(self._tls),
            bandwidth=self._bandwidth,
            chunk_size=settings.upload.chunk_size,
            wall=time.time,
            monotonic=time.monotonic,
            stopping=stopping,
            pause=partial(self._pause, stopping),
            shared=self.tenure.membership is not None,
        )

    def _shared(self, settings: Settings) -> Shared:
        return Shared(
            root=self._root,
            policy=self._policy,
            gate=self.gate,
            claimed=self._benches.ring,
            worked=self._benches.worked,
            refused=self._benches.refused,
            board=self.board,
            tell=self.tell,
            max_attempts=settings.upload.max_attempts,
            workspace_id=settings.workspace(),
            pushes=self.only,
        )


def _by_name(settings: Settings) -> dict[str, Folder]:
    return {folder.name: folder for folder in settings.folders}


def _until(due: float | None) -> float:
    """Seconds until then. What is due and could not be claimed waits for its twin, whose end will ring."""
    if due is None:
        return IDLE_MOST_S
    return due - time.time() if due > time.time() else TWIN_S
