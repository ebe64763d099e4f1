"""The README does not drift from what there is."""

import re
from pathlib import Path

from layerwatch.cli import COMMANDS

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


def test_every_command_line_that_it_gives_for_the_long_runs_can_be_run() -> None:
    for module in re.findall(r"python -m (tests\.[\w.]+)", README):
        assert (TOP / f"{module.replace('.', '/')}.py").exists()
