"""The README does not drift from what there is."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from layerwatch.actions import signed
from layerwatch.cli import COMMANDS
from layerwatch.config import load
from layerwatch.config.environment import _FACTS
from layerwatch.states import Generation

from .cli.conftest import SECRET, Place

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^\| `layerwatch (\w+)", README, re.MULTILINE))
    assert described == set(COMMANDS)


def test_ci_finds_the_test_command() -> None:
    assert len(re.findall(r"^    python3 -m venv .*pytest$", README, re.MULTILINE)) == 1
    assert len(re.findall(r"^    python3 -m venv .*layerwatch demo$", README, re.MULTILINE)) == 1


def test_every_room_is_in_the_table_and_every_room_in_the_table_is_there() -> None:
    named = set(re.findall(r"`(\w+(?:\.py|/))`", README[README.index("## How it is built") :]))
    there = {path.name for path in (TOP / "layerwatch").glob("*.py")}
    there |= {f"{path.name}/" for path in (TOP / "layerwatch").iterdir() if path.is_dir()}
    assert named <= there


def test_rooms_stand_above_those_that_they_import_from() -> None:
    (layers,) = (
        contract["layers"]
        for contract in tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    floor = {room: at for at, layer in enumerate(reversed(layers)) for room in re.findall(r"\w+", layer)}
    rows = re.findall(r"^\| \d \| (.+?) \|", README, re.MULTILINE)
    floors = [sorted(floor[room] for room in re.findall(r"`(\w+)(?:\.py|/)`", row)) for row in reversed(rows)]
    assert all(below[-1] < above[0] for below, above in pairwise(floors))


@pytest.mark.parametrize("block", re.findall(r"^```toml\n(.+?)^```", README, re.MULTILINE | re.DOTALL))
def test_every_configuration_loads(block: str, tmp_path: Path) -> None:
    folder = '[[folders]]\nname = "drop"\npath = "/srv/drop"\n'
    config = tmp_path / "config.toml"
    config.write_text(block if "[[folders]]" in block else folder + block)
    assert load(str(config), require_token=False).folders


def test_the_signature_of_a_webhook_is_verified_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
    room: dict[str, object] = {}
    exec(f"import hashlib, hmac, time\nfrom collections.abc import Mapping\n{code}", room)
    is_from_layerwatch = room["is_from_layerwatch"]
    assert callable(is_from_layerwatch)
    now, body = 1_800_000_000, b'{"event": "complete"}'
    headers = signed(body, "secret", delivery="7", at=now)
    monkeypatch.setattr("time.time", lambda: now + 299.0)
    assert is_from_layerwatch("secret", headers, body)
    assert not is_from_layerwatch("another", headers, body)
    assert not is_from_layerwatch("secret", headers, body + b" ")
    assert not is_from_layerwatch("secret", headers | {"X-Layerwatch-Timestamp": str(now + 1)}, body)
    monkeypatch.setattr("time.time", lambda: now + 301.0)
    assert not is_from_layerwatch("secret", headers, body)


def test_the_facts_that_commands_find_are_all_there() -> None:
    rows = re.findall(r"^\| `on_\w+` \| (.+) \|$", README, re.MULTILINE)
    named = {name.lower() for row in rows for name in re.findall(r"`(?:LAYERWATCH)?_([A-Z_]+)`", row)}
    assert len(rows) == 2
    assert named == _FACTS


def test_every_status_of_a_generation_is_told() -> None:
    ledger = README[README.index("## The ledger") :]
    assert [status for status in Generation if f"`{status}`" not in ledger] == []


def test_every_command_line_that_it_gives_for_the_long_runs_can_be_run() -> None:
    for module in re.findall(r"python -m (tests\.[\w.]+)", README):
        place = TOP / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()


# --- questions to the ledger ------------------------------------------------------------------------------------------

LEDGER = README[README.index("## The ledger") : README.index("## Try it without an account")]
QUESTIONS = re.findall(r"^```sql\n(.+?)^```", LEDGER, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A ledger with something of everything, and a live one: what came last is in its write-ahead log."""
    place = Place(tmp_path.resolve())
    with place.open() as ledger:
        place.watched(ledger)
        for name in ("a.png", "copy of a.png"):
            place.record(ledger, name, b"same", ago_s=90)
            place.trouble(ledger, after_s=-1)
            place.upload(ledger)
        place.record(ledger, "refused.png", b"r")
        place.failure(ledger)
        place.refuse(ledger, "notes.txt")
        place.complete(ledger, "b.png", charged=8)
        place.complete(ledger, "c.png", saved=False)
        assert ledger.firing.refire(place.unknown(ledger, "d.png"), time.time(), "")
        again = place.take(ledger)
        assert ledger.firing.book(again, place.request(again), 3.0, [], time.time()) is None
        place.failing(ledger, "e.png", charged=2)
        place.record(ledger, "going.png", b"g")
        place.claim(ledger, sent=1)
        yield place


def asked(path: str, question: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(question)]
    finally:
        connection.close()


def answer(place: Place, *words: str) -> list[dict[str, Any]]:
    """To the one question that has these words."""
    (question,) = [each for each in QUESTIONS if all(word in each for word in words)]
    return asked(place.path, question)


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_an_answer(place: Place, question: str) -> None:
    assert asked(place.path, question)


def test_the_answers_are_right(place: Place) -> None:
    (hour,) = answer(place, "AS hour")
    assert (hour["files"], len(hour["hour"])) == (6, 13)
    (day,) = answer(place, "AS bytes", "uploaded_at, 1, 10")
    assert (day["folder"], day["files"], day["bytes"]) == ("concepts", 6, 2 * 4 + 4 * 5)
    slowest = answer(place, "LIMIT 20", "AS seconds")
    assert [Path(row["path"]).name for row in slowest[:2]] == ["a.png", "copy of a.png"]
    assert 90 <= slowest[1]["seconds"] <= slowest[0]["seconds"]
    (took,) = answer(place, "p95")
    assert took["p50"] < 90 <= took["p95"] <= took["p99"] <= took["slowest"]
    reasons = {(row["what"], row["status"], row["error_code"]): row["number"] for row in answer(place, "'generation'")}
    assert reasons["file", "failed", "rejected"] == reasons["file", "skipped", "unsupported_type"] == 1
    assert reasons["generation", "failed", "DOWNSTREAM_SERVICE_ERROR"] == 1
    met = {(row["event"], row["error_code"]): row["number"] for row in answer(place, "FROM history")}
    assert met["postponed", "network"] == 2
    (made,) = answer(place, "FROM results")
    assert (Path(made["input"]).name, made["saved"], made["bytes"]) == ("b.png", 1, 6)
    (twice,) = answer(place, "HAVING")
    assert (twice["paths"], twice["bytes"]) == (2, 4)


def test_the_question_of_what_it_cost_says_what_spend_says(place: Place) -> None:
    rows = answer(place, "earlier_bookings")
    told = [{name: row[name] for name in rows[0]} for row in place.told("spend")["rows"]]
    assert rows == told
    assert rows[0]["booked"] > rows[0]["charged"] > 0


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 program is not installed")
def test_the_ledger_is_read_and_copied_as_it_says_while_it_is_written(place: Place) -> None:
    programs = ("sqlite3 ", "sqlite-utils ", "umask ")
    blocks = re.findall(r"^```sh\n(.+?)^```", LEDGER, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(programs)]
    assert len(lines) == 6
    home = Path(place.path).parent
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "\n".join(["set -e", *lines])
    done = subprocess.run(["sh", "-c", script], cwd=home, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "uploaded|6" in done.stdout
    whole = asked(place.path, "SELECT * FROM history")
    for name in ("backup.db", "report.db"):
        assert asked(str(home / name), "SELECT * FROM history") == whole
        assert (home / name).stat().st_mode & 0o077 == 0
    assert SECRET.encode() in (home / "backup.db").read_bytes()
    assert b"SECRET" not in (home / "report.db").read_bytes()
