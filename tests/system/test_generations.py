"""A dropped file fires a generation: once, with all its inputs, over restarts; and its results come home."""

import contextlib
import json
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from layerwatch.points import OF_GENERATIONS
from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from layerwatch.sandbox.catalogue import MODELS
from tests.starts import executed
from tests.system.conftest import Site, until

KIB = 1024
MODEL = MODELS[0]["model_id"]
TWO_INPUTS = f"""
[[folders.rules]]
name = "restyle"
match = "{{shot}}_beauty.png"
model_id = "{MODEL}"
outputs = "generated"
[folders.rules.with]
depth = "{{shot}}_depth.png"
[folders.rules.parameters]
prompt = "oil painting, {{shot}}"
batch_size = 2
guidance_files = [{{ file_id = "{{file_id}}", type = "INIT" }}, {{ file_id = "{{depth.file_id}}", type = "DEPTH" }}]
"""


def restyle(*, more: str = "", parameters: str = 'prompt = "x"\nbatch_size = 1') -> str:
    return f"""
[[folders.rules]]
name = "restyle"
match = "*.png"
model_id = "{MODEL}"
outputs = "generated"
{more}
[folders.rules.parameters]
{parameters}
"""


def drop(site: Site, name: str, seed: int) -> None:
    (site.drop / name).write_bytes(sample("png", seed, 20 * KIB))


def generations(site: Site) -> list[dict[str, Any]]:
    return site.ask("SELECT * FROM generations ORDER BY id")


def statuses(site: Site) -> dict[str, int]:
    return {
        row["status"]: row["n"] for row in site.ask("SELECT status, count(*) AS n FROM generations GROUP BY status")
    }


def test_two_inputs_half_a_minute_and_a_restart_apart_fire_one_inference(site: Site) -> None:
    site.configure(folder='settle = "100ms"', more=TWO_INPUTS)
    daemon = site.start()
    drop(site, "a_beauty.png", 1)
    until(lambda: statuses(site) == {"waiting": 1}, "a generation that waits for the depth")
    assert "a_depth.png" in site.call("show", str(site.drop / "a_beauty.png")).stdout
    assert site.end(daemon) == 0
    daemon = site.start()
    time.sleep(1)
    assert site.sandbox.counters["inference"] == 0
    drop(site, "a_depth.png", 2)
    until(lambda: statuses(site) == {"complete": 1}, "the generation")

    (fired,) = site.sandbox.generations
    ids = {row["path"].rpartition("/")[2]: row["file_id"] for row in site.rows()}
    assert fired.body["prompt"] == "oil painting, a"
    assert fired.body["guidance_files"] == [
        {"file_id": ids["a_beauty.png"], "type": "INIT"},
        {"file_id": ids["a_depth.png"], "type": "DEPTH"},
    ]
    assert fired.body["session_name"] == "layerwatch g1 a_beauty.png"
    results = sorted(path.name for path in (site.drop / "generated").iterdir())
    assert results == [
        "a_beauty.restyle.1.png",
        "a_beauty.restyle.1.png.layer.json",
        "a_beauty.restyle.2.png",
        "a_beauty.restyle.2.png.layer.json",
    ]
    told = json.loads((site.drop / "generated" / "a_beauty.restyle.1.png.layer.json").read_text())
    assert told["remote_id"] == fired.id
    assert [(each["role"], each["file_id"]) for each in told["inputs"]] == [
        ("input", ids["a_beauty.png"]),
        ("depth", ids["a_depth.png"]),
    ]
    assert told["request"] == fired.body
    assert told["price_creative_units"] == 5.0
    time.sleep(1.5)
    assert site.end(daemon) == 0
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 2}, "results are no new files"
    assert len(site.sandbox.generations) == 1


def test_run_once_sees_its_generations_through(site: Site) -> None:
    site.configure(folder='settle = "100ms"', more=restyle())
    site.sandbox.faults = Faults(slow_s=1.0)
    drop(site, "a.png", 1)
    result = site.once()
    assert result.returncode == 0, result.stderr
    assert statuses(site) == {"complete": 1}
    assert (site.drop / "generated" / "a.restyle.png").exists()


def fired(site: Site) -> Counter[str]:
    """How often each file has fired, by the file_id that was sent."""
    return Counter(made.body["guidance_files"][0]["file_id"] for made in site.sandbox.generations)


def settle_what_is_unknown(site: Site) -> None:
    """As a person would who looks it up in Layer: adopt what was started, refire what was not."""
    started = {made.body["session_name"]: made.id for made in site.sandbox.generations}
    for row in generations(site):
        if row["status"] == "unknown":
            name = json.loads(row["request"])["session_name"]
            how = ["--adopt", started[name]] if name in started else ["--refire"]
            assert site.call("resolve", f"g{row['id']}", *how, "--reason", "looked it up").returncode == 0


POINTS = [point for point in OF_GENERATIONS if point not in ("delivering", "delivered")]


@pytest.mark.parametrize("point", POINTS)
def test_ended_at_this_point_of_firing_nothing_is_fired_twice_or_forgotten(site: Site, point: str) -> None:
    site.configure(folder='settle = "50ms"', more=restyle(more="[folders.rules.budget]\ndaily = 1000"))
    for seed in range(3):
        drop(site, f"{seed}.png", seed)
    assert site.once(LAYERWATCH_END_AT=f"{point}:2").returncode == -signal.SIGKILL
    assert site.once().returncode in (0, 1)
    unknown = [row for row in generations(site) if row["status"] == "unknown"]
    assert {row["error_code"] for row in unknown} <= {"interrupted"}, "only what may have been started is unknown"
    assert unknown or point not in ("booked", "fired")
    settle_what_is_unknown(site)
    assert site.once().returncode == 0
    assert statuses(site) == {"complete": 3}
    assert sorted(fired(site).values()) == [1, 1, 1]
    results = sorted(path.name for path in (site.drop / "generated").iterdir())
    assert results == sorted(f"{n}.restyle.png{end}" for n in range(3) for end in ("", ".layer.json"))


@pytest.mark.long
def test_two_hundred_generations_ended_at_every_point_with_lost_answers(site: Site) -> None:
    site.configure(
        folder='settle = "50ms"', upload="workers = 4", more=restyle(parameters='prompt = "{stem}"\nbatch_size = 1')
    )
    site.sandbox.balance = 10_000
    site.sandbox.faults = Faults(lost_posts=0.1, broken_posts=0.05, asset_404=0.05, slow_s=0.3, seed=3)
    for seed in range(200):
        drop(site, f"{seed}.png", seed)
    lucky = random.Random(3)
    for point in POINTS:
        assert site.once(LAYERWATCH_END_AT=f"{point}:{lucky.randrange(1, 12)}").returncode == -signal.SIGKILL
    site.once()
    site.sandbox.faults = Faults()
    site.once()
    assert set(statuses(site)) <= {"complete", "failed", "blocked", "unknown"}, statuses(site)
    assert len(generations(site)) == 200, "none is missing"
    assert set(fired(site).values()) == {1}, "none is fired twice"
    by_name = {made.body["session_name"] for made in site.sandbox.generations}
    for row in generations(site):
        name = json.loads(row["request"])["session_name"]
        assert row["status"] != "complete" or name in by_name
        assert row["status"] == "unknown" or (row["remote_id"] is not None) == (name in by_name)
    known = {row["remote_id"] for row in generations(site)}
    lost = {made.id for made in site.sandbox.generations} - known
    # An answer is lost by a fault, or by a kill between the request and its answer, or by both at once.
    faults = site.sandbox.counters["fault_lost_posts"] + site.sandbox.counters["fault_broken_posts"]
    codes = Counter(row["error_code"] for row in generations(site) if row["status"] == "unknown")
    assert set(codes) <= {"network", "interrupted"}
    assert codes["network"] <= faults <= codes.total()
    settle_what_is_unknown(site)
    assert site.call("retry", "--all-failed").returncode == 0
    site.once()
    assert statuses(site) == {"complete": 200}
    assert set(fired(site).values()) == {1}
    assert lost <= {row["remote_id"] for row in generations(site)}


def test_what_the_day_does_not_allow_is_blocked_and_goes_on_when_it_is_approved(site: Site) -> None:
    site.configure(folder='settle = "50ms"', more=restyle() + "[budget]\ndaily = 100\n")
    site.sandbox.balance = 10_000
    site.sandbox.faults = Faults(price=10, slow_s=0.05)
    for seed in range(50):
        drop(site, f"{seed}.png", seed)
    assert site.once().returncode == 0
    assert statuses(site) == {"complete": 10, "blocked": 40}
    held = [row for row in generations(site) if row["status"] == "blocked"]
    assert {row["error_code"] for row in held} == {"over_daily"}
    assert {row["error"] for row in held} == {
        "10 Creative Units more than the 100 of today; the budget allows 100 a day"
    }
    assert site.once().returncode == 0
    assert len(site.sandbox.generations) == 10, "a restart is no new day"
    assert "40 blocked" in site.call("status").stdout
    assert site.call("approve", f"g{held[0]['id']}", f"g{held[1]['id']}").returncode == 0
    assert site.once().returncode == 0
    assert statuses(site) == {"complete": 12, "blocked": 38}
    assert set(fired(site).values()) == {1}


def test_a_burst_is_stopped_and_said_once(site: Site) -> None:
    site.configure(folder='settle = "50ms"', upload="workers = 8", more=restyle() + "[budget]\nburst = 20\n")
    site.sandbox.balance = 10_000
    for seed in range(500):
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 2 * KIB))
    daemon = site.start()
    until(lambda: statuses(site) == {"complete": 20, "blocked": 480}, "20 to fire, and the rest to be held")
    assert site.end(daemon) == 0
    assert len(site.sandbox.generations) == 20
    held = [event for event in site.events() if event["event"] == "generation_held"]
    assert [event["level"] for event in held if event["level"] != "debug"] == ["warning"]
    assert site.call("approve", "--yes").returncode == 0
    assert statuses(site) == {"complete": 20, "queued": 480}


def test_results_dropped_back_by_hand_are_known_for_what_they_are(site: Site) -> None:
    site.configure(folder='settle = "50ms"', more=restyle())
    drop(site, "a.png", 1)
    assert site.once().returncode == 0
    result = site.drop / "generated" / "a.restyle.png"
    (site.drop / "again.png").write_bytes(result.read_bytes())
    assert site.once().returncode == 0
    row = next(row for row in site.rows() if row["path"].endswith("again.png"))
    assert (row["status"], row["error_code"]) == ("skipped", "generated")
    assert len(site.sandbox.generations) == 1


def test_a_chain_of_two_rules_ends_where_it_is_said_to(site: Site) -> None:
    second = f"""
[[folders]]
name = "second"
path = "{site.drop / "generated"}"
settle = "50ms"
[[folders.rules]]
name = "upscale"
match = "*.png"
model_id = "{MODELS[1]["model_id"]}"
outputs = "big"
[folders.rules.parameters]
batch_size = 1
"""
    site.configure(folder='settle = "50ms"', more=restyle(more="chain = true\nchain_depth = 1") + second)
    (site.drop / "generated").mkdir()
    drop(site, "a.png", 1)
    assert site.once().returncode == 0
    until(lambda: site.once().returncode == 0 and statuses(site) == {"complete": 2}, "the second rule")
    assert (site.drop / "generated" / "big" / "a.restyle.upscale.png").exists()
    assert [made.body["model_id"] for made in site.sandbox.generations] == [MODEL, MODELS[1]["model_id"]]


def test_sidecars_are_waited_for_and_a_changed_one_fires_nothing_by_itself(site: Site) -> None:
    site.configure(
        folder='settle = "100ms"\ninclude = ["*.png"]',
        more=restyle(more='prompt_from = ".txt"\nparameters_from = ".json"', parameters="batch_size = 1"),
    )
    daemon = site.start()
    drop(site, "a.png", 1)
    until(lambda: statuses(site) == {"waiting": 1}, "the generation to wait for its prompt")
    (site.drop / "a.txt").write_text("a fox, oil on canvas\n")
    (site.drop / "a.json").write_text('{"seed": 7, "batch_siz')
    time.sleep(1)
    assert statuses(site) == {"waiting": 1}
    (site.drop / "a.json").write_text('{"seed": 7, "batch_size": 2}')
    until(lambda: statuses(site) == {"complete": 1}, "the generation")
    body = site.sandbox.generations[0].body
    assert (body["prompt"], body["seed"], body["batch_size"]) == ("a fox, oil on canvas", 7, 2)
    (site.drop / "a.txt").write_text("a wolf")
    time.sleep(1.5)
    assert site.end(daemon) == 0
    assert site.once().returncode == 0
    assert len(site.sandbox.generations) == 1


def test_a_rule_that_was_edited_fires_nothing_for_old_files_unless_asked(site: Site) -> None:
    site.configure(folder='settle = "50ms"', more=restyle())
    drop(site, "a.png", 1)
    assert site.once().returncode == 0
    site.configure(folder='settle = "50ms"', more=restyle(parameters='prompt = "y"\nbatch_size = 1'))
    assert site.once().returncode == 0
    assert len(site.sandbox.generations) == 1
    assert site.call("retry", "--again", str(site.drop / "a.png")).returncode == 0
    assert site.once().returncode == 0
    assert [made.body["prompt"] for made in site.sandbox.generations] == ["x", "y"]


def test_a_mistake_in_a_rule_shows_before_the_first_file(site: Site) -> None:
    site.configure(folder='settle = "50ms"', more=restyle(parameters="batch_size = 1"))
    drop(site, "a.png", 1)
    result = site.once()
    assert result.returncode == 2
    assert "prompt" in result.stderr
    assert site.rows() == []


def test_commands_and_webhooks_follow_uploads_and_results(site: Site, tmp_path: Any) -> None:
    out = tmp_path / "told"
    script = f'printf "%s\\\\n" "$LAYERWATCH_EVENT $LAYERWATCH_PATH $LAYERWATCH_OUTPUTS" >> {out}'
    hook = f"command = ['sh', '-c', '{script}']"
    site.configure(
        folder='settle = "50ms"',
        more=f"[folders.on_uploaded]\n{hook}\n[folders.on_complete]\n{hook}\n" + restyle(),
    )
    drop(site, "a.png", 1)
    result = site.once()
    assert result.returncode == 0, result.stderr
    here = site.drop / "a.png"
    assert sorted(out.read_text().splitlines()) == [
        f"complete {here} {site.drop / 'generated' / 'a.restyle.png'}",
        f"uploaded {here} ",
    ]


@pytest.mark.parametrize("megabytes", [200])
def test_a_large_result_is_streamed(site: Site, megabytes: int) -> None:
    site.configure(folder='settle = "50ms"', more=restyle())
    site.sandbox.faults = Faults(asset_bytes=megabytes * 1_000_000, slow_s=0.05)
    drop(site, "a.png", 1)
    site.started = executed  # a fork begins with the memory that its parent held, and so does a resource usage
    process = site.start("--once")
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak, *map(int, re.findall(r"^VmHWM:\s+(\d+)", told, re.MULTILINE))])
        time.sleep(0.01)
    assert process.wait() == 0, site.said()
    assert (site.drop / "generated" / "a.restyle.png").stat().st_size == megabytes * 1_000_000
    assert 0 < peak < 100 * KIB, "KiB"
