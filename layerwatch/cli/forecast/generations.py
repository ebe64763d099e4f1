"""The generations of a forecast, for people: what would be fired, held back, wait or fail. Prices in Creative Units."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from layerwatch.advice import generation_advice
from layerwatch.cli.forecast.listing import below, count, some, title
from layerwatch.cli.forecast.totals import cost
from layerwatch.cli.generations import label, needs_text, units
from layerwatch.cli.tables import COLOURS, Page, until
from layerwatch.notices import name_text
from layerwatch.states import Generation

if TYPE_CHECKING:
    from layerwatch.preview import Foreseen, Outlook


def generation_lines(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    yield from _fire(out, found)
    yield from _held(out, found)
    yield from _waiting(out, found, most)
    yield from _failing(out, found, most)
    yield from _unknown(out, found, most)


def _fire(out: Page, found: "Outlook") -> Iterator[str]:
    if not found.fire:
        return
    yield title(out, "would be fired")
    groups: dict[tuple[str, str], list[Foreseen]] = {}
    for row in found.fire:
        groups.setdefault((row.folder, row.rule), []).append(row)
    for (folder, rule), rows in groups.items():
        number = out.paint(count(len(rows), "generation"), COLOURS["running"])
        yield f"  {name_text(rule)} of {name_text(folder)}: {number}, {_each_and_all(rows)}"
    yield ""


def _each_and_all(rows: Sequence["Foreseen"]) -> str:
    """What each costs, and all of them."""
    prices = sorted({row.price for row in rows if row.price is not None})
    if not prices or len(rows) == 1:
        return price_text(rows)
    each = units(prices[0]) if len(prices) == 1 else f"{units(prices[0])} to {units(prices[-1])}"
    return f"{each} each, {price_text(rows)}"


def price_text(rows: Sequence["Foreseen"]) -> str:
    total, silent = cost(rows)
    if silent == len(rows):
        return "price unknown"
    about = "about " if any(row.about for row in rows) else ""
    return f"{about}{units(total)} Creative Units" + (f" and {silent} at an unknown price" if silent else "")


def _held(out: Page, found: "Outlook") -> Iterator[str]:
    if not found.held:
        return
    yield title(out, "would be held back")
    groups: dict[str, list[Foreseen]] = {}
    for row in found.held:
        groups.setdefault(row.error_code or "", []).append(row)
    for code, rows in sorted(groups.items(), key=lambda item: -len(item[1])):
        before = sum(row.known for row in rows)
        number = count(len(rows), "generation") + (f" ({before} held back already)" if before else "")
        yield f"  {out.paint(code, COLOURS['blocked'])}: {number}, {_each_and_all(rows)}"
        yield f"    {name_text(rows[0].error or '')}"
        yield f"    do: {generation_advice(code, Generation.BLOCKED)}"
    yield ""


def _waiting(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    if not found.waiting:
        return
    yield title(out, "would wait for inputs")
    shown, more = some(found.waiting, most)
    for row in shown:
        yield f"  {out.fit(_of(found, row), 2)}"
        deadline = f"; no longer than {until(row.until)}" if row.until else ""
        yield f"    waits for {needs_text(row.needs)}{deadline}"
    yield from more
    yield ""


def _failing(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    if not found.failing:
        return
    yield title(out, "would fail, and cost nothing")
    shown, more = some(found.failing, most)
    for row in shown:
        yield f"  {out.fit(_of(found, row), 2)}"
        yield f"    {out.paint(row.error_code or '', COLOURS['failed'])}: {name_text(row.error or '')}"
        if do := generation_advice(row.error_code, Generation.FAILED):
            yield f"    do: {do}"
    yield from more
    yield ""


def _unknown(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    if not found.unknown:
        return
    yield title(out, "may have been started: settle them with `layerwatch resolve`")
    shown, more = some(found.unknown, most)
    for row in shown:
        yield f"  {out.fit(_of(found, row), 2)}"
    yield from more
    yield ""


def _of(found: "Outlook", row: "Foreseen") -> str:
    """Which one it is; those that a run would make have no number yet."""
    root = next((folder.path for folder in found.folders if folder.name == row.folder), None)
    number = "" if row.generation is None else f"{label(row.generation)}, "
    return f"{number}{below(row.folder, root, row.path)} by {name_text(row.rule)}"
