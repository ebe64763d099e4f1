"""The whole of a terminal, drawn again and again. What stood there before comes back, however the work ends.

Only SIGKILL leaves the other screen behind; `reset` helps then.
"""

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Self

import click

from layerwatch.cli.tables import clip

_ENTER, _LEAVE = "\x1b[?1049h", "\x1b[m\x1b[?7h\x1b[?1049l"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_HEAD = re.compile(r" *(?:\S+ {2,})?")
_PLAIN, _HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[m", "\x1b[H", "\x1b[K", "\x1b[J"


class FullScreen:
    """The terminal that stdout is. For the main thread: it sees to Ctrl-Z as well."""

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTSTP, self._suspend)
        self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal itself may be gone
            self._write(_LEAVE)
        signal.signal(signal.SIGTSTP, self._before)

    @property
    def width(self) -> int:
        """Columns that a line may take. A terminal that does not know how many it has says 0."""
        return max((os.get_terminal_size(sys.stdout.fileno()).columns or 80) - 1, 1)

    def draw(self, lines: Sequence[str], rest: str) -> None:
        """Put these lines there, long ones over several rows. `rest` says, with the number `{}`, what finds no room."""
        height = os.get_terminal_size(sys.stdout.fileno()).lines or 24
        rows = [row for line in lines for row in folded(line, self.width)]
        if len(rows) > height:
            rows[height - 1 :] = [_PLAIN + clip(rest.format(len(rows) - height + 1), self.width)]
        # One write a frame, and nothing is erased before it is written over: nothing flickers.
        body = "\n".join(f"{row}{_CLEAR_LINE}" for row in rows)
        self._write(f"{_NO_WRAP}{_PLAIN}{_HOME}{body}{_CLEAR_REST}{_WRAP}")

    def _write(self, text: str) -> None:
        left = text.encode(sys.stdout.encoding or "utf-8", "replace")
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]

    def _suspend(self, number: int, _: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its own screen."""
        self._write(_LEAVE)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspend)
        self._write(_ENTER)


def folded(line: str, width: int) -> list[str]:
    """`line` in as many rows as it takes, broken between its words; what goes on stands below the text, behind the
    head that the line begins with, if it has one."""
    if _wide(line) <= width:
        return [line]
    head = _HEAD.findall(line)[0]
    head = head if _wide(head) <= width // 2 else head[: len(head) - len(head.lstrip(" "))]
    rows, row, indent = [], "", head
    for word in line[len(head) :].split(" "):
        if row and _wide(f"{indent}{row} {word}") > width:
            rows.append(indent + row)
            row, indent = word, " " * _wide(head)
        else:
            row = f"{row} {word}" if row else word
    return [row if "\x1b" in row else clip(row, width) for row in (*rows, indent + row)]


def _wide(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(click.unstyle(text))
