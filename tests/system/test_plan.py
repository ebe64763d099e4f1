"""`layerwatch plan` against what a run then does, and beside one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from layerwatch.sandbox.catalogue import MODELS, WORKFLOWS
from tests.system.conftest import Site, until

KIB = 1024
GENERATIONS = "SELECT id, status, remote_id, booked FROM generations"  # what it polls, the daemon changes itself
RULES = f"""
[[folders.rules]]
name = "restyle"
match = "{{shot}}_beauty.png"
model_id = "{MODELS[0]["model_id"]}"
outputs = "generated"
[folders.rules.with]
depth = "{{shot}}_depth.png"
[folders.rules.parameters]
prompt = "oil painting, {{shot}}"
batch_size = 2
[[folders.rules]]
name = "relight"
match = "*.jpg"
kind = "workflow"
workflow_id = "{WORKFLOWS[1]["workflow_id"]}"
[folders.rules.parameters]
image = "{{file_id}}"
"""
UPSCALE = f"""
[[folders.rules]]
name = "upscale"
match = "*.png"
model_id = "{MODELS[1]["model_id"]}"
[folders.rules.parameters]
batch_size = 1
"""


def plan(site: Site, *arguments: str, **environment: str) -> dict[str, Any]:
    result = site.call("plan", "--json", *arguments, **environment)
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def drop(site: Site, name: str, seed: int, suffix: str = "png") -> None:
    (site.drop / name).write_bytes(sample(suffix, seed, 4 * KIB))


def generations(site: Site) -> dict[str, int]:
    found = site.ask("SELECT status, count(*) AS n FROM generations GROUP BY status")
    return {row["status"]: row["n"] for row in found}


def listing(folder: Path) -> list[tuple[str, int, int]]:
    paths = [folder, *sorted(folder.rglob("*"))]
    return [(str(path), path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in paths]


def foreseen(document: dict[str, Any]) -> dict[str, int]:
    totals = document["totals"]
    expected = {"complete": totals["fire"], "blocked": totals["held"], "waiting": totals["waiting"]}
    return {status: number for status, number in expected.items() if number}


@pytest.mark.parametrize(
    ("budget", "price"),
    [("daily = 45", 4), ("burst = 7", 4), ("per_generation = 4.5", None), ("", None), ("", 300)],
    ids=["daily", "burst", "per generation", "no budget", "little left"],
)
def test_a_run_does_what_was_planned(site: Site, budget: str, price: float | None) -> None:
    site.configure(folder='settle = "100ms"', more=f"{RULES}{UPSCALE}[budget]\n{budget}\n")
    site.sandbox.faults = Faults(slow_s=0.05)
    drop(site, "first.jpg", 90, "jpg")
    assert site.once().returncode == 0
    for seed in range(6):
        drop(site, f"{seed}_beauty.png", 2 * seed)
        drop(site, f"{seed}_depth.png", 2 * seed + 1)
    drop(site, "lonely_beauty.png", 50)
    drop(site, "twin.png", 0)
    drop(site, "b.jpg", 91, "jpg")
    (site.drop / "notes.txt").write_text("no image")
    (site.drop / "cut.png").write_bytes(sample("png", 60, 4 * KIB)[:-16])
    site.sandbox.faults = Faults(slow_s=0.05, price=price)  # else it is chance which ones come first
    before, fired = generations(site), len(site.sandbox.generations)
    spent = site.sandbox.balance.available

    document = plan(site)
    assert len(site.sandbox.generations) == fired
    totals = document["totals"]
    assert site.once().returncode == 0
    assert totals["uploads"] == 14
    assert totals["reused"] == 1
    assert {"uploaded": 1 + totals["uploads"] + totals["reused"], "skipped": totals["skipped"]} == site.statuses()
    assert [each["path"] for each in document["folders"][0]["waiting"]] == [str(site.drop / "cut.png")]
    assert len(site.sandbox.generations) - fired == totals["fire"]
    happened = generations(site)
    happened["complete"] -= before.get("complete", 0)
    assert foreseen(document) == {status: number for status, number in happened.items() if number}
    assert spent - site.sandbox.balance.available == totals["price"] == document["budget"]["would_spend"]
    codes = {row["error_code"] for row in site.ask("SELECT error_code FROM generations WHERE status = 'blocked'")}
    assert {row["error_code"] for row in document["held"]} == codes

    after = plan(site)
    same = ("not_taken_yet", "held", "waiting")
    assert {key: after["totals"][key] for key in same} == {key: totals[key] for key in same}
    assert not [key for key, count in after["totals"].items() if count and key not in (*same, "held_price")]
    assert all(row["known"] for row in after["held"])


def test_beside_a_daemon_it_sees_what_is_on_its_way_and_disturbs_nothing(site: Site) -> None:
    site.configure(folder='settle = "100ms"', upload='workers = 1\nmax_bandwidth = "20KB/s"', more=UPSCALE)
    site.sandbox.faults = Faults(slow_s=600)
    drop(site, "a.png", 1)
    daemon = site.start()
    until(lambda: generations(site) == {"running": 1}, "a generation that runs")
    (site.drop / "large.png").write_bytes(sample("png", 2, 1200 * KIB))
    until(lambda: site.statuses().get("uploading"), "an upload that is under way")
    drop(site, "b.png", 3)
    until(lambda: site.statuses().get("queued"), "one behind it")
    before = listing(site.drop)
    rows = site.ask(GENERATIONS)
    document = plan(site)
    assert document["daemon"] == daemon.pid
    (folder,) = document["folders"]
    assert sorted(os.path.basename(each["path"]) for each in folder["uploads"]) == ["b.png", "large.png"]
    assert (document["running"], document["totals"]["fire"]) == (1, 2)
    assert listing(site.drop) == before
    assert site.ask(GENERATIONS) == rows
    assert site.statuses() == {"uploaded": 1, "uploading": 1, "queued": 1}
    time.sleep(0.5)
    assert daemon.poll() is None
    assert site.end(daemon) == 0
    assert not [event for event in site.events() if event["event"] in ("ledger_trouble", "lost_claim")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing_behind(site: Site, tmp_path: Path, number: signal.Signals) -> None:
    site.configure(more=UPSCALE)
    drop(site, "first.png", 1)
    assert site.once().returncode == 0
    for seed in range(2000):
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 700))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "layerwatch", "plan", "-c", str(site.config)]
    process = subprocess.Popen(command, env=site.environment(TMPDIR=str(temporary)), stderr=subprocess.DEVNULL)
    until(lambda: list(temporary.glob("*/ledger.db-wal")), "the copy")
    process.send_signal(number)
    assert process.wait(30) != 0
    assert list(temporary.iterdir()) == []
    assert site.statuses() == {"uploaded": 1}


def test_without_a_token_or_beyond_the_network_only_prices_are_missing(site: Site) -> None:
    site.configure(folder='settle = "100ms"', more=UPSCALE)
    drop(site, "a.png", 1)
    for environment in ({"LAYER_TOKEN": ""}, {"LAYERWATCH_API__BASE_URL": "http://127.0.0.1:9/api"}):
        document = plan(site, **environment)
        assert document["totals"]["uploads"] == document["totals"]["fire"] == document["totals"]["without_price"] == 1
        assert len(document["warnings"]) == 1
    assert site.sandbox.counters.total() == 0
    assert not site.ledger.exists()


def test_a_mistake_is_told_before_a_run_makes_it(site: Site) -> None:
    site.configure(more=UPSCALE.replace("batch_size = 1", 'batch_size = "one"'))
    drop(site, "a.png", 1)
    assert plan(site)["totals"]["failing"] == 1
    assert site.once().returncode == 1
    site.configure(more=RULES.replace("prompt", "promt"))
    planned, ran = site.call("plan"), site.once()
    assert planned.returncode == ran.returncode == 2
    assert planned.stderr.startswith("error: ")
    assert ran.stderr.endswith(planned.stderr)
    site.configure(more="surprise = 1")
    assert site.call("plan").returncode == 2
