"""The product's laws, over any order of drops, rewrites, faults, crashes at any point, restarts and clocks that jump:
the real ledger, the real pipeline, a real server.

Nothing is lost: when the faults are over, what lies in the folder is stored. Nothing is mixed: every object is a
version that was once whole in the folder. Nothing is doubled: the server holds each content once.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from layerwatch import points
from layerwatch.ledger import FolderState, Ledger
from layerwatch.pacing import Gate
from layerwatch.pipeline import Pipeline
from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from tests.test_pipeline import KIB, Bench

NAMES = st.sampled_from(("a.png", "b.png"))
SEEDS = st.integers(0, 3)
FAULTS = st.sampled_from(
    (
        Faults(),
        Faults(errors=0.5, seed=1),
        Faults(drop=0.7, seed=2),
        Faults(partial=0.7, seed=3),
        Faults(lost_answers=1.0),
        Faults(lazy=0.7, seed=4),
        Faults(dead_sessions=0.5, seed=5),
        Faults(no_hash=0.5, seed=6),
    )
)


class Crash(BaseException):
    """The process ends here; nothing below catches it."""


class Laws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        (self.home / "drop").mkdir()
        self.sandbox = Sandbox()
        self.sandbox.start()
        self.dropped: set[str] = set()
        self.patch = pytest.MonkeyPatch()
        self.bench = self.opened(1_800_000_000.0)

    def opened(self, now: float) -> Bench:
        ledger = Ledger(str(self.home / "ledger.db"))
        ledger.facts.folder("drop", str(self.home / "drop"), FolderState.WATCHING, 0.0, detail="", mount=None)
        bench = Bench(self.home / "drop", ledger, self.sandbox, Gate(threading.Lock()), now=now, max_attempts=1000)
        self.pipeline: Pipeline = bench.pipeline()
        return bench

    def closed(self) -> None:
        self.bench.layer.close()
        self.bench.storage.close()
        self.bench.ledger.close()

    @rule(name=NAMES, seed=SEEDS)
    def a_version_is_dropped(self, name: str, seed: int) -> None:
        content = sample("png", seed, 300 * KIB + seed)
        (self.bench.drop / name).write_bytes(content)
        self.dropped.add(hashlib.sha256(content).hexdigest())
        self.bench.record(self.bench.drop / name)

    @rule(name=NAMES)
    def a_file_is_deleted(self, name: str) -> None:
        (self.bench.drop / name).unlink(missing_ok=True)

    @rule(name=NAMES)
    def a_file_is_touched(self, name: str) -> None:
        if (self.bench.drop / name).exists():
            os.utime(self.bench.drop / name)
            self.bench.record(self.bench.drop / name)

    @rule(faults=FAULTS)
    def the_server_behaves_so(self, faults: Faults) -> None:
        self.sandbox.faults = faults

    @rule(seconds=st.sampled_from((1.0, 60.0, 3600.0, -3600.0)))
    def the_clock_moves(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(steps=st.integers(1, 4))
    def an_uploader_works(self, steps: int) -> None:
        self.bench.steps(self.pipeline, steps)

    @rule(point=st.sampled_from([point for point in points.OF_FILES if point not in ("recorded", "recovered")]))
    def it_ends_at_this_point_and_is_started_again(self, point: str) -> None:
        def passed(name: str) -> None:
            if name == point:
                raise Crash

        self.patch.setattr(points, "passed", passed)
        with suppress(Crash):
            self.bench.steps(self.pipeline, 2)
        self.patch.undo()
        self.closed()
        self.bench = self.opened(self.bench.now)
        self.bench.ledger.files.recover(self.bench.now)
        self.bench.ledger.files.hurry(self.bench.now)

    @invariant()
    def nothing_is_mixed_and_nothing_doubled(self) -> None:
        stored = Counter(item.sha256 for item in self.sandbox.objects)
        assert set(stored) <= self.dropped
        assert max(stored.values(), default=1) == 1
        assert self.sandbox.violations == []

    def teardown(self) -> None:
        try:
            self.sandbox.faults = Faults()
            for path in self.bench.drop.iterdir():
                self.bench.record(path)
            self.bench.ledger.files.hurry(self.bench.now)
            self.bench.steps(self.pipeline, 100)
            self.nothing_is_mixed_and_nothing_doubled()
            stored = {item.file_id: item.sha256 for item in self.sandbox.objects}
            for path in self.bench.drop.iterdir():
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                (row,) = [row for row in self.bench.ledger.reports.versions(str(path)) if row.hash == sha256]
                assert row.status == "uploaded"
                assert row.file_id is not None
                assert stored[row.file_id] == sha256
        finally:
            self.patch.undo()
            self.closed()
            self.sandbox.stop()
            shutil.rmtree(self.home)


TestLaws = Laws.TestCase
TestLaws.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
