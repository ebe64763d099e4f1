"""`layerwatch plan`: what it tells people and scripts. What it finds is for `test_preview` and `system/test_plan`."""

import json
import os
import time
from pathlib import Path

import pytest

from layerwatch.advice import generation_advice
from layerwatch.ledger import FolderState, Ledger
from layerwatch.samples import sample
from layerwatch.sandbox import Sandbox
from layerwatch.sandbox.catalogue import MODELS

from .conftest import HOSTILE, MODEL, RULE, Place, harmless
from .terminal import Terminal

KIB = 1024
TOTALS = (
    "2 uploads (20.0 KiB)",
    "1 re-used",
    "2 generations",
    "about 20 Creative Units",
    "0 of 25 spent today (UTC)",
    "1000 in the workspace",
)


def drop(place: Place, name: str, seed: int = 1, size: int = 10 * KIB) -> None:
    place.write(name, sample("png", seed, size))


@pytest.fixture
def prices(place: Place, monkeypatch: pytest.MonkeyPatch) -> "Sandbox":
    """Somebody to ask: one generation of the rule costs 10 Creative Units."""
    sandbox = Sandbox(token="sandbox-token")
    sandbox.start()
    monkeypatch.setenv("LAYERWATCH_API__BASE_URL", sandbox.base_url)
    monkeypatch.setenv("LAYER_WORKSPACE_ID", sandbox.workspace_id)
    monkeypatch.setenv("LAYER_TOKEN", "sandbox-token")
    return sandbox


def test_all_of_it_at_once(place: Place, prices: Sandbox) -> None:
    rule = RULE.replace('"*.png"', '"{shot}_beauty.png"').replace("restyle", "paint")
    place.configure(concepts=f'{RULE}{rule}[folders.rules.with]\ndepth = "{{shot}}_depth.jpg"\n', budget="daily = 25\n")
    os.rename(place.home / "textures", place.home / "elsewhere")
    drop(place, "a_beauty.png", 1)
    drop(place, "copy.png", 1)
    drop(place, "b.png", 2)
    place.write("notes.txt", b"no image")
    place.write("cut.png", sample("png", 3, 10 * KIB)[:-16])
    with prices:
        said = place.said("plan", "--all").splitlines()
    assert said[:2] == [f"concepts  {place.root}", "  2 files to upload, 20.0 KiB"]
    sent, reused = sorted(said[2:4]), said[5]
    assert sorted([*sent, reused]) == [f"    concepts/{name}.png  10.0 KiB" for name in ("a_beauty", "b", "copy")]
    assert "    concepts/b.png  10.0 KiB" in sent, "which one of the twins comes first is chance"
    assert [line for at, line in enumerate(said) if at not in (0, 1, 2, 3, 5)] == [
        "  1 file with the bytes of another one: its file_id is used, nothing is sent",
        "  1 file not taken yet",
        "    concepts/cut.png",
        "      PNG ends before its IEND chunk",
        "  1 file skipped: unsupported_type",
        "    concepts/notes.txt",
        "",
        f"textures  away: {place.home}/textures: no such file or directory",
        "",
        "would be fired",
        "  restyle of concepts: 2 generations, 10 each, about 20 Creative Units",
        "",
        "would be held back",
        "  over_daily: 1 generation, about 10 Creative Units",
        "    10 Creative Units more than the 20 of today; the budget allows 25 a day",
        f"    do: {generation_advice('over_daily', 'blocked')}",
        "",
        "would wait for inputs",
        "  concepts/a_beauty.png by paint",
        "    waits for depth (a_depth.jpg)",
        "",
        f"in all    {', '.join(TOTALS)}",
    ]


def test_nothing_to_do_is_said_shortly(place: Place) -> None:
    assert place.said("plan").splitlines() == [
        f"concepts  {place.root}",
        "  nothing new",
        "",
        f"textures  {place.home}/textures",
        "  nothing new",
        "",
        "in all    0 uploads (0 B)",
    ]


def test_only_so_many_are_listed_unless_all_are_asked_for(place: Place) -> None:
    for seed in range(13):
        drop(place, f"{seed}.png", seed)
    assert place.said("plan").count("    concepts/") == 10
    assert "    and 3 more; --all lists them" in place.said("plan").splitlines()
    assert place.said("plan", "--all").count("    concepts/") == 13
    assert "more" not in place.said("plan", "--all")


def test_one_document_has_all_of_it(place: Place) -> None:
    place.configure(concepts=RULE)
    drop(place, HOSTILE)
    result = place.call("plan", "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("note: prices are not known")
    document = json.loads(result.stdout)
    assert set(document) == {
        "ledger", "daemon", "folders", "fire", "held", "waiting", "failing", "unknown", "running", "budget", "totals",
        "warnings",
    }  # fmt: skip
    assert (document["ledger"], document["daemon"]) == (place.path, None)
    path = os.path.join(place.root, HOSTILE)
    concepts, textures = document["folders"]
    assert concepts["uploads"] == [{"path": path, "size": 10 * KIB, "left": 10 * KIB, "content_type": "image/png"}]
    assert {key: textures[key] for key in ("state", "uploads", "reused", "waiting", "skipped", "lost", "left")} == {
        "state": "polling", "uploads": [], "reused": [], "waiting": [], "skipped": [], "lost": [], "left": 0,
    }  # fmt: skip
    (fire,) = document["fire"]
    assert fire == {
        "generation": None, "folder": "concepts", "rule": "restyle", "kind": "inference", "path": path, "price": None,
        "about": False, "known": False, "error_code": None, "error": None, "until": fire["until"], "needs": [],
    }  # fmt: skip
    assert document["totals"] == {
        "uploads": 1, "upload_bytes": 10 * KIB, "reused": 0, "not_taken_yet": 0, "skipped": 0, "lost": 0, "fire": 1,
        "price": 0, "without_price": 1, "held": 0, "held_price": 0, "waiting": 0, "failing": 0, "unknown": 0,
    }  # fmt: skip
    assert document["budget"].keys() == {"day", "spent", "would_spend", "daily", "available"}
    assert document["warnings"] == ["prices are not known, and limits on them not tried: there is no API token"]


def test_names_do_no_harm(place: Place) -> None:
    place.configure(concepts=RULE.replace('"*.png"', '"*.png"\nprompt_from = ".txt"'))
    drop(place, HOSTILE)
    harmless(place.said("plan"))


def test_layer_is_not_asked_if_that_is_not_wanted(place: Place, prices: Sandbox) -> None:
    place.configure(concepts=RULE)
    drop(place, "a.png")
    with prices:
        result = place.call("plan", "--offline")
        assert prices.counters.total() == 0
    assert "price unknown" in result.stdout
    assert result.stderr == "note: prices are not known, and limits on them not tried: Layer is not asked (--offline)\n"


def test_what_is_there_already_has_its_number(place: Place, ledger: Ledger) -> None:
    place.configure(concepts=RULE)
    place.blocked(ledger, "held.png")
    place.unknown(ledger, "lost.png")
    ledger.facts.folder("textures", "/", FolderState.WATCHING, time.time(), detail="", mount=None)
    lines = place.said("plan", "--offline").splitlines()
    assert "  over_daily: 1 generation (1 held back already), 10 Creative Units" in lines
    at = lines.index("may have been started: settle them with `layerwatch resolve`")
    assert lines[at + 1] == "  g2, concepts/lost.png by restyle"


def test_exit_codes(place: Place) -> None:
    place.config.write_text("surprise = 1")
    assert place.call("plan").exit_code == 2
    place.configure()
    Path(place.path).parent.mkdir(parents=True)
    Path(place.path).write_text("no database, but long enough to be one: " * 100)
    assert place.call("plan").exit_code == 2


def test_on_a_terminal_it_fits_and_leaves_no_trace_of_its_progress(place: Place, prices: Sandbox) -> None:
    place.configure(concepts=RULE.replace(MODEL, MODELS[1]["model_id"]))
    long = "a long name " * 12 + "end.png"
    drop(place, long, 1)
    environment = {name: os.environ[name] for name in os.environ if name.startswith("LAYER")}
    with prices, Terminal(["plan", "-c", str(place.config)], environment, columns=80) as terminal:
        assert terminal.end() == 0
    seen = terminal.seen()
    assert "\x1b[36m1 file\x1b[0m to upload" in terminal.text
    assert [line for line in seen if "looking through" in line or "files to upload" in line] == []
    line = next(line for line in seen if line.startswith("    concepts/a long"))
    assert len(line) == 80
    assert line.endswith("end.png  10.0 KiB")
    assert [line for line in seen if line][-2:] == [
        "in all    1 upload (10.0 KiB), 1 generation, about 16 Creative Units,",
        "          0 spent today (UTC), 1000 in the workspace",
    ]
