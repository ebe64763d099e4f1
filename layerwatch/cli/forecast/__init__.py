"""What `layerwatch plan` tells of what a run would do: `files` and `generations` for people, `totals` for scripts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerwatch.cli.forecast.files import folder_lines
from layerwatch.cli.forecast.generations import generation_lines, price_text
from layerwatch.cli.forecast.listing import MOST, count
from layerwatch.cli.forecast.totals import document, totals
from layerwatch.cli.generations import units
from layerwatch.cli.tables import Page, wrapped
from layerwatch.notices import size_text

if TYPE_CHECKING:
    from layerwatch.preview import Outlook

__all__ = ["MOST", "document", "lines"]


def lines(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    """All of it, for people; of each kind no more than `most` one by one."""
    for folder in found.folders:
        yield from folder_lines(out, folder, most)
        yield ""
    yield from generation_lines(out, found, most)
    yield from _in_all(out, found)


def _in_all(out: Page, found: "Outlook") -> Iterator[str]:
    number, money = totals(found), found.money
    parts = [f"{count(int(number['uploads']), 'upload')} ({size_text(number['upload_bytes'])})"]
    parts += [f"{number['reused']} re-used"] if number["reused"] else []
    parts += [f"{found.running} running"] if found.running else []
    if found.fire or found.held:
        parts.append(count(len(found.fire), "generation"))
        parts += [price_text(found.fire)] if found.fire else []
    if found.fire or found.held or money.daily is not None:
        of = "" if money.daily is None else f" of {units(money.daily)}"
        parts.append(f"{units(money.spent)}{of} spent today (UTC)")
    parts += [] if money.available is None else [f"{units(money.available)} in the workspace"]
    yield from wrapped(out, f"{'in all':10}", parts, parts)
