"""What a folder wants done without Layer when a file is uploaded or a generation complete: a command, or a webhook.

A command gets the facts by its environment and nothing of our secrets. It runs without a shell, in a session of its
own, and is ended with all that it has started when its time is up or layerwatch ends. A crash of ours may have it run
twice: it should not mind. What a webhook is signed with is here, too; sending it is not.
"""

import errno
import fcntl
import hashlib
import hmac
import os
import re
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from layerwatch import __version__
from layerwatch.notices import name_text
from layerwatch.redact import redact

FAILED = "action_failed"
STOPPED = "stopped"

TAIL = 4096  # characters of the output that are kept
GRACE_S = 2.0

_SLICE_MS = 20
_PIPE_BYTES = 1024 * 1024  # a slice's worth: what a child says faster has to wait
_TERM, _KILL = 15, 9  # the module `signal` is the daemon's


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of it: `code` is why it is not done, `may_pass`: it is worth another try, later."""

    detail: str
    code: str | None = None
    may_pass: bool = False


def run(
    argv: Sequence[str], facts: Mapping[str, str], *, cwd: str, timeout_s: float, stopping: Callable[[], bool]
) -> Performed:
    """Run the command `argv` in `cwd`, to which a relative program belongs, too, and wait for its end.

    What it leaves in the background is not waited for, and nobody listens any more to what that says.
    """
    if stopping():
        return Performed("not started: layerwatch is ending", STOPPED, may_pass=True)
    try:
        child = _Child(argv, environment(facts), cwd)
    except (OSError, ValueError) as error:
        return _not_started(argv[0], cwd, error)
    try:
        if child.wait(timeout_s, stopping):
            return _judged(argv[0], child)
        is_stop = stopping()
        child.end()
        return _cut_short(argv[0], child, timeout_s, is_stop=is_stop)
    finally:
        child.close()


# --- what came of it --------------------------------------------------------------------------------------------------


def _judged(program: str, child: "_Child") -> Performed:
    status, said = child.status(), child.said()
    if status == 0:
        return Performed(said or "no output")
    how = f"exit status {status}" if status > 0 else f"ended by signal {-status}"
    return Performed(_with(f"{name_text(program)}: {how}", said), FAILED, may_pass=True)


def _cut_short(program: str, child: "_Child", timeout_s: float, *, is_stop: bool) -> Performed:
    why = "ended because layerwatch is ending" if is_stop else f"ended because it took longer than {timeout_s:g} s"
    return Performed(_with(f"{name_text(program)}: {why}", child.said()), STOPPED if is_stop else FAILED, may_pass=True)


def _with(what: str, said: str) -> str:
    return f"{what}\n{said}" if said else what


# What another try will not change, and what to do about it.
_TO_FIX = {
    errno.ENOENT: "there is no such program, or not the interpreter that its first line names: install it, or give"
    " its whole path",
    errno.ENOTDIR: "there is no such program: give its whole path",
    errno.EACCES: "layerwatch may not execute it: chmod +x",
    errno.ENOEXEC: "it is no program of this machine, and no script that begins with a line like #!/bin/sh",
    errno.E2BIG: "what it is to be told is more than an environment can hold",
}


def _not_started(program: str, cwd: str, error: OSError | ValueError) -> Performed:
    program, number = name_text(program), getattr(error, "errno", None)
    if number and (getattr(error, "filename", None) == cwd or not os.path.isdir(cwd)):
        reason = f"its directory {name_text(cwd)} cannot be entered: {os.strerror(number).lower()}"
        return Performed(f"{program} was not started: {reason}", FAILED, may_pass=True)
    if fix := _TO_FIX.get(number or 0):
        return Performed(f"{program} was not started: {fix}", FAILED)
    reason = name_text(getattr(error, "strerror", None) or str(error)).lower()
    return Performed(f"{program} was not started: {reason}", FAILED, may_pass=number is not None)


# --- the command ------------------------------------------------------------------------------------------------------


class _Child:
    """A running command. Time is counted in slices that the kernel has slept for us: it may get more, never less."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the command that the configuration names
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout
        self._pipe = self._process.stdout
        self._tail = _Tail()
        os.set_blocking(self._pipe.fileno(), False)
        with suppress(OSError):
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._hung_up = select.poll()
        self._hung_up.register(self._pipe, 0)

    def wait(self, most_s: float, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take what it says until it ends: whether it did, before its time was up or `stopping` said so."""
        waited_ms = 0
        while not self._ended():
            if stopping() or waited_ms >= most_s * 1000:
                return False
            self._listen()
            if self._hung_up.poll(_SLICE_MS):
                self._hung_up.unregister(self._pipe)  # nobody writes any more: its end is near, or only its silence
            else:
                waited_ms += _SLICE_MS
        self._listen()
        return True

    def end(self) -> None:
        """Ask it and all of its own to end, and then do not ask."""
        # It is not reaped before: as long as its number is its own, the group is no stranger's.
        self._signal(_TERM)
        self.wait(GRACE_S)
        self._signal(_KILL)
        self.wait(GRACE_S)  # a process in the middle of a dead share's call outlives even that

    def status(self) -> int:
        """Its exit status, or the number of the signal that ended it, negative."""
        return self._process.wait()

    def said(self) -> str:
        return self._tail.text()

    def close(self) -> None:
        self._pipe.close()
        self._process.poll()

    def _ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _listen(self) -> None:
        # Not to the end of it: a child may write as fast as we read.
        for _ in range(2 * _PIPE_BYTES // _Tail.KEPT):
            try:
                block = os.read(self._pipe.fileno(), _Tail.KEPT)
            except BlockingIOError:
                return
            if not block:
                return
            self._tail.add(block)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class _Tail:
    """The last of what was said. More is kept than is shown, so that no secret is cut before it is known as one."""

    KEPT = 4 * TAIL

    def __init__(self) -> None:
        self._bytes = b""
        self._is_cut = False

    def add(self, block: bytes) -> None:
        self._is_cut |= len(self._bytes) + len(block) > self.KEPT
        self._bytes = (self._bytes + block)[-self.KEPT :]

    def text(self) -> str:
        """In lines that can be printed, without secrets and colours."""
        text = _ANSI.sub("", self._bytes.decode("utf-8", "replace"))
        if self._is_cut:
            text = re.sub(r"\A\S+", "", text)  # half a word
        lines = (name_text(line.expandtabs().rstrip()) for line in redact(text).splitlines())
        return "\n".join(lines)[-TAIL:].strip()


# --- what it is told --------------------------------------------------------------------------------------------------

# Whose values are no business of a command: our secrets, and the line to systemd, on which it would speak for us.
_KEPT_BACK = frozenset(
    (
        "LAYER_TOKEN",
        "LAYERWATCH_API__TOKEN",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    )
)


def environment(facts: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without secrets, whatever they are called there, and the facts: `path` is
    `LAYERWATCH_PATH`."""
    ours = {name: value for name, value in os.environ.items() if not _is_kept_back(name, value)}
    return ours | {f"LAYERWATCH_{name.upper()}": _carried(value) for name, value in facts.items()}


def _is_kept_back(name: str, value: str) -> bool:
    return name.upper() in _KEPT_BACK or redact(value) != value


def _carried(value: str) -> str:
    """A value as an environment can hold it: names that are not UTF-8 as they are, nothing that is no text at all."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "")


# --- webhooks ---------------------------------------------------------------------------------------------------------


def signed(body: bytes, secret: str | None, *, delivery: str, at: int) -> dict[str, str]:
    """The headers of a webhook's POST. `delivery` stays the same when it is sent again, `at` (seconds since 1970) is
    part of what is signed: its receiver can tell a repetition, and one that somebody else has made."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"layerwatch/{__version__}",
        "X-Layerwatch-Delivery": delivery,
        "X-Layerwatch-Timestamp": str(at),
    }
    if secret:
        signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-Layerwatch-Signature"] = f"sha256={signature}"
    return headers
