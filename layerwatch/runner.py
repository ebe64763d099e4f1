"""`step`: take one generation, ask Layer how it stands or fire it, record the outcome. The whole way of the money is on
this page; what may be spent is decided in the ledger, in the commit that comes before the paid request.

Each runner has a thread of its own; the ledger sees to it that no two ever work on the same generation.
"""

import os
import random
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any

from layerwatch import points
from layerwatch.api import Accepted, Assets, Layer, Progress, Remote
from layerwatch.config import Budget, Folder, Rule
from layerwatch.errors import (
    ApiDown,
    Code,
    Final,
    FolderAway,
    JobError,
    LedgerTrouble,
    Lost,
    Stopped,
    TryAgain,
    Unpaid,
)
from layerwatch.fire import RULE, RULE_GONE, Home, Ties, fetch, limits, request
from layerwatch.ledger import INSUFFICIENT, Firing, FolderState, Following, Held, Ledger, LostClaim
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.pacing import Gate, Pass
from layerwatch.recording import insist
from layerwatch.redact import redact
from layerwatch.results import DISK
from layerwatch.states import Generation, Turn, backoff_s

POLL_S = 3.0  # where Layer suggests nothing
POLL_LEAST_S, POLL_MOST_S = 0.2, 60.0
INSUFFICIENT_S = 900.0  # how often an empty account is looked at again
NOT_LAYERS = frozenset((Code.INTERNAL, DISK, RULE, RULE_GONE))
TIME_LIMIT = "time_limit"


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
        folder = self.folders.get(job.folder)
        return next((rule for rule in folder.rules if rule.name == job.rule), None) if folder else None

    def relative(self, job: Firing | Following) -> str | None:
        """Where the file that the rule matched lies below its folder; None if that is somewhere else now."""
        if job.folder not in self.folders:
            return None
        root = self.root(job.folder).rstrip("/")
        relative = job.path.removeprefix(f"{root}/")
        return None if relative == job.path else relative


@dataclass(frozen=True)
class Kit:
    """What a runner works with; clocks in seconds, `pause` waits that long or until it is time to end."""

    layer: Layer
    assets: Assets
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    pause: Callable[[float], object]


class Runner:
    """One runner's work, a step at a time. Drives every test without a thread."""

    def __init__(self, ledger: Ledger, kit: Kit, site: Site) -> None:
        self._ledger = ledger
        self._firing = ledger.firing
        self._following = ledger.following
        self._kit = kit
        self._site = site

    def step(self) -> bool:
        """Do one thing that is due; what is paid for already comes first. False when there was nothing to do."""
        gate = self._site.gate
        given = gate.admit(self._kit.monotonic())
        if given is None:
            return False
        job: Firing | Following | None = None
        try:
            claim, now = uuid.uuid4().hex, self._kit.wall()
            job = self._following.claim(claim, now) or self._firing.claim(claim, now)
        finally:
            if job is None:
                gate.unused(given)
        match job:
            case Following():
                self._follow(job, given)
            case Firing():
                points.passed("taken")
                self._fire(job, given)
        return job is not None

    # --- firing -------------------------------------------------------------------------------------------------------

    def _fire(self, job: Firing, given: Pass) -> None:
        """Price it, book it, and then, and only then, pay for it."""
        held: Held | None = None
        try:
            rule = self._site.rule(job)
            body = request(job, rule, self._site.relative(job))
            assert rule
            price, held = self._priced(job, rule, body)
            points.passed("priced")
            if held:
                self._insist(partial(self._firing.hold, job, Generation.QUEUED, held, price, self._kit.wall()))
            else:
                held = self._firing.book(job, body, price, limits(rule, self._site.budget), self._kit.wall())
        except LostClaim as error:
            self._site.gate.unused(given)
            self._site.tell(Notice("superseded", f"{error}: nothing was sent", INFO))
            return
        except Exception as error:  # noqa: BLE001  a bug of ours: nothing has been sent
            trouble = error if isinstance(error, JobError) else _trouble(error)
            self._mind_the_gate(trouble, given)
            self._insist(partial(self._not_sent, job, trouble))
            return
        if held:
            self._site.gate.unused(given)
            self._tell_held(job, held)
            return
        points.passed("booked")
        outcome = self._submit(job, body)
        points.passed("fired")
        self._mind_the_gate(outcome if isinstance(outcome, JobError) else None, given)
        self._fired(job, outcome, rule)

    def _submit(self, job: Firing, body: Mapping[str, Any]) -> Accepted | JobError:
        """THE PAID REQUEST. Sent once; whatever does not prove that nothing was started is `Lost`."""
        try:
            return self._kit.layer.submit(job.kind, job.target, body)
        except JobError as error:
            return error
        except Exception as error:  # noqa: BLE001  a bug of ours, on either side of the sending
            return Lost(Code.INTERNAL, _fault(error).detail)

    def _priced(self, job: Firing, rule: Rule, body: Mapping[str, Any]) -> tuple[float | None, Held | None]:
        """What it will cost, where a limit asks for that; and whether the workspace has so much."""
        if not any(limit.needs_price for limit in limits(rule, self._site.budget)):
            return None, None
        now = self._kit.wall()
        if not job.approved and self._firing.blocked_for(INSUFFICIENT, now - INSUFFICIENT_S):
            return None, self._insufficient("the workspace had not enough Creative Units when it was asked last")
        estimate = self._kit.layer.estimate(job.kind, job.target, body)
        if estimate.sufficient is False:
            costs = "" if estimate.price is None else f" for the {estimate.price:g} that it would cost"
            left = "" if estimate.available is None else f": {estimate.available:g} are left"
            return estimate.price, self._insufficient(f"the workspace has not enough Creative Units{costs}{left}")
        return estimate.price, None

    def _insufficient(self, message: str) -> Held:
        now = self._kit.wall()
        first = not self._firing.blocked_for(INSUFFICIENT, now - INSUFFICIENT_S)
        return Held(INSUFFICIENT, message, now + INSUFFICIENT_S, first)

    def _not_sent(self, job: Firing, error: JobError) -> None:
        """Something was wrong before anything was paid."""
        now, attempts = self._kit.wall(), job.attempts + (not isinstance(error, ApiDown))
        if isinstance(error, TryAgain) and attempts < self._site.max_attempts:
            due = now + _delay_s(error, attempts)
            self._firing.put_off(job, due, attempts=attempts, code=error.code, message=error.message)
            self._tell("generation_postponed", job, f"not sent ({error.code}): {error.message}", DEBUG)
            return
        detail = error.detail if isinstance(error, Final) else ""
        self._firing.refused(job, Generation.QUEUED, now, code=error.code, message=error.message, detail=detail)
        self._tell_failed(job, error.code, f"{error.message}; nothing was sent")

    def _fired(self, job: Firing, outcome: Accepted | JobError, rule: Rule) -> None:
        """Write down what the paid request came to: each answer has its own way out, and none its own second try."""
        now, firing = self._kit.wall(), self._firing
        match outcome:
            case Accepted(remote_id, poll_after_s, price):
                due, deadline = now + _poll_s(poll_after_s), now + rule.time_limit
                record = partial(firing.accepted, job, remote_id, now, price=price, poll_at=due, deadline=deadline)
                if not self._insist(record):
                    text = f"Layer started it as {remote_id}, which could not be written down"
                    self._tell("generation_unrecorded", job, f"{text}: `layerwatch resolve g{job.id} --adopt`", ERROR)
                    return
                points.passed("accepted")
                self._tell("generation_started", job, f"started, {job.kind} {remote_id}", INFO, remote_id=remote_id)
            case Unpaid():
                held = self._insufficient(outcome.message)
                self._insist(partial(firing.hold, job, Generation.SUBMITTING, held, None, now))
                self._tell_held(job, held)
            case TryAgain():
                due = now + _delay_s(outcome, job.attempts)
                code, message = outcome.code, outcome.message
                self._insist(partial(firing.not_started, job, due, now, code=code, message=message))
                self._tell("generation_postponed", job, f"not started ({code}): {message}", DEBUG)
            case Final():
                code, message = outcome.code, outcome.message
                self._insist(partial(firing.refused, job, Generation.SUBMITTING, now, code=code, message=message))
                self._tell_failed(job, code, message)
            case _:
                self._insist(partial(firing.lost, job, now, outcome.message, outcome.code))
                text = f"may have been started: {outcome.message}; see `layerwatch resolve g{job.id}`"
                self._tell("generation_unknown", job, text, ERROR, error_code=outcome.code)

    def _tell_held(self, job: Firing, held: Held) -> None:
        """One message for all that is held back for the same reason."""
        level, more = (WARNING, "; more like it will be held without a word") if held.first else (DEBUG, "")
        self._tell("generation_held", job, f"is held back: {held.message}{more}", level, error_code=held.code)

    # --- following ----------------------------------------------------------------------------------------------------

    def _follow(self, job: Following, given: Pass) -> None:
        """How does it stand? And once it is complete: its results."""
        try:
            remote = self._kit.layer.follow(job.kind, job.target, job.remote_id)
        except Exception as error:  # noqa: BLE001  a bug of ours must not lose what was paid for
            trouble = error if isinstance(error, JobError) else _fault(error)
            self._mind_the_gate(trouble, given)
            self._insist(partial(self._not_told, job, trouble))
            return
        self._mind_the_gate(None, given)
        match remote.progress:
            case Progress.COMPLETE:
                points.passed("polled")
                self._complete(job, remote)
            case Progress.RUNNING:
                self._insist(partial(self._still_running, job, remote))
            case Progress.FAILED | Progress.CANCELLED:
                self._insist(partial(self._ended, job, remote))

    def _not_told(self, job: Following, error: JobError) -> None:
        now = self._kit.wall()
        if isinstance(error, TryAgain):
            due = now + _delay_s(error, job.attempts + 1)
            attempts = job.attempts + (not isinstance(error, ApiDown))
            self._following.again(job, due, attempts=attempts, code=error.code, message=error.message)
            return
        self._following.ended(job, Turn.FAILED, now, code=error.code, message=error.message, remote_state=None)
        self._tell_failed(job, error.code, error.message)

    def _still_running(self, job: Following, remote: Remote) -> None:
        now = self._kit.wall()
        if now < job.deadline:
            self._following.again(job, now + _poll_s(remote.poll_after_s))
            return
        message = f"Layer still says {remote.word or 'nothing'} after the rule's time_limit; `retry` looks again"
        self._following.ended(job, Turn.FAILED, now, code=TIME_LIMIT, message=message, remote_state=None)
        self._tell_failed(job, TIME_LIMIT, message)

    def _ended(self, job: Following, remote: Remote) -> None:
        now, is_failure = self._kit.wall(), remote.progress is Progress.FAILED
        code = remote.error_code or ("failed" if is_failure else "cancelled")
        message = remote.error or f"Layer says {remote.word}"
        self._following.ended(
            job,
            Turn.FAILED if is_failure else Turn.CANCELLED,
            now,
            code=code,
            message=message,
            remote_state="failed" if is_failure else "cancelled",
            price=remote.price,
        )
        if is_failure:
            self._tell_failed(job, code, message)
        else:
            self._tell("generation_cancelled", job, f"was cancelled in Layer: {message}", WARNING)

    def _complete(self, job: Following, remote: Remote) -> None:
        progress: list[int] = []
        try:
            outputs = self._results(job, remote, progress)
        except Stopped:
            self._insist(partial(self._following.again, job, self._kit.wall(), remote_state="complete"))
            return
        except LostClaim as error:
            self._site.tell(Notice("lost_claim", f"{error}; its results are not recorded", ERROR))
            return
        except Exception as error:  # noqa: BLE001  as above
            trouble = error if isinstance(error, JobError) else _trouble(error)
            self._insist(partial(self._not_fetched, job, trouble, remote, progressed=bool(progress)))
            return
        folder = self._site.folders.get(job.folder)
        record = partial(
            self._following.completed, job, outputs, remote.price, remote.completed_at, self._kit.wall(),
            deliver=bool(folder and folder.on_complete),
        )  # fmt: skip
        if self._insist(record):
            points.passed("completed")
            cost = "" if remote.price is None else f", {remote.price:g} Creative Units"
            text = f"complete, {len(outputs)} results{cost}"
            paths = [each["path"] for each in outputs if "path" in each]
            self._tell("generation_complete", job, text, INFO, price=remote.price, outputs=paths)

    def _results(self, job: Following, remote: Remote, progress: list[int]) -> list[dict[str, Any]]:
        rule, relative = self._site.rule(job), self._site.relative(job)
        if rule is None or rule.outputs is None:
            return [{"url": asset.url, "content_type": asset.content_type} for asset in remote.assets]
        root = self._site.root(job.folder)
        facts = self._ledger.facts.one_folder(job.folder)
        is_there = facts is not None and facts.state in (FolderState.WATCHING, FolderState.POLLING)
        # An unmounted share leaves an empty directory behind: only who watches the folder can tell.
        if relative is None or not is_there or not os.path.isdir(root):
            raise FolderAway(Code.VANISHED, f"the folder {name_text(root)} is not there, or is another one now")

        def saved(number: int) -> None:
            progress.append(number)
            self._following.saved(job, number)
            points.passed("saved")

        self._following.fetching(job)
        ties = Ties(partial(self._following.intend, job), saved, self._kit.stopping)
        home = Home(root, rule.outputs, relative, rule.max_result_size)
        return fetch(job, remote, home, self._kit.assets, self._provenance(job, remote), ties)

    def _provenance(self, job: Following, remote: Remote) -> dict[str, Any]:
        """What the results came from, for those who find only them."""
        stories = self._ledger.stories
        row, inputs = stories.one(job.id), stories.inputs(job.id)
        assert row
        return {
            "generation": job.id,
            "folder": job.folder,
            "rule": job.rule,
            "kind": job.kind,
            "target_id": job.target,
            "remote_id": job.remote_id,
            "workspace_id": self._kit.layer.workspace_id,
            "inputs": [
                {"role": each.role, "path": each.path, "sha256": each.hash, "file_id": each.file_id} for each in inputs
            ],
            "request": stories.request(job.id),
            "estimated_price_creative_units": row.estimated_price,
            "price_creative_units": remote.price,
            "fired_at": row.booked_at,
            "completed_at": remote.completed_at,
        }

    def _not_fetched(self, job: Following, error: JobError, remote: Remote, *, progressed: bool) -> None:
        """Paid for, and not here yet: a full disk or a folder that is away is waited for, all else for a while."""
        now, following = self._kit.wall(), self._following
        waits = isinstance(error, FolderAway) or error.code == DISK
        attempts = 0 if progressed else job.attempts + (not waits)
        if isinstance(error, TryAgain) and attempts < self._site.max_attempts:
            due = now + _delay_s(error, attempts + 5 * waits)
            following.again(
                job, due, attempts=attempts, code=error.code, message=error.message, remote_state="complete"
            )
            self._tell("generation_postponed", job, f"its results wait ({error.code}): {error.message}", WARNING)
            return
        message = f"complete, and its results are not here: {error.message}; `retry` fetches them again, for nothing"
        following.ended(
            job, Turn.FAILED, now, code=error.code, message=message, remote_state="complete", price=remote.price
        )
        self._tell_failed(job, error.code, message)

    # --- common to both -----------------------------------------------------------------------------------------------

    def _mind_the_gate(self, error: JobError | None, given: Pass) -> None:
        """What this request has found out for all."""
        gate = self._site.gate
        if isinstance(error, ApiDown):
            before, hold = gate.hold, gate.down(given, error, self._kit.monotonic())
            if before is None or before.message != hold.message:
                text = f"everything waits: {hold.message}"
                self._site.tell(Notice("hold", text, WARNING, {"error_code": hold.code}))
        elif isinstance(error, Lost) or (error and error.code in NOT_LAYERS):
            gate.unused(given)  # Layer was not asked, or did not answer
        elif gate.up(given):
            self._site.tell(Notice("resumed", "the API answers again: going on"))

    def _insist(self, record: Callable[[], object]) -> bool:
        return insist(record, stopping=self._kit.stopping, pause=self._kit.pause, tell=self._site.tell)

    def _tell_failed(self, job: Firing | Following, code: str, message: str) -> None:
        self._tell("generation_failed", job, f"failed ({code}): {message}", ERROR, error_code=code)

    def _tell(self, event: str, job: Firing | Following, text: str, level: int, **facts: object) -> None:
        name = name_text(f"{job.folder}/{self._site.relative(job) or job.path}")
        facts |= {"generation": job.id, "folder": job.folder, "rule": job.rule, "path": job.path}
        self._site.tell(Notice(event, f"{name} generation g{job.id} {text}", level, facts))


def _poll_s(suggested_s: float | None) -> float:
    """When to ask again: as Layer suggests, within reason, and not all at the same moment."""
    wait_s = min(max(POLL_S if suggested_s is None else suggested_s, POLL_LEAST_S), POLL_MOST_S)
    return wait_s * random.uniform(1.0, 1.2)  # noqa: S311  spreads polls, guards nothing


def _delay_s(error: TryAgain, attempts: int) -> float:
    if error.after_s is not None:
        return error.after_s
    return backoff_s(max(attempts - 1, 0), random.random())  # noqa: S311  as above


def _fault(error: Exception) -> Final:
    message = redact(f"a fault in layerwatch: {type(error).__name__}: {error}")
    return Final(Code.INTERNAL, message, redact("".join(traceback.format_exception(error))))


def _trouble(error: Exception) -> JobError:
    """A ledger that cannot be written passes; a bug of ours may not."""
    return TryAgain(DISK, str(error)) if isinstance(error, LedgerTrouble) else _fault(error)
