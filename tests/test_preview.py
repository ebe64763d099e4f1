"""What a run would do now, with a real ledger, real folders and a real server: the same as a run would, and nothing is
changed by asking."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from layerwatch.api import Layer, Storage, tls_context
from layerwatch.config import Action, Api, Budget, Folder, Rule, Settings, Upload
from layerwatch.config import Ledger as LedgerTable
from layerwatch.errors import Code, LedgerTrouble, UserError
from layerwatch.ledger import FolderState, Job, Ledger, Limits, Session, Version
from layerwatch.planner import Planner
from layerwatch.preview import FolderOutlook, Foreseen, Outlook, preview
from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.catalogue import MODELS, UNKNOWN_ID, WORKFLOWS
from layerwatch.source import Digest, identity
from layerwatch.states import Event, Generation
from tests.ledgers import new_ledger

KIB = 1024


@dataclass
class Site:
    """A drop folder with one rule, its ledger, and whom to ask."""

    home: Path
    sandbox: Sandbox
    budget: Budget = field(default_factory=Budget)
    folder: dict[str, Any] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    more: list[Folder] = field(default_factory=list)
    token: str = "sandbox-token"

    def __post_init__(self) -> None:
        self.drop = self.home / "drop"
        self.drop.mkdir()
        self.path = str(self.home / "state" / "ledger.db")

    def settings(self) -> Settings:
        folder = Folder(name="drop", path=str(self.drop), **{"rules": tuple(map(rule, self.rules)), **self.folder})
        return Settings(
            api=Api(base_url=self.sandbox.base_url, workspace_id=self.sandbox.workspace_id),
            ledger=LedgerTable(path=self.path),
            upload=Upload(max_file_size=256 * KIB, chunk_size=256 * KIB),
            budget=self.budget,
            folders=(folder, *self.more),
        )

    def layer(self) -> Layer:
        return Layer(self.sandbox.base_url, self.token, self.sandbox.workspace_id, tls_context(), read_s=5)

    def plan(self, *, runs: bool = False, wall: Callable[[], float] = time.time) -> Outlook:
        layer = self.layer()
        try:
            return preview(self.settings(), layer, runs=runs, wall=wall)
        finally:
            layer.close()

    def offline(self) -> Outlook:
        return preview(self.settings(), None, runs=False, wall=time.time, trouble="nobody is to be asked")

    def files(self, **found: Any) -> FolderOutlook:
        return next(each for each in self.plan(**found).folders if each.name == "drop")

    # --- what is there ------------------------------------------------------------------------------------------------

    def write(self, name: str, seed: int = 1, suffix: str = "png", size: int = 4 * KIB) -> str:
        path = self.drop / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample(suffix, seed, size))
        return str(path)

    def many(self, number: int) -> None:
        for seed in range(number):
            self.write(f"{seed}.png", seed)

    def watched(self, ledger: Ledger) -> None:
        ledger.facts.folder("drop", str(self.drop), FolderState.POLLING, time.time(), detail="", mount=None)
        ledger.facts.folder_scanned("drop", 0, time.time())

    def queued(self, ledger: Ledger, name: str, seed: int = 1) -> str:
        """A file as the daemon's folder records it."""
        path = self.write(name, seed)
        found = Version("drop", path, identity(os.lstat(path)), "image/png", Digest(f"{seed:064x}", seed))
        self.watched(ledger)
        ledger.files.record([found], time.time())
        return path

    def claimed(self, ledger: Ledger) -> Job:
        job = ledger.files.claim("somebody", self.sandbox.workspace_id, time.time())
        assert job
        return job

    def uploaded(self, ledger: Ledger, name: str, seed: int = 1) -> str:
        """A file that is in the storage and in the ledger, as an uploader leaves it; its file_id."""
        path = self.queued(ledger, name, seed)
        layer, storage = self.layer(), Storage(tls_context())
        content = Path(path).read_bytes()
        grant = layer.upload_url("image/png", len(content), None)
        session = storage.start(grant.url, grant.content_type).headers["location"]
        whole = f"bytes 0-{len(content) - 1}/{len(content)}"
        assert storage.put(session, grant.content_type, whole, len(content), iter([content])).status in (200, 201)
        layer.close()
        storage.close()
        ledger.files.uploaded(
            self.claimed(ledger), Event.STORED, time.time(), file_id=grant.file_id,
            workspace_id=self.sandbox.workspace_id, verified="crc32c", rule_key=name,
        )  # fmt: skip
        return grant.file_id

    def everything(self) -> list[Any]:
        """All rows of the ledger, and all that lies in the folder with its times."""
        rows: list[Any] = []
        if os.path.exists(self.path):
            with closing(sqlite3.connect(self.path)) as connection:
                tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                rows = [(name, connection.execute(f"SELECT * FROM {name}").fetchall()) for name in sorted(tables)]
        paths = [self.drop, *sorted(self.drop.rglob("*"))]
        return [rows, [(str(path), path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in paths]]


def rule(about: dict[str, Any]) -> Rule:
    base = {"name": "restyle", "match": "*.png", "model_id": MODELS[0]["model_id"], "outputs": "generated"}
    base["parameters"] = {"prompt": "oil, {stem}", "batch_size": 1}
    if about.get("kind") == "workflow":
        del base["model_id"]
    return Rule(**{**base, **about})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Sandbox(token="sandbox-token") as sandbox:
        sandbox.balance = 10_000
        yield Site(tmp_path, sandbox)


@pytest.fixture
def ledger(site: Site) -> Iterator[Ledger]:
    with new_ledger(site.path, durable=False) as ledger:
        yield ledger


def names(rows: Any) -> list[str]:
    return sorted(os.path.basename(row.path) for row in rows)


def why(rows: tuple[Foreseen, ...]) -> dict[str | None, int]:
    counted: dict[str | None, int] = {}
    for row in rows:
        counted[row.error_code] = counted.get(row.error_code, 0) + 1
    return counted


# --- the copy ---------------------------------------------------------------------------------------------------------


def test_a_copy_is_a_ledger_of_its_own_with_all_that_was_there(site: Site, ledger: Ledger, tmp_path: Path) -> None:
    site.queued(ledger, "a.png")
    copied = str(tmp_path / "copy.db")
    ledger.copy_to(copied)
    assert os.stat(copied).st_mode & 0o077 == 0, "it holds the sessions, which are secrets"
    with Ledger(copied, create=False, durable=False) as copy:
        assert copy.reports.files() == ledger.reports.files()
        site.claimed(copy)
        assert copy.reports.counts()["uploading"] == 1
    assert ledger.reports.counts()["uploading"] == 0


def test_it_is_copied_as_of_one_instant_while_somebody_writes(site: Site, ledger: Ledger, tmp_path: Path) -> None:
    site.queued(ledger, "a.png")
    with closing(sqlite3.connect(site.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM files")
        ledger.copy_to(str(tmp_path / "copy.db"))
        other.execute("COMMIT")
    with Ledger(str(tmp_path / "copy.db"), create=False) as copy:
        assert copy.reports.counts()["queued"] == 1


def test_a_place_where_it_cannot_be_copied_to_is_told(site: Site, ledger: Ledger) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with pytest.raises(LedgerTrouble, match="cannot be copied to /dev/full"):
        ledger.copy_to("/dev/full")


# --- files ------------------------------------------------------------------------------------------------------------


def test_what_would_become_of_each_file(site: Site) -> None:
    site.folder = {"exclude": ("*_wip*",), "settle": 3600.0}
    site.write("a.png", 1, size=9 * KIB)
    site.write("below/b.jpg", 2, "jpg")
    site.write("below/the same.png", 1, size=9 * KIB)
    site.write("left_wip.png", 4)
    (site.drop / "notes.txt").write_text("no image")
    (site.drop / "empty.png").touch()
    cut = site.write("cut.png", 5)
    os.truncate(cut, 3 * KIB)
    found = site.files()
    assert found.state is FolderState.POLLING
    assert sum(each.size for each in found.uploads) == sum(each.left for each in found.uploads) == 13 * KIB
    (twin,) = found.reused
    assert {*names(found.uploads), *names(found.reused)} == {"a.png", "b.jpg", "the same.png"}
    assert twin.file_id is None
    assert [(each.path, each.size) for each in found.waiting] == [(cut, 3 * KIB)]
    assert "IEND" in found.waiting[0].reason
    codes = {os.path.basename(each.path): each.error_code for each in found.skipped}
    assert codes == {"notes.txt": "unsupported_type", "empty.png": "empty"}


def test_no_ledger_is_made_and_none_is_needed(site: Site) -> None:
    site.write("a.png")
    assert len(site.files().uploads) == 1
    assert not (site.home / "state").exists()


def test_nothing_is_changed_and_nothing_sent_but_questions(site: Site, ledger: Ledger) -> None:
    site.folder = {"after_upload": "delete", "receipt": True, "on_uploaded": Action(command=("/bin/false",))}
    site.rules = [{}]
    site.uploaded(ledger, "old.png", 3)
    site.queued(ledger, "queued.png", 4)
    site.many(5)
    site.write("below/b.png", 9)
    before, asked = site.everything(), dict(site.sandbox.counters)
    found = site.plan()
    assert (len(found.folders[0].uploads), len(found.fire)) == (7, 8)
    assert site.everything() == before
    new = {name for name, count in site.sandbox.counters.items() if count != asked.get(name, 0)}
    assert new <= {"model", "inference_estimate", "connections"}
    assert list(site.home.glob("layerwatch-plan-*")) == []


def test_the_same_bytes_under_an_old_files_id(site: Site, ledger: Ledger) -> None:
    content = Path(site.write("new.png", 7)).read_bytes()
    path = site.queued(ledger, "old.png", 7)
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute("UPDATE files SET hash = ?", (hashlib.sha256(content).hexdigest(),))
    ledger.files.uploaded(
        site.claimed(ledger), Event.STORED, time.time(), file_id="f-1", workspace_id=site.sandbox.workspace_id,
        verified="crc32c",
    )  # fmt: skip
    os.unlink(path)
    found = site.files()
    assert [(os.path.basename(each.path), each.file_id) for each in found.reused] == [("new.png", "f-1")]
    assert found.uploads == ()


def test_what_the_storage_holds_already_is_not_counted_again(site: Site, ledger: Ledger) -> None:
    site.queued(ledger, "a.png", 1)
    job = site.claimed(ledger)
    session = Session("https://storage.example/secret", "f-1", "image/png", time.time() + 600)
    ledger.files.save_session(job, session)
    ledger.files.save_progress(job, KIB)
    (upload,) = site.files().uploads
    assert (upload.size, upload.left) == (4 * KIB, 3 * KIB)
    (upload,) = site.files(wall=lambda: time.time() + 700).uploads
    assert upload.left == 4 * KIB, "its session has expired by then"


def test_what_is_queued_and_gone_or_another_file_by_now(site: Site, ledger: Ledger) -> None:
    os.unlink(site.queued(ledger, "gone.png", 1))
    site.queued(ledger, "changed.png", 2)
    site.write("changed.png", 3)
    found = site.files()
    assert {os.path.basename(each.path): each.error_code for each in found.lost} == {
        "gone.png": Code.VANISHED,
        "changed.png": Code.CHANGED,
    }
    assert names(found.uploads) == ["changed.png"], "what lies there now is a new version"


def test_what_waits_for_another_try_would_have_it(site: Site, ledger: Ledger) -> None:
    site.queued(ledger, "a.png", 1)
    with closing(sqlite3.connect(site.path)) as connection, connection:
        connection.execute("UPDATE files SET next_attempt_at = '2999-01-01T00:00:00.000000Z', attempts = 3")
    assert names(site.files().uploads) == ["a.png"]


def test_a_folder_that_is_away_keeps_its_files_waiting(site: Site, ledger: Ledger) -> None:
    site.queued(ledger, "a.png", 1)
    site.drop.rename(site.home / "elsewhere")
    found = site.files()
    assert (found.state, found.left, found.uploads) == (FolderState.AWAY, 1, ())
    assert "no such file or directory" in found.detail


def test_what_was_there_before_is_left_alone_where_that_is_configured(site: Site) -> None:
    site.folder = {"existing": False}
    site.write("a.png")
    found = site.files()
    assert [each.error_code for each in found.skipped] == ["existing"]
    assert found.uploads == ()


def test_a_ledger_that_cannot_be_looked_at_is_not_taken_for_an_empty_one(site: Site) -> None:
    (site.home / "state").write_text("a file where the ledger's directory should be")
    site.write("a.png")
    with pytest.raises(UserError, match="cannot be looked at"):
        site.plan()


# --- prices -----------------------------------------------------------------------------------------------------------


def test_files_that_are_alike_are_priced_by_one_question(site: Site) -> None:
    site.rules = [{}]
    site.many(40)
    found = site.plan()
    assert {(row.price, row.about, row.generation) for row in found.fire} == {(2.5, True, None)}
    assert len(found.fire) == 40
    assert found.money.would_spend == 100
    assert found.money.available == 10_000
    assert site.sandbox.counters["inference_estimate"] == 2, "with the file, which is not there yet, then without"
    assert found.warnings == ()


def test_a_price_for_uploaded_files_is_not_about(site: Site, ledger: Ledger) -> None:
    site.rules = [{}]
    site.uploaded(ledger, "a.png")
    (row,) = site.plan().fire
    assert (row.price, row.about, row.rule, row.kind) == (2.5, False, "restyle", "inference")


def test_a_required_file_that_is_not_uploaded_yet_is_stood_in_for(site: Site, ledger: Ledger) -> None:
    site.rules = [
        {
            "name": "relight",
            "kind": "workflow",
            "workflow_id": WORKFLOWS[1]["workflow_id"],
            "match": "*.jpg",
            "parameters": {"image": "{file_id}"},
        }
    ]
    site.write("b.jpg", 2, "jpg")
    (row,) = site.plan().fire
    assert row.price is None
    (text,) = site.plan().warnings
    assert "rule relight: Layer tells no price before its files are uploaded" in text
    site.uploaded(ledger, "a.png")
    found = site.plan()
    assert [(row.price, row.about) for row in found.fire] == [(6.0, True)]
    assert found.warnings == ()


def test_what_an_author_wrote_beside_a_file_is_priced_by_itself(site: Site) -> None:
    site.rules = [{"parameters_from": ".json", "optional": ("parameters",), "wait": 0.0}]
    site.many(3)
    (site.drop / "0.json").write_text('{"batch_size": 4}')
    (site.drop / "1.json").write_text('{"prompt": "a fox"}')
    (site.drop / "2.json").write_text('{"prompt": "a wolf"}')
    prices = {os.path.basename(row.path): row.price for row in site.plan().fire}
    assert prices == {"0.png": 10.0, "1.png": 2.5, "2.png": 2.5}
    assert site.sandbox.counters["inference_estimate"] == 4


def test_a_body_that_layer_would_refuse_fails_and_is_not_asked_for_endlessly(site: Site, ledger: Ledger) -> None:
    site.rules = [{"parameters": {"prompt": "x", "batch_size": 99}}]
    for seed in range(6):
        site.uploaded(ledger, f"{seed}.png", seed)
    found = site.plan()
    assert (why(found.failing), found.fire) == ({"VALIDATION_ERROR": 6}, ())
    assert {"batch_size" in str(row.error) for row in found.failing} == {True}
    assert site.sandbox.counters["inference_estimate"] == 3


def test_without_anybody_to_ask_only_the_prices_are_missing(site: Site) -> None:
    site.rules, site.budget = [{}], Budget(daily=1, per_generation=1, burst=3)
    site.many(5)
    found = site.offline()
    assert [row.price for row in found.fire] == [None] * 3
    assert why(found.held) == {"burst": 2}, "what is no matter of prices is tried all the same"
    assert found.warnings == ("prices are not known, and limits on them not tried: nobody is to be asked",)
    assert site.sandbox.counters.total() == 0


def test_nothing_is_said_of_prices_where_nothing_is_to_be_priced(site: Site) -> None:
    site.write("a.png")
    assert site.offline().warnings == ()


@pytest.mark.parametrize("trouble", ["away", "token"])
def test_an_api_that_does_not_answer_is_said_once(site: Site, trouble: str) -> None:
    site.rules, site.budget = [{}], Budget(daily=5)
    site.many(5)
    if trouble == "away":
        site.sandbox.stop()
    else:
        site.token = "wrong"
    found = site.plan()
    assert len(found.fire) == 5
    (text,) = found.warnings
    assert {"away": "cannot connect", "token": "it does not take the token"}[trouble] in text


def test_a_bad_moment_of_the_api_costs_no_price(site: Site) -> None:
    site.rules = [{"name": f"r{number}", "parameters": {"prompt": "x", "batch_size": number}} for number in range(1, 9)]
    site.write("a.png")
    assert len(site.plan().fire) == 8
    site.sandbox.faults = Faults(no_estimate=True)
    assert {row.price for row in site.plan().fire} == {None}


def test_a_rule_that_a_run_would_not_begin_with_ends_it(site: Site) -> None:
    site.rules = [{"parameters": {"batch_size": 1}}]
    with pytest.raises(UserError, match="prompt"):
        site.plan()


def test_what_may_be_a_mistake_in_a_rule_is_said(site: Site) -> None:
    site.rules = [{"model_id": UNKNOWN_ID}]
    (text,) = site.plan().warnings
    assert "Layer knows no such model" in text


# --- the budget -------------------------------------------------------------------------------------------------------


def test_the_day_holds_back_what_is_over_it_with_what_was_spent_before(site: Site, ledger: Ledger) -> None:
    site.rules, site.budget = [{}], Budget(daily=12)
    site.uploaded(ledger, "old.png", 90)
    assert len(site.plan().fire) == 1
    site.many(6)
    found = site.plan()
    assert (len(found.fire), why(found.held)) == (4, {"over_daily": 3})
    assert (found.money.spent, found.money.would_spend, found.money.daily) == (0, 10, 12)
    assert {row.until is not None for row in found.held} == {True}


def test_a_rules_own_budget_is_its_own(site: Site) -> None:
    site.rules = [{"name": "a", "budget": Budget(burst=2)}, {"name": "b", "budget": Budget(per_generation=1)}, {}]
    site.many(4)
    found = site.plan()
    fired = [row.rule for row in found.fire]
    assert {name: fired.count(name) for name in ("a", "b", "restyle")} == {"a": 2, "b": 0, "restyle": 4}
    assert why(found.held) == {"burst": 2, "over_per_generation": 4}


def test_a_limit_cannot_be_kept_where_layer_has_no_prices(site: Site) -> None:
    site.rules, site.budget = [{}], Budget(daily=100)
    site.sandbox.faults = Faults(no_estimate=True)
    site.many(2)
    assert why(site.plan().held) == {"price_unknown": 2}


@pytest.mark.parametrize("budget", [Budget(), Budget(daily=1000)])
def test_the_workspace_pays_for_so_many_and_no_more(site: Site, budget: Budget) -> None:
    site.rules, site.budget = [{}], budget
    site.sandbox.balance = 6
    site.many(5)
    found = site.plan()
    assert (len(found.fire), why(found.held)) == (2, {"insufficient_units": 3})
    assert found.money.available == 6


# --- what is there already --------------------------------------------------------------------------------------------


def test_what_waits_says_for_what_and_ends_when_its_time_is_over(site: Site) -> None:
    site.rules = [{"match": "{s}.png", "with": {"depth": "{s}_depth.jpg"}, "wait": 60.0}]
    site.write("a.png")
    (row,) = site.plan().waiting
    assert [(need.role, need.glob) for need in row.needs] == [("depth", "a_depth.jpg")]
    assert row.until is not None
    site.write("a_depth.jpg", 2, "jpg")
    found = site.plan()
    assert (len(found.fire), found.waiting) == (1, ())


def planned(site: Site, ledger: Ledger, number: int) -> list[int]:
    """Generations that the daemon's planner has queued."""
    for seed in range(number):
        site.uploaded(ledger, f"{seed}.png", seed)
    folders = {folder.name: folder for folder in site.settings().folders}
    while Planner(ledger, folders, lambda _: str(site.drop), time.time, lambda _: None).step():
        pass
    return sorted(row.id for row in ledger.stories.some())


@pytest.mark.parametrize("is_planned", [False, True])
def test_what_was_pushed_from_elsewhere_fires_by_its_name(site: Site, ledger: Ledger, is_planned: bool) -> None:
    site.rules = [{"match": "{s}.png", "with": {"depth": "{s}_depth.png"}}]
    elsewhere = site.home / "elsewhere"
    elsewhere.mkdir()
    site.watched(ledger)
    for seed, name in enumerate(("a.png", "a_depth.png")):
        (elsewhere / name).write_bytes(sample("png", seed, 4096))
        path = str(elsewhere / name)
        digest = Digest(f"{seed:064x}", seed)
        found = Version("drop", path, identity(os.lstat(path)), "image/png", digest, outside=True)
        ledger.files.record([found], time.time())
        if is_planned:
            ledger.files.uploaded(
                site.claimed(ledger), Event.STORED, time.time(), file_id=f"file {seed}", workspace_id="w",
                verified="crc32c", rule_key=name,
            )  # fmt: skip
            planned(site, ledger, 0)
    found_out = site.offline()
    assert names(found_out.fire) == ["a.png"]
    assert (found_out.failing, [need.glob for row in found_out.waiting for need in row.needs]) == (
        (),
        ["a_depth_depth.png"],
    )


def test_one_that_waited_in_vain_would_fail(site: Site, ledger: Ledger) -> None:
    site.rules = [{"match": "{s}.png", "with": {"depth": "{s}_depth.jpg"}, "wait": 60.0}]
    (id_,) = planned(site, ledger, 1)
    found = site.plan(wall=lambda: time.time() + 120)
    assert [(row.generation, row.error_code) for row in found.failing] == [(id_, "input_missing")]


def test_one_whose_rule_is_gone_would_fail(site: Site, ledger: Ledger) -> None:
    site.rules = [{}]
    (id_,) = planned(site, ledger, 1)
    site.rules = []
    found = site.plan()
    assert [(row.generation, row.error_code) for row in found.failing] == [(id_, "rule_gone")]


def test_what_was_held_back_before_is_known_and_what_is_approved_goes_ahead(site: Site, ledger: Ledger) -> None:
    site.rules, site.budget = [{}], Budget(per_generation=1)
    ids = planned(site, ledger, 3)
    for _ in ids:
        job = ledger.firing.claim("somebody", time.time())
        assert job
        assert ledger.firing.book(job, {}, 2.5, [Limits(per_generation=1)], time.time())
    ledger.firing.approve(ids[:1], time.time())
    site.write("new.png", 50)
    found = site.plan()
    assert [row.generation for row in found.fire] == ids[:1]
    assert sorted((row.known, row.generation) for row in found.held if row.known) == [(True, each) for each in ids[1:]]
    assert [row.generation for row in found.held if not row.known] == [None]
    assert {row.price for row in found.held} == {2.5}


@pytest.mark.parametrize("runs", [False, True])
def test_what_was_being_submitted_is_unknown_unless_somebody_is_at_it(site: Site, ledger: Ledger, runs: bool) -> None:
    site.rules, site.budget = [{}], Budget(daily=6)
    ids = planned(site, ledger, 3)
    job = ledger.firing.claim("somebody", time.time())
    assert job
    assert ledger.firing.book(job, {}, 2.5, [], time.time()) is None
    assert ledger.firing.claim("another", time.time())
    found = site.plan(runs=runs)
    assert [row.generation for row in found.unknown] == ([] if runs else [job.id])
    assert found.running == (1 if runs else 0)
    assert (len(found.fire), why(found.held)) == (1, {"over_daily": 1}), "what it may have cost is booked"
    assert found.money.spent == 2.5
    assert {row.generation for row in (*found.fire, *found.held)} == set(ids) - {job.id}
    assert ledger.stories.counts()[Generation.SUBMITTING] == 1


def test_results_that_came_back_by_hand_are_seen_for_what_they_are(site: Site, ledger: Ledger) -> None:
    site.rules = [{}]
    planned(site, ledger, 1)
    job = ledger.firing.claim("somebody", time.time())
    assert job
    ledger.firing.book(job, {}, None, [], time.time())
    ledger.firing.accepted(job, "r-1", time.time(), price=None, poll_at=time.time(), deadline=time.time() + 60)
    following = ledger.following.claim("somebody", time.time() + 1)
    assert following
    content = sample("png", 77, 4 * KIB)
    ledger.following.intend(following, 1, "/elsewhere/r.png", hashlib.sha256(content).hexdigest(), len(content))
    (site.drop / "again.png").write_bytes(content)
    found = site.plan()
    assert [each.error_code for each in found.folders[0].skipped] == ["generated"]
    assert (found.running, found.folders[0].uploads) == (1, ())
