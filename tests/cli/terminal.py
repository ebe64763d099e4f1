"""A terminal to run commands on: what they wrote, and what a person sees of it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE_S = 60.0
ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", "PAGER": "cat"}
_PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Terminal:
    """A process on a pseudo terminal of its own, with stdin, stdout and stderr on it: layerwatch's, or another
    program's."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        columns: int = 80,
        lines: int = 24,
        program: str = "",
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, lines)
        self.settings = termios.tcgetattr(self._master)
        self.written = b""
        self.process = subprocess.Popen(
            [*([program] if program else [sys.executable, "-m", "layerwatch"]), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**ENVIRONMENT, **(environment or {})},
            start_new_session=True,
        )
        os.close(slave)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings_now(self) -> list[object]:
        return termios.tcgetattr(self._master)

    def enter(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, *words: str) -> None:
        """Until all of it has been written."""
        deadline = time.monotonic() + PATIENCE_S
        while not all(word.encode() in self.written for word in words):
            assert time.monotonic() < deadline, f"waited for {words} in vain: {self.text}"
            assert self._read(deadline), f"ended without {words}: {self.text}"

    def read_on(self) -> bool:
        """Wait for what it writes next; False once it has ended."""
        return self._read(time.monotonic() + PATIENCE_S)

    def end(self) -> int:
        """Read on until it ends; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            assert time.monotonic() < deadline, f"it does not end: {self.text}"
        return self.process.wait(PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # nobody has the other end any more
            return False
        self.written += data
        return bool(data)

    @property
    def text(self) -> str:
        return self.written.decode(errors="replace")

    def seen(self, columns: int = 80) -> list[str]:
        return seen(self.text, columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def seen(text: str, columns: int = 80) -> list[str]:
    """The lines that stand on an endless terminal in the end. Knows only what is used; anything else is an error."""
    rows, row, column, wraps = [""], 0, 0, True
    for piece in _PIECE.finditer(text):
        codes, command, home, feed, words = piece.groups()
        if home:
            column = 0
        elif feed:
            row, column = row + 1, 0
        elif command == "A":
            row -= int(codes or 1)
        elif command == "J":
            rows[row:] = [rows[row][:column]]
        elif command in ("l", "h") and codes == "?7":
            wraps = command == "h"
        elif command is not None and command != "m":
            raise AssertionError(f"what is {piece.group()!r}?")
        for char in words or "":
            if column == columns:
                row, column = (row + 1, 0) if wraps else (row, columns - 1)
            rows += [""] * (row + 1 - len(rows))
            rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
            column += 1
        rows += [""] * (row + 1 - len(rows))
    return [line.rstrip() for line in rows]
