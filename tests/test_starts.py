"""A process that is forked with its imports done is as one that has begun by itself; and none is left behind."""

import ast
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.starts import ROOT, Process, Start, executed, to_its_end
from tests.system.conftest import until

PACKAGE = ROOT / "layerwatch"
FOREVER = ("sandbox", "--port", "0")


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LAYER", "XDG_"))}
    return clean | {"HOME": str(home), "PYTHONWARNINGS": "error"} | more


@contextmanager
def running(start: Start, home: Path, **more: str) -> Iterator[tuple[Process, IO[bytes]]]:
    """A sandbox, and what it says."""
    with tempfile.TemporaryFile() as out:
        process = start(FOREVER, environment(home, **more), out.fileno(), out.fileno())
        try:
            until(lambda: b"http://" in os.pread(out.fileno(), 10_000, 0), "its address")
            yield process, out
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("status", "--unheard-of"), ("ls",)],
    ids=" ".join,
)
def test_it_says_and_ends_as_any_other(arguments: tuple[str, ...], started: Start, tmp_path: Path) -> None:
    about = environment(tmp_path, LAYERWATCH_CONFIG=str(tmp_path / "näm\udce9.toml"))
    forked, plain = (to_its_end(start, arguments, about, timeout_s=60) for start in (started, executed))
    assert vars(forked) == vars(plain)
    assert forked.stdout + forked.stderr


def test_it_is_where_it_was_started(started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with running(started, tmp_path) as (process, _):
        assert os.readlink(f"/proc/{process.pid}/cwd") == str(tmp_path)


def test_it_has_the_descriptors_and_threads_of_any_other(started: Start, tmp_path: Path) -> None:
    seen = []
    for start in (started, executed):
        with running(started, tmp_path), running(start, tmp_path) as (process, _):
            open_ = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
            kinds = sorted("file" if "deleted" in link else link.partition(":")[0] for link in open_)
            seen.append((kinds, len(os.listdir(f"/proc/{process.pid}/task"))))
    assert seen[0] == seen[1]


def test_how_it_ends_is_told_and_waited_for_no_longer_than_one_wants(started: Start, tmp_path: Path) -> None:
    with running(started, tmp_path) as (process, _):
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == process.poll() == 0
        process.kill()
    with running(started, tmp_path) as (process, _):
        process.kill()
        assert process.wait() == -signal.SIGKILL


LEAVING = """
import atexit, threading
from tests.forkserver import leave

class Unclosed:
    def __init__(self): self.itself = self
    def __del__(self): print("unclosed")

def work():
    threading.Event().wait(0.1)
    print("a thread's last word")

Unclosed()
atexit.register(print, "at exit")
threading.Thread(target=work).start()
leave(3)
"""


def test_before_it_leaves_it_waits_for_its_threads_and_says_all_it_has_to() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "a thread's last word\nat exit\nunclosed\n"


def test_a_full_disk_behind_its_output_is_told_as_python_tells_it() -> None:
    told = []
    for leaving in ("from tests.forkserver import leave; leave(0)", ""):
        with open("/dev/full", "wb") as full:
            code = f"print('never written'); {leaving}"
            command = [sys.executable, "-E", "-c", code]  # buffered, as it is by itself
            done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        told.append((done.returncode, done.stderr))
    assert told[0] == told[1]
    assert told[0][0] == 120


def test_what_python_reads_when_it_starts_is_read(started: Start, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('customized', flush=True)")
    with running(started, tmp_path, PYTHONPATH=str(tmp_path)) as (_, out):
        assert os.pread(out.fileno(), 100, 0).startswith(b"customized\n")


def test_only_the_points_ask_the_environment_when_they_are_imported() -> None:
    """It is the one module that a fork imports again."""

    def asks(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.FunctionDef):
            return False
        if isinstance(statement, ast.ClassDef):
            return any(map(asks, statement.body))
        return "os.environ" in (text := ast.unparse(statement)) or "getenv" in text

    asking = [path for path in PACKAGE.rglob("*.py") if any(map(asks, ast.parse(path.read_text()).body))]
    assert [path.name for path in asking] == ["points.py"]


def test_all_goes_when_its_client_is_killed(tmp_path: Path) -> None:
    code = (
        "import os; from tests.starts import ForkServer; s = ForkServer();"
        "print(s(('sandbox', '--port', '0'), "
        f"{environment(tmp_path)!r}, 2, 2).pid, s._process.pid, flush=True); input()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    with child:
        assert child.stdout
        pids = child.stdout.readline().split()
        assert all(os.path.exists(f"/proc/{int(pid)}") for pid in pids)
        child.send_signal(signal.SIGKILL)
    until(lambda: not any(os.path.exists(f"/proc/{int(pid)}") for pid in pids), "the server and what it has forked")
