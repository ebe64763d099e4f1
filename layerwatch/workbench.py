"""What paying and following share: what they work with, how they keep to the gate, how they record and tell."""

import random
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import ERROR, WARNING

from layerwatch import site
from layerwatch.api import Assets, Layer
from layerwatch.config import Budget, Folder, Rule
from layerwatch.errors import ApiDown, Code, Final, JobError, LedgerTrouble, Lost, TryAgain
from layerwatch.fire import RULE, RULE_GONE
from layerwatch.ledger import Firing, Following, Ledger
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.pacing import Gate, Pass
from layerwatch.recording import insist
from layerwatch.redact import redact
from layerwatch.results import DISK
from layerwatch.states import backoff_s

POLL_S = 3.0  # where Layer suggests nothing
POLL_LEAST_S, POLL_MOST_S = 0.2, 60.0
NOT_LAYERS = frozenset((Code.INTERNAL, DISK, RULE, RULE_GONE))


@dataclass(frozen=True)
class Site:
    """What all runners share. `root` tells a folder's real path by its name."""

    folders: Mapping[str, Folder]
    root: Callable[[str], str]
    budget: Budget
    gate: Gate
    tell: Tell
    max_attempts: int

    def rule(self, job: Firing | Following) -> Rule | None:
        return site.rule_of(self.folders, job.folder, job.rule)

    def relative(self, job: Firing | Following) -> str | None:
        return site.relative(self.folders, self.root, job)


@dataclass(frozen=True)
class Kit:
    """What a runner works with; clocks in seconds, `pause` waits that long or until it is time to end. `may_pay`:
    whether it is certain that nobody else takes this host for dead, and its claims for their own."""

    layer: Layer
    assets: Assets
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    pause: Callable[[float], object]
    may_pay: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Bench:
    """One runner's place: its ledger, its kit, and the site."""

    ledger: Ledger
    kit: Kit
    site: Site

    def mind_the_gate(self, error: JobError | None, given: Pass) -> None:
        """What this request has found out for all."""
        gate = self.site.gate
        if isinstance(error, ApiDown):
            before, hold = gate.hold, gate.down(given, error, self.kit.monotonic())
            if before is None or before.message != hold.message:
                text = f"everything waits: {hold.message}"
                about = {"error_code": hold.code, "message": hold.message}
                self.site.tell(Notice("hold", text, WARNING, about))
        elif isinstance(error, Lost) or (error and error.code in NOT_LAYERS):
            gate.unused(given)  # Layer was not asked, or did not answer
        elif gate.up(given):
            self.site.tell(Notice("resumed", "the API answers again: going on"))

    def insist(self, record: Callable[[], object]) -> bool:
        return insist(record, stopping=self.kit.stopping, pause=self.kit.pause, tell=self.site.tell)

    def tell_failed(self, job: Firing | Following, code: str, message: str) -> None:
        self.tell("generation_failed", job, f"failed ({code}): {message}", ERROR, error_code=code)

    def tell(self, event: str, job: Firing | Following, text: str, level: int, **facts: object) -> None:
        name = name_text(f"{job.folder}/{self.site.relative(job) or job.path}")
        facts |= {"generation": job.id, "folder": job.folder, "rule": job.rule, "path": job.path}
        self.site.tell(Notice(event, f"{name} generation g{job.id} {text}", level, facts))


def poll_s(suggested_s: float | None) -> float:
    """When to ask again: as Layer suggests, within reason, and not all at the same moment."""
    wait_s = min(max(POLL_S if suggested_s is None else suggested_s, POLL_LEAST_S), POLL_MOST_S)
    return wait_s * random.uniform(1.0, 1.2)  # noqa: S311  spreads polls, guards nothing


def delay_s(error: TryAgain, attempts: int) -> float:
    if error.after_s is not None:
        return error.after_s
    return backoff_s(max(attempts - 1, 0), random.random())  # noqa: S311  as above


def fault(error: Exception) -> Final:
    message = redact(f"a fault in layerwatch: {type(error).__name__}: {error}")
    return Final(Code.INTERNAL, message, redact("".join(traceback.format_exception(error))))


def trouble_of(error: Exception) -> JobError:
    """A ledger that cannot be written passes; a bug of ours may not."""
    return TryAgain(DISK, str(error)) if isinstance(error, LedgerTrouble) else fault(error)
