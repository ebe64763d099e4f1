"""Real layerwatch processes on a ledger that is a PostgreSQL database, one host alone: runs, pushes, what it shows."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.catalogue import MODELS

from ..api.servers import unused_port
from ..starts import ROOT, Start, executed
from .conftest import Site, until


class Hosted(Site):
    """A site whose ledger is in a database."""

    def __init__(self, home: Path, sandbox: Sandbox, url: str, started: Start = executed) -> None:
        self.url = url
        super().__init__(home, sandbox, started)

    def configure(self, *, folder: str = 'settle = "300ms"', upload: str = "", more: str = "") -> None:
        super().configure(folder=folder, upload=upload, more=more)
        own = f'url = "{self.url}"\nhost = "render-1"'
        self.config.write_text(self.config.read_text().replace(f'path = "{self.ledger}"', own))

    def ask(self, question: str) -> list[dict[str, Any]]:
        with closing(psycopg.connect(self.url, options="-c search_path=layerwatch")) as connection:
            try:
                cursor = connection.execute(question)
            except psycopg.errors.UndefinedTable:
                return []  # there is no ledger yet
            assert cursor.description
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    @property
    def password(self) -> str:
        return urlsplit(self.url).password or ""


@pytest.fixture
def hosted(tmp_path: Path, sandbox: Sandbox, database: str, started: Start) -> Iterator[Hosted]:
    place = Hosted(tmp_path, sandbox, database, started)
    yield place
    for process in place.processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_once_uploads_all_and_ends_and_its_log_says_which_host(hosted: Hosted) -> None:
    for seed in (1, 2):
        (hosted.drop / f"{seed}.png").write_bytes(sample("png", seed))
    done = hosted.once("--log", "json")
    assert done.returncode == 0, done.stderr
    assert hosted.statuses() == {"uploaded": 2}
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["host"] for line in lines} == {"render-1"}
    assert hosted.password not in done.stdout + done.stderr
    assert hosted.ask("SELECT * FROM hosts") == []


def test_who_pushes_and_waits_does_the_work_where_nobody_else_does(hosted: Hosted) -> None:
    outside = hosted.home / "outside.png"
    outside.write_bytes(sample("png", 1))
    (hosted.drop / "left.png").write_bytes(sample("png", 9))
    done = hosted.call("push", "--wait", str(outside))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{outside}\t")
    assert hosted.statuses() == {"uploaded": 1}
    assert hosted.ask("SELECT * FROM hosts") == []


def test_a_node_that_has_nothing_but_the_url_pushes(hosted: Hosted) -> None:
    outside = hosted.home / "outside.png"
    outside.write_bytes(sample("png", 1))
    hosted.start()
    until(lambda: hosted.ask("SELECT 1 FROM folders"), "the folder")
    node = {"PATH": os.environ["PATH"], "HOME": str(hosted.drop), "LAYERWATCH_LEDGER__URL": hosted.url}

    def push(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "layerwatch", "push", *arguments, str(outside)]
        there = ROOT / "tests"  # where no configuration lies; and Python finds layerwatch by its installation
        return subprocess.run(line, env=node, cwd=there, capture_output=True, text=True, check=False)

    done = push("--wait")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{outside}\t")
    assert hosted.password not in done.stdout + done.stderr
    assert "no such folder on any host" in push("--folder", "elsewhere").stderr
    assert push("--folder", "drop").returncode == 0
    del node["LAYERWATCH_LEDGER__URL"]
    assert "no configuration file" in push().stderr


def test_a_daemon_takes_what_is_pushed_and_shows_itself(hosted: Hosted) -> None:
    port = unused_port()
    hosted.configure(more=f'[http]\nlisten = "127.0.0.1:{port}"')
    daemon = hosted.start()
    until(lambda: json.loads(hosted.call("status", "--json").stdout or "{}").get("hosts"), "the host is there")
    outside = hosted.home / "outside.png"
    outside.write_bytes(sample("png", 1))
    assert hosted.call("push", "--wait", str(outside)).stdout.startswith(f"{outside}\t")
    until(lambda: "watches drop" in hosted.call("status").stdout, "it watches its folder")
    page = {path: read(port, path) for path in ("/", "/metrics", "/healthz")}
    assert 'layerwatch_host_info{host="render-1",version="' in page["/metrics"]
    assert 'layerwatch_host_last_seen_timestamp_seconds{host="render-1"} ' in page["/metrics"]
    assert "layerwatch_ledger_readable 1.0" in page["/metrics"]
    assert "ledger_free_bytes" not in page["/metrics"]
    assert json.loads(page["/healthz"])["healthy"]
    found = json.loads(hosted.call("check", "--json").stdout)
    assert found["daemon"]["pid"] == daemon.pid
    assert [each["level"] for each in found["findings"] if each["area"] in ("ledger", "daemon")] == ["ok"] * 4
    assert hosted.end(daemon) == 0
    assert hosted.password not in hosted.said() + "".join(page.values())
    assert hosted.ask("SELECT * FROM hosts") == []


def test_a_run_that_ends_by_itself_leaves_a_folder_to_the_host_that_watches_it(hosted: Hosted) -> None:
    daemon = hosted.start()
    until(lambda: "watches drop" in hosted.call("status").stdout, "it watches its folder")
    done = hosted.once(LAYERWATCH_LEDGER__HOST="render-2")
    assert done.returncode == 0, done.stderr
    assert hosted.end(daemon) == 0


ELSEWHERE = """
[[folders.rules]]
name = "restyle"
match = "*.png"
model_id = "{model}"
[folders.rules.parameters]
prompt = "oil painting"
"""


@pytest.mark.parametrize("busy_with", ["an upload", "a generation"])
def test_a_run_that_ends_by_itself_does_not_wait_for_what_others_have_in_folders_of_their_own(
    hosted: Hosted, busy_with: str
) -> None:
    with_rule = ELSEWHERE.format(model=MODELS[0]["model_id"]) if busy_with == "a generation" else ""
    hosted.sandbox.faults = Faults(slow_s=600.0) if with_rule else Faults(bandwidth=20_000)
    other = hosted.home / "elsewhere"
    other.mkdir()
    own = hosted.config.read_text()
    folder = own.replace('name = "drop"', 'name = "elsewhere"').replace(str(hosted.drop), str(other))
    hosted.config.write_text(folder.replace('"render-1"', '"render-2"') + with_rule)
    daemon = hosted.start()
    (other / "a.png").write_bytes(sample("png", 1, 1000 if with_rule else 3_000_000))
    table, status = ("generations", "running") if with_rule else ("files", "uploading")
    until(lambda: hosted.ask(f"SELECT 1 FROM {table} WHERE status = '{status}'"), busy_with)
    hosted.config.write_text(own)
    (hosted.drop / "own.png").write_bytes(sample("png", 2, 1000))
    done = hosted.once()
    assert done.returncode == 0, done.stderr
    assert [row["path"] for row in hosted.ask("SELECT path FROM files WHERE status = 'uploaded' ORDER BY path")] == [
        str(hosted.drop / "own.png"), *([str(other / "a.png")] if with_rule else [])
    ]  # fmt: skip
    assert hosted.ask(f"SELECT 1 FROM {table} WHERE status = '{status}'"), "the other one is still at it"
    hosted.end(daemon)


def read(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        body: bytes = answer.read()
    return body.decode()
