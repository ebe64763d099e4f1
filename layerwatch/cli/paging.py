"""Output that is longer than the screen goes through its reader's pager: $LAYERWATCH_PAGER, else $PAGER, else less.

Only where stdout is a terminal. A pager that cannot be started is done without, and one that is left early is no error.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import click

from layerwatch.cli.tables import Page, is_dumb, page

VARIABLES = ("LAYERWATCH_PAGER", "PAGER")
LESS = "FRX"  # as git has it: ends where all of it fits, keeps the colours, leaves the text on the screen


@contextmanager
def paged() -> Iterator[Page]:
    """The page that stdout is, for lines of which there may be many."""
    out, command = page(), _command()
    if out.width is None or is_dumb() or not command:
        yield out
        return
    roll = _Roll(out, command)
    try:
        yield replace(out, to=roll.add)
    finally:
        roll.end()


def _command() -> list[str]:
    """The pager and its arguments; none where nobody wants one."""
    asked = next((os.environ[name] for name in VARIABLES if name in os.environ), "less")
    try:
        words = shlex.split(asked)
    except ValueError:  # a quote that is not closed
        return []
    return [] if words == ["cat"] else words


class _Roll:
    """Lines that are held back while they may fit on the screen, and then go to the pager, or where there is none, to
    stdout."""

    def __init__(self, out: Page, command: list[str]) -> None:
        self._out = out
        self._command = command
        self._held: list[str] | None = []
        # The shell's next prompt takes a line as well. A terminal that does not know how high it is says 0.
        self._rows_left = (os.get_terminal_size(sys.stdout.fileno()).lines or 24) - 1
        self._pager: subprocess.Popen[bytes] | None = None

    def add(self, line: str) -> None:
        if self._held is None:
            self._write(line)
            return
        self._held.append(line)
        self._rows_left -= self._rows(line)
        if self._rows_left < 0:
            self._start()
            self._release()

    def end(self) -> None:
        """Show what is held, and wait until the reader is done."""
        self._release()
        if self._pager is not None:
            with suppress(BrokenPipeError):
                self._pager.communicate()
            self._pager.wait()
            signal.signal(signal.SIGINT, self._interrupt)

    def _rows(self, line: str) -> int:
        from rich.cells import cell_len

        return max(-(-cell_len(click.unstyle(line)) // (self._out.width or 1)), 1)

    def _start(self) -> None:
        about = {"LESS": LESS, **os.environ}
        with suppress(OSError):  # there is no such program: without it, then
            self._pager = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=about)  # noqa: S603  their own
            # Ctrl-C is for the pager while it runs: who ends before it leaves it on the terminal with the shell.
            self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _release(self) -> None:
        held, self._held = self._held, None
        for line in held or ():
            self._write(line)

    def _write(self, line: str) -> None:
        if self._pager is None or self._pager.stdin is None:
            click.echo(line, color=self._out.coloured)
            return
        with suppress(BrokenPipeError):  # it was left early
            self._pager.stdin.write(f"{line}\n".encode(sys.stdout.encoding or "utf-8"))
