"""What becomes of what was pushed: whose file it is, when it is looked at again, what is never taken."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from layerwatch.config import Folder
from layerwatch.errors import Code
from layerwatch.ledger import FolderState, Ledger, Origin
from layerwatch.notices import Notice
from layerwatch.pushed import FIRST_S, INCOMPLETE_S, MOST_S, Desk, Pushed
from layerwatch.samples import sample
from tests.ledger.builders import WORKSPACE, raw, stored
from tests.ledgers import new_ledger


@dataclass
class Bench:
    """Two folders, the second one in the first; `now` is both clocks."""

    home: Path
    ledger: Ledger
    now: float = 1_800_000_000.0
    told: list[Notice] = field(default_factory=list)
    rang: int = 0
    more: dict[str, Any] = field(default_factory=dict)
    why: str | None = None

    def pushed(self, only: range | None = None) -> Pushed:
        outer = Folder(name="outer", path=str(self.home / "outer"), **self.more)
        inner = Folder(name="inner", path=str(self.home / "outer" / "inner"))
        folders = {folder.name: folder for folder in (outer, inner)}
        desk = Desk(
            ledger=self.ledger,
            folders=folders,
            root=lambda name: folders[name].path,
            aftermath=lambda name: name == "outer",
            why_no_input=lambda folder, origin: self.why,
            wall=lambda: self.now,
            monotonic=lambda: self.now,
            stopping=lambda: False,
            queued=self._queued,
            tell=self.told.append,
            max_size=10**6,
            only=only,
        )
        return Pushed(desk)

    def _queued(self) -> None:
        self.rang += 1

    def write(self, name: str, content: bytes | None = None) -> str:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample("png", 1, 2048) if content is None else content)
        return str(path)

    def push(self, *paths: str, folder: str | None = None) -> range:
        return self.ledger.pushes.add(paths, folder, self.now)

    def files(self) -> list[tuple[Any, ...]]:
        return raw(self.ledger.path, "SELECT folder, path, status, outside FROM files ORDER BY id")

    def outcome(self) -> tuple[str | None, str | None]:
        outcome = self.ledger.pushes.outcomes(range(1, 2))[0]
        return outcome.status, outcome.error_code


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path.resolve()
    (home / "outer" / "inner").mkdir(parents=True)
    with new_ledger(str(home / "ledger.db"), durable=False) as ledger:
        yield Bench(home, ledger)


@pytest.mark.parametrize(
    ("name", "folder", "whose", "outside"),
    [
        ("outer/a.png", None, "outer", 0),
        ("outer/inner/a.png", None, "inner", 0),
        ("outerly/a.png", None, "pushed", 0),
        ("elsewhere/a.png", None, "pushed", 0),
        ("elsewhere/a.png", "outer", "outer", 1),
        ("outer/a.png", "inner", "inner", 1),
        ("outer/a.png", "outer", "outer", 0),
    ],
)
def test_whose_file_it_is(bench: Bench, name: str, folder: str | None, whose: str, outside: int) -> None:
    path = bench.write(name)
    bench.push(path, folder=folder)
    pushed = bench.pushed()
    assert pushed.step()
    assert bench.files() == [(whose, path, "queued", outside)]
    assert bench.rang == 1
    assert not pushed.step()


def test_a_file_lies_there_since_it_was_pushed(bench: Bench) -> None:
    ids = bench.push(bench.write("elsewhere/a.png"))
    pushed_at, bench.now = bench.now, bench.now + 90
    bench.pushed().step()
    job = bench.ledger.files.claim("claim", WORKSPACE, bench.now, pushes=ids)
    assert job is not None
    assert job.seen_at == pushed_at


def test_only_files_of_no_folder_need_the_folder_that_is_none(bench: Bench) -> None:
    bench.push(bench.write("outer/a.png"))
    bench.pushed().step()
    assert bench.ledger.facts.folders() == []
    bench.push(bench.write("elsewhere/a.png", sample("png", 2, 2048)))
    bench.pushed().step()
    (facts,) = bench.ledger.facts.folders()
    assert (facts.name, facts.state) == ("pushed", FolderState.WATCHING)
    bench.ledger.facts.forget_folders_but([])
    bench.pushed().step()  # the next run, with files that are left
    assert [facts.name for facts in bench.ledger.facts.folders()] == ["pushed"]


def test_one_that_is_not_whole_is_looked_at_again_ever_less_often_and_then_refused(bench: Bench) -> None:
    path = bench.write("elsewhere/a.png", sample("png", 1, 2048)[:1000])
    bench.push(path)
    pushed, begun, looks = bench.pushed(), bench.now, []
    while bench.outcome() == (None, None):
        if pushed.step():
            looks.append(bench.now - begun)
            assert not pushed.step()
        assert bench.now - begun < 2 * INCOMPLETE_S
        assert pushed.idle(bench.ledger)
        bench.now += 0.25
    assert looks[:4] == [0, FIRST_S, 3 * FIRST_S, 7 * FIRST_S]
    assert max(later - sooner for sooner, later in pairwise(looks)) <= MOST_S
    assert looks[-1] >= INCOMPLETE_S
    assert bench.outcome() == ("skipped", Code.INCOMPLETE)
    assert [notice.event for notice in bench.told] == ["waiting", "skipped"]
    assert raw(bench.ledger.path, "SELECT * FROM candidates") == []


def test_while_it_waits_the_ledger_says_why_and_the_next_run_takes_it_up(bench: Bench) -> None:
    whole = sample("png", 1, 2048)
    path = bench.write("elsewhere/a.png", whole[:1000])
    bench.push(path)
    pushed = bench.pushed()
    pushed.step()
    bench.now += 1
    pushed.step()
    assert raw(bench.ledger.path, "SELECT path FROM candidates") == [(path,)]
    bench.write("elsewhere/a.png", whole)
    bench.pushed().step()
    assert bench.outcome() == ("queued", None)


def test_others_do_not_wait_for_it(bench: Bench) -> None:
    bench.push(bench.write("elsewhere/a.png", b"\x89PNG\r\n\x1a\n"), bench.write("elsewhere/b.png"))
    bench.pushed().step()
    assert [path for _, path, _, _ in bench.files()] == [str(bench.home / "elsewhere/b.png")]


def test_one_that_is_gone_is_refused_unless_its_whole_folder_is(bench: Bench) -> None:
    bench.push(str(bench.home / "outer" / "a.png"))
    (bench.home / "outer").rename(bench.home / "away")
    pushed = bench.pushed()
    pushed.step()
    assert bench.outcome() == (None, None)
    (bench.home / "away").rename(bench.home / "outer")
    bench.now += MOST_S
    pushed.step()
    assert bench.outcome() == (None, Code.VANISHED)
    assert bench.files() == []


def test_what_layer_does_not_take_is_skipped(bench: Bench) -> None:
    bench.push(bench.write("elsewhere/a.txt", b"text"))
    bench.pushed().step()
    assert bench.outcome() == ("skipped", Code.UNSUPPORTED_TYPE)


def test_a_folder_that_is_not_configured_any_more_is_told(bench: Bench) -> None:
    bench.push(bench.write("elsewhere/a.png"), folder="gone")
    bench.pushed().step()
    assert bench.outcome() == (None, Code.REJECTED)


def test_results_are_not_taken_for_new_files_whoever_pushes_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(bench.ledger.planning), "origin", lambda *_: Origin(7, 1, "outer", "restyle"))
    bench.why = "a result of generation g7"
    bench.push(bench.write("elsewhere/a.png"), folder="outer")
    bench.pushed().step()
    assert bench.outcome() == ("skipped", Code.GENERATED)


def test_a_sidecar_stays_one(bench: Bench) -> None:
    rule = {"name": "r", "match": "*.png", "model_id": "00000000-0000-4000-8000-000000000001", "prompt_from": ".txt"}
    bench.more = {"rules": ({**rule, "parameters": {"prompt": "{prompt}"}},)}
    bench.push(bench.write("outer/a.txt", b"oil"))
    bench.pushed().step()
    assert bench.outcome() == ("skipped", Code.SIDECAR)


def test_after_upload_is_for_what_lies_in_the_folder(bench: Bench) -> None:
    paths = [bench.write("outer/a.png"), bench.write("elsewhere/a.png", sample("png", 2, 2048))]
    pushed, ids = bench.pushed(), bench.push(*paths, folder="outer")
    pushed.step()
    while job := bench.ledger.files.claim("claim", WORKSPACE, bench.now, pushes=ids):
        stored(bench.ledger, job, bench.now)
    bench.push(*paths, folder="outer")  # dropped again, as it were: what was to be done is to be done again
    pushed.step()
    assert raw(bench.ledger.path, "SELECT path, aftermath FROM files") == [(paths[0], "pending"), (paths[1], None)]


def test_an_errand_takes_nothing_else(bench: Bench) -> None:
    bench.push(bench.write("elsewhere/a.png"))
    mine = bench.push(bench.write("elsewhere/b.png", sample("png", 2, 2048)))
    bench.push(bench.write("elsewhere/c.png", sample("png", 3, 2048)))
    bench.pushed(only=mine).step()
    assert [path for _, path, _, _ in bench.files()] == [str(bench.home / "elsewhere/b.png")]
    assert bench.ledger.facts.folders() == []


def test_idle_means_that_all_is_taken(bench: Bench) -> None:
    pushed = bench.pushed()
    assert not pushed.idle(bench.ledger), "nobody has looked yet"
    pushed.step()
    assert pushed.idle(bench.ledger)
    bench.push(bench.write("elsewhere/a.png"))
    assert not pushed.idle(bench.ledger)
    pushed.step()
    assert pushed.idle(bench.ledger)
