"""What each thread does: one per drop folder (a hung share holds up only itself), one per uploader; and, where there
are rules or actions, one that plans, a few that fire and follow, and one that delivers.

One more takes what `layerwatch push` names. Every loop is the same: do what is due, then sleep until something is, or
the bell rings. Whoever asks whether it is time to end shows that it is alive: so does every block that is sent, hashed
or fetched.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from layerwatch.api import Assets, Layer, Storage, Webhook, tls_context
from layerwatch.board import Board
from layerwatch.config import PUSHED, Folder, Settings
from layerwatch.daemon.doorbell import Doorbell
from layerwatch.delivering import Courier
from layerwatch.dropfolder import DropFolder
from layerwatch.errors import LedgerTrouble
from layerwatch.finish import Policy
from layerwatch.intake import Surroundings
from layerwatch.ledger import Ledger, Origin
from layerwatch.notices import Tell
from layerwatch.pacing import Bandwidth, Gate
from layerwatch.pipeline import Pipeline, Shared
from layerwatch.planner import Planner
from layerwatch.pulse import Pulse
from layerwatch.pushed import Desk, Pushed
from layerwatch.runner import Runner
from layerwatch.stages import Tools
from layerwatch.watch import Watch
from layerwatch.workbench import Kit, Site

RUNNERS = 4
IDLE_MOST_S = 5.0
PUSHED_S = 0.5  # how often it is asked whether something was pushed: other processes do, and cannot ring
PLAN_S = 1.0  # how often the planner looks for what has waited for too long
TWIN_S = 1.0

Loop = tuple[str, Callable[[], None]]


@dataclass
class Crew:
    """All threads' work on one configuration, and what they share. `trouble` is told when the ledger cannot be used;
    it waits a little. `only`: nothing but what was pushed under these numbers is worked on, and only uploaded."""

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
    folders: dict[str, DropFolder] = field(default_factory=dict)
    pushed: Pushed | None = None

    def __post_init__(self) -> None:
        self.gate = Gate(threading.Lock())
        self._bandwidth = Bandwidth(self.settings.upload.max_bandwidth, threading.Lock())
        self._tls = tls_context()
        self._configured = {folder.name: folder for folder in self.settings.folders}

    def loops(self, ledger: Ledger) -> Iterator[Loop]:
        """The threads that this configuration, and what the ledger still holds, need."""
        settings = self.settings
        yield "pushed", self._pushed_loop
        for number in range(settings.upload.workers):
            name = f"uploader {number + 1}"
            yield name, partial(self._upload_loop, name)
        if self.only is not None:
            return
        for folder in settings.folders:
            yield f"folder {folder.name}", partial(self._folder_loop, folder)
        if any(folder.rules for folder in settings.folders) or any(ledger.stories.counts().values()):
            yield "planner", self._plan_loop
            for number in range(RUNNERS):
                name = f"runner {number + 1}"
                yield name, partial(self._run_loop, name)
        if any(f.on_uploaded or f.on_complete for f in settings.folders) or ledger.deliveries.next_due() is not None:
            yield "courier", self._deliver_loop

    def layer(self) -> Layer:
        settings = self.settings
        token = settings.token().get_secret_value()
        return Layer(settings.api.base_url, token, settings.workspace(), self._tls)

    # --- loops --------------------------------------------------------------------------------------------------------

    def _alive(self, name: str) -> Callable[[], bool]:
        """Whether it is time to end; asking it is a sign of life."""
        heart = self.pulse.heart(name, self.allowance_s, time.monotonic())

        def stopping() -> bool:
            heart.beat(time.monotonic())
            return self.stop.is_set()

        return stopping

    def _loop(self, step: Callable[[], bool], idle_s: Callable[[], float], stopping: Callable[[], bool]) -> None:
        while not stopping():
            heard = self.doorbell.rings
            try:
                if not step():
                    self.doorbell.wait(heard, min(max(idle_s(), 0.01), IDLE_MOST_S))
            except LedgerTrouble as error:
                self.trouble(error)

    def _folder_loop(self, folder: Folder) -> None:
        stopping = self._alive(f"folder {folder.name}")
        with Ledger(self.settings.ledger.path) as ledger:
            around = Surroundings(
                ledger=ledger,
                wall=time.time,
                monotonic=time.monotonic,
                stopping=stopping,
                queued=self.doorbell.ring,
                tell=self.tell,
                max_size=self.settings.upload.max_file_size,
                aftermath=policy(folder).wanted,
                why_no_input=partial(self._why_no_input, folder),
            )
            drop = DropFolder(folder, self.watch, around)
            self.folders[folder.name] = drop
            while not stopping():
                try:
                    drop.wait(drop.step())
                except LedgerTrouble as error:
                    self.trouble(error)

    def _pushed_loop(self) -> None:
        stopping = self._alive("pushed")
        with Ledger(self.settings.ledger.path) as ledger:
            desk = Desk(
                ledger=ledger,
                folders=self._configured,
                root=self._root,
                aftermath=lambda name: policy(self._configured[name]).wanted,
                why_no_input=self._why_no_input,
                wall=time.time,
                monotonic=time.monotonic,
                stopping=stopping,
                queued=self.doorbell.ring,
                tell=self.tell,
                max_size=self.settings.upload.max_file_size,
                only=self.only,
            )
            self.pushed = Pushed(desk)
            self._loop(self.pushed.step, lambda: PUSHED_S, stopping)

    def _upload_loop(self, name: str) -> None:
        stopping = self._alive(name)
        tools = self._tools(stopping)
        with Ledger(self.settings.ledger.path) as ledger:
            step = Pipeline(ledger, tools, self._shared()).step
            self._loop(step, partial(self._upload_idle_s, ledger), stopping)
        tools.layer.close()
        tools.storage.close()

    def _upload_idle_s(self, ledger: Ledger) -> float:
        """How long an uploader with nothing to do may sleep; other processes queue files too, and cannot ring."""
        closed_s = self.gate.wait_s(time.monotonic())
        wait_s = max(_until(ledger.files.next_due()), closed_s)
        if closed_s and self.gate.lets_begun_go_on:
            wait_s = min(wait_s, _until(ledger.files.next_due(begun=True)))
        return wait_s

    def _plan_loop(self) -> None:
        with Ledger(self.settings.ledger.path) as ledger:
            planner = Planner(ledger, self._configured, self._root, time.time, self.tell)
            self._loop(planner.step, lambda: PLAN_S, self._alive("planner"))

    def _run_loop(self, name: str) -> None:
        layer, assets, stopping = self.layer(), Assets(self._tls), self._alive(name)
        kit = Kit(layer, assets, time.time, time.monotonic, stopping, self.stop.wait)
        settings = self.settings
        site = Site(self._configured, self._root, settings.budget, self.gate, self.tell, settings.upload.max_attempts)
        with Ledger(settings.ledger.path) as ledger:
            self._loop(Runner(ledger, kit, site).step, partial(self._run_idle_s, ledger), stopping)
        layer.close()
        assets.close()

    def _run_idle_s(self, ledger: Ledger) -> float:
        due = min(_until(ledger.firing.next_due()), _until(ledger.following.next_due()))
        return max(due, self.gate.wait_s(time.monotonic()))

    def _deliver_loop(self) -> None:
        webhook, stopping = Webhook(self._tls), self._alive("courier")
        with Ledger(self.settings.ledger.path) as ledger:
            courier = Courier(
                ledger, self._configured, self._root, webhook, time.time, stopping, self.stop.wait, self.tell,
                self.settings.upload.max_attempts,
            )  # fmt: skip
            self._loop(courier.step, lambda: _until(ledger.deliveries.next_due()), stopping)
        webhook.close()

    # --- parts --------------------------------------------------------------------------------------------------------

    def _root(self, name: str) -> str:
        return "/" if name == PUSHED else os.path.realpath(self._configured[name].path)

    def _tools(self, stopping: Callable[[], bool]) -> Tools:
        return Tools(
            layer=self.layer(),
            storage=Storage(self._tls),
            bandwidth=self._bandwidth,
            chunk_size=self.settings.upload.chunk_size,
            wall=time.time,
            monotonic=time.monotonic,
            stopping=stopping,
            pause=self.stop.wait,
        )

    def _shared(self) -> Shared:
        policies = {PUSHED: Policy()} | {name: policy(folder) for name, folder in self._configured.items()}
        return Shared(
            root=self._root,
            policy=lambda name: policies[name],
            gate=self.gate,
            board=self.board,
            tell=self.tell,
            max_attempts=self.settings.upload.max_attempts,
            workspace_id=self.settings.workspace(),
            pushes=self.only,
        )

    def _why_no_input(self, folder: Folder, origin: Origin) -> str | None:
        """Why a result that lies in this folder is not one of its files; None where a chain of rules says it is."""
        made = f"a result of generation g{origin.id}"
        maker = self._configured.get(origin.folder)
        rule = next((rule for rule in maker.rules if rule.name == origin.rule), None) if maker else None
        outputs = os.path.join(self._root(origin.folder), rule.outputs) if rule and rule.outputs else None
        here = self._root(folder.name)
        if not (rule and rule.chain and outputs and (here == outputs or here.startswith(f"{outputs}/"))):
            return f"{made}: taking it as a new file would go round in circles"
        if origin.depth > rule.chain_depth:
            return f"{made}, which is number {origin.depth} in its chain: chain_depth is {rule.chain_depth}"
        return None


def policy(folder: Folder) -> Policy:
    """What a folder wants done with what is uploaded."""
    return Policy(
        folder.after_upload, folder.move_to, folder.receipt, bool(folder.rules), folder.on_uploaded is not None
    )


def _until(due: float | None) -> float:
    """Seconds until then. What is due and could not be claimed waits for its twin, whose end will ring."""
    if due is None:
        return IDLE_MOST_S
    return due - time.time() if due > time.time() else TWIN_S
