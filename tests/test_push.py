"""The short way of `layerwatch push`: what it understands by itself, and what it leaves to the whole command line."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch import locate, push
from layerwatch.ledger import Ledger
from tests.ledger.builders import raw
from tests.ledgers import new_ledger


class Place:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "config.toml"
        self.ledger = str(home / "ledger.db")
        self.config.write_text('[ledger]\npath = "ledger.db"\n[[folders]]\nname = "concepts"\npath = "concepts"\n')
        new_ledger(self.ledger).close()

    def file(self, name: str = "a.png") -> str:
        (self.home / name).write_text("x")
        return str(self.home / name)

    def push(self, *arguments: str) -> bool:
        return push.main(["-c", str(self.config), *arguments])

    def rows(self) -> list[tuple[object, ...]]:
        return raw(self.ledger, "SELECT path, folder FROM pushed ORDER BY id")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


def test_each_file_is_a_row(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = place.file("a.png"), place.file("-b.png")
    assert place.push("--folder=concepts", one, "--", two)
    assert place.rows() == [(one, "concepts"), (two, "concepts")]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "2 files recorded for upload\n"


def test_its_rows_are_like_those_of_the_ledgers_own_room(place: Place) -> None:
    path = place.file()
    assert place.push(path)
    with Ledger(place.ledger) as ledger:
        ledger.pushes.add([path], None, 1_750_000_000.0)
    (one, two) = raw(place.ledger, "SELECT created_at, path, folder, taken_at, file, error_code, error FROM pushed")
    assert one[1:] == two[1:]
    times = [re.sub(r"\d", "0", str(row[0])) for row in (one, two)]
    assert times[0] == times[1] == "0000-00-00T00:00:00.000000Z"


def test_for_machines(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.file()
    assert place.push("--json", path)
    assert json.loads(capsys.readouterr().out) == {"pushed": [{"push": 1, "path": path}]}


def test_links_are_resolved_and_names_need_not_be_utf_8(place: Place) -> None:
    name = os.fsdecode(b"\xff.png")
    (place.home / "link.png").symlink_to(place.file(name))
    assert place.push(str(place.home / "link.png"))
    assert place.rows() == [(os.fsencode(place.home / name), None)]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["-h"],
        ["--wait", "a.png"],
        ["--what", "a.png"],
        ["a.png", "--folder"],
        ["--folder", "nope", "a.png"],
        ["a.png", "missing.png"],
        ["a.png", "."],
        ["a.png", "/dev/null"],
        ["a.png", "-cmissing"],
        ["a.png", "--config", "missing.toml"],
    ],
)
def test_what_is_not_plain_is_left_to_the_command_line(
    place: Place, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.home)
    place.file()
    assert not push.main([] if not arguments else ["-c", str(place.config), *arguments])
    assert place.rows() == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("ledger", ["none", "empty", "old", "alien", "directory"])
def test_so_is_a_ledger_that_is_not_ready(place: Place, ledger: str) -> None:
    path = Path(place.ledger)
    path.unlink()
    match ledger:
        case "empty" | "alien":
            path.write_text("" if ledger == "empty" else "no database, and long enough to tell" * 9)
        case "old":
            raw(place.ledger, "CREATE TABLE files (id)")
        case "directory":
            path.mkdir()
    assert not place.push(place.file())


def test_the_environment_wins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(place.home / "other.db")
    Ledger(other).close()
    monkeypatch.setenv("LAYERWATCH_LEDGER__PATH", other)
    monkeypatch.setenv("LAYERWATCH_FOLDERS", '[{"name": "textures", "path": "/t"}]')
    assert place.push("--folder", "textures", place.file())
    assert not place.push("--folder", "concepts", place.file())
    assert place.rows() == []
    assert raw(other, "SELECT count(*) FROM pushed") == [(1,)]
    monkeypatch.setenv("LAYERWATCH_LEDGER", '{"path": "/elsewhere.db"}')
    assert not place.push(place.file())


# --- the configuration at a glance ------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        "[ledger]", " [ledger] ", "[ledger] # here", "[ 'ledger' ]", '["ledger"]', "[ledger.more]", "[[ledger]]",
        "[api]", "[[folders]]", "# [ledger]", 'path = "/x/ledger.db"', 'path = "ledger.db" # so', "path = 'l.db'",
        'path="~/l"', 'path = ""', 'path = "a\\u0062"', '"path" = "q"', "# path = \"z\"", 'name = "ledger"',
        'ledger = { path = "/inline" }', 'ledger.path = "/dotted"', 'name = """', '"""', "include = [", "'a',", "]",
        "[1]", "", 'more = "x"', "path = 3", '[[folders.rules]]', 'note = "a # ledger"', "x = '''", "'''",
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_it_is_right_about_every_text_that_toml_is(lines: list[str], end: str) -> None:
    text = end.join(lines)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    glance = push.ledger_section(text)
    if glance is not None:
        section = table.get("ledger", {})
        assert {key: value for key, value in section.items() if key == "path"} == glance


def test_it_tells_the_usual_ones() -> None:
    example = (Path(__file__).parent.parent / "config.example.toml").read_text()
    assert push.ledger_section('[api]\na = 1\n\n[ledger]\n# where\npath = "/a/b.db"\n[upload]\n') == {"path": "/a/b.db"}
    assert push.ledger_section("[api]\na = 1\n") == {}
    assert push.ledger_section("[ledger]\npath = '/a'\n") is None
    glance = push.ledger_section(example)
    if glance is not None:
        table = {"ledger": glance}
        assert locate.ledger_path(table, "/c.toml") == locate.ledger_path(tomllib.loads(example), "/c.toml")
