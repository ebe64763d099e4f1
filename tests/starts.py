"""How tests start `python -m layerwatch`: from its very beginning, or forked from a process that has its imports done,
which take ten times what a short run takes otherwise."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60.0
LARGEST_ORDER_BYTES = 1 << 17
# What Python and libraries read when they start, and layerwatch does not: for a fork it comes too late.
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")


class Process(Protocol):
    """What tests want of a process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Start(Protocol):
    """Starts layerwatch in the background; `out` and `err` are descriptors of open files."""

    def __call__(self, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int) -> Process: ...


def executed(
    arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int, inside: Sequence[str] = ()
) -> Process:
    """As everybody does it. `inside`: a command to run it in."""
    command = [*inside, sys.executable, "-m", "layerwatch", *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def to_its_end(
    start: Start, arguments: Sequence[str], environment: Mapping[str, str], *, timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """What it said, and how it ended. Raises `subprocess.TimeoutExpired`, once it is killed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = start(arguments, environment, out.fileno(), err.fileno())
        try:
            code = process.wait(timeout_s)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said = [os.pread(stream.fileno(), 1 << 30, 0).decode(errors="surrogateescape") for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *said)


class ForkServer:
    """Starts processes like any others, with arguments, environment, directory and files of their own, that do what
    `layerwatch.__main__` does. What still runs when it is closed, or when its client is gone, is killed."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = os.environ | {"PYTHONWARNINGS": "error"}
        code = f"from tests.forkserver import main; main({theirs.fileno()})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                env=self._environment,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        self._process.wait(PATIENCE_S)

    def __call__(self, arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int) -> Process:
        order = json.dumps([list(arguments), dict(environment), os.getcwd()]).encode()
        if _at_start(environment) != _at_start(self._environment) or len(order) > LARGEST_ORDER_BYTES:
            return executed(arguments, environment, out, err)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._orders, [order], [out, err, theirs.fileno()])
        return _Forked(ours)


class _Forked:
    """A process that the server has forked, which tells of its pid, and of its end."""

    def __init__(self, news: socket.socket) -> None:
        self._news = news
        self._code: int | None = None
        self.pid = self._told(PATIENCE_S)

    def poll(self) -> int | None:
        with suppress(BlockingIOError):
            return self._wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._wait(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(f"layerwatch, process {self.pid}", timeout or 0) from None

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and the word of it is under way
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait(self, timeout: float | None) -> int:
        if self._code is None:
            self._code = self._told(timeout)
            self._news.close()
        return self._code

    def _told(self, timeout: float | None) -> int:
        self._news.settimeout(timeout)
        if not (said := self._news.recv(16)):
            raise RuntimeError("the fork server has ended: what it says of that is above")
        return int(said)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}
