"""Paying: price a generation, book it, send the one request that costs, and write down what it came to.

The order is the point. What may be spent is decided in the ledger, in the commit that comes before the request; the
request is sent once; each answer has its own way out, and no answer its own second try.
"""

from collections.abc import Mapping
from functools import partial
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any

from layerwatch import points
from layerwatch.api import Accepted
from layerwatch.config import Rule
from layerwatch.errors import ApiDown, Code, Final, JobError, LedgerTrouble, Lost, TryAgain, Unpaid
from layerwatch.fire import limits, request
from layerwatch.ledger import INSUFFICIENT, Firing, Held, LostClaim
from layerwatch.notices import Notice
from layerwatch.pacing import Pass
from layerwatch.results import DISK
from layerwatch.states import Generation
from layerwatch.workbench import Bench, delay_s, fault, poll_s, trouble_of

UNCERTAIN = "not_alone"  # `error_code`
UNCERTAIN_S = 1.0
INSUFFICIENT_S = 900.0  # how often an empty account is looked at again


class Payer:
    """Fires one generation at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._firing = bench.ledger.firing

    def fire(self, job: Firing, given: Pass) -> None:
        """Price it, book it, and then, and only then, pay for it."""
        bench, site = self._bench, self._bench.site
        try:
            rule = site.rule(job)
            body = request(job, rule, site.relative(job))
            assert rule
            held = self._booked(job, rule, body)
        except LostClaim as error:
            site.gate.unused(given)
            about = {"generation": job.id, "folder": job.folder, "rule": job.rule, "path": job.path}
            site.tell(Notice("superseded", f"{error}: nothing was sent", INFO, about))
            return
        except LedgerTrouble as error:
            site.gate.unused(given)
            self._unbook(job, DISK, str(error))
            return
        except Exception as error:  # noqa: BLE001  a bug of ours: nothing has been sent
            trouble = error if isinstance(error, JobError) else trouble_of(error)
            bench.mind_the_gate(trouble, given)
            bench.insist(partial(self._not_sent, job, trouble))
            return
        if held:
            site.gate.unused(given)
            self._tell_held(job, held)
            return
        points.passed("booked")
        if not bench.kit.may_pay():
            site.gate.unused(given)
            self._unbook(job, UNCERTAIN, "this host was not heard of for a while: others may have taken it over")
            return
        outcome = self._submit(job, body)
        points.passed("fired")
        bench.mind_the_gate(outcome if isinstance(outcome, JobError) else None, given)
        self._fired(job, outcome, rule)

    def _booked(self, job: Firing, rule: Rule, body: Mapping[str, Any]) -> Held | None:
        """Whether the ledger now says that it is paid for; else it says, as the answer does, why not."""
        bench, now = self._bench, self._bench.kit.wall()
        price, held = self._priced(job, rule, body)
        points.passed("priced")
        if held:
            bench.insist(partial(self._firing.hold, job, Generation.QUEUED, held, price, now))
            return held
        return self._firing.book(job, body, price, limits(rule, bench.site.budget), bench.kit.wall())

    def _unbook(self, job: Firing, code: str, message: str) -> None:
        """Nothing was sent, and nothing will be: as long as it is still ours to say so."""
        bench, now = self._bench, self._bench.kit.wall()
        record = partial(self._firing.unbook, job, now + UNCERTAIN_S, now, code=code, message=message)
        if bench.insist(record):
            bench.tell("generation_postponed", job, f"not sent ({code}): {message}", DEBUG, error_code=code)

    def _submit(self, job: Firing, body: Mapping[str, Any]) -> Accepted | JobError:
        """THE PAID REQUEST. Sent once; whatever does not prove that nothing was started is `Lost`."""
        try:
            return self._bench.kit.layer.submit(job.kind, job.target, body)
        except JobError as error:
            return error
        except Exception as error:  # noqa: BLE001  a bug of ours, on either side of the sending
            return Lost(Code.INTERNAL, fault(error).detail)

    def _priced(self, job: Firing, rule: Rule, body: Mapping[str, Any]) -> tuple[float | None, Held | None]:
        """What it will cost, where a limit asks for that; and whether the workspace has so much."""
        if not any(limit.needs_price for limit in limits(rule, self._bench.site.budget)):
            return None, None
        now = self._bench.kit.wall()
        if not job.approved and self._firing.blocked_for(INSUFFICIENT, now - INSUFFICIENT_S):
            return None, self._insufficient("the workspace had not enough Creative Units when it was asked last")
        estimate = self._bench.kit.layer.estimate(job.kind, job.target, body)
        if estimate.sufficient is False:
            costs = "" if estimate.price is None else f" for the {estimate.price:g} that it would cost"
            left = "" if estimate.available is None else f": {estimate.available:g} are left"
            return estimate.price, self._insufficient(f"the workspace has not enough Creative Units{costs}{left}")
        return estimate.price, None

    def _insufficient(self, message: str) -> Held:
        now = self._bench.kit.wall()
        first = not self._firing.blocked_for(INSUFFICIENT, now - INSUFFICIENT_S)
        return Held(INSUFFICIENT, message, now + INSUFFICIENT_S, first)

    def _not_sent(self, job: Firing, error: JobError) -> None:
        """Something was wrong before anything was paid."""
        now, attempts = self._bench.kit.wall(), job.attempts + (not isinstance(error, ApiDown))
        if isinstance(error, TryAgain) and attempts < self._bench.site.max_attempts:
            due = now + delay_s(error, attempts)
            self._firing.put_off(job, due, attempts=attempts, code=error.code, message=error.message)
            self._bench.tell(
                "generation_postponed", job, f"not sent ({error.code}): {error.message}", DEBUG, error_code=error.code
            )
            return
        detail = error.detail if isinstance(error, Final) else ""
        self._firing.refused(job, Generation.QUEUED, now, code=error.code, message=error.message, detail=detail)
        self._bench.tell_failed(job, error.code, f"{error.message}; nothing was sent")

    def _fired(self, job: Firing, outcome: Accepted | JobError, rule: Rule) -> None:
        """Write down what the paid request came to."""
        bench, firing, now = self._bench, self._firing, self._bench.kit.wall()
        match outcome:
            case Accepted():
                self._accepted(job, outcome, rule)
            case Unpaid():
                bench.insist(partial(self._unpaid, job, outcome.message, now))
            case TryAgain(code=code, message=message):
                due = now + delay_s(outcome, job.attempts)
                bench.insist(partial(firing.not_started, job, due, now, code=code, message=message))
                bench.tell("generation_postponed", job, f"not started ({code}): {message}", DEBUG, error_code=code)
            case Final(code=code, message=message):
                bench.insist(partial(firing.refused, job, Generation.SUBMITTING, now, code=code, message=message))
                bench.tell_failed(job, code, message)
            case _:
                bench.insist(partial(firing.lost, job, now, outcome.message, outcome.code))
                text = f"is unknown: {outcome.message}; see `layerwatch resolve g{job.id}`"
                bench.tell("generation_unknown", job, text, ERROR, error_code=outcome.code)

    def _unpaid(self, job: Firing, message: str, now: float) -> None:
        held = self._insufficient(message)
        self._firing.hold(job, Generation.SUBMITTING, held, None, now)
        self._tell_held(job, held)

    def _accepted(self, job: Firing, accepted: Accepted, rule: Rule) -> None:
        bench, now, remote_id = self._bench, self._bench.kit.wall(), accepted.remote_id
        due, deadline = now + poll_s(accepted.poll_after_s), now + rule.time_limit
        record = partial(
            self._firing.accepted, job, remote_id, now, price=accepted.price, poll_at=due, deadline=deadline
        )
        if bench.insist(record) or self._is_recorded(job, remote_id):
            points.passed("accepted")
            bench.tell("generation_started", job, f"started, {job.kind} {remote_id}", INFO, remote_id=remote_id)
        else:
            text = f"Layer started it as {remote_id}, which could not be written down: `layerwatch resolve g{job.id}`"
            bench.tell("generation_unrecorded", job, text, ERROR, remote_id=remote_id)

    def _is_recorded(self, job: Firing, remote_id: str) -> bool:
        """Whether only the word of it was cut off."""
        try:
            row = self._bench.ledger.stories.one(job.id)
        except LedgerTrouble:
            return False
        return row is not None and row.remote_id == remote_id

    def _tell_held(self, job: Firing, held: Held) -> None:
        """One message for all that is held back for the same reason."""
        level, more = (WARNING, "; more like it will be held without a word") if held.first else (DEBUG, "")
        self._bench.tell("generation_held", job, f"is held back: {held.message}{more}", level, error_code=held.code)
