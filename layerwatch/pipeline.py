"""`step`: claim one file, run its stage, record the outcome. The whole way of a queued file is on this page.

Each uploader has a pipeline of its own; the ledger sees to it that no two ever work on the same file.
"""

import os
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging import DEBUG, ERROR, INFO, WARNING

from layerwatch import points
from layerwatch.board import Board, Flight
from layerwatch.claiming import Claims
from layerwatch.errors import (
    ApiDown,
    Code,
    Final,
    FolderAway,
    JobError,
    LedgerTrouble,
    NewUrl,
    Stopped,
    Superseded,
    TryAgain,
)
from layerwatch.finish import Finished, Policy, finish
from layerwatch.ledger import Finishing, Job, Ledger, LostClaim, Session, Twin
from layerwatch.notices import Notice, Tell, name_text, size_text
from layerwatch.pacing import Gate, Pass
from layerwatch.recording import insist
from layerwatch.redact import redact
from layerwatch.rules import key_of
from layerwatch.source import BLOCK
from layerwatch.stages import Ties, Tools, Uploaded, upload
from layerwatch.states import Event, File, judge

FINISH_RETRY_S = 60.0
REQUESTS = 3.0  # of an upload, beside its blocks


@dataclass(frozen=True)
class Shared:
    """What all pipelines share. `root` and `policy` tell a folder's real path, and what it wants done, by its name."""

    root: Callable[[str], str]
    policy: Callable[[str], Policy]
    gate: Gate
    board: Board
    tell: Tell
    max_attempts: int
    workspace_id: str
    claimed: Callable[[], None] = lambda: None  # there may be more where that came from
    worked: Callable[[float], None] = lambda _: None  # so many requests, or blocks of a file, were got done
    refused: Callable[[], None] = lambda: None  # the server says that it is too much
    pushes: range | None = None  # nothing but what was pushed under these numbers


_Outcome = Uploaded | Twin | Stopped | LostClaim | JobError


@dataclass
class _Done:
    """What came of a claimed file; and the `next` one, taken with leave in the commit that said so."""

    job: Job
    outcome: _Outcome
    flight: Flight
    goes_on: Callable[[], bool]
    next: tuple[Job | None, Pass | None] = (None, None)
    cut: bool = False  # nobody knows whether it was written down


class Pipeline:
    """One uploader's work, a step at a time. Drives every test without a thread."""

    def __init__(self, ledger: Ledger, tools: Tools, shared: Shared) -> None:
        self._together = ledger.together
        self._reports = ledger.reports
        self._files = ledger.files
        self._finishing = ledger.finishing
        self._tools = tools
        self._shared = shared
        self._claims = Claims(ledger.new_claim, self._give_back)
        self._progressed = False  # whether this attempt has brought anything
        self._held = 0  # bytes that the storage was known to hold when it began
        self._expires_at = 0.0  # of its session

    def step(self, goes_on: Callable[[], bool] = lambda: False) -> bool:
        """Take the file that is due, upload it, write down what came of it. False when there was nothing to do.

        `goes_on`: whether the next file may be taken in the very commit that ends this one, and so on. Raises
        `LedgerTrouble` when not even a claim can be written: nothing has happened then.
        """
        given = self._shared.gate.admit(self._tools.monotonic())
        job = self._claim(given)
        if job is None:
            return self._finish_one()
        while job is not None:
            self._shared.claimed()
            points.passed("claimed")
            job, given = self._work(job, given, goes_on)
        return True

    def _claim(self, given: Pass | None) -> Job | None:
        """A file to upload; without leave to ask Layer, one that needs only the storage."""
        gate = self._shared.gate
        pushes = self._shared.pushes
        if given is None and (pushes is not None or not gate.lets_begun_go_on):
            return None
        job = None
        try:
            now, begun = self._tools.wall(), given is None
            with self._claims.one() as claim:
                job = self._files.claim(claim, self._shared.workspace_id, now, begun=begun, pushes=pushes)
        finally:
            if given and job is None:
                gate.unused(given)
        return job

    def _give_back(self, claim: str) -> None:
        """What it may hold, nobody has worked on."""
        self._files.recover(self._tools.wall(), claim)
        self._finishing.recover(claim)

    def _next(self, goes_on: Callable[[], bool]) -> tuple[Job | None, Pass | None]:
        """Another file, where nothing speaks against going on at once."""
        if self._shared.gate.hold is not None or self._claims.in_doubt or not goes_on():
            return None, None
        given = Pass(self._tools.monotonic(), probe=False)
        return self._claim(given), given

    def _work(self, job: Job, given: Pass | None, goes_on: Callable[[], bool]) -> tuple[Job | None, Pass | None]:
        """One file, to its end; and the next one, where it was taken with that."""
        tools, flights = self._tools, self._shared.board.flights
        flight = Flight(job.path, job.folder, job.identity.size, tools.monotonic(), job.bytes_sent, job.bytes_sent)
        flights[job.id] = flight
        try:
            outcome = self._run(job, flight)
            self._mind_the_gate(outcome, given)
            # Its source comes first, where something is to be done with that.
            finishes = isinstance(outcome, Uploaded | Twin) and self._shared.policy(job.folder).wanted
            done = _Done(job, outcome, flight, lambda: not finishes and goes_on())
            recorded = self._insist(partial(self._record, done))
            self._shared.worked(REQUESTS)
        finally:
            flights.pop(job.id, None)
        if finishes:
            self._finish_one()
        return done.next if recorded else (None, None)

    def _mind_the_gate(self, outcome: _Outcome, given: Pass | None) -> None:
        """What this job has found out for all. One that went on without leave has found out nothing about Layer."""
        gate, tell, now = self._shared.gate, self._shared.tell, self._tools.monotonic()
        if isinstance(outcome, JobError) and outcome.code is Code.RATE_LIMITED:
            self._shared.refused()
        match outcome:
            case ApiDown():
                before, hold = gate.hold, gate.down(given or Pass(now, probe=False), outcome, now)
                if before is None or before.message != hold.message:
                    text = f"everything waits: {hold.message}"
                    tell(Notice("hold", text, WARNING, {"error_code": hold.code, "message": hold.message}))
            case _ if given is None:
                pass
            case Superseded() | FolderAway() | TryAgain(code=Code.UNREADABLE) | Twin() | Stopped() | LostClaim():
                gate.unused(given)
            case _:
                if gate.up(given):
                    tell(Notice("resumed", "the API answers again: going on"))

    def _run(self, job: Job, flight: Flight) -> _Outcome:
        self._progressed, self._held = False, job.bytes_sent
        self._expires_at = job.session.expires_at if job.session else 0.0
        if job.twin:
            return job.twin
        ties = Ties(
            save_session=lambda session: self._save_session(job, session),
            save_progress=lambda sent: self._save_progress(job, sent),
            sending=partial(self._sending, flight),
        )
        try:
            return upload(job, self._shared.root(job.folder), self._tools, ties)
        except (JobError, LostClaim, Stopped) as error:
            return error
        except LedgerTrouble:
            return Stopped()
        except Exception as error:  # noqa: BLE001  the one broad net: a bug of ours must not take other people's files with it
            return _fault(error)

    def _sending(self, flight: Flight, sent: int) -> None:
        if sent > flight.sent:
            self._shared.worked((sent - flight.sent) / BLOCK)
        flight.sent = sent

    def _save_session(self, job: Job, session: Session) -> None:
        self._files.save_session(job, session)
        self._held = 0  # a new session begins at byte 0
        self._expires_at = session.expires_at

    def _save_progress(self, job: Job, sent: int) -> None:
        self._progressed |= sent > self._held
        self._files.save_progress(job, sent)

    def _finish_one(self) -> bool:
        """Deal with the source of a file that is uploaded, where its folder wants that. False when there was none."""
        tools, shared = self._tools, self._shared
        with self._claims.one() as claim:
            job = self._finishing.claim(claim, tools.wall())
        if job is None:
            return False
        points.passed("finishing")
        try:
            done = finish(job, shared.root(job.folder), shared.policy(job.folder))
        except Exception as error:  # noqa: BLE001  as below: the file stays where it is, and the others are dealt with
            done = Finished(_fault(error).message, Code.INTERNAL)
        points.passed("finished")
        self._insist(partial(self._record_finished, job, done))
        return True

    # --- recording ----------------------------------------------------------------------------------------------------

    def _insist(self, record: Callable[[], None]) -> bool:
        tools = self._tools
        return insist(record, stopping=tools.stopping, pause=tools.pause, tell=self._shared.tell)

    def _tell_lost(self, error: LostClaim) -> None:
        self._shared.tell(Notice("lost_claim", f"{error}; what came of it is not recorded", ERROR))

    def _record(self, done: _Done) -> None:
        job, outcome = done.job, done.outcome
        match outcome:
            case Uploaded(file_id, verified):
                self._uploaded(done, Event.STORED, file_id, verified)
            case Twin(file_id, verified):
                self._uploaded(done, Event.REUSED, file_id, verified)
            case Stopped():
                self._files.recover(self._tools.wall(), job.claim)
            case LostClaim():
                self._tell_lost(outcome)
            case JobError():
                self._faulted(job, outcome)

    def _uploaded(self, done: _Done, event: Event, file_id: str, verified: str) -> None:
        job, tools, shared = done.job, self._tools, self._shared
        policy = shared.policy(job.folder)
        record = partial(
            self._files.uploaded,
            job,
            event,
            tools.wall(),
            file_id=file_id,
            workspace_id=shared.workspace_id,
            verified=verified,
            aftermath=policy.wanted and not job.outside,
            rule_key=key_of(self._relative(job)) if policy.rules else None,
            deliver=policy.tells,
        )
        try:
            self._commit(done, record)
        except LostClaim:
            if not (done.cut and self._is_recorded(job, file_id)):
                raise
        points.passed("uploaded")
        took_s = tools.monotonic() - done.flight.since
        reused = event is Event.REUSED
        how = "same bytes as before" if reused else f"{size_text(job.identity.size)} in {took_s:.1f} s"
        waited_s = None if job.seen_at is None else round(max(tools.wall() - job.seen_at, 0.0), 3)
        facts = {"file_id": file_id, "seconds": took_s, "reused": reused, "waited_s": waited_s}
        self._tell("uploaded", job, f"uploaded, {how}, file_id {file_id}", INFO, **facts)

    def _commit(self, done: _Done, record: Callable[[], None]) -> None:
        """And take the next one with it. Where it is cut off, that one may be claimed all the same."""
        try:
            with self._together():
                record()
                done.next = self._next(done.goes_on)
        except LedgerTrouble:
            if done.next[0]:
                self._claims.doubt(done.next[0].claim)
            done.next, done.cut = (None, None), True
            raise

    def _is_recorded(self, job: Job, file_id: str) -> bool:
        """Whether only the word of it was cut off."""
        row = self._reports.file(job.id)
        return row is not None and row.file_id == file_id and row.status == File.UPLOADED

    def _faulted(self, job: Job, error: JobError) -> None:
        shared, now = self._shared, self._tools.wall()
        verdict = judge(
            error,
            attempts=job.attempts,
            progressed=self._progressed and not isinstance(error, NewUrl),
            max_attempts=shared.max_attempts,
            jitter=random.random(),  # noqa: S311  spreads retries, guards nothing
            life_s=self._expires_at - now if self._expires_at > now else None,
        )
        keep = not isinstance(error, NewUrl | Final | Superseded)
        detail = error.detail if isinstance(error, Final) else ""
        self._files.faulted(job, verdict, now, keep_session=keep, detail=detail)
        points.passed("postponed")
        message = verdict.message
        match verdict.event:
            case Event.FAILED:
                self._tell("failed", job, f"failed ({verdict.code}): {message}", ERROR, error_code=verdict.code)
            case Event.SUPERSEDED:
                self._tell(
                    "superseded", job, f"not uploaded ({verdict.code}): {message}", INFO, error_code=verdict.code
                )
            case _:
                text = f"again in {verdict.delay_s:.1f} s ({verdict.code}): {message}"
                level = DEBUG if isinstance(error, ApiDown) else WARNING
                self._tell("postponed", job, text, level, error_code=verdict.code, delay_s=round(verdict.delay_s, 3))

    def _record_finished(self, job: Finishing, done: Finished) -> None:
        now, text = self._tools.wall(), f"uploaded, and {name_text(done.detail)}"
        if done.may_pass and job.attempts + 1 < self._shared.max_attempts:
            self._finishing.again(job, done.detail, now + FINISH_RETRY_S)
            self._tell(
                "postponed", job, f"{text}; again in {FINISH_RETRY_S:.0f} s", INFO, error_code=done.code, stage="finish"
            )
            return
        self._finishing.finished(job, done=done.code is None, detail=done.detail, code=done.code, now=now)
        self._tell("finished", job, text, WARNING if done.code else DEBUG, error_code=done.code, detail=done.detail)

    def _tell(self, event: str, job: Job | Finishing, text: str, level: int, **facts: object) -> None:
        name = name_text(f"{job.folder}/{self._relative(job)}")
        facts |= {"file": job.id, "folder": job.folder, "path": job.path, "size": job.identity.size}
        self._shared.tell(Notice(event, f"{name} {text}", level, facts))

    def _relative(self, job: Job | Finishing) -> str:
        if isinstance(job, Job) and job.outside:
            return os.path.basename(job.path)  # as rules see it
        return job.path.removeprefix(self._shared.root(job.folder)).lstrip("/")


def _fault(error: Exception) -> Final:
    message = redact(f"a fault in layerwatch: {type(error).__name__}: {error}")
    return Final(Code.INTERNAL, message, redact("".join(traceback.format_exception(error))))
