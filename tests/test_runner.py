"""A step of a runner, against a real ledger and a real server, with a clock that the test holds: what each answer means
for a generation, and for the money."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layerwatch.api import Assets, Layer, Storage, tls_context
from layerwatch.config import Budget, Folder, Rule
from layerwatch.ledger import FolderState, GenerationRow, Ledger, Version
from layerwatch.notices import Notice
from layerwatch.pacing import Gate
from layerwatch.planner import Planner
from layerwatch.runner import Runner
from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.catalogue import MODELS
from layerwatch.sandbox.works import FAILURES
from layerwatch.source import Digest, Identity
from layerwatch.states import Event
from layerwatch.workbench import Kit, Site
from tests.ledgers import new_ledger

DAY = 24 * 3600.0


@dataclass
class Bench:
    """One runner and one planner on one folder. `now` is both clocks, in seconds, from the morning of a day on."""

    drop: Path
    ledger: Ledger
    sandbox: Sandbox
    rule: dict[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    now: float = 1_800_000_000.0
    told: list[Notice] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        tls = tls_context()
        self.gate = Gate(threading.Lock())
        self.layer = Layer(self.sandbox.base_url, "sandbox-token", self.sandbox.workspace_id, tls, read_s=5)
        self.storage = Storage(tls)
        self.assets = Assets(tls, read_s=5)

    def folder(self) -> Folder:
        about = {"name": "restyle", "match": "*.png", "model_id": MODELS[0]["model_id"], "outputs": "generated"}
        parameters = {"prompt": "x", "batch_size": 1}
        rule = Rule(**{**about, "parameters": parameters, **self.rule})
        return Folder(name="drop", path=str(self.drop), rules=(rule,))

    def runner(self) -> Runner:
        kit = Kit(self.layer, self.assets, lambda: self.now, lambda: self.now, lambda: self.stopping, lambda _: None)
        site = Site({"drop": self.folder()}, lambda _: str(self.drop), self.budget, self.gate, self.told.append, 8)
        return Runner(self.ledger, kit, site)

    def planner(self) -> Planner:
        return Planner(
            self.ledger, {"drop": self.folder()}, lambda _: str(self.drop), lambda: self.now, self.told.append
        )

    def uploaded(self, name: str, seed: int) -> str:
        """A file that is in the storage and in the ledger, as an uploader leaves it."""
        path = str(self.drop / name)
        content = sample("png", seed, 4096)
        Path(path).write_bytes(content)
        file_id = self._stored(content)
        found = Version("drop", path, Identity(len(content), seed, seed), "image/png", Digest(f"{seed:064x}", seed))
        self.ledger.files.record([found], self.now)
        job = self.ledger.files.claim("test", self.sandbox.workspace_id, self.now)
        assert job
        self.ledger.files.uploaded(
            job, Event.STORED, self.now, file_id=file_id, workspace_id=self.sandbox.workspace_id, verified="crc32c",
            rule_key=name,
        )  # fmt: skip
        return path

    def _stored(self, content: bytes) -> str:
        grant = self.layer.upload_url("image/png", len(content), None)
        session = self.storage.start(grant.url, grant.content_type).headers["location"]
        whole = f"bytes 0-{len(content) - 1}/{len(content)}"
        assert self.storage.put(session, grant.content_type, whole, len(content), iter([content])).status in (200, 201)
        return grant.file_id

    def fire(self, *names: str) -> None:
        for seed, name in enumerate(names):
            self.uploaded(name, seed + 1)
        while self.planner().step():
            pass

    def steps(self, most: int = 200) -> None:
        """Step, letting the time pass that the rows wait, until nothing is left to be waited for within the hour."""
        runner = self.runner()
        for _ in range(most):
            if runner.step():
                continue
            dues = [at for at in (self.ledger.firing.next_due(), self.ledger.following.next_due()) if at is not None]
            if not dues or min(dues) > self.now + 3600:
                return
            self.now = max(self.now + 0.01, min(dues), self.now + self.gate.wait_s(self.now))
            # The sandbox has a clock of its own, that nobody sets.
            threading.Event().wait(0.02)

    def rows(self) -> list[GenerationRow]:
        return sorted(self.ledger.stories.some(), key=lambda row: row.id)

    def row(self) -> GenerationRow:
        (row,) = self.rows()
        return row

    def booked(self) -> float:
        return sum(each.booked for each in self.ledger.stories.spend())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    drop = tmp_path / "drop"
    drop.mkdir()
    with (
        Sandbox(faults=Faults(slow_s=0.01)) as sandbox,
        new_ledger(str(tmp_path / "ledger.db"), durable=False) as ledger,
    ):
        ledger.facts.folder("drop", str(drop), FolderState.WATCHING, 0.0, detail="", mount=None)
        made = Bench(drop, ledger, sandbox)
        yield made
        made.layer.close()
        made.storage.close()
        made.assets.close()


def faults(**values: Any) -> Faults:
    return Faults(**{"slow_s": 0.01, **values})


def test_one_generation_from_the_rule_to_its_result(bench: Bench) -> None:
    bench.fire("a.png")
    bench.steps()
    row = bench.row()
    assert (row.status, row.price, row.booked, row.error_code) == ("complete", 2.5, 2.5, None)
    (output,) = row.outputs
    assert output["path"] == str(bench.drop / "generated" / "a.restyle.png")
    assert Path(output["path"]).exists()
    assert [line.event for line in bench.ledger.stories.history(row.id)] == [
        "ready", "submitted", "accepted", "completed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "becomes", "code"),
    [
        (400, "failed", None), (401, "queued", "unauthorized"), (402, "blocked", "insufficient_units"),
        (403, "failed", None), (404, "failed", None), (409, "failed", None), (422, "failed", None),
        (429, "queued", "rate_limited"), (500, "unknown", "server"), (502, "unknown", "server"),
        (503, "unknown", "server"), (504, "unknown", "server"),
    ],
)  # fmt: skip
def test_what_each_refusal_of_the_paid_request_means(bench: Bench, status: int, becomes: str, code: str | None) -> None:
    bench.sandbox.faults = faults(refuse_posts=status)
    bench.fire("a.png")
    bench.runner().step()
    row = bench.row()
    assert row.status == becomes
    assert code is None or row.error_code == code
    assert row.error
    may_be_paid = becomes == "unknown"
    assert (row.booked is not None) == may_be_paid
    assert bench.sandbox.generations == []
    bench.sandbox.faults = faults()
    bench.steps()
    assert bench.row().status == ("complete" if becomes == "queued" else becomes), "what waits for a person waits"
    assert len(bench.sandbox.generations) == (becomes == "queued")


def test_a_503_that_says_when_proves_that_nothing_was_started(bench: Bench) -> None:
    bench.sandbox.faults = faults(refuse_posts=503, retry_after=30.0)
    bench.fire("a.png")
    bench.runner().step()
    assert bench.row().status == "queued"
    assert bench.gate.wait_s(bench.now) == pytest.approx(30.0)


def test_a_server_that_is_not_there_was_not_asked(bench: Bench) -> None:
    bench.fire("a.png")
    bench.sandbox.stop()
    bench.runner().step()
    assert bench.row().status == "queued"
    bench.sandbox.start()
    bench.steps()
    assert bench.row().status == "complete"


@pytest.mark.parametrize("fault", ["lost_posts", "broken_posts"])
def test_a_lost_answer_waits_for_a_person_for_as_long_as_it_takes(bench: Bench, fault: str) -> None:
    bench.sandbox.faults = faults(**{fault: 1.0})
    bench.fire("a.png")
    bench.steps()
    assert bench.row().status == "unknown"
    assert bench.row().error is not None
    bench.sandbox.faults = faults()
    bench.now += 30 * DAY
    while bench.planner().step():
        pass
    bench.steps()
    assert bench.row().status == "unknown"
    assert len(bench.sandbox.generations) == (fault == "lost_posts")


@pytest.mark.parametrize(
    "code",
    list(FAILURES),
)
@pytest.mark.parametrize("upper", [False, True])
def test_a_generation_that_fails_keeps_the_apis_own_code(bench: Bench, code: str, upper: bool) -> None:
    bench.sandbox.faults = faults(failures=1.0, fail_code=code, upper_status=upper)
    bench.fire("a.png")
    bench.steps()
    row = bench.row()
    assert (row.status, row.error_code, row.price, row.booked) == ("failed", code, 0, 0)
    assert len(bench.sandbox.generations) == 1, "only `retry` fires again"
    bench.sandbox.faults = faults(upper_status=upper)
    bench.ledger.firing.retry([row.id], bench.now, bench.now + 3600)
    bench.steps()
    assert bench.row().status == "complete"
    assert len(bench.sandbox.generations) == 2


@pytest.mark.parametrize("upper", [False, True])
def test_one_that_is_cancelled_in_layer_is_cancelled_here(bench: Bench, upper: bool) -> None:
    bench.sandbox.faults = faults(cancels=1.0, upper_status=upper)
    bench.fire("a.png")
    bench.steps()
    assert bench.row().status == "cancelled"


@pytest.mark.parametrize("form", ["bare", "renamed", "upper_status", "asset_redirect"])
def test_answers_that_look_otherwise_are_understood(bench: Bench, form: str) -> None:
    bench.sandbox.faults = faults(**{form: True})
    bench.fire("a.png")
    bench.steps()
    assert bench.row().status == "complete", bench.row().error
    assert len(bench.row().outputs) == 1


def test_a_result_that_is_not_there_yet_is_asked_for_again_and_costs_nothing(bench: Bench) -> None:
    bench.sandbox.faults = faults(asset_404=1.0)
    bench.fire("a.png")
    bench.steps()
    row = bench.row()
    assert (row.status, row.price) == ("failed", 2.5)
    assert "for nothing" in str(row.error)
    assert [each.id for each in bench.ledger.stories.without_result()] == [row.id]
    bench.sandbox.faults = faults()
    bench.ledger.firing.retry([row.id], bench.now, bench.now + 3600)
    bench.steps()
    assert bench.row().status == "complete"
    assert len(bench.sandbox.generations) == 1


def test_a_result_cut_short_is_fetched_again(bench: Bench) -> None:
    bench.sandbox.faults = faults(asset_short=0.5, seed=1)
    bench.fire(*(f"{n}.png" for n in range(6)))
    bench.steps()
    assert {row.status for row in bench.rows()} == {"complete"}
    assert len(list((bench.drop / "generated").glob("*.png"))) == 6


def test_the_servers_name_for_a_result_is_not_used(bench: Bench) -> None:
    bench.sandbox.faults = faults(asset_name="../../evil.png")
    bench.fire("a.png")
    bench.steps()
    assert bench.row().status == "complete"
    names = {path.name for path in bench.drop.parent.rglob("*") if path.is_file()}
    assert {name for name in names if "evil" in name} == set()
    assert "a.restyle.png" in names


def test_a_result_larger_than_allowed_is_not_kept(bench: Bench) -> None:
    bench.rule = {"max_result_size": "1MiB"}
    bench.sandbox.faults = faults(asset_bytes=2_000_000)
    bench.fire("a.png")
    bench.steps()
    row = bench.row()
    assert (row.status, row.error_code) == ("failed", "result_too_large")
    assert not list(bench.drop.rglob("*restyle*"))


def test_a_folder_that_is_away_keeps_its_results_waiting(bench: Bench) -> None:
    bench.fire("a.png")
    bench.ledger.facts.folder("drop", str(bench.drop), FolderState.AWAY, bench.now, detail="", mount=None)
    runner = bench.runner()
    for _ in range(50):
        runner.step()
        bench.now += 70
        threading.Event().wait(0.01)
    assert (bench.row().status, bench.row().error_code) == ("running", "vanished")
    bench.ledger.facts.folder("drop", str(bench.drop), FolderState.WATCHING, bench.now, detail="", mount=None)
    bench.steps()
    assert bench.row().status == "complete"


def test_one_that_takes_too_long_is_given_up_and_found_again_for_nothing(bench: Bench) -> None:
    bench.rule = {"time_limit": "1m"}
    bench.sandbox.faults = Faults(slow_s=0.5)
    bench.fire("a.png")
    runner = bench.runner()
    runner.step()
    bench.now += 120
    runner.step()
    row = bench.row()
    assert (row.status, row.error_code) == ("failed", "time_limit")
    threading.Event().wait(0.6)
    bench.ledger.firing.retry([row.id], bench.now, bench.now + 3600)
    bench.steps()
    assert bench.row().status == "complete"
    assert len(bench.sandbox.generations) == 1


def test_without_a_place_for_results_their_addresses_are_recorded(bench: Bench) -> None:
    bench.rule = {"outputs": None}
    bench.fire("a.png")
    bench.steps()
    (output,) = bench.row().outputs
    assert output["url"].startswith("http")
    assert not (bench.drop / "generated").exists()


# --- money ------------------------------------------------------------------------------------------------------------


def test_a_day_pays_for_what_it_allows_and_the_next_one_for_the_rest(bench: Bench) -> None:
    bench.budget = Budget(daily=100.0)
    bench.sandbox.balance = 10_000.0
    bench.sandbox.faults = faults(price=10)
    bench.fire(*(f"{n}.png" for n in range(50)))
    bench.steps()
    for day in range(1, 6):
        by_status = [row.status for row in bench.rows()]
        assert by_status.count("complete") == 10 * day
        assert by_status.count("blocked") == 50 - 10 * day
        assert {spend.booked for spend in bench.ledger.stories.spend()} == {100.0}
        bench.now += DAY
        while bench.planner().step():
            pass
        bench.steps(500)
    assert len(bench.sandbox.generations) == 50
    assert len({json.dumps(made.body) for made in bench.sandbox.generations}) == 50


def test_one_that_costs_too_much_waits_for_approval(bench: Bench) -> None:
    bench.budget = Budget(per_generation=2.0)
    bench.fire("a.png")
    bench.steps()
    row = bench.row()
    assert (row.status, row.error_code, row.estimated_price) == ("blocked", "over_per_generation", 2.5)
    bench.now += 7 * DAY
    while bench.planner().step():
        pass
    bench.steps()
    assert bench.row().status == "blocked"
    assert bench.ledger.firing.approve([row.id], bench.now) == [row.id]
    bench.steps()
    assert bench.row().status == "complete"


def test_a_price_that_nobody_tells_is_over_every_limit(bench: Bench) -> None:
    bench.budget = Budget(daily=100.0)
    bench.sandbox.faults = faults(no_estimate=True)
    bench.fire("a.png")
    bench.steps()
    assert (bench.row().status, bench.row().error_code) == ("blocked", "price_unknown")


def test_a_rules_own_budget_is_its_own(bench: Bench) -> None:
    bench.rule = {"budget": {"daily": 5.0}}
    bench.fire("a.png", "b.png", "c.png")
    bench.steps()
    assert sorted(row.status for row in bench.rows()) == ["blocked", "complete", "complete"]
    assert "rule restyle" in str(next(row.error for row in bench.rows() if row.error))


def test_an_empty_account_is_not_hammered(bench: Bench) -> None:
    bench.budget = Budget(daily=1000.0)
    bench.sandbox.balance = 1.0
    bench.fire(*(f"{n}.png" for n in range(10)))
    bench.steps()
    assert {(row.status, row.error_code) for row in bench.rows()} == {("blocked", "insufficient_units")}
    assert bench.sandbox.counters["inference_estimate"] == 1
    assert [notice.event for notice in bench.told if notice.level >= 30] == ["generation_held"]
    bench.now += 1000
    bench.planner().step()
    bench.steps()
    assert bench.sandbox.counters["inference_estimate"] == 2
    bench.sandbox.balance = 100.0
    bench.now += 1000
    bench.planner().step()
    bench.steps()
    assert {row.status for row in bench.rows()} == {"complete"}


def test_an_empty_account_without_a_budget_blocks_too(bench: Bench) -> None:
    bench.sandbox.balance = 1.0
    bench.fire("a.png")
    bench.steps()
    assert (bench.row().status, bench.row().error_code) == ("blocked", "insufficient_units")
    assert bench.booked() == 0
