"""How the live display looks: a line per upload, a line for all of them, one for what rules make, a line for what
happened. Pure.

Names and messages are other people's: they are put into `Text` as they are, escaped, and never read as markup.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from layerwatch.board import Flight
from layerwatch.cli.generations import units
from layerwatch.cli.tables import padded, shorten
from layerwatch.notices import name_text, size_text

NAME_LEAST = 16
BAR_MOST = 24
_SIGNS = {
    "uploaded": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("-", "yellow"), "superseded": ("-", "yellow"),
    "waiting": ("…", "yellow"), "postponed": ("!", "yellow"), "hold": ("!", "bold yellow"), "resumed": ("✓", "green"),
    "ended": ("■", "bold"),
    "generation_waits": ("…", "cyan"), "generation_complete": ("✓", "green"), "generation_failed": ("✗", "bold red"),
    "generation_cancelled": ("-", "yellow"), "generation_unknown": ("?", "bold magenta"),
}  # fmt: skip
_PAINTED = {"failed": "red", "generation_failed": "red", "generation_unknown": "magenta"}
PLAIN = str.maketrans("✓✗…■•━─·", "+x~#*=-|")  # for terminals that know no better


@dataclass(frozen=True, slots=True)
class Totals:
    """What the line for all of them says; `waiting` and `rate` (bytes per second) are None where nobody knows."""

    uploaded: int
    size_bytes: int
    failed: int
    skipped: int
    in_flight: int
    waiting: int | None
    rate: float | None
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What the line for generations says: how many of this run have ended so, how many are so now, and the Creative
    Units of today."""

    complete: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown: int = 0
    held: int = 0
    running: int = 0
    queued: int = 0
    waiting: int = 0
    spent: float = 0.0


# --- an upload under way ----------------------------------------------------------------------------------------------


def flight_line(flight: Flight, rate: float | None, width: int) -> Text:
    """Name, bar, bytes, rate: as many of them as fit in `width` columns."""
    share = min(flight.sent / flight.size, 1.0) if flight.size else 1.0
    done = f"{size_text(flight.sent):>9} of {size_text(flight.size):>9}"
    speed = f"{size_text(rate)}/s" if rate is not None else ""
    right = f"{100 * share:3.0f}%"
    for more in (f" {done}", f" {speed:>11}"):
        if NAME_LEAST + 2 + len(right) + len(more) <= width:
            right += more
    bar = min(BAR_MOST, width - len(right) - 2 * NAME_LEAST)
    line = Text(no_wrap=True)
    name = name_text(os.path.basename(flight.path))
    name_width = max(width - len(right) - 1 - (bar + 1 if bar > 4 else 0), 1)
    line.append(padded(shorten(name, name_width), name_width) + " ")
    if bar > 4:
        line.append("━" * round(share * bar), "cyan").append("─" * (bar - round(share * bar)), "dim").append(" ")
    return line.append(right)


def flight_lines(flights: Mapping[int, Flight], rates: Mapping[int, float | None], width: int, most: int) -> list[Text]:
    """A line for each, the oldest first; of more than `most`, how many there are beside."""
    lines = [flight_line(flight, rates.get(id_), width) for id_, flight in list(flights.items())[:most]]
    if more := len(flights) - len(lines):
        lines.append(Text(f"and {more} more", "dim", no_wrap=True))
    return lines


# --- all of them ------------------------------------------------------------------------------------------------------


def totals_line(totals: Totals, width: int) -> Text:
    parts: Sequence[tuple[str, str]] = (
        (f"{totals.uploaded} uploaded, {size_text(totals.size_bytes)}", "green" if totals.uploaded else ""),
        (f"{totals.failed} failed" if totals.failed else "", "red"),
        (f"{totals.skipped} skipped" if totals.skipped else "", "yellow"),
        (f"{totals.in_flight} in flight" if totals.in_flight else "nothing in flight", ""),
        (f"{totals.waiting} waiting" if totals.waiting else "", ""),
        (f"{size_text(totals.rate)}/s" if totals.rate is not None else "", ""),
    )
    line = Text(" · ", no_wrap=True).join(Text(*part) for part in parts if part[0])
    line.truncate(width, overflow="ellipsis")
    return line


def made_line(made: Made, width: int) -> Text | None:
    """What needs a person comes first: a narrow terminal cuts the end. None where there is nothing to say."""
    colours = {"unknown": "magenta", "held": "yellow", "failed": "red", "cancelled": "yellow", "complete": "green"}
    counts = {name: getattr(made, name) for name in (*colours, "running", "queued", "waiting")}
    parts = [Text(f"{count} {name}", colours.get(name, "")) for name, count in counts.items() if count]
    if not parts and not made.spent:
        return None
    line = Text("rules: ", no_wrap=True) + Text(" · ").join([*parts, Text(f"{units(made.spent)} units today")])
    line.truncate(width, overflow="ellipsis")
    return line


def hold_line(hold: str, width: int) -> Text:
    return Text(shorten(f"everything waits: {name_text(hold)}", width), "yellow", no_wrap=True)


# --- what happened ----------------------------------------------------------------------------------------------------


def event_line(at: str, event: str, said: str, facts: Mapping[str, Any], width: int, *, bad: bool) -> Text:
    """The log's line, with a sign. `bad`: worth a look. A long name is cut if that makes the line fit."""
    sign, style = _SIGNS.get(event, ("!", "bold yellow") if bad else ("•", "dim"))
    if event == "uploaded":
        said = said.removesuffix(f", file_id {facts.get('file_id')}")  # `ls` has it; here it would take half the line
    if event == "generation_started":
        said = said.removesuffix(f" {facts.get('remote_id')}")
    line = Text().append(f"{at} ", "dim").append(f"{sign} ", style)
    return line.append(_cut(said, facts, width - line.cell_len), _PAINTED.get(event, "default"))


def _cut(said: str, facts: Mapping[str, Any], width: int) -> str:
    name = _name(said, str(facts.get("folder", "")), str(facts.get("path", "")))
    rest = said[len(name) :]
    fits = width - cell_len(rest)
    return shorten(name, fits if fits >= NAME_LEAST else max(width // 2, NAME_LEAST)) + rest if name else said


def _name(said: str, folder: str, path: str) -> str:
    """The name that the line begins with: the folder's, and that part of the path that lies below it."""
    parts = path.split("/")
    names = (name_text("/".join((folder, *parts[at:]))) for at in range(1, len(parts)))
    return next((name for name in names if said.startswith(f"{name} ")), "")
