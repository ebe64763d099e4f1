"""Output that is longer than the screen: which pager it goes through, and when none is needed."""

import signal
import sys
from pathlib import Path

import pytest

from layerwatch.config import load
from layerwatch.ledger import Ledger

from .conftest import Place
from .terminal import Terminal

ROWS = 30
# Says what it was given, in words that no row has.
SHOUT = f"{sys.executable} -c 'import sys; print(*(f\"<{{line.rstrip()}}>\" for line in sys.stdin), sep=chr(10))'"


@pytest.fixture(autouse=True)
def _many(place: Place, ledger: Ledger) -> None:
    for number in range(ROWS):
        place.record(ledger, f"shot{number}.png", b"%d" % number)


def ls(place: Place, environment: dict[str, str], *, lines: int = 24, arguments: tuple[str, ...] = ()) -> Terminal:
    return Terminal(["ls", "-c", str(place.config), *arguments], environment, lines=lines)


def rows(terminal: Terminal) -> int:
    return terminal.text.count("concepts/shot")


def test_what_is_longer_than_the_screen_goes_through_the_pager(place: Place) -> None:
    with ls(place, {"PAGER": SHOUT}) as terminal:
        assert terminal.end() == 0
    assert terminal.text.count("<") == ROWS + 1
    assert rows(terminal) == ROWS


def test_what_fits_does_not(place: Place) -> None:
    with ls(place, {"PAGER": SHOUT}, lines=ROWS + 2) as terminal:
        assert terminal.end() == 0
    assert rows(terminal) == ROWS
    assert "<" not in terminal.text
    with ls(place, {"PAGER": SHOUT}, lines=ROWS + 1) as terminal:
        assert terminal.end() == 0
    assert "<" in terminal.text


def test_lines_that_the_terminal_breaks_count_for_as_many(place: Place, ledger: Ledger) -> None:
    place.refuse(ledger, "x.txt", message="because " * 200)
    with Terminal(["show", "concepts/x.txt", "-c", str(place.config)], {"PAGER": SHOUT}) as terminal:
        assert terminal.end() == 0
    assert "<" in terminal.text


def test_our_own_variable_means_more(place: Place) -> None:
    with ls(place, {"PAGER": "cat", "LAYERWATCH_PAGER": SHOUT}) as terminal:
        assert terminal.end() == 0
    assert "<" in terminal.text


def test_it_is_not_taken_for_a_setting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_PAGER", "less")
    monkeypatch.setenv("LAYERWATCH_PAGES", "less")
    (warning,) = load(str(place.config), require_token=False).warnings
    assert "LAYERWATCH_PAGES" in warning


@pytest.mark.parametrize("pager", ["cat", "", "no-such-pager --at-all", "'not closed", "/"])
def test_without_a_pager_it_is_printed(place: Place, pager: str) -> None:
    with ls(place, {"PAGER": pager}) as terminal:
        assert terminal.end() == 0
    assert rows(terminal) == ROWS
    assert "Traceback" not in terminal.text
    assert "pager" not in terminal.text


def test_a_dumb_terminal_has_no_pager(place: Place) -> None:
    with ls(place, {"PAGER": SHOUT, "TERM": "dumb"}) as terminal:
        assert terminal.end() == 0
    assert "<" not in terminal.text


def test_documents_are_not_paged(place: Place) -> None:
    for argument in ("--json", "--csv"):
        with ls(place, {"PAGER": SHOUT}, arguments=(argument,)) as terminal:
            assert terminal.end() == 0
        assert "<" not in terminal.text


def test_a_pager_that_is_left_early_is_no_error(place: Place, ledger: Ledger) -> None:
    place.failure(ledger, detail="one more line\n" * 20_000)
    with Terminal(["show", "1", "-c", str(place.config)], {"PAGER": "head -1"}) as terminal:
        assert terminal.end() == 0
    assert [line for line in terminal.seen(1000) if line] == [f"{place.root}/shot0.png"]


def test_colours_survive_less_and_ctrl_c_is_its_own(place: Place, tmp_path: Path) -> None:
    with ls(place, {"PAGER": "less", "HOME": str(tmp_path)}) as terminal:
        terminal.wait_for("\x1b[36mqueued", "\x1b[K")
        assert rows(terminal) < ROWS
        terminal.process.send_signal(signal.SIGINT)
        terminal.enter("G")
        terminal.wait_for("shot0.png")
        terminal.enter("q")
        assert terminal.end() == 0


def test_less_is_what_there_is_by_default_and_keeps_its_own_settings(place: Place, tmp_path: Path) -> None:
    tell = tmp_path / "less"
    tell.write_text('#!/bin/sh\necho "LESS=$LESS"\ncat > /dev/null\n')
    tell.chmod(0o755)
    for said in ({}, {"LESS": "-S"}):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LAYERWATCH_PAGER": "less", **said}
        with ls(place, environment) as terminal:
            assert terminal.end() == 0
        assert f"LESS={said.get('LESS', 'FRX')}" in terminal.text
