"""A step of an uploader, against a real ledger and a real server, with a clock that the test holds."""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layerwatch.api import Layer, Storage, tls_context
from layerwatch.board import Board
from layerwatch.errors import ApiDown, Code
from layerwatch.examine import Limits, examine, look
from layerwatch.finish import Policy
from layerwatch.ledger import FileRow, FolderState, Job, Ledger, Version
from layerwatch.ledger.files import _FIRST_DUE, _NEXT_DUE
from layerwatch.notices import Notice
from layerwatch.pacing import Bandwidth, Gate, Pass
from layerwatch.pipeline import Pipeline, Shared
from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from layerwatch.stages import Tools
from tests.ledger.builders import sqlite_connection

KIB = 1024


@dataclass
class Bench:
    """One pipeline on one folder. `now` is both clocks, in seconds."""

    drop: Path
    ledger: Ledger
    sandbox: Sandbox
    gate: Gate
    now: float = 1_800_000_000.0
    told: list[Notice] = field(default_factory=list)
    max_attempts: int = 3

    def pipeline(self) -> Pipeline:
        tls = tls_context()
        self.layer = Layer(self.sandbox.base_url, "sandbox-token", self.sandbox.workspace_id, tls)
        self.storage = Storage(tls)
        tools = Tools(
            layer=self.layer,
            storage=self.storage,
            bandwidth=Bandwidth(None, threading.Lock()),
            chunk_size=256 * KIB,
            wall=lambda: self.now,
            monotonic=lambda: self.now,
            stopping=lambda: False,
            pause=lambda _: None,
        )
        shared = Shared(
            root=lambda _: str(self.drop),
            policy=lambda _: Policy(),
            gate=self.gate,
            board=Board(),
            tell=self.told.append,
            max_attempts=self.max_attempts,
            workspace_id=self.sandbox.workspace_id,
        )
        return Pipeline(self.ledger, tools, shared)

    def dropped(self, name: str, seed: int, size: int = 20 * KIB) -> str:
        path = self.drop / name
        path.write_bytes(sample("png", seed, size))
        self.record(path)
        return str(path)

    def record(self, path: Path) -> None:
        seen = look(str(path))
        assert seen
        limits = Limits(10**9, settled=True, patient=False)
        found = examine("drop", str(path), str(self.drop), seen[0], limits, lambda: False)
        assert isinstance(found, Version)
        self.ledger.files.record([found], self.now)

    def row(self, path: str) -> FileRow:
        return self.ledger.reports.versions(path)[0]

    def steps(self, pipeline: Pipeline, most: int = 50) -> None:
        """Step, letting the time pass that the rows wait, until nothing is left or the steps are used up."""
        for _ in range(most):
            if not pipeline.step():
                due = self.ledger.files.next_due()
                if due is None:
                    return
                self.now = max(self.now, due, self.now + self.gate.wait_s(self.now))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    drop = tmp_path / "drop"
    drop.mkdir()
    with Sandbox() as sandbox, Ledger(str(tmp_path / "ledger.db")) as ledger:
        ledger.facts.folder("drop", str(drop), FolderState.WATCHING, 0.0, detail="", mount=None)
        made = Bench(drop, ledger, sandbox, Gate(threading.Lock()))
        yield made
        made.layer.close()
        made.storage.close()


def test_one_step_uploads_one_file(bench: Bench) -> None:
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1)
    assert pipeline.step()
    assert not pipeline.step()
    row = bench.row(path)
    assert (row.status, row.verified, row.attempts) == ("uploaded", "crc32c", 0)
    assert [item.file_id for item in bench.sandbox.objects] == [row.file_id]


def test_a_gateway_that_is_down_for_long_fails_nobody(bench: Bench) -> None:
    pipeline = bench.pipeline()
    paths = [bench.dropped(f"{seed}.png", seed) for seed in range(5)]
    bench.sandbox.stop()
    bench.steps(pipeline, most=60)
    assert {bench.row(path).status for path in paths} == {"queued"}
    assert {bench.row(path).attempts for path in paths} == {0}
    assert bench.gate.hold is not None
    bench.sandbox.start()
    bench.steps(pipeline)
    assert {bench.row(path).status for path in paths} == {"uploaded"}
    assert bench.gate.hold is None


def test_a_fault_of_one_file_is_counted_and_ends_as_failed_with_the_reason(bench: Bench) -> None:
    bench.sandbox.faults = Faults(dead_sessions=1.0)
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1)
    bench.steps(pipeline)
    row = bench.row(path)
    assert (row.status, row.attempts, row.error_code) == ("failed", 3, "expired")
    assert row.error is not None
    assert "given up" in row.error
    assert bench.gate.hold is None


def test_probes_that_tell_nothing_do_not_keep_the_gate_closed(bench: Bench) -> None:
    """Files that are gone, and twins, never come to ask the API."""
    pipeline = bench.pipeline()
    for seed in range(50):
        os.unlink(bench.dropped(f"{seed}.png", seed))
    path = bench.dropped("there.png", 99)
    bench.gate.down(Pass(bench.now, probe=False), ApiDown(Code.NETWORK, "down"), bench.now)
    began = bench.now
    bench.steps(pipeline, most=200)
    assert bench.row(path).status == "uploaded"
    assert bench.gate.hold is None
    assert bench.now - began < 10
    assert bench.row(str(bench.drop / "0.png")).error_code == "vanished"


def test_a_wait_that_the_server_asked_for_is_not_cut_short_by_an_upload_under_way(bench: Bench) -> None:
    pipeline = bench.pipeline()
    bench.dropped("a.png", 1)
    given = bench.gate.admit(bench.now)
    assert given
    bench.now += 1
    bench.gate.down(given, ApiDown(Code.RATE_LIMITED, "429", 60.0), bench.now)
    assert not pipeline.step()
    assert bench.gate.wait_s(bench.now) == 60.0


@pytest.mark.parametrize(
    ("code", "goes_on"), [(Code.RATE_LIMITED, True), (Code.UNAUTHORIZED, True), (Code.NETWORK, False)]
)
def test_an_upload_under_way_needs_no_leave_of_layer(bench: Bench, code: Code, goes_on: bool) -> None:
    bench.sandbox.faults = Faults(lazy=1.0)
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1, 900 * KIB)
    pipeline.step()
    bench.sandbox.faults = Faults()
    bench.dropped("b.png", 2)
    bench.gate.down(Pass(bench.now, probe=False), ApiDown(code, "not now", 600.0), bench.now)
    bench.now += 5
    assert pipeline.step() == goes_on
    assert (bench.row(path).status == "uploaded") == goes_on
    assert not pipeline.step(), "the other one has to wait: it needs an upload URL"
    assert bench.gate.hold, "who went on without leave has learned nothing of Layer"


def test_a_session_that_is_over_needs_leave_again(bench: Bench) -> None:
    bench.sandbox.faults = Faults(lazy=1.0)
    pipeline = bench.pipeline()
    bench.dropped("a.png", 1, 900 * KIB)
    pipeline.step()
    bench.now += 3600
    bench.gate.down(Pass(bench.now, probe=False), ApiDown(Code.RATE_LIMITED, "not now", 600.0), bench.now)
    assert not pipeline.step()


def test_a_clock_set_forward_in_the_middle_gets_a_new_url_and_one_object(bench: Bench) -> None:
    bench.sandbox.faults = Faults(lazy=1.0)  # one chunk goes through, then the attempt ends
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1, 900 * KIB)
    pipeline.step()
    assert bench.row(path).status == "queued"
    bench.sandbox.faults = Faults()
    bench.now += 3600
    bench.steps(pipeline)
    row = bench.row(path)
    assert row.status == "uploaded"
    assert [item.file_id for item in bench.sandbox.objects] == [row.file_id]
    assert bench.sandbox.counters["upload_url"] == 2
    assert bench.sandbox.violations == []


def test_what_was_stored_before_a_long_absence_is_not_sent_again(bench: Bench) -> None:
    bench.sandbox.faults = Faults(lost_answers=1.0)
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1)
    pipeline.step()
    assert bench.row(path).status == "queued"
    bench.sandbox.faults = Faults()
    bench.now += 24 * 3600
    bench.steps(pipeline)
    assert bench.row(path).status == "uploaded"
    assert bench.sandbox.counters["upload_url"] == 1
    assert len(bench.sandbox.objects) == 1


def test_touched_while_it_is_sent_it_is_uploaded_all_the_same(bench: Bench) -> None:
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1, 900 * KIB)
    job = bench.ledger.files.claim("somebody", bench.sandbox.workspace_id, bench.now)
    assert job
    os.utime(path, ns=(1, 1))
    bench.record(Path(path))  # intake finds the same content with a new time
    bench.ledger.files.recover(bench.now, "somebody")
    bench.steps(pipeline)
    assert bench.row(path).status == "uploaded"


def test_a_touch_between_two_chunks_sends_it_back_to_the_queue_not_away(bench: Bench) -> None:
    pipeline = bench.pipeline()
    path = bench.dropped("a.png", 1, 900 * KIB)
    touched: list[int] = []
    files, save_progress = bench.ledger.files, bench.ledger.files.save_progress

    def save_and_touch(job: Job, sent: int) -> None:
        """The real call, and then what another program, and intake, would do just after it."""
        save_progress(job, sent)
        if sent and not touched:
            touched.append(sent)
            os.utime(path, ns=(1, 1))
            bench.record(Path(path))

    files.save_progress = save_and_touch  # type: ignore[assignment,method-assign]
    bench.steps(pipeline)
    assert touched
    assert bench.row(path).status == "uploaded"
    assert len(bench.ledger.reports.versions(path)) == 1


def test_the_same_bytes_twice_are_sent_once(bench: Bench) -> None:
    pipeline = bench.pipeline()
    first, second = bench.dropped("a.png", 1), bench.dropped("b.png", 1)
    bench.steps(pipeline)
    assert bench.row(first).file_id == bench.row(second).file_id
    assert bench.sandbox.counters["upload_url"] == 1


def told(bench: Bench, event: str) -> list[Mapping[str, Any]]:
    return [notice.facts for notice in bench.told if notice.event == event]


def test_it_is_told_how_long_a_file_lay_there_and_whether_it_was_sent(bench: Bench) -> None:
    pipeline = bench.pipeline()
    bench.dropped("a.png", 1)
    bench.now += 2.5
    pipeline.step()
    bench.dropped("b.png", 1)
    bench.now -= 60  # the clock is set back
    bench.ledger.files.hurry(bench.now)
    pipeline.step()
    assert [(facts["waited_s"], facts["reused"]) for facts in told(bench, "uploaded")] == [(2.5, False), (0.0, True)]


def test_of_a_file_that_an_older_layerwatch_recorded_nobody_knows_how_long_it_lay_there(bench: Bench) -> None:
    pipeline = bench.pipeline()
    bench.dropped("a.png", 1)
    sqlite_connection(bench.ledger).execute("UPDATE files SET seen_at = NULL")
    pipeline.step()
    (facts,) = told(bench, "uploaded")
    assert facts["waited_s"] is None


def test_a_claim_finds_its_row_by_the_index(bench: Bench) -> None:
    bench.pipeline()
    for question, values in ((_FIRST_DUE, {"now": "2026"}), (_NEXT_DUE, {})):
        plan = bench.ledger._store.rows(f"EXPLAIN QUERY PLAN {question}", **values)
        steps = [str(step) for *_, step in plan]
        assert any("files_due" in step for step in steps), steps
        assert not [step for step in steps if step.startswith(("SCAN files", "SCAN due"))], steps
