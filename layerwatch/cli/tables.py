"""What the printing commands share: sizes, times and names as people read them, columns that fit, one JSON document.

Names of files are other people's: whatever is printed went through `name_text`, and through the redaction of secrets.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from layerwatch.redact import redact

GAP = "  "
NO_SHARES: Mapping[int, int] = {}
INDENT = 10  # of what belongs to the line above it
NARROWEST = 8  # no column is cut below that, however narrow the terminal is
COLOURS = {
    "queued": "cyan", "uploading": "blue", "uploaded": "green", "failed": "red", "skipped": "yellow",
    "waiting": "cyan", "submitting": "blue", "running": "blue", "complete": "green", "cancelled": "yellow",
    "blocked": "yellow", "unknown": "magenta",
    "watching": "green", "polling": "green", "away": "red", "unreadable": "red",
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """Where lines for people go. `width` in columns; None where it is no terminal: nothing is cut there. `to` takes
    the lines instead of the stream."""

    err: bool = False
    width: int | None = None
    coloured: bool = False
    to: Callable[[str], None] | None = None

    def say(self, line: str = "") -> None:
        """One line, as `safe` has it."""
        if self.to is not None:
            self.to(self.safe(line))
        else:
            click.echo(self.safe(line), err=self.err, color=self.coloured)

    def safe(self, line: str) -> str:
        """`line` without secrets; what the terminal's encoding does not know is escaped."""
        encoding = (sys.stderr if self.err else sys.stdout).encoding or "utf-8"
        return redact(line).encode(encoding, "backslashreplace").decode(encoding)

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        return click.style(text, fg=colour, bold=bold or None) if self.coloured else text

    def fit(self, text: str, taken: int = 0) -> str:
        """`text`, cut so that it fits beside `taken` columns of other text."""
        return text if self.width is None else shorten(text, max(self.width - taken, NARROWEST))


def page(*, err: bool = False) -> Page:
    """The page that stdout (or stderr) is."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        return Page(err)
    coloured = not os.environ.get("NO_COLOR") and not is_dumb()
    # A terminal that does not know how wide it is says 0.
    return Page(err, os.get_terminal_size(stream.fileno()).columns or 80, coloured)


def is_dumb() -> bool:
    """Whether the terminal only takes lines."""
    return os.environ.get("TERM", "dumb") in ("dumb", "unknown", "")


def emit(document: dict[str, Any]) -> None:
    """One JSON document on stdout. ASCII only: so a name that is not UTF-8 survives, as lone surrogates."""
    click.echo(redact(json.dumps(document, ensure_ascii=True)))


# --- widths -----------------------------------------------------------------------------------------------------------


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` columns, cut in the middle: what tells names apart is at their ends."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    tail = _head(text[::-1], (width - 1) * 2 // 3)[::-1]
    return _head(text, width - 1 - cell_len(tail)) + "…" + tail


def clip(text: str, width: int) -> str:
    """`text` in at most `width` columns, cut at its end."""
    from rich.cells import cell_len

    return text if cell_len(text) <= width else _head(text, width - 1) + "…"


def _head(text: str, width: int) -> str:
    from rich.cells import cell_len

    taken = 0
    for at, char in enumerate(text):
        taken += cell_len(char)
        if taken > width:
            return text[:at]
    return text


def padded(text: str, width: int, *, right: bool = False) -> str:
    from rich.cells import cell_len

    fill = " " * max(width - cell_len(text), 0)
    return fill + text if right else text + fill


def columns(
    page: Page,
    rows: Sequence[Sequence[str]],
    *,
    shares: Mapping[int, int] = NO_SHARES,
    right: Sequence[int] = (),
    clipped: Sequence[int] = (),
) -> list[list[str]]:
    """The rows with each cell as wide as its column. Columns that have a share give way, until a row fits the page.

    They are cut in the middle, those in `clipped` at the end.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    if page.width is not None:
        _squeeze(widths, shares, page.width - len(GAP) * (len(widths) - 1))

    def cell(at: int, text: str) -> str:
        cut = clip(text, widths[at]) if at in clipped else shorten(text, widths[at])
        return padded(cut, widths[at], right=at in right)

    return [[cell(at, text) for at, text in enumerate(row)] for row in rows]


def _squeeze(widths: list[int], shares: Mapping[int, int], total: int) -> None:
    """Take from the column that is widest for its share, until all of them fit into `total`."""
    while sum(widths) > total:
        widest = max(shares, key=lambda at: widths[at] / shares[at], default=None)
        if widest is None or widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1


def wrapped(page: Page, head: str, parts: Sequence[str], painted: Sequence[str]) -> list[str]:
    """`parts`, as they are `painted`, with commas between them, behind a head; as many lines as that takes."""
    lines, taken, space = [head], len(head), ""
    for at, (part, shown) in enumerate(zip(parts, painted, strict=True)):
        comma = "," if at < len(parts) - 1 else ""
        if page.width is not None and taken + len(space + part + comma) > page.width and taken > INDENT:
            lines, taken, space = [*lines, " " * INDENT], INDENT, ""
        lines[-1] += space + shown + comma
        taken += len(space + part + comma)
        space = " "
    return lines


# --- times ------------------------------------------------------------------------------------------------------------


def span(seconds: float) -> str:
    """A length of time, as short as it is still of use."""
    for unit, size, upto in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 36 * 3600)):
        if seconds < upto:
            return f"{max(seconds, 0) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def age(at: str, now: float | None = None) -> str:
    return span((time.time() if now is None else now) - _seconds(at))


def ago(at: str, now: float | None = None) -> str:
    return f"{age(at, now)} ago"


def until(at: str, now: float | None = None) -> str:
    left = _seconds(at) - (time.time() if now is None else now)
    return f"in {span(left)}" if left > 0 else "now"


def clock(at: str, now: float | None = None) -> str:
    """The ledger's time `at` on the wall: today's to the second, others with their day."""
    local = datetime.fromtimestamp(_seconds(at)).astimezone()
    today = datetime.fromtimestamp(time.time() if now is None else now).astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%d %b %H:%M" if local.year == today.year else "%Y-%m-%d")


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
