"""The ledger's promises, over any order of findings, claims, faults, crashes and clocks that jump.

Every recorded version is in exactly one status and never lost; one claim at a time for a row and for a content; who
lost a claim changes nothing; the history, replayed through the table of moves, gives the row.
"""

import itertools
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from layerwatch import states
from layerwatch.errors import ApiDown, Code, Final, FolderAway, JobError, NewUrl, Superseded, TryAgain
from layerwatch.ledger import Job, Ledger, LostClaim, Recorded, Refusal, Session, Version, iso
from layerwatch.states import Event, File
from tests.ledgers import new_ledger

from .ledger.builders import T0, WORKSPACE, everything, raw, refusal, sqlite_connection, stored, version, watched

MAX_ATTEMPTS = 3
FAULTS: tuple[JobError, ...] = (
    TryAgain(Code.NETWORK, "connection reset"),
    TryAgain(Code.RATE_LIMITED, "429", 30.0),
    NewUrl(Code.EXPIRED, "the session is gone"),
    ApiDown(Code.NETWORK, "no route"),
    FolderAway(Code.VANISHED, "the folder is not there"),
    Final(Code.REJECTED, "no"),
    Superseded(Code.CHANGED, "changed"),
    Superseded(Code.VANISHED, "gone"),
)

paths = st.sampled_from(("/drop/a.png", "/drop/b.png", "/drop/\udcff.png"))
contents = st.sampled_from((b"one", b"two"))
versions = st.builds(version, paths, contents, mtime_ns=st.integers(1, 2))
refusals = st.builds(refusal, paths, st.sampled_from((Code.EMPTY, Code.UNREADABLE, Code.VANISHED)))
which = st.integers(0, 9)


class Laws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.path = f"{self.directory}/ledger.db"
        self.ledger = watched(new_ledger(self.path, durable=False))
        self.now = T0
        self.claims = map(str, itertools.count(1))
        self.held: list[Job] = []
        self.lost: list[Job] = []
        self.progress: dict[int, int] = {}  # of the jobs that are held
        self.versions: set[tuple[str, str]] = set()
        self.uploaded: dict[int, tuple[Any, ...]] = {}

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.directory)

    # --- what happens -------------------------------------------------------------------------------------------------

    @initialize(
        found=st.lists(versions, min_size=2, max_size=6), sent=st.lists(st.none() | st.integers(0, 3), max_size=3)
    )
    def a_first_scan(self, found: list[Version], sent: list[int | None]) -> None:
        self.record([*found])
        self.claim(sent)

    @rule(found=st.lists(versions | refusals, min_size=1, max_size=3))
    def a_scan(self, found: list[Version | Refusal]) -> None:
        self.record(found)
        again = self.ledger.files.record(found[-1:], self.now)
        assert again[0].event is None, "the same again is nothing new"

    def record(self, found: list[Version | Refusal]) -> list[Recorded]:
        self.versions |= {(item.path, item.digest.sha256) for item in found if isinstance(item, Version)}
        return self.ledger.files.record(found, self.now)

    @rule(sent=st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=3))
    def claim(self, sent: list[int | None]) -> None:
        for number in sent:
            due = self.due()
            job = self.ledger.files.claim(next(self.claims), WORKSPACE, self.now)
            assert (job is not None) == bool(due), "what is due is claimed, and nothing else"
            if job is not None:
                assert job.id in due
                assert job.id not in {other.id for other in self.held}
                self.held.append(job)
                self.progress[job.id] = job.bytes_sent
                if number is not None:
                    self.send(len(self.held) - 1, number)

    def due(self) -> set[int]:
        busy = {job.digest.sha256 for job in self.held}
        now = iso(self.now)
        begun = set(raw(self.path, f"SELECT hash, id FROM sessions JOIN files ON id = file WHERE expires_at > '{now}'"))
        rows = [row for row in self.ledger.reports.files(status="queued") if row.hash not in busy]
        return {
            row.id
            for row in rows
            if row.next_attempt_at
            and row.next_attempt_at <= now
            # A twin waits for the one that has begun; of several that have, each may go on.
            and ((row.hash, row.id) in begun or row.hash not in {sha256 for sha256, _ in begun})
        }

    @precondition(lambda self: self.held)
    @rule(pick=which, sent=st.integers(0, 3))
    def send(self, pick: int, sent: int) -> None:
        job = self.held[pick % len(self.held)]
        session = Session(f"https://storage/{job.claim}", "file", "image/png", self.now + 900)
        self.ledger.files.save_session(job, session)
        self.ledger.files.save_progress(job, sent)
        self.progress[job.id] = sent

    @precondition(lambda self: self.held)
    @rule(pick=which)
    def upload(self, pick: int) -> None:
        job = self.let_go(pick)
        stored(self.ledger, job, self.now, file_id=job.twin.file_id if job.twin else f"file-{job.id}")
        self.uploaded[job.id] = self.row(job.id)

    @precondition(lambda self: self.held)
    @rule(pick=which, error=st.sampled_from(FAULTS), max_attempts=st.sampled_from((1, MAX_ATTEMPTS)))
    def meet_a_fault(self, pick: int, error: JobError, max_attempts: int) -> None:
        job = self.let_go(pick)
        progressed = self.progress[job.id] > job.bytes_sent
        verdict = states.judge(
            error, attempts=job.attempts, progressed=progressed, max_attempts=max_attempts, jitter=0.5
        )
        keep = not isinstance(error, NewUrl | Final | Superseded)
        self.ledger.files.faulted(job, verdict, self.now, keep_session=keep)

    def let_go(self, pick: int) -> Job:
        job = self.held.pop(pick % len(self.held))
        self.lost.append(job)
        return job

    @rule(clean=st.booleans())
    def end_and_start_again(self, clean: bool) -> None:
        if clean:
            for job in self.held:
                assert self.ledger.files.recover(self.now, job.claim) == [job.id]
        self.ledger.close()
        self.ledger = Ledger(self.path, durable=False)
        recovered = self.ledger.files.recover(self.now)
        assert set(recovered) == (set() if clean else {job.id for job in self.held})
        self.lost += self.held
        self.held = []

    @rule()
    def retry_all(self) -> None:
        failed = {row.id for row in self.ledger.reports.files(status="failed")}
        ids = [row.id for row in self.ledger.reports.files()]
        assert set(self.ledger.files.retry(ids, self.now)) == failed

    @rule(seconds=st.sampled_from((1.0, 120.0, -3600.0)) | st.floats(-100, 100))
    def the_clock_goes_on_or_jumps(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    @precondition(lambda self: self.lost)
    @rule(pick=which, what=which)
    def somebody_who_lost_his_claim_comes_late(self, pick: int, what: int) -> None:
        job = self.lost[pick % len(self.lost)]
        before = everything(self.path)
        with pytest.raises(LostClaim):
            self.move_late(job, what)
        assert everything(self.path) == before
        assert self.ledger.files.recover(self.now, job.claim) == []

    def move_late(self, job: Job, what: int) -> None:
        files = self.ledger.files
        if what < 2:
            files.save_progress(job, 3)
        elif what < 4:
            files.save_session(job, Session("https://storage/late", "late", "image/png", self.now))
        elif what < 6:
            stored(self.ledger, job, self.now, file_id="late")
        else:
            error = FAULTS[what % len(FAULTS)]
            verdict = states.judge(error, attempts=0, progressed=False, max_attempts=MAX_ATTEMPTS, jitter=0.5)
            files.faulted(job, verdict, self.now, keep_session=False)

    # --- what holds, always -------------------------------------------------------------------------------------------

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return sqlite_connection(self.ledger).execute(question, values).fetchall()

    def row(self, id_: int) -> tuple[Any, ...]:
        columns = "path, hash, status, file_id, uploaded_at, attempts"
        (row,) = self.ask(f"SELECT {columns} FROM files WHERE id = ?", id_)
        return row

    @invariant()
    def every_version_is_there_once(self) -> None:
        rows = [(row.path, row.hash) for row in self.ledger.reports.files() if row.hash is not None]
        assert len(rows) == len(set(rows))
        assert set(rows) == self.versions
        assert sum(self.ledger.reports.counts().values()) == len(self.ledger.reports.files())

    @invariant()
    def one_claim_at_a_time_for_a_row_and_for_a_content(self) -> None:
        assert {row.id for row in self.ledger.reports.in_flight()} == {job.id for job in self.held}
        hashes = [row.hash for row in self.ledger.reports.in_flight()]
        assert len(hashes) == len(set(hashes))
        claims = self.ask("SELECT id, claim FROM files WHERE claim IS NOT NULL")
        assert set(claims) == {(job.id, job.claim) for job in self.held}

    @invariant()
    def the_history_replayed_gives_the_row(self) -> None:
        for row in self.ledger.reports.files():
            status: File | None = None
            for line in self.ledger.reports.history(row.id):
                status = states.move(status, Event(line.event))
                assert line.status == status
            assert row.status == status
        orphans = self.ask("SELECT * FROM history WHERE item_id NOT IN (SELECT id FROM files)")
        assert orphans == []

    @invariant()
    def what_is_uploaded_stays_so(self) -> None:
        for id_, row in self.uploaded.items():
            assert self.row(id_) == row
        assert {row.id for row in self.ledger.reports.files(status="uploaded")} == set(self.uploaded)

    @invariant()
    def what_is_queued_will_be_due_and_nothing_else_is(self) -> None:
        for row in self.ledger.reports.files():
            assert row.next_attempt_at is not None or row.status != "queued"
            assert row.status in ("queued", "uploading") or row.next_attempt_at is None
            assert 0 <= row.attempts <= MAX_ATTEMPTS + 1
            assert row.bytes_sent >= 0

    @invariant()
    def no_secret_is_kept_longer_than_it_is_of_use(self) -> None:
        left = self.ask("SELECT status FROM sessions LEFT JOIN files ON files.id = sessions.file")
        assert {status for (status,) in left} <= {"queued", "uploading"}


TestLaws = Laws.TestCase
TestLaws.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
