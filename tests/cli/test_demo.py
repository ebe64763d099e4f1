"""`layerwatch demo`: the whole job, in one command, that judges itself."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from layerwatch.cli import cli
from layerwatch.cli.rehearsal import Rehearsal
from layerwatch.cli.verdicts import checks
from layerwatch.daemon import Ended
from layerwatch.ledger import Ledger
from layerwatch.sandbox import Sandbox

from .terminal import Terminal


def environment(home: Path) -> dict[str, str]:
    """Everything that could make the demo touch what is the user's, or go elsewhere."""
    (home / "tmp").mkdir()
    return {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "PATH": os.environ["PATH"],
        "PYTHONWARNINGS": "error",
        "LAYER_TOKEN": "the-users-own",
        "LAYER_WORKSPACE_ID": "11111111-0000-4000-8000-000000000001",
        "LAYERWATCH_CONFIG": str(home / "users.toml"),
        "LAYERWATCH_LEDGER__PATH": str(home / "users.db"),
        "LAYERWATCH_NONSENSE__X": "1",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }


def test_it_does_the_whole_job_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "layerwatch", "demo", "--json"],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["seconds"] < 60
    assert all(check["ok"] for check in document["checks"])
    assert {check["name"] for check in document["checks"]} == {
        "ended", "uploaded", "bytes", "once", "skipped", "waiting", "protocol",
        "waited", "fired", "settled", "results", "loop",
    }  # fmt: skip
    types = {file["content_type"] for file in document["files"] if file["status"] == "uploaded"}
    assert types == {"image/png", "image/jpeg", "image/webp", "video/mp4", "audio/mpeg", "audio/wav"}
    assert sum(document["faults"].values()) > 0
    assert document["faults"]["lost_posts"] == 1
    (made,) = document["generations"]
    assert (made["rule"], made["status"], made["price"]) == ("restyle", "complete", 5.0)
    assert len(made["outputs"]) == 2
    assert done.stderr.count("✓") == len(document["checks"])
    assert "✗" not in done.stderr
    assert 'chunk_size = "512KiB"' in done.stderr
    assert "the-users-own" not in done.stdout + done.stderr
    assert sorted(os.listdir(tmp_path)) == ["tmp"]
    assert os.listdir(tmp_path / "tmp") == []


def test_what_was_never_started_is_fired_by_the_person_who_looked_for_it(tmp_path: Path) -> None:
    # The first paid request gets nowhere, the second one starts it, and both without an answer.
    script = (
        "from layerwatch.cli import cli, demo\n"
        "demo.FAULTS = 'broken_posts=0.5,lost_posts=0.5,seed=3'\n"
        "cli.main(['demo', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "$ layerwatch resolve g1 --refire" in done.stderr
    assert done.stderr.index("--refire") < done.stderr.index("--adopt")


def test_on_a_terminal_it_shows_itself_and_keeps_what_it_is_told_to_keep(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with Terminal(["demo", "--keep", str(kept)], environment(tmp_path)) as terminal:
        terminal.wait_for("━", "in flight", "again in", "rules: 1 waiting · 0 units today")
        assert terminal.end() == 0
    lines = terminal.seen()
    said = "\n".join(lines)
    assert "all is well, after" in said
    assert "in flight" not in said
    assert 'a person finds "layerwatch g1 sh010_beauty.png" in Layer' in said
    assert re.search(r"\$ layerwatch resolve g1 --adopt \S{36}$", said, re.MULTILINE)
    assert [line for line in lines if line.startswith(("✓", "✗", "  ", "g1")) and len(line) > 80] == []
    beside = json.loads((kept / "drop" / "generated" / "sh010_beauty.restyle.1.png.layer.json").read_text())
    assert beside["request"]["prompt"] == "oil painting, sh010"
    assert {"config.toml", "drop", "state", "stored", "token"} == set(os.listdir(kept))
    assert os.stat(kept / "token").st_mode & 0o077 == 0
    assert os.listdir(tmp_path / "tmp") == []


def test_an_interrupted_demo_is_not_a_good_one_and_leaves_nothing_either(tmp_path: Path) -> None:
    with Terminal(["demo"], environment(tmp_path)) as terminal:
        terminal.wait_for("watching")
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 1
    assert "✗ interrupted by SIGINT" in terminal.seen()
    assert "something is wrong" in terminal.text
    assert os.listdir(tmp_path / "tmp") == []


def test_it_does_not_work_in_a_directory_that_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = CliRunner().invoke(cli, ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 2
    assert "name a new directory" in result.stderr
    assert os.listdir(tmp_path) == ["mine"]


# --- it would notice --------------------------------------------------------------------------------------------------


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    rehearsal = Rehearsal(str(tmp_path / "drop"))
    rehearsal.set_up()
    return rehearsal


def failed(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox, ended: Ended) -> dict[str, str]:
    return {check.name: check.detail for check in checks(rehearsal, ledger, sandbox, ended) if not check.ok}


def test_a_run_that_did_nothing_fails_and_says_what_is_missing(rehearsal: Rehearsal, tmp_path: Path) -> None:
    ended = Ended("", left=0, failed=0, reason="stopped")
    with Ledger(str(tmp_path / "ledger.db")) as ledger, Sandbox() as sandbox:
        told = failed(rehearsal, ledger, sandbox, ended)
    assert told.keys() == {
        "ended", "uploaded", "bytes", "once", "skipped", "waiting", "waited", "fired", "settled", "results"
    }  # fmt: skip
    assert told["ended"].startswith("not in time: concept.png, plate.jpg")
    assert told["uploaded"] == "0 of 13 files are uploaded"
    assert told["fired"] == "0 generations were fired, not one"
    assert told["settled"] == "0 Creative Units were paid, 0 are in the books"


def test_it_does_not_wait_for_ever(rehearsal: Rehearsal, tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    rehearsal.stopping.set()
    rehearsal.play(path, lambda: 0.0, lambda _: None)
    with Ledger(path) as ledger:
        assert len(rehearsal.missing(ledger)) == len(rehearsal.props)
        assert not rehearsal.is_done(ledger)
