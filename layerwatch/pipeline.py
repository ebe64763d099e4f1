"""`step`: claim one file, run its stage, record the outcome. The whole way of a queued file is on this page.

Each uploader has a pipeline of its own; the ledger sees to it that no two ever work on the same file.
"""

import random
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING

from layerwatch import points
from layerwatch.board import Board, Flight
from layerwatch.errors import ApiDown, Code, Final, JobError, LedgerTrouble, NewUrl, Stopped, Superseded
from layerwatch.ledger import Job, Ledger, LostClaim, Session
from layerwatch.notices import Notice, Tell, name_text, size_text
from layerwatch.pacing import Gate
from layerwatch.redact import redact
from layerwatch.stages import Ties, Tools, Uploaded, upload
from layerwatch.states import Event, judge

LEDGER_RETRY_S = 1.0


@dataclass(frozen=True)
class Shared:
    """What all pipelines share. `roots` are the real paths of the folders by name."""

    roots: Callable[[str], str]
    gate: Gate
    board: Board
    tell: Tell
    max_attempts: int
    workspace_id: str


@dataclass(frozen=True, slots=True)
class _Reuse:
    """No bytes needed: the server has them already under this id."""

    file_id: str


_Outcome = Uploaded | _Reuse | Stopped | LostClaim | JobError


class Pipeline:
    """One uploader's work, a step at a time. Drives every test without a thread."""

    def __init__(self, ledger: Ledger, tools: Tools, shared: Shared) -> None:
        self._files = ledger.files
        self._facts = ledger.facts
        self._tools = tools
        self._shared = shared
        self._progressed = False  # whether this attempt has brought anything
        self._held = 0  # bytes that the storage was known to hold when it began

    def step(self) -> bool:
        """Take the file that is due, upload it, write down what came of it. False when there was nothing to do.

        Raises `LedgerTrouble` when not even a claim can be written: nothing has happened then.
        """
        tools, shared = self._tools, self._shared
        if not shared.gate.admits(tools.monotonic()):
            return False
        job = self._files.claim(uuid.uuid4().hex, shared.workspace_id, tools.wall())
        if job is None:
            return False
        points.passed("claimed")
        flight = Flight(job.path, job.folder, job.identity.size, tools.monotonic(), job.bytes_sent, job.bytes_sent)
        shared.board.flights[job.id] = flight
        try:
            outcome = self._run(job, flight)
            self._insist(job, outcome, flight)
        finally:
            shared.board.flights.pop(job.id, None)
        return True

    def _run(self, job: Job, flight: Flight) -> _Outcome:
        self._progressed, self._held = False, job.bytes_sent
        if job.stored_as:
            return _Reuse(job.stored_as)
        ties = Ties(
            save_session=lambda session: self._save_session(job, session),
            save_progress=lambda sent: self._save_progress(job, sent),
            sending=lambda sent: setattr(flight, "sent", sent),
        )
        try:
            return upload(job, self._shared.roots(job.folder), self._tools, ties)
        except (JobError, LostClaim, Stopped) as error:
            return error
        except LedgerTrouble:
            return Stopped()
        except Exception as error:  # noqa: BLE001  the one broad net: a bug of ours must not take other people's files with it
            message = redact(f"a fault in layerwatch: {type(error).__name__}: {error}")
            return Final(Code.INTERNAL, message, redact(traceback.format_exc()))

    def _save_session(self, job: Job, session: Session) -> None:
        self._files.save_session(job, session)
        self._held = 0  # a new session begins at byte 0
        self._api_answers()

    def _save_progress(self, job: Job, sent: int) -> None:
        self._progressed |= sent > self._held
        self._files.save_progress(job, sent)
        self._api_answers()

    # --- recording ----------------------------------------------------------------------------------------------------

    def _insist(self, job: Job, outcome: _Outcome, flight: Flight) -> None:
        """What has happened has happened: write it down, however long the disk stays full."""
        while True:
            try:
                self._record(job, outcome, flight)
            except LedgerTrouble as error:
                self._shared.tell(Notice("ledger_trouble", f"{error}; trying again", ERROR))
                if self._tools.stopping():
                    return  # the row says `uploading`: the next start asks the server, and loses nothing
                self._tools.pause(LEDGER_RETRY_S)
            else:
                return

    def _record(self, job: Job, outcome: _Outcome, flight: Flight) -> None:
        match outcome:
            case Uploaded(file_id, verified):
                self._uploaded(job, Event.STORED, file_id, verified, flight)
            case _Reuse(file_id):
                self._uploaded(job, Event.REUSED, file_id, "sha256", flight)
            case Stopped():
                self._files.recover(self._tools.wall(), job.claim)
            case LostClaim():
                self._shared.tell(Notice("lost_claim", f"{outcome}; what came of it is not recorded", ERROR))
            case JobError():
                self._faulted(job, outcome)

    def _uploaded(self, job: Job, event: Event, file_id: str, verified: str, flight: Flight) -> None:
        tools, shared = self._tools, self._shared
        self._files.uploaded(
            job, event, tools.wall(), file_id=file_id, workspace_id=shared.workspace_id, verified=verified
        )
        points.passed("uploaded")
        took_s = tools.monotonic() - flight.since
        how = f"{size_text(job.identity.size)} in {took_s:.1f} s" if event is Event.STORED else "same bytes as before"
        self._tell("uploaded", job, f"uploaded, {how}, file_id {file_id}", INFO, file_id=file_id, seconds=took_s)

    def _faulted(self, job: Job, error: JobError) -> None:
        shared, now = self._shared, self._tools.wall()
        if isinstance(error, ApiDown):
            self._hold(error)
        verdict = judge(
            error,
            attempts=job.attempts,
            progressed=self._progressed and not isinstance(error, NewUrl),
            max_attempts=shared.max_attempts,
            jitter=random.random(),  # noqa: S311  spreads retries, guards nothing
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

    def _hold(self, error: ApiDown) -> None:
        before = self._shared.gate.hold
        hold = self._shared.gate.close(error, self._tools.monotonic())
        if before is None or before.message != hold.message:
            note = {"code": hold.code, "message": hold.message}
            self._facts.note("hold", note, self._tools.wall())
            self._shared.tell(Notice("hold", f"everything waits: {hold.message}", WARNING, note))

    def _api_answers(self) -> None:
        if self._shared.gate.open():
            self._facts.note("hold", None, self._tools.wall())
            self._shared.tell(Notice("resumed", "the API answers again: going on"))

    def _tell(self, event: str, job: Job, text: str, level: int, **facts: object) -> None:
        root = self._shared.roots(job.folder)
        name = name_text(f"{job.folder}/{job.path.removeprefix(root).lstrip('/')}")
        facts |= {"file": job.id, "folder": job.folder, "path": job.path, "size": job.identity.size}
        self._shared.tell(Notice(event, f"{name} {text}", level, facts))
