"""`check`: could layerwatch work here? Every problem with what to do about it, and the exit code that says so."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result

from layerwatch.ledger import FolderState, holder
from layerwatch.mounts import mount_of
from layerwatch.sandbox import Sandbox

from ..api.servers import unused_port
from .conftest import HOSTILE, RULE, WORKSPACE, Place, harmless
from .terminal import Terminal
from .test_help import loaded

TOKEN = "sandbox-token"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        for name, value in environment(sandbox.base_url).items():
            monkeypatch.setenv(name, value)
        yield sandbox


def environment(url: str) -> dict[str, str]:
    return {"LAYERWATCH_API__BASE_URL": url, "LAYER_TOKEN": TOKEN, "LAYER_WORKSPACE_ID": WORKSPACE}


def called(place: Place, *arguments: str, exit_code: int = 0) -> Result:
    result = place.call("check", *arguments)
    assert result.exit_code == exit_code, result.output
    assert TOKEN not in result.output
    return result


def told(place: Place, *arguments: str, exit_code: int = 0) -> list[str]:
    result = called(place, *arguments, exit_code=exit_code)
    harmless(result.output)
    return result.stdout.splitlines()


def checked(place: Place, *arguments: str, exit_code: int = 0) -> Any:
    result = called(place, "--json", *arguments, exit_code=exit_code)
    assert result.stdout.isascii()
    assert len(result.stdout.splitlines()) == 1
    document = json.loads(result.stdout)
    assert document["exit_code"] == exit_code
    assert document["ok"] is (exit_code == 0)
    assert sum(document["counts"].values()) == len(document["findings"])
    return document


@pytest.mark.usefixtures("sandbox")
def test_all_is_well(place: Place) -> None:
    lines = told(place)
    assert lines[0] == "configuration"
    assert lines[-1] == "all is well"
    assert {"ledger", "folder concepts", "folder textures", "inotify", "layer", "clock"} <= set(lines)
    assert not os.path.exists(place.path)
    document = checked(place)
    assert document["counts"]["problem"] == document["counts"]["warning"] == 0
    assert document["config"] == str(place.config)
    assert document["ledger"] == place.path
    assert document["daemon"] == {"running": False, "pid": None}
    assert set(document["findings"][0]) == {"area", "level", "what", "detail", "do", "folder"}


@pytest.mark.usefixtures("sandbox")
def test_every_problem_is_told_with_what_to_do(place: Place) -> None:
    os.rmdir(place.root)
    place.configure(f'watch = "native"\n{RULE}')
    lines = told(place, exit_code=1)
    at = lines.index("folder concepts")
    assert lines[at + 1 : at + 3] == [
        f"  problem  path: {place.root}: no such file or directory",
        "           do: make it, mount what belongs there, or correct the folder's `path`; its files wait until then",
    ]
    assert "folder textures" in lines
    assert lines[-1] == "1 problem"
    (finding,) = [each for each in checked(place, exit_code=1)["findings"] if each["level"] == "problem"]
    assert (finding["area"], finding["what"], finding["folder"]) == ("folder", "path", "concepts")


@pytest.mark.usefixtures("sandbox")
def test_warnings_alone_are_well(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_NONSENSE", "1")
    assert told(place)[-1] == "all is well but for 1 warning"
    assert checked(place)["counts"]["warning"] == 1


def test_a_broken_configuration_is_the_one_thing_that_is_told(place: Place) -> None:
    place.configure("nonsense = 1")
    result = called(place, exit_code=2)
    assert "error:" in result.stderr
    assert result.stdout == ""
    document = checked(place, exit_code=2)
    (finding,) = document["findings"]
    assert (finding["area"], finding["level"]) == ("configuration", "problem")
    assert "nonsense" in finding["detail"]
    assert finding["do"]


def test_without_a_token_the_rest_is_still_told(place: Place) -> None:
    lines = told(place, exit_code=2)
    assert "  problem  token: LAYER_TOKEN: there is no API token" in lines
    assert "inotify" in lines


def test_a_refused_token_ends_with_4(place: Place, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYER_TOKEN", "a-token-of-somebody-else")
    assert any("401" in line for line in told(place, exit_code=4))
    assert checked(place, exit_code=4)["counts"]["problem"] == 1


def test_with_the_api_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    port = unused_port()
    for name, value in environment(f"http://127.0.0.1:{port}").items():
        monkeypatch.setenv(name, value)
    assert f"127.0.0.1:{port}" in told(place, exit_code=1)[-4]
    assert told(place, "--offline")[-1] == "all is well"


@pytest.mark.usefixtures("sandbox")
def test_beside_somebody_who_holds_the_ledger(place: Place) -> None:
    with place.open() as ledger:
        point = mount_of(place.path).point
        ledger.facts.folder("concepts", str(place.root), FolderState.WATCHING, time.time(), detail="", mount=point)
        place.record(ledger, "a.png", b"b" * 100)
        place.claim(ledger, sent=10)
        lock = place.runs()
        assert f"  ok       process: process {os.getpid()} works on this ledger" in told(place)
        document = checked(place)
        assert document["daemon"] == {"running": True, "pid": os.getpid()}
        assert holder(place.path) == os.getpid()
        lock.release()
    assert "SECRET" not in json.dumps(document)


def test_beside_a_real_daemon(place: Place, sandbox: Sandbox) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-m", "layerwatch", "run", "-c", str(place.config)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment(sandbox.base_url)},
    )
    try:
        deadline = time.monotonic() + 60
        while not holder(place.path) or place.call("status").stdout.count("watching") != 2:
            assert time.monotonic() < deadline
            assert daemon.poll() is None
            time.sleep(0.05)
        document = checked(place)
        assert document["daemon"] == {"running": True, "pid": daemon.pid}
        assert document["counts"]["problem"] == document["counts"]["warning"] == 0
        assert daemon.poll() is None
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    assert sandbox.violations == []


def test_hostile_names_do_no_harm(place: Place) -> None:
    os.symlink(os.fsencode(str(place.home)) + b"/" + os.fsencode(HOSTILE), place.home / "odd")
    place.config.write_text(
        f'[ledger]\npath = "state/ledger.db"\n[[folders]]\nname = "odd"\npath = "{place.home}/odd"\n'
    )
    lines = told(place, "--offline", exit_code=2)
    assert any("\\x1b[31m" in line for line in lines)
    checked(place, "--offline", exit_code=2)


def test_a_terminal_of_80_columns_is_enough(place: Place, sandbox: Sandbox) -> None:
    os.rmdir(place.root)
    with Terminal(["check", "-c", str(place.config)], environment(sandbox.base_url), columns=80) as terminal:
        assert terminal.end() == 1
    lines = terminal.seen(10_000)
    # A path has no place to be broken at, and is shown whole.
    assert [line for line in lines if len(line) > 80 and str(place.home) not in line] == []
    assert "\x1b[31mproblem\x1b[0m" in terminal.text
    assert lines[-2] == "1 problem"


def test_no_colours_where_none_are_wanted(place: Place, sandbox: Sandbox) -> None:
    about = environment(sandbox.base_url) | {"NO_COLOR": "1"}
    with Terminal(["check", "-c", str(place.config)], about) as terminal:
        assert terminal.end() == 0
    assert "\x1b[" not in terminal.text


def test_its_help_costs_nothing() -> None:
    assert loaded("check", "--help") == set()
