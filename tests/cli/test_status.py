"""`layerwatch status`: what is going on, with and without a daemon."""

import os
import re
import subprocess
import sys
import time

import pytest

from layerwatch.advice import advice
from layerwatch.ledger import FolderState, Ledger

from .conftest import HOSTILE, Place
from .terminal import Terminal


def test_all_of_it_at_once(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "done.png")
    place.upload(ledger)
    place.record(ledger, "going.png", b"b" * 900)
    place.claim(ledger, sent=333)
    place.record(ledger, "troubled.png", b"c")
    place.trouble(ledger, after_s=130)
    place.record(ledger, "next.png", b"d")
    place.refuse(ledger, "notes.txt")
    place.waits(ledger, "cut.png")
    lock = place.runs()
    ledger.facts.note("daemon", {"pid": os.getpid(), "version": "1.2.3", "once": False}, time.time())
    lines = re.sub(r"\b\d+ s\b", "N s", place.said("status")).splitlines()
    lock.release()
    assert lines == [
        f"daemon    running, process {os.getpid()}, version 1.2.3",
        "files     2 queued, 1 uploading, 1 uploaded, 0 failed, 1 skipped",
        "",
        "folders",
        f"  concepts  watching  {place.root}",
        "            scanned N s ago",
        f"  textures  watching  {place.home}/textures",
        "            scanned N s ago",
        "",
        "in flight",
        "  concepts/going.png  333 B of 900 B, 37 %",
        "",
        "oldest in the queue",
        "  concepts/troubled.png  for N s",
        "",
        "not taken yet",
        "  concepts/cut.png",
        "    waits: PNG ends before its IEND chunk, for 3 min now",
        "",
        "in trouble, to be tried again",
        "  concepts/troubled.png",
        "    network: connection refused, next attempt in 2 min",
        f"    do: {advice('network')}",
    ]


def test_json_has_all_of_it_under_the_ledgers_names(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE, b"b" * 1000)
    place.claim(ledger, sent=370)
    place.record(ledger, "troubled.png", b"c")
    place.trouble(ledger)
    waiting = place.waits(ledger, "cut" + HOSTILE)
    told = place.told("status")
    assert told.keys() == {
        "at", "daemon", "hosts", "hold", "free_bytes", "clock", "counts", "folders", "in_flight", "oldest_queued",
        "candidates", "troubled", "failed", "generations", "waiting", "blocked", "unknown", "running",
        "failed_generations", "spend_today", "deliveries",
    }  # fmt: skip
    assert told["daemon"] == {"running": False, "pid": None, "version": None, "once": None}
    assert told["counts"] == {"queued": 1, "uploading": 1, "uploaded": 0, "failed": 0, "skipped": 0}
    (flight,) = told["in_flight"]
    assert (flight["path"], flight["bytes_sent"], flight["percent"]) == (os.path.join(place.root, HOSTILE), 370, 37)
    assert told["oldest_queued"]["id"] == told["troubled"][0]["id"] == 2
    assert [item["path"] for item in told["candidates"]] == [waiting]
    assert [(folder["name"], folder["state"]) for folder in told["folders"]] == [
        ("concepts", "watching"),
        ("textures", "watching"),
    ]


def test_without_a_daemon_it_says_so_and_calls_nothing_in_flight(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "going.png")
    place.claim(ledger)
    ledger.facts.note("hold", {"code": "network", "message": "cannot connect"}, time.time())
    said = place.said("status")
    assert "daemon    not running" in said
    assert "interrupted; the next start goes on" in said
    assert "cannot connect" not in said


def test_what_everything_waits_for(place: Place, ledger: Ledger) -> None:
    hold = {"code": "network", "message": "cannot connect to \x1b[5mhost"}
    ledger.facts.note("hold", hold, time.time())
    lock = place.runs()
    assert "hold      everything waits: cannot connect to \\x1b[5mhost" in place.said("status")
    assert place.told("status")["hold"] == hold
    lock.release()


def test_folders_in_every_state(place: Place) -> None:
    with place.open() as ledger:
        path = str(place.root)
        ledger.facts.folder("concepts", path, FolderState.AWAY, time.time(), detail="no such\x07 folder", mount=None)
        ledger.facts.folder_overflowed("concepts", 2)
    said = place.said("status")
    assert f"  concepts  away  {place.root}" in said
    assert "no such\\x07 folder; not scanned to its end yet; events lost 2 times" in said
    assert f"  textures  not seen yet  {place.home}/textures" in said
    assert [folder["state"] for folder in place.told("status")["folders"]] == ["away", None]


def test_hostile_names_are_escaped(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE)
    place.trouble(ledger)
    place.waits(ledger, "cut" + HOSTILE, reason="because of \x1b[2J")
    said = place.said("status")
    assert said.count("\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png") == 3
    assert "\\x1b[2J" in said


def test_many_that_wait_are_cut_off_with_a_hint(place: Place, ledger: Ledger) -> None:
    for number in range(12):
        place.waits(ledger, f"cut{number}.png")
    said = place.said("status")
    assert said.count("waits:") == 10
    assert "and 2 more; --json lists all" in said
    assert len(place.told("status")["candidates"]) == 12


def test_no_ledger_and_no_configuration_are_told_with_what_to_do(place: Place) -> None:
    result = place.call("status")
    assert result.exit_code == 2
    assert "there is no ledger yet" in result.stderr
    place.config.unlink()
    result = place.call("status")
    assert result.exit_code == 2
    assert "layerwatch init" in result.stderr


@pytest.mark.parametrize("columns", [30, 80])
def test_names_fit_the_terminal(place: Place, ledger: Ledger, columns: int) -> None:
    place.record(ledger, "x" * 251 + ".png", b"b" * 1000)
    place.claim(ledger, sent=10)
    place.record(ledger, "名" * 80 + ".png", b"c")
    place.trouble(ledger)
    place.waits(ledger, "y" * 251 + ".png", reason="cut")
    with Terminal(["status", "-c", str(place.config)], columns=columns) as terminal:
        assert terminal.end() == 0
    names = [line for line in terminal.seen(columns) if "…" in line]
    assert len(names) >= 4
    assert "\x1b[33mnot running" in terminal.text


def test_reading_imports_no_http(place: Place, ledger: Ledger) -> None:
    place.queued(ledger, "a.png")
    place.record(ledger, "b.png", b"b")
    for command in (["status"], ["ls"], ["show", "1"], ["ls", "--generations"], ["show", "g1"], ["spend"]):
        script = (
            "import sys\nfrom layerwatch.cli import cli\n"
            f"try:\n cli.main({[command[0], '-c', str(place.config), *command[1:]]!r})\n"
            "except SystemExit as end:\n assert not end.code\n"
            "assert 'httpx' not in sys.modules and 'watchdog' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
