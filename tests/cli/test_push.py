"""`layerwatch push` as the whole command line reads it."""

import json
import os

import pytest
from click.testing import CliRunner, Result

from layerwatch.cli import cli
from tests.cli.conftest import Place
from tests.ledger.builders import raw


def push(place: Place, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["push", "-c", str(place.config), *arguments])


def rows(place: Place) -> list[tuple[object, ...]]:
    return raw(place.path, "SELECT path, folder FROM pushed") if os.path.exists(place.path) else []


def test_it_makes_the_ledger_and_records(place: Place) -> None:
    path = place.write("a.png")
    done = push(place, "--folder", "textures", path)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert done.stderr == "1 file recorded for upload\n"
    assert rows(place) == [(path, "textures")]


def test_for_machines(place: Place) -> None:
    path = place.write("a.png")
    assert json.loads(push(place, "--json", path).stdout) == {"pushed": [{"push": 1, "path": path}]}


def test_all_or_none_with_every_fault_told(place: Place) -> None:
    done = push(place, place.write("a.png"), str(place.home / "missing\x1b.png"), str(place.home), "/dev/null")
    assert done.exit_code == 2
    assert "missing\\x1b.png: no such file or directory" in done.stderr
    assert "a directory" in done.stderr
    assert "/dev/null: not a regular file" in done.stderr
    assert done.stderr.count("nothing was recorded") == 3
    assert rows(place) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'FILE...'"),
        (["--timeout", "1s", "a.png"], "--timeout goes with --wait"),
        (["--wait", "--timeout", "soon", "a.png"], "is not a duration"),
        (["--folder", "nope", "a.png"], "name one of: concepts, textures"),
    ],
)
def test_a_command_that_cannot_be_meant(place: Place, arguments: list[str], said: str) -> None:
    done = push(place, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert rows(place) == []


def test_a_folder_must_not_be_called_as_those_files_are_that_lie_in_none(place: Place) -> None:
    place.config.write_text(place.config.read_text().replace("textures", "pushed"))
    done = push(place, place.write("a.png"))
    assert done.exit_code == 2
    assert "give the folder another name" in done.stderr


def test_waiting_without_a_token_says_so_and_keeps_what_it_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAYER_TOKEN", raising=False)
    done = push(place, "--wait", place.write("a.png"))
    assert done.exit_code == 2
    assert "recorded for upload" in done.stderr
    assert "token" in done.stderr
    assert len(rows(place)) == 1
