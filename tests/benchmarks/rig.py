"""What all benchmarks stand on: the sink, the daemon under measurement, the references, and the files they work on."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerwatch.samples import sample

KIB, MIB = 1024, 1024 * 1024
WORKSPACE = "11111111-2222-3333-4444-555555555555"
PATIENCE_S = 900.0
# How often whoever waits asks the sink or the ledger: the references are not asked at all, and the times that count are
# taken by the sink and by the daemon.
SELDOM_S = 0.5


def until(condition: Callable[[], Any], what: str, every_s: float = 0.01) -> None:
    """Wait for it. Asking costs something, too: not too often beside what is measured."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s in vain: {what}")
        time.sleep(every_s)


@dataclass
class Sink:
    """The sink's end of the line; see `sink`."""

    base_url: str
    pid: int

    def reset(self, latency_ms: float = 0.0) -> None:
        self._get(f"/reset?latency_ms={latency_ms}")

    def report(self) -> dict[str, Any]:
        return dict(self._get("/report"))

    def stored(self) -> int:
        return int(self._get("/count")["stored"])

    def received(self) -> int:
        return int(self._get("/count")["received"])

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.base_url + path, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def sink() -> Iterator[Sink]:
    command = [sys.executable, "-m", "tests.benchmarks.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            yield Sink(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()


@contextmanager
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="layerwatch-bench-") as name:
        yield Path(name)


def files(folder: Path, count: int, size: int, *, first: int = 0, kind: str = "png") -> Path:
    """So many different files of one size, a thousand in each directory below `folder`."""
    whole = sample(kind, 0, size)
    for number in range(first, first + count):
        place = folder / f"{number // 1000:04}"
        place.mkdir(parents=True, exist_ok=True)
        # Different in the middle, which no checksum of the format covers that anybody checks.
        mark = number.to_bytes(8, "big")
        at = len(whole) // 2
        (place / f"{number:07}.{kind}").write_bytes(whole[:at] + mark + whole[at + len(mark) :])
    return folder


def status(pid: int, name: str) -> int:
    """A figure of /proc/PID/status, in KiB where it is one of memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, in seconds, all threads."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


class Site:
    """A drop folder, a ledger, a configuration for the sink."""

    def __init__(self, place: Path, base_url: str, *, upload: str = "", folder: str = 'settle = "0s"') -> None:
        self.place = place
        self.drop = place / "drop"
        self.drop.mkdir(parents=True)
        self.ledger = place / "ledger.db"
        self.config = place / "config.toml"
        self.log = place / "log"
        self.config.write_text(
            f'[api]\nbase_url = "{base_url}"\nworkspace_id = "{WORKSPACE}"\n[ledger]\npath = "{self.ledger}"\n'
            f'[upload]\n{upload}\n[[folders]]\nname = "drop"\npath = "{self.drop}"\n{folder}\n'
        )

    def command(self, *arguments: str) -> list[str]:
        name, *rest = arguments
        return [sys.executable, "-m", "layerwatch", name, "-c", str(self.config), *rest]

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LAYER", "XDG_"))}
        return clean | {"LAYER_TOKEN": "bench-token"}

    @contextmanager
    def running(self, command: list[str] | None = None, **environment: str) -> Iterator[int]:
        """`layerwatch run`, or another `command` that does the same, watching; gives its process id."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command or self.command("run"), stdout=log, stderr=log, env=self.environment | environment
            )
        try:
            until(lambda: b"watching" in self.log.read_bytes() or process.poll() is not None, "the watch")
            if process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.5)  # the first scan of the empty folder
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)

    def ask(self, sql: str) -> list[Any]:
        """What any SQLite tool sees in the ledger."""
        with closing(sqlite3.connect(self.ledger, timeout=30)) as connection:
            return connection.execute(sql).fetchall()

    def uploaded(self) -> int:
        return int(self.ask("SELECT count(*) FROM files WHERE status = 'uploaded'")[0][0])

    def forget(self) -> None:
        """As new: an empty folder, no ledger."""
        shutil.rmtree(self.drop)
        self.drop.mkdir()
        for path in self.place.glob("ledger.db*"):
            path.unlink()


def reference(how: str, threads: int, base_url: str, folder: Path) -> float:
    """Processor seconds of a reference client over all files in `folder`."""
    command = [sys.executable, "-m", "tests.benchmarks.reference", how, str(threads), base_url, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["cpu_s"])
