"""`layerwatch status --watch`: on a terminal, in a pipe, and over whatever happens meanwhile."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from layerwatch.cli.fullscreen import folded
from layerwatch.ledger import Ledger

from .conftest import HOSTILE, Place
from .terminal import PATIENCE_S, Terminal

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def watching(place: Place, *arguments: str, columns: int = 80, lines: int = 40) -> Terminal:
    command = ["status", "--watch", "--every", "0.1", "-c", str(place.config), *arguments]
    return Terminal(command, columns=columns, lines=lines)


def frame(terminal: Terminal) -> list[str]:
    """What stands on the screen once the last whole frame is drawn."""
    whole = terminal.text.rpartition("\x1b[?7h")[0].rpartition("\x1b[H")[2]
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", whole).splitlines()


def wait_for_frame(terminal: Terminal, *words: str) -> list[str]:
    """Until these words stand on the screen, one beside the other or not."""
    deadline = time.monotonic() + PATIENCE_S
    while not all(any(word in line for line in frame(terminal)) for word in words):
        terminal.written = terminal.written[-20_000:]
        assert terminal.read_on(), f"ended without {words}: {terminal.text}"
        assert time.monotonic() < deadline, f"waited for {words} in vain: {frame(terminal)}"
    return [line for line in frame(terminal) if line]


def test_it_shows_what_happens_as_it_happens(place: Place, ledger: Ledger) -> None:
    with watching(place) as terminal:
        wait_for_frame(terminal, "0 queued", "every 0.1 s, Ctrl-C ends", "not running")
        place.record(ledger, "a.png")
        wait_for_frame(terminal, "1 queued", "concepts/a.png")
        lock = place.runs()
        wait_for_frame(terminal, f"running, process {os.getpid()}")
        lock.release()
        wait_for_frame(terminal, "not running")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_terminal_is_given_back_however_it_ends(
    place: Place, ledger: Ledger, number: signal.Signals, exit_code: int
) -> None:
    with watching(place) as terminal:
        wait_for_frame(terminal, "0 queued")
        terminal.process.send_signal(number)
        assert terminal.end() == exit_code
        assert terminal.settings_now() == terminal.settings
    assert terminal.text.count(ENTER) <= 1
    assert terminal.text.endswith(LEAVE)


def test_it_leaves_the_screen_to_the_shell_while_it_is_suspended(place: Place, ledger: Ledger) -> None:
    with watching(place) as terminal:
        wait_for_frame(terminal, "0 queued")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.wait_for(LEAVE + ENTER)
        terminal.written = b""
        wait_for_frame(terminal, "0 queued")


def test_what_finds_no_room_is_counted_and_a_new_size_is_followed(place: Place, ledger: Ledger) -> None:
    for number in range(8):
        place.waits(ledger, f"cut{number}.png")
    with watching(place, lines=12) as terminal:
        lines = wait_for_frame(terminal, "more lines")
        rest = re.fullmatch(r"\.\.\. and (\d+) more lines; `layerwatch status` shows all", frame(terminal)[-1])
        assert len(frame(terminal)) == 12
        assert lines[1].startswith("daemon    not running")
        assert rest is not None
        terminal.resize(80, 60)
        terminal.process.send_signal(signal.SIGWINCH)
        wait_for_frame(terminal, "cut7.png")
        assert len(frame(terminal)) == 12 + int(rest[1]) - 1


def test_a_new_size_is_followed_at_once_and_not_at_the_next_look(place: Place, ledger: Ledger) -> None:
    with watching(place, "--every", "86400") as terminal:
        wait_for_frame(terminal, "0 queued")
        terminal.resize(80, 4)
        terminal.process.send_signal(signal.SIGWINCH)
        wait_for_frame(terminal, "more lines")


def test_no_name_steers_the_terminal(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE)
    place.trouble(ledger)
    with watching(place) as terminal:
        wait_for_frame(terminal, "\\x1b[31m[red]")
        assert "\x1b[31m[red]" not in terminal.text
        assert "\x07" not in terminal.text


def test_it_goes_on_while_there_is_nothing_to_see(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    with watching(place) as terminal:
        wait_for_frame(terminal, "1 queued")
        right = place.config.read_text()
        place.config.write_text("[ledger")
        wait_for_frame(terminal, "cannot see:", "as it was", "1 queued")
        place.config.write_text(right)
        place.record(ledger, "b.png", b"b")
        assert not any("cannot see" in line for line in wait_for_frame(terminal, "2 queued"))


def test_the_first_look_fails_as_status_does(place: Place) -> None:
    with watching(place) as terminal:
        assert terminal.end() == 2
    assert "there is no ledger yet" in terminal.text
    assert ENTER not in terminal.text


# --- no terminal ------------------------------------------------------------------------------------------------------


@contextmanager
def piped(place: Place, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "layerwatch", "status", "--watch", "-c", str(place.config), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_json_is_a_document_a_line(place: Place, ledger: Ledger) -> None:
    with piped(place, "--json", "--every", "0.1") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        place.record(ledger, "a.png")
        while (told := json.loads(process.stdout.readline()))["counts"]["queued"] != 1:
            pass
        assert first["counts"]["queued"] == 0
        assert first["at"] < told["at"]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_what_cannot_be_seen_is_said_beside_the_documents(place: Place, ledger: Ledger) -> None:
    with piped(place, "--json", "--every", "0.1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        right = place.config.read_text()
        place.config.write_text("[ledger")
        assert process.stderr.readline().startswith("cannot see: ")
        place.config.write_text(right)
        place.record(ledger, "a.png")
        while json.loads(process.stdout.readline())["counts"]["queued"] != 1:
            pass


def test_pages_have_a_blank_line_between_them(place: Place, ledger: Ledger) -> None:
    with piped(place, "--every", "0.1") as process:
        assert process.stdout is not None
        page = place.said("status").splitlines()
        lines = [process.stdout.readline().rstrip("\n") for _ in range(2 * len(page) + 2)]
    first, second = lines[: len(page) + 1], lines[len(page) + 1 :]
    assert first[0] == second[0] == page[0]
    assert first[-1] == second[-1] == ""
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_it_ends_quietly_when_nobody_reads_any_more(place: Place, ledger: Ledger, arguments: tuple[str, ...]) -> None:
    with piped(place, "--every", "86400", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 0
        assert process.stderr.read() == ""


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("every", ["0", "nan", "inf", "-1", "soon"])
def test_how_often_is_a_number_of_seconds(place: Place, every: str) -> None:
    assert place.call("status", "--watch", "--every", every).exit_code == 2


@pytest.mark.usefixtures("ledger")
def test_every_goes_with_watch(place: Place) -> None:
    assert "--every goes with --watch" in place.call("status", "--every", "2").stderr


# --- folding ----------------------------------------------------------------------------------------------------------


def test_lines_are_broken_between_words_and_go_on_below_their_text() -> None:
    assert folded("short", 5) == ["short"]
    assert folded("disk      full: make room", 20) == ["disk      full: make", "          room"]
    assert folded("    do: this and that", 12) == ["    do: this", "    and that"]
    assert folded("\x1b[31mred and\x1b[0m plain", 9) == ["\x1b[31mred and\x1b[0m", "plain"]
    assert folded("  " + "x" * 20, 8) == ["  xxxxx…"]
    assert folded("名名 名名", 4) == ["名名", "名名"]
