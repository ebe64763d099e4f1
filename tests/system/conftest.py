"""A whole site on loopback: a sandbox, a drop folder, a configuration, and real layerwatch processes."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from layerwatch.sandbox import Sandbox
from tests.starts import Process, Start, executed, to_its_end

TOKEN = "sandbox-token"
PATIENCE_S = 60.0


def until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that other processes bring about; fail with `what` when it does not come."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.02)


class Site:
    """One drop folder, one ledger, one sandbox; processes that are still there at the end are killed."""

    def __init__(self, home: Path, sandbox: Sandbox, started: Start = executed) -> None:
        self.home = home
        self.started = started
        self.sandbox = sandbox
        self.drop = home / "drop"
        self.drop.mkdir()
        self.config = home / "config.toml"
        self.ledger = home / "state" / "ledger.db"
        self.log = home / "log"
        self.processes: list[Process] = []
        self.configure()

    def configure(self, *, folder: str = 'settle = "300ms"', upload: str = "", more: str = "") -> None:
        self.config.write_text(
            f"""
[api]
base_url = "{self.sandbox.base_url}"
workspace_id = "{self.sandbox.workspace_id}"
[ledger]
path = "{self.ledger}"
[upload]
{upload}
[[folders]]
name = "drop"
path = "{self.drop}"
{folder}
{more}
"""
        )

    def environment(self, **changes: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LAYER", "XDG_"))}
        # No certificates: Layer is not asked over TLS here, and to read those of all the world takes a start 60 ms.
        bare = {"SSL_CERT_FILE": os.devnull, "PYTHONWARNINGS": "error"}
        return clean | {"LAYER_TOKEN": TOKEN, "HOME": str(self.home)} | bare | changes

    def start(self, *arguments: str, inside: Sequence[str] = (), **environment: str) -> Process:
        """`layerwatch run` in the background; what it says is appended to `log`. `inside`: a command to run it in."""
        line = ["run", "-c", str(self.config), *arguments]
        started = partial(executed, inside=inside) if inside else self.started
        with self.log.open("ab") as log:
            process = started(line, self.environment(**environment), log.fileno(), log.fileno())
        self.processes.append(process)
        return process

    def once(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", "--once", *arguments, **environment)

    def call(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One command to its end, with the site's configuration."""
        command, *rest = arguments
        line = [command, "-c", str(self.config), *rest]
        return to_its_end(self.started, line, self.environment(**environment), timeout_s=110)

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """What any SQLite tool sees in the ledger while the daemon runs; nothing before there is one."""
        if not self.ledger.exists():
            return []
        with closing(sqlite3.connect(self.ledger, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(sql)]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def rows(self, columns: str = "path, status, file_id, hash, error_code") -> list[dict[str, Any]]:
        """The files table."""
        return self.ask(f"SELECT {columns} FROM files ORDER BY id")

    def statuses(self) -> dict[str, int]:
        """How many files have which status."""
        return {row["status"]: row["n"] for row in self.ask("SELECT status, count(*) AS n FROM files GROUP BY status")}

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def events(self) -> list[dict[str, Any]]:
        whole, _, _ = self.said().rpartition("\n")  # the last line may be half written
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def end(self, process: Process) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(10)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(token=TOKEN) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, sandbox: Sandbox, started: Start) -> Iterator[Site]:
    place = Site(tmp_path, sandbox, started)
    yield place
    for process in place.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
