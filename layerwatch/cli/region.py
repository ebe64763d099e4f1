"""The bottom lines of a terminal, drawn again and again, while everything else is printed above them.

Never hides the cursor nor changes anything of the terminal for longer than one write: whatever ends the process, be it
SIGKILL, there is nothing to restore.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Region:
    """The lines at the bottom of `console`. The cursor rests on the empty line below them. Any thread may call.

    `instead` are characters that the terminal does not know, and what to write for them.
    """

    def __init__(self, console: Console, instead: Mapping[int, str | int]) -> None:
        self._console = console
        self._instead = instead
        self._lock = threading.RLock()
        self._lines: Sequence[Text] = ()
        self._drawn: list[int] = []  # how wide the lines are that stand there now

    def draw(self, lines: Sequence[Text]) -> None:
        """Put these lines there instead; none leaves no trace of any."""
        with self._lock:
            self._lines = lines
            self._write()

    def above(self, text: Text) -> None:
        """Print a line for good, over several where it is too long."""
        with self._lock:
            self._write(text)

    def _write(self, above: Text | None = None) -> None:
        with suppress(OSError):  # the terminal has gone; the work goes on
            # One write per frame: nothing flickers, and no other process writes in between.
            self._console.file.write(self._erased() + (self._ansi(above, wrap=True) if above else "") + self._region())
            self._console.file.flush()

    def _erased(self) -> str:
        columns = max(self._console.width, 1)
        # A terminal that was made narrower has broken the lines that stood there: nearly all do (xterm cuts
        # them, and loses a line of what stood above).
        up = sum(max(-(-width // columns), 1) for width in self._drawn)
        return f"\r\x1b[{up}A\x1b[J" if up else ""

    def _region(self) -> str:
        self._drawn = [line.cell_len for line in self._lines]
        # A name whose width the terminal sees otherwise than we do must not break a line in two.
        return f"{_NO_WRAP}{''.join(map(self._ansi, self._lines))}{_WRAP}" if self._lines else ""

    def _ansi(self, text: Text, *, wrap: bool = False) -> str:
        with self._console.capture() as captured:
            self._console.print(text, soft_wrap=not wrap, overflow="fold")
        return captured.get().translate(self._instead)
