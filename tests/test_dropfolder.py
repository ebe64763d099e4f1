"""A drop folder, driven step by step with a clock that the test holds, a real observer and a real ledger."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from layerwatch.config import Folder
from layerwatch.daemon.sidebyside import side_by_side
from layerwatch.dropfolder import DropFolder
from layerwatch.examine import Finding
from layerwatch.intake import LARGE_BYTES, Look, Surroundings
from layerwatch.ledger import FolderFacts, Ledger, seconds
from layerwatch.notices import Notice
from layerwatch.samples import sample
from layerwatch.watch import Watch
from tests.system.conftest import until


@dataclass
class Bench:
    """One folder and what is around it; `now` is both clocks, in seconds."""

    drop: Path
    ledger: Ledger
    watch: Watch
    now: float = 1000.0
    told: list[Notice] = field(default_factory=list)

    def folder(self, **settings: object) -> DropFolder:
        around = Surroundings(
            ledger=self.ledger,
            wall=lambda: self.now,
            monotonic=self._tick,
            stopping=lambda: False,
            queued=lambda: None,
            tell=self.told.append,
            max_size=10**9,
            aftermath=False,
            why_no_input=lambda _: "a result",
        )
        return DropFolder(Folder(name="drop", path=str(self.drop), **settings), self.watch, around)  # type: ignore[arg-type]

    def _tick(self) -> float:
        self.now += 0.0001  # time passes while work is done
        return self.now

    def facts(self) -> FolderFacts:
        facts = self.ledger.facts.one_folder("drop")
        assert facts
        return facts

    def run(self, folder: DropFolder, seconds: float) -> int:
        """Let so much time pass; how many steps that took."""
        end, steps = self.now + seconds, 0
        while self.now < end:
            pause_s = folder.step()
            self.now = min(self.now + pause_s, end)
            steps += 1
            assert steps < 5000, "spinning"
        return steps

    def until(self, folder: DropFolder, condition: Callable[[], bool], what: str, *, slice_s: float = 0.0) -> None:
        """Step until it is so, with real waits for the real observer in between; `slice_s` of time pass each time."""

        def step_and_look() -> bool:
            self.run(folder, slice_s)
            folder.step()
            return condition()

        until(step_and_look, what, 20)

    def heard(self, folder: DropFolder) -> None:
        """Let the first scan end and its canary be heard: the time stands still for as long as the observer takes."""
        self.until(folder, lambda: folder.idle and folder._canary.due_at() is None, "the canary to be heard")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    drop = tmp_path / "drop"
    drop.mkdir()
    watch = Watch(lambda: None)
    watch.start()
    with Ledger(str(tmp_path / "ledger.db")) as ledger:
        yield Bench(drop, ledger, watch)
    watch.stop()
    watch.join(5)


def test_a_quiet_folder_needs_few_steps(bench: Bench) -> None:
    folder = bench.folder()
    bench.heard(folder)
    assert bench.facts().state == "watching"
    assert bench.run(folder, 60) < 60


def test_a_watch_that_went_deaf_is_found_out_and_the_folder_is_polled_and_heard_again_later(bench: Bench) -> None:
    folder = bench.folder(rescan=60.0)
    bench.heard(folder)
    bench.watch.remove(str(bench.drop))  # behind its back
    bench.run(folder, 70)
    assert bench.facts().state == "polling"
    assert "canary" in bench.facts().detail
    (bench.drop / "a.png").write_bytes(sample("png", 1, 5000))
    bench.run(folder, 10)
    assert bench.ledger.reports.counts()["queued"] == 1
    bench.until(folder, lambda: bench.facts().state == "watching", "another try to watch it", slice_s=1.0)


def test_scans_that_follow_each_other_fast_do_not_hide_that_a_watch_is_deaf(bench: Bench) -> None:
    """Each of them sends a canary, and the next one comes before anybody may miss it."""
    folder = bench.folder(rescan=1.0)
    bench.heard(folder)
    bench.watch.remove(str(bench.drop))  # behind its back
    bench.run(folder, 10)
    assert any("canary" in notice.text for notice in bench.told)


def test_a_folder_that_is_away_costs_nothing_whatever_is_said_to_it(bench: Bench) -> None:
    folder = bench.folder()
    bench.heard(folder)
    bench.drop.rmdir()
    folder.overflowed()
    assert bench.run(folder, 60) < 60
    assert bench.facts().state == "away"
    bench.drop.mkdir()
    (bench.drop / "a.png").write_bytes(sample("png", 1, 5000))
    bench.run(folder, 4)
    assert bench.facts().state == "watching"
    bench.until(folder, lambda: folder.idle, "the file to be recorded", slice_s=0.1)
    assert bench.facts().overflows == 1
    assert bench.ledger.reports.counts()["queued"] == 1


def test_a_folder_that_cannot_be_watched_still_takes_files_that_settle_for_long(bench: Bench) -> None:
    """Trying again to watch must not make the quiet time start again."""
    folder = bench.folder(rescan=5.0, settle=20.0)
    add = bench.watch.add

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    bench.watch.add = refuse  # type: ignore[method-assign]
    (bench.drop / "a.png").write_bytes(sample("png", 1, 5000))
    bench.run(folder, 40)
    assert bench.facts().state == "polling"
    assert bench.ledger.reports.counts()["queued"] == 1
    bench.watch.add = add  # type: ignore[method-assign]
    bench.until(folder, lambda: bench.facts().state == "watching", "another try to watch it", slice_s=1.0)


def test_a_file_lies_there_since_it_was_last_seen_to_change(bench: Bench) -> None:
    folder = bench.folder(settle=20.0, watch="polling")
    path = bench.drop / "a.png"
    path.write_bytes(sample("png", 1, 5000))
    bench.run(folder, 50)
    first = seen_at(bench)
    assert 1000 <= first <= 1001, "as soon as it was looked at"
    begun = bench.now
    path.write_bytes(sample("png", 2, 5000))
    bench.run(folder, 50)
    assert begun <= seen_at(bench) <= begun + 21, "at the next look after it changed, and not when it was recorded"


def seen_at(bench: Bench) -> float:
    """Of what was recorded last; unix seconds."""
    assert bench.ledger.reports.counts()["queued"]
    ((found,),) = bench.ledger._store.rows("SELECT seen_at FROM files ORDER BY id DESC LIMIT 1")
    return seconds(found)


def test_a_name_that_is_not_utf8_and_a_link_as_root_are_no_trouble(bench: Bench, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    link = tmp_path / "link"
    os.symlink(odd, link)
    bench.drop = link
    folder = bench.folder()
    bench.run(folder, 3)
    assert bench.facts().state == "watching"
    os.rmdir(odd)
    bench.run(folder, 5)
    assert bench.facts().state == "away"
    assert "caf" in bench.facts().detail


def test_a_scan_waits_for_what_it_has_found_where_that_is_much(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerwatch.intake.BACKLOG", 10)
    monkeypatch.setattr("layerwatch.intake.BATCH", 4)
    monkeypatch.setattr("layerwatch.dropfolder.SLICE_S", 0.001)  # a few directories, or a batch
    for number in range(90):
        (bench.drop / f"{number // 6}").mkdir(exist_ok=True)
        (bench.drop / f"{number // 6}" / f"{number}.png").write_bytes(sample("png", number, 1000))
    folder = bench.folder(settle=0.0)
    most = 0
    while not folder.idle:
        folder.step()
        most = max(most, len(folder._intake._settle))
    assert bench.ledger.reports.counts()["queued"] == 90
    assert bench.facts().unknown == 90
    assert 10 < most < 60


def test_what_there_was_no_time_for_comes_later_and_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        (bench.drop / f"{number}.png").write_bytes(sample("png", number, 1000))
    folder = bench.folder(settle=0.0)
    monkeypatch.setattr("layerwatch.dropfolder.SLICE_S", 0.01)  # a hundred looks at the clock
    commits = []
    while not folder.idle:
        before = bench.ledger.reports.counts()["queued"]
        folder.step()
        commits.append(bench.ledger.reports.counts()["queued"] - before)
    assert sum(commits) == 60
    assert max(commits) < 60
    assert len([notice for notice in bench.told if notice.event == "queued"]) == 60
    assert folder._scan.ended == 1  # it was not found anew


def test_large_files_are_read_two_at_a_time_beside_the_small_ones(bench: Bench) -> None:
    large = LARGE_BYTES
    for number, size_bytes in enumerate((1000, large, 2000, large, 3000, large, large + 1)):
        (bench.drop / f"{number}.png").write_bytes(sample("png", number, size_bytes))
    folder = bench.folder(settle=0.0)
    lanes: list[int] = []
    folder._intake._around = replace(folder._intake._around, side_by_side=partial(_counted, lanes))
    bench.until(folder, lambda: folder.idle, "all to be taken")
    assert bench.ledger.reports.counts()["queued"] == 7
    assert max(lanes) == 2


def _counted(lanes: list[int], looks: Sequence[Look]) -> Sequence[list[Finding]]:
    lanes.append(len(looks))
    return side_by_side(looks)
