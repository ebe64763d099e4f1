"""SIGTERM, SIGINT and SIGHUP, as flags and a wake-up of the main thread."""

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self


class Signals:
    """SIGTERM and SIGINT are noted, and wake the main thread; the second one ends the process on the spot."""

    def __init__(self, note: Callable[[int], None], thread_died: Callable[[threading.ExceptHookArgs], None]) -> None:
        self._note = note
        self._thread_died = thread_died
        self._count = 0

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._caught) for number in (signal.SIGTERM, signal.SIGINT)}
        # The kernel tells the holder of a lease by SIGIO, which would end us: see source.being_written.
        self._before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self._excepthook, threading.excepthook = threading.excepthook, self._thread_died
        return self

    def __exit__(self, *_: object) -> None:
        threading.excepthook = self._excepthook
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reader.close()
        self._writer.close()

    def _caught(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        self._note(number)
        if self._count > 1:
            os._exit(1)

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        with suppress(OSError):  # awake already, or over
            self._writer.send(b"\0")

    def wait(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self._reader], [], [], timeout_s)
        if ready:
            with suppress(BlockingIOError):
                self._reader.recv(64)


@contextmanager
def hangups(reload: Callable[[], None], terminal_gone: Callable[[], None]) -> Iterator[None]:
    """While this lasts, SIGHUP calls for a new configuration; where it says that the terminal has gone on which we were
    started, it ends us, as it would without us, but for `nohup`."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    ends_with_terminal = _has_terminal() and not ignored

    def caught(_number: int, _frame: FrameType | None) -> None:
        if ends_with_terminal and not _has_terminal():
            terminal_gone()
        else:
            reload()

    before = signal.signal(signal.SIGHUP, caught)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
