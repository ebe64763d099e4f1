"""The README does not drift from what there is."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from layerwatch.actions import signed
from layerwatch.cli import COMMANDS
from layerwatch.config import load
from layerwatch.config.environment import _FACTS
from layerwatch.states import Generation

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
    config.write_text(folder + block if block.startswith("[[folders.rules]]") else block)
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
        assert (TOP / f"{module.replace('.', '/')}.py").exists()
