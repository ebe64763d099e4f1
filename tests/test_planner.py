"""What the rules make of uploads, in whatever order they come: one generation for each thing to be paid for."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layerwatch.config import Folder, Rule
from layerwatch.errors import Code
from layerwatch.ledger import FolderState, GenerationRow, Ledger, Refusal, Version
from layerwatch.notices import Notice
from layerwatch.planner import Planner
from layerwatch.rules import key_of
from layerwatch.source import Digest, Identity
from layerwatch.states import Event
from tests.ledgers import new_ledger

MODEL = "00000000-0000-4000-8000-000000000001"
PAIR: dict[str, Any] = {"match": "{shot}_beauty.png", "with": {"depth": "{shot}_depth.png"}}


@dataclass
class Bench:
    """One folder with rules; `now` is the clock, in seconds."""

    drop: Path
    ledger: Ledger
    rules: list[dict[str, Any]] = field(default_factory=list)
    now: float = 1_800_000_000.0
    told: list[Notice] = field(default_factory=list)
    seeds: int = 0

    def rule(self, **about: Any) -> None:
        self.rules.append({"name": f"rule{len(self.rules) + 1}", "model_id": MODEL, "match": "*.png", **about})

    def planner(self) -> Planner:
        folder = Folder(name="drop", path=str(self.drop), rules=tuple(Rule(**rule) for rule in self.rules))
        return Planner(self.ledger, {"drop": folder}, lambda _: str(self.drop), lambda: self.now, self.told.append)

    def plan(self) -> None:
        planner = self.planner()
        while planner.step():
            pass

    def recorded(self, name: str, content: str = "") -> None:
        """A version of a file that is queued for its upload."""
        self.seeds += 1
        sha256 = hashlib.sha256((content or f"{name} {self.seeds}").encode()).hexdigest()
        found = Version("drop", str(self.drop / name), Identity(9, self.seeds, 1), "image/png", Digest(sha256, 0))
        self.ledger.files.record([found], self.now)

    def uploaded(self, *names: str, rule_key: bool = True) -> None:
        """New versions of these, uploaded; and the rules have seen them."""
        for name in names:
            self.recorded(name)
            job = self.ledger.files.claim("test", "w", self.now)
            assert job
            key = key_of(name) if rule_key else None
            file_id = f"id-{name}-{self.seeds}"
            self.ledger.files.uploaded(
                job, Event.STORED, self.now, file_id=file_id, workspace_id="w", verified="crc32c", rule_key=key
            )
        self.plan()

    def beside(self, name: str, content: str | bytes) -> None:
        """A sidecar that intake has found quiet."""
        content = content if isinstance(content, bytes) else content.encode()
        (self.drop / name).write_bytes(content)
        self.seeds += 1
        found = Refusal("drop", str(self.drop / name), Identity(len(content), self.seeds, 1), Code.SIDECAR, "beside")
        self.ledger.files.record([found], self.now)
        self.plan()

    def rows(self) -> list[GenerationRow]:
        return sorted(self.ledger.stories.some(), key=lambda row: row.id)

    def statuses(self) -> list[str]:
        return [row.status for row in self.rows()]

    def lack(self, id_: int) -> str:
        """What it waits for, as `show` tells it."""
        (need,) = self.ledger.stories.needs(id_)
        return need.glob

    def prompt(self) -> str:
        """What would be sent now; nobody fires it."""
        job = self.ledger.firing.claim(f"test {self.seeds}", self.now)
        assert job
        self.ledger.firing.put_off(job, self.now, attempts=0, code="x", message="x")
        return job.sidecars["prompt"]

    def inputs(self, id_: int) -> dict[str, str]:
        return {each.role: Path(each.path).name for each in self.ledger.stories.inputs(id_)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    drop = tmp_path / "drop"
    drop.mkdir()
    with new_ledger(str(tmp_path / "ledger.db"), durable=False) as ledger:
        ledger.facts.folder("drop", str(drop), FolderState.WATCHING, 0.0, detail="", mount=None)
        yield Bench(drop, ledger)


@pytest.mark.parametrize("order", [("a_beauty.png", "a_depth.png"), ("a_depth.png", "a_beauty.png")])
def test_inputs_come_in_any_order(bench: Bench, order: tuple[str, str]) -> None:
    bench.rule(**PAIR)
    for name in order:
        bench.uploaded(name)
    assert bench.statuses() == ["queued"]
    assert bench.inputs(1) == {"input": "a_beauty.png", "depth": "a_depth.png"}
    assert bench.ledger.stories.needs(1) == []


@pytest.mark.parametrize("name", ["A_DEPTH.PNG", "a_Depth.png"])
@pytest.mark.parametrize("first", [True, False])
def test_case_does_not_count(bench: Bench, name: str, first: bool) -> None:
    bench.rule(**PAIR)
    bench.uploaded(*((name, "a_beauty.png") if first else ("a_beauty.png", name)))
    assert bench.statuses() == ["queued"]


def test_inputs_lie_in_the_same_directory(bench: Bench) -> None:
    bench.rule(**PAIR)
    bench.uploaded("one/a_beauty.png", "two/a_depth.png")
    assert bench.statuses() == ["waiting"]
    bench.uploaded("one/a_depth.png")
    assert bench.statuses() == ["queued"]


def test_what_is_missing_is_said(bench: Bench) -> None:
    bench.rule(**PAIR)
    bench.uploaded("a_beauty.png")
    (need,) = bench.ledger.stories.needs(1)
    assert (need.role, need.glob, need.optional) == ("depth", "a_depth.png", False)


def test_a_file_that_was_uploaded_before_the_rule_was_written_serves_as_an_input_but_fires_nothing(
    bench: Bench,
) -> None:
    bench.uploaded("a_depth.png", "b_beauty.png", rule_key=False)
    bench.rule(**PAIR)
    bench.plan()
    assert bench.rows() == []
    bench.uploaded("a_beauty.png")
    assert bench.statuses() == ["queued"]


def test_a_companion_of_which_a_newer_version_is_on_its_way_is_waited_for(bench: Bench) -> None:
    bench.rule(**PAIR)
    bench.uploaded("a_depth.png")
    bench.recorded("a_depth.png")
    late = bench.ledger.files.claim("late", "w", bench.now)
    assert late
    bench.uploaded("a_beauty.png")
    assert bench.statuses() == ["waiting"]
    bench.ledger.files.uploaded(
        late, Event.STORED, bench.now, file_id="newest", workspace_id="w", verified="crc32c", rule_key="a_depth.png"
    )
    bench.plan()
    assert bench.statuses() == ["queued"]
    assert {each.role: each.file_id for each in bench.ledger.stories.inputs(1)}["depth"] == "newest"


def test_a_replaced_companion_is_a_new_input(bench: Bench) -> None:
    bench.rule(**PAIR)
    bench.uploaded("a_depth.png", "a_beauty.png")
    job = bench.ledger.firing.claim("test", bench.now)
    assert job
    assert bench.ledger.firing.book(job, {}, 1.0, [], bench.now) is None
    bench.uploaded("a_depth.png")
    assert bench.statuses() == ["submitting", "queued"]
    bench.plan()
    assert bench.statuses() == ["submitting", "queued"]


def test_what_was_not_fired_yet_gives_way_to_a_newer_version(bench: Bench) -> None:
    bench.rule()
    for _ in range(3):
        bench.uploaded("a.png")
    assert bench.statuses() == ["cancelled", "cancelled", "queued"]
    assert {row.error_code for row in bench.rows()} == {"superseded", None}


def test_a_waiting_one_takes_the_newer_version_over(bench: Bench) -> None:
    bench.rule(**PAIR)
    for name in ("a_beauty.png", "a_beauty.png", "a_depth.png"):
        bench.uploaded(name)
    assert bench.statuses() == ["queued"]
    newest = bench.ledger.reports.versions(str(bench.drop / "a_beauty.png"))[0]
    assert bench.ledger.stories.inputs(1)[0].file == newest.id


def test_every_rule_that_fits_has_its_own(bench: Bench) -> None:
    bench.rule()
    bench.rule(match="a*.png")
    bench.rule(match="b*.png")
    bench.uploaded("a.png")
    assert [row.rule for row in bench.rows()] == ["rule1", "rule2"]


def test_with_a_wildcard_the_newest_that_fits_serves(bench: Bench) -> None:
    bench.rule(match="{shot}_beauty.png", **{"with": {"mask": "{shot}_mask_*.png"}})
    bench.uploaded("a_mask_v1.png")
    bench.now += 1
    bench.uploaded("a_mask_v2.png", "b_mask_v3.png", "a_beauty.png")
    assert bench.inputs(1) == {"input": "a_beauty.png", "mask": "a_mask_v2.png"}
    bench.uploaded("c_beauty.png", "c_mask_1.png")
    assert bench.statuses() == ["queued", "queued"]


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_what_is_optional_is_waited_for_and_then_left_out(bench: Bench) -> None:
    bench.rule(**PAIR, optional=("depth",), wait="10m")
    bench.uploaded("a_beauty.png")
    bench.now += 599
    bench.plan()
    assert bench.statuses() == ["waiting"]
    bench.now += 2
    bench.plan()
    assert bench.statuses() == ["queued"]
    assert bench.inputs(1) == {"input": "a_beauty.png"}
    bench.uploaded("a_depth.png")
    assert bench.statuses() == ["queued"], "what comes too late fires nothing again"


def test_what_is_needed_and_never_comes_is_told(bench: Bench) -> None:
    bench.rule(**PAIR, wait="10m")
    bench.uploaded("a_beauty.png")
    bench.now += 601
    bench.plan()
    (row,) = bench.rows()
    assert (row.status, row.error_code) == ("failed", "input_missing")
    assert row.error == "waited in vain for depth (a_depth.png)"


def test_what_failed_for_a_missing_input_waits_again_when_it_is_retried(bench: Bench) -> None:
    bench.rule(**PAIR, wait="10m")
    bench.uploaded("a_beauty.png")
    bench.now += 601
    bench.plan()
    bench.uploaded("a_depth.png")
    assert bench.statuses() == ["failed"]
    bench.ledger.firing.retry([1], bench.now, bench.now + 600)
    bench.plan()
    assert bench.statuses() == ["queued"]


# --- sidecars ---------------------------------------------------------------------------------------------------------


def test_a_prompt_beside_the_file_is_waited_for(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.uploaded("a.png")
    assert bench.statuses() == ["waiting"]
    bench.beside("b.txt", "another's")
    assert bench.statuses() == ["waiting"]
    bench.beside("a.txt", "\ufeff a fox \n")
    assert bench.statuses() == ["queued"]
    job = bench.ledger.firing.claim("test", bench.now)
    assert job
    assert job.sidecars == {"prompt": "a fox"}


def test_a_changed_prompt_counts_until_it_is_fired_and_never_fires_by_itself(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.beside("a.txt", "a fox")
    bench.uploaded("a.png")
    bench.beside("a.txt", "a wolf")
    assert bench.statuses() == ["queued"]
    job = bench.ledger.firing.claim("test", bench.now)
    assert job
    assert job.sidecars == {"prompt": "a wolf"}
    assert bench.ledger.firing.book(job, {}, 1.0, [], bench.now) is None
    bench.beside("a.txt", "a bear")
    assert bench.statuses() == ["submitting"]


def test_a_changed_prompt_fires_again_where_the_rule_says_so(bench: Bench) -> None:
    bench.rule(prompt_from=".txt", again_on_sidecar=True)
    bench.beside("a.txt", "a fox")
    bench.uploaded("a.png")
    job = bench.ledger.firing.claim("test", bench.now)
    assert job
    assert bench.ledger.firing.book(job, {}, 1.0, [], bench.now) is None
    bench.beside("a.txt", "a wolf")
    assert bench.statuses() == ["submitting", "queued"]
    bench.beside("a.txt", "a fox")
    assert bench.statuses() == ["submitting", "cancelled"], "that one was fired before"


@pytest.mark.parametrize("text", ["{", "[1]", '{"model_id": "x"}', '{"a": "{nothing}"}'])
def test_parameters_that_cannot_be_used_are_waited_for_until_they_are_put_right(bench: Bench, text: str) -> None:
    bench.rule(parameters_from=".json")
    bench.beside("a.json", text)
    bench.uploaded("a.png")
    assert bench.statuses() == ["waiting"]
    (need,) = bench.ledger.stories.needs(1)
    assert need.glob.startswith("a.json: ")
    bench.beside("a.json", json.dumps({"seed": 1}))
    assert bench.statuses() == ["queued"]
    assert bench.ledger.stories.needs(1) == []


# --- sidecars of no use -----------------------------------------------------------------------------------------------


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Permission bits do not bind root: who is root becomes nobody for this."""
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(0o644)


def test_a_sidecar_that_cannot_be_read_is_looked_at_again_and_says_why_meanwhile(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.beside("a.txt", "a fox")
    with unreadable(bench.drop / "a.txt"):
        bench.uploaded("a.png")
        bench.now += 31
        bench.plan()
    assert bench.statuses() == ["waiting"]
    assert bench.lack(1).startswith("a.txt cannot be read: permission denied")
    assert "waits for prompt (a.txt cannot be read: permission denied" in bench.told[0].text
    bench.plan()
    assert bench.statuses() == ["waiting"], "only after a while"
    bench.now += 31
    bench.plan()
    assert bench.statuses() == ["queued"]
    job = bench.ledger.firing.claim("test", bench.now)
    assert job
    assert job.sidecars == {"prompt": "a fox"}


def test_new_files_go_before_those_that_are_looked_at_again(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.beside("a.txt", "a fox")
    with unreadable(bench.drop / "a.txt"):
        bench.uploaded("a.png")
    bench.now += 31
    bench.recorded("b.png")
    job = bench.ledger.files.claim("test", "w", bench.now)
    assert job
    bench.ledger.files.uploaded(
        job, Event.STORED, bench.now, file_id="b", workspace_id="w", verified="crc32c", rule_key="b.png"
    )
    seen = []
    planner = bench.planner()
    while planner.step():
        seen.append(bench.statuses())
    assert seen == [["waiting", "waiting"], ["waiting", "waiting"], ["queued", "waiting"]]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"caf\xe9", "a.txt is not UTF-8: save it as that"),
        (b" \n", "a.txt is empty"),
        (b"x" * (1024 * 1024 + 1), "a.txt is larger than 1048576 bytes: make it shorter"),
    ],
)
def test_a_sidecar_of_no_use_says_why_until_it_is_put_right(bench: Bench, content: bytes, why: str) -> None:
    bench.rule(prompt_from=".txt")
    bench.beside("a.txt", content)
    bench.uploaded("a.png")
    assert (bench.statuses(), bench.lack(1)) == (["waiting"], why)
    bench.now += 9999
    bench.plan()
    assert bench.statuses() == ["waiting"]
    bench.beside("a.txt", "x" * 1024 * 1024)
    assert bench.statuses() == ["queued"]


def test_a_link_in_the_place_of_a_sidecar_is_not_followed(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.beside("a.txt", "a fox")
    (bench.drop / "a.txt").rename(bench.drop / "elsewhere")
    (bench.drop / "a.txt").symlink_to(bench.drop / "elsewhere")
    bench.uploaded("a.png")
    assert bench.statuses() == ["waiting"]
    assert bench.lack(1).startswith("a.txt: ")
    assert bench.lack(1).endswith("a link or a device, not a regular file")


def test_an_optional_prompt_that_somebody_wrote_and_that_cannot_be_used_is_not_left_out(bench: Bench) -> None:
    bench.rule(prompt_from=".txt", optional=("prompt",), wait="10m")
    bench.beside("a.txt", b"caf\xe9")
    bench.beside("b.txt", "")
    bench.uploaded("a.png", "b.png")
    bench.now += 601
    bench.plan()
    assert bench.statuses() == ["failed", "queued"]
    assert bench.rows()[0].error == "waited in vain for prompt (a.txt is not UTF-8: save it as that)"


def test_one_that_is_given_up_says_what_is_missing_then(bench: Bench) -> None:
    bench.rule(**PAIR, prompt_from=".txt", optional=("depth",), wait="10m")
    bench.beside("a_beauty.txt", "a fox")
    bench.uploaded("a_beauty.png")
    bench.now += 601
    with unreadable(bench.drop / "a_beauty.txt"):
        bench.plan()
    (row,) = bench.rows()
    assert row.status == "failed"
    assert (row.error or "").startswith("waited in vain for prompt (a_beauty.txt cannot be read: permission denied")


@pytest.mark.parametrize("first", ["sidecar", "image"])
def test_the_case_of_a_sidecars_ending_does_not_count(bench: Bench, first: str) -> None:
    bench.rule(prompt_from=".txt")
    if first == "sidecar":
        bench.beside("a.TXT", "a fox")
    bench.uploaded("a.png")
    if first == "image":
        assert bench.statuses() == ["waiting"]
        bench.beside("a.TXT", "a fox")
    assert bench.statuses() == ["queued"]


def test_the_exact_ending_goes_before_others_as_long_as_it_is_there(bench: Bench) -> None:
    bench.rule(prompt_from=".txt")
    bench.uploaded("a.png")
    bench.beside("a.TXT", "a wolf")
    bench.beside("a.txt", "a fox")
    assert bench.prompt() == "a fox"
    (bench.drop / "a.txt").unlink()
    bench.beside("a.TXT", "a bear")
    assert bench.prompt() == "a bear"


# --- the configuration has changed ------------------------------------------------------------------------------------


def test_what_waits_for_too_long_in_a_folder_that_is_not_configured_any_more_is_given_up(bench: Bench) -> None:
    bench.rule(**PAIR, wait="10m")
    bench.uploaded("a_beauty.png")
    bench.now += 601
    roots: dict[str, str] = {}
    planner = Planner(bench.ledger, {}, roots.__getitem__, lambda: bench.now, bench.told.append)
    while planner.step():
        pass
    assert bench.statuses() == ["failed"]
    assert str(bench.drop) in bench.told[-1].text


# --- asked for again --------------------------------------------------------------------------------------------------


def test_asked_for_again_it_fires_again_and_only_then(bench: Bench) -> None:
    bench.rule()
    bench.uploaded("a.png")
    for number in range(2):
        job = bench.ledger.firing.claim("test", bench.now)
        assert job
        assert bench.ledger.firing.book(job, {}, 1.0, [], bench.now) is None
        assert bench.ledger.planning.again([1]) == [1]
        bench.plan()
        bench.plan()
        assert bench.statuses() == ["submitting"] * (number + 1) + ["queued"]
