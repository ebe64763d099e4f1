"""`layerwatch status --watch`: the same page again and again, until somebody has seen enough.

Each look reads the configuration and opens the ledger anew, which costs a few milliseconds: so it goes on whatever
becomes of either, and says what it cannot see.
"""

import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NoReturn, Self

import click

from layerwatch.cli import status
from layerwatch.cli.fullscreen import FullScreen
from layerwatch.cli.situation import situation
from layerwatch.cli.tables import Page, emit, is_dumb, page, span
from layerwatch.errors import EnvironmentProblem, UserError

REST = "... and {} more lines; `layerwatch status` shows all"


def watch(config: str | None, every_s: float, *, as_json: bool) -> None:
    """Look every so often, until Ctrl-C, SIGTERM, or until nobody reads it any more.

    Raises the `UserError` for which the first look fails, unless another one may help.
    """
    with _ended_by_signals(), _Pause() as pause:
        with suppress(EnvironmentProblem), situation(config):
            pass
        if as_json:
            _keep(lambda: _document(config), pause, every_s)
        elif sys.stdout.isatty() and not is_dumb():
            with FullScreen() as screen:
                _keep(_Live(config, every_s, screen).look, pause, every_s)
        else:
            _keep(lambda: _page(config), pause, every_s)


def _keep(look: Callable[[], None], pause: "_Pause", every_s: float) -> NoReturn:
    while True:
        look()
        pause.wait(every_s)


# --- the looks --------------------------------------------------------------------------------------------------------


def _document(config: str | None) -> None:
    try:
        with situation(config) as now:
            emit(status.document(now))
    except UserError as error:
        out = page(err=True)
        for line in _problems(out, error):
            out.say(line)


def _page(config: str | None) -> None:
    out = page()
    try:
        lines = _lines(out, config)
    except UserError as error:
        lines = _problems(out, error)
    click.echo("\n".join([*lines, ""]))  # one write: who reads it has whole pages


def _lines(out: Page, config: str | None) -> list[str]:
    with situation(config) as now:
        return [out.safe(line) for line in status.lines(out, now)]


def _problems(out: Page, error: UserError) -> list[str]:
    wrong = (f"{out.paint('cannot see', 'red')}: {problem}" for problem in error.problems)
    return [out.safe(line) for text in wrong for line in text.splitlines()]


class _Live:
    """What stands on the screen."""

    def __init__(self, config: str | None, every_s: float, screen: FullScreen) -> None:
        self._config = config
        self._screen = screen
        self._often = f"every {every_s:g} s, Ctrl-C ends"
        self._lines: list[str] = []
        self._seen_at = time.monotonic()

    def look(self) -> None:
        out = replace(page(), width=self._screen.width)
        try:
            self._lines, wrong = _lines(out, self._config), []
            self._seen_at = time.monotonic()
        except UserError as error:
            ago = f"as it was {span(time.monotonic() - self._seen_at)} ago:"
            wrong = [*_problems(out, error), *(["", ago] if self._lines else [])]
        self._screen.draw([f"{time.strftime('%H:%M:%S')}  {self._often}", *wrong, *self._lines], REST)


# --- the time between them --------------------------------------------------------------------------------------------


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C is how one ends it, and so is the end of whoever reads; SIGTERM ends it with the terminal restored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        yield
    except KeyboardInterrupt:
        pass
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):  # a pipe that is closed, a terminal that is gone
            raise
        # What is in the buffer still would be complained of at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Pause:
    """A wait that a signal ends, such as the one for a new size of the terminal, and the end of whoever reads."""

    def __enter__(self) -> Self:
        self._woken, waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGWINCH, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(sys.stdout.fileno(), 0)  # its end alone is news
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)

    def wait(self, seconds: float) -> None:
        """Raises BrokenPipeError when nobody reads any more."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor != self._woken:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            os.read(self._woken, 4096)
