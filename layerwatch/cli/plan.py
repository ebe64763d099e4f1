"""`layerwatch plan`: what a run would do now, and what that would cost. Changes nothing, and sends nothing that costs.

Prices are in Creative Units, days are UTC, as the budget's are.
"""

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from layerwatch.advice import generation_advice
from layerwatch.cli import options
from layerwatch.cli.generations import label, needs_text, units
from layerwatch.cli.tables import COLOURS, Page, emit, page, until, wrapped
from layerwatch.notices import name_text, size_text
from layerwatch.states import Generation

if TYPE_CHECKING:
    from layerwatch.api import Layer
    from layerwatch.config import Settings
    from layerwatch.preview import FolderOutlook, Foreseen, Outlook

T = TypeVar("T")
MOST = 10  # of each that is told one by one
READ_S = 15.0
DRAW_S = 0.1


@click.command("plan")
@options.config
@options.as_json
@click.option("--offline", is_flag=True, help="Ask Layer nothing: prices stay unknown.")
@click.option("--all", "everything", is_flag=True, help=f"List all of each, not only the first {MOST}.")
def command(config: str | None, as_json: bool, offline: bool, everything: bool) -> None:
    """What a run would do now: uploads, re-used file_ids, generations with their price, what would be held back.

    The files are read, as a run would, and Layer is asked for prices; nothing else is sent, and nothing is changed.
    What other rules would make of the results is not foreseen. Exit code 2 where a run would not begin.
    """
    from layerwatch.config import load
    from layerwatch.ledger import holder
    from layerwatch.preview import preview

    settings = load(config, require_token=False)
    pid = holder(settings.ledger.path)
    layer, trouble = _layer(settings, offline=offline)
    try:
        with _signals(), _progress() as progress:
            found = preview(settings, layer, runs=pid is not None, wall=time.time, trouble=trouble, progress=progress)
    finally:
        if layer:
            layer.close()
    for line in "\n".join(f"note: {text}" for text in found.warnings).splitlines():
        page(err=True).say(name_text(line))
    if as_json:
        emit(document(found) | {"ledger": settings.ledger.path, "daemon": pid})
        return
    out = page()
    for line in _lines(out, found, None if everything else MOST):
        out.say(line)


def _layer(settings: "Settings", *, offline: bool) -> tuple["Layer | None", str]:
    """Whom to ask for prices, or why nobody can be asked."""
    from layerwatch.errors import UserError

    if offline:
        return None, "Layer is not asked (--offline)"
    try:
        token, workspace_id = settings.token().get_secret_value(), settings.workspace()
    except UserError as error:
        return None, "; ".join(problem.reason for problem in error.problems)
    from layerwatch import redact
    from layerwatch.api import Layer, tls_context

    redact.register(token)
    return Layer(settings.api.base_url, token, workspace_id, tls_context(), read_s=READ_S), ""


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: the copy of the ledger must not stay. SIGIO, by which the kernel tells the holder
    of a lease, must not end it: see source.being_written."""
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)),
        signal.SIGIO: signal.signal(signal.SIGIO, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what takes so long; nothing where that is no terminal."""
    out = page(err=True)
    if out.width is None:
        yield lambda _: None
        return
    drawn_at = 0.0

    def draw(text: str) -> None:
        nonlocal drawn_at
        if time.monotonic() - drawn_at >= DRAW_S:
            drawn_at = time.monotonic()
            sys.stderr.write(f"\r{out.fit(name_text(text), 1)}\x1b[J")
            sys.stderr.flush()

    try:
        yield draw
    finally:
        sys.stderr.write("\r\x1b[J")
        sys.stderr.flush()


# --- for scripts ------------------------------------------------------------------------------------------------------


def document(found: "Outlook") -> dict[str, Any]:
    """All of it."""
    whole = asdict(found)
    budget = whole.pop("money")
    return {**whole, "budget": budget, "totals": _totals(found)}


def _totals(found: "Outlook") -> dict[str, float]:
    folders = found.folders
    price, silent = _sum(found.fire)
    return {
        "uploads": sum(len(folder.uploads) for folder in folders),
        "upload_bytes": sum(each.left for folder in folders for each in folder.uploads),
        "reused": sum(len(folder.reused) for folder in folders),
        "not_taken_yet": sum(len(folder.waiting) for folder in folders),
        "skipped": sum(len(folder.skipped) for folder in folders),
        "lost": sum(len(folder.lost) for folder in folders),
        "fire": len(found.fire),
        "price": price,
        "without_price": silent,
        "held": len(found.held),
        "held_price": _sum(found.held)[0],
        "waiting": len(found.waiting),
        "failing": len(found.failing),
        "unknown": len(found.unknown),
    }


def _sum(rows: Iterable["Foreseen"]) -> tuple[float, int]:
    """What they would cost together, and of how many nobody knows it."""
    prices = [row.price for row in rows]
    return round(sum(price for price in prices if price is not None), 6), sum(price is None for price in prices)


# --- for people -------------------------------------------------------------------------------------------------------


def _lines(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    for folder in found.folders:
        yield from _folder(out, folder, most)
        yield ""
    yield from _fire(out, found)
    yield from _held(out, found)
    yield from _waiting(out, found, most)
    yield from _failing(out, found, most)
    yield from _unknown(out, found, most)
    yield from _in_all(out, found)


def _title(out: Page, text: str) -> str:
    return out.paint(text, bold=True)


def _some(rows: Sequence[T], most: int | None) -> tuple[Sequence[T], list[str]]:
    """Those that are told one by one, and a line about the others."""
    shown = rows if most is None else rows[:most]
    return shown, [f"    and {len(rows) - len(shown)} more; --all lists them"] if len(shown) < len(rows) else []


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# --- files ------------------------------------------------------------------------------------------------------------


def _folder(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    name = _title(out, folder.name)
    if folder.state not in ("watching", "polling"):
        state = str(folder.state or "away")
        yield f"{name}  {out.paint(state, COLOURS.get(state))}: {name_text(folder.detail)}"
        if folder.left:
            yield f"  {_count(folder.left, 'queued file')} would wait for it"
        return
    yield f"{name}  {out.fit(name_text(folder.path), len(folder.name) + 2)}"
    parts = (_uploads, _reused, _not_yet, _skipped, _lost)
    lines = [line for part in parts for line in part(out, folder, most)]
    yield from lines or ["  nothing new"]


def _uploads(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.uploads:
        return
    left = size_text(sum(each.left for each in folder.uploads))
    yield f"  {out.paint(_count(len(folder.uploads), 'file'), COLOURS['queued'])} to upload, {left}"
    shown, more = _some(folder.uploads, most)
    for each in shown:
        size = size_text(each.size) + ("" if each.left == each.size else f", {size_text(each.left)} still to be sent")
        yield _file(out, folder, each.path, size)
    yield from more


def _reused(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.reused:
        return
    number = out.paint(_count(len(folder.reused), "file"), COLOURS["uploaded"])
    yield f"  {number} with the bytes of another one: its file_id is used, nothing is sent"
    shown, more = _some(folder.reused, most)
    for each in shown:
        yield _file(out, folder, each.path, size_text(each.size))
    yield from more


def _not_yet(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.waiting:
        return
    yield f"  {out.paint(_count(len(folder.waiting), 'file'), COLOURS['waiting'])} not taken yet"
    shown, more = _some(folder.waiting, most)
    for each in shown:
        yield _file(out, folder, each.path)
        yield f"      {name_text(each.reason)}"
    yield from more


def _skipped(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    """By the reason, since of some there are many."""
    codes = Counter(each.error_code for each in folder.skipped)
    for code, number in codes.most_common():
        yield f"  {out.paint(_count(number, 'file'), COLOURS['skipped'])} skipped: {code}"
        shown, more = _some([each for each in folder.skipped if each.error_code == code], most)
        for each in shown:
            yield _file(out, folder, each.path)
        yield from more


def _lost(out: Page, folder: "FolderOutlook", most: int | None) -> Iterator[str]:
    if not folder.lost:
        return
    yield f"  {out.paint(_count(len(folder.lost), 'file'), COLOURS['failed'])} in the queue, and not to be had"
    shown, more = _some(folder.lost, most)
    for each in shown:
        yield _file(out, folder, each.path)
        yield f"      {each.error_code}: {name_text(each.error)}"
    yield from more


def _file(out: Page, folder: "FolderOutlook", path: str, about: str = "") -> str:
    name = out.fit(_below(folder.name, folder.path, path), 4 + (len(about) + 2 if about else 0))
    return f"    {name}  {about}" if about else f"    {name}"


# --- generations ------------------------------------------------------------------------------------------------------


def _fire(out: Page, found: "Outlook") -> Iterator[str]:
    if not found.fire:
        return
    yield _title(out, "would be fired")
    groups: dict[tuple[str, str], list[Foreseen]] = {}
    for row in found.fire:
        groups.setdefault((row.folder, row.rule), []).append(row)
    for (folder, rule), rows in groups.items():
        number = out.paint(_count(len(rows), "generation"), COLOURS["running"])
        yield f"  {name_text(rule)} of {name_text(folder)}: {number}, {_each_and_all(rows)}"
    yield ""


def _each_and_all(rows: Sequence["Foreseen"]) -> str:
    """What each costs, and all of them."""
    prices = sorted({row.price for row in rows if row.price is not None})
    if not prices or len(rows) == 1:
        return _prices(rows)
    each = units(prices[0]) if len(prices) == 1 else f"{units(prices[0])} to {units(prices[-1])}"
    return f"{each} each, {_prices(rows)}"


def _prices(rows: Sequence["Foreseen"]) -> str:
    total, silent = _sum(rows)
    if silent == len(rows):
        return "price unknown"
    about = "about " if any(row.about for row in rows) else ""
    return f"{about}{units(total)} Creative Units" + (f" and {silent} at an unknown price" if silent else "")


def _held(out: Page, found: "Outlook") -> Iterator[str]:
    if not found.held:
        return
    yield _title(out, "would be held back")
    groups: dict[str, list[Foreseen]] = {}
    for row in found.held:
        groups.setdefault(row.error_code or "", []).append(row)
    for code, rows in sorted(groups.items(), key=lambda item: -len(item[1])):
        before = sum(row.known for row in rows)
        number = _count(len(rows), "generation") + (f" ({before} held back already)" if before else "")
        yield f"  {out.paint(code, COLOURS['blocked'])}: {number}, {_each_and_all(rows)}"
        yield f"    {name_text(rows[0].error or '')}"
        yield f"    do: {generation_advice(code, Generation.BLOCKED)}"
    yield ""


def _waiting(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    if not found.waiting:
        return
    yield _title(out, "would wait for inputs")
    shown, more = _some(found.waiting, most)
    for row in shown:
        yield f"  {out.fit(_of(found, row), 2)}"
        deadline = f"; no longer than {until(row.until)}" if row.until else ""
        yield f"    waits for {needs_text(row.needs)}{deadline}"
    yield from more
    yield ""


def _failing(out: Page, found: "Outlook", most: int | None) -> Iterator[str]:
    if not found.failing:
        return
    yield _title(out, "would fail, and cost nothing")
    shown, more = _some(found.failing, most)
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
    yield _title(out, "may have been started: settle them with `layerwatch resolve`")
    shown, more = _some(found.unknown, most)
    for row in shown:
        yield f"  {out.fit(_of(found, row), 2)}"
    yield from more
    yield ""


def _of(found: "Outlook", row: "Foreseen") -> str:
    """Which one it is; those that a run would make have no number yet."""
    root = next((folder.path for folder in found.folders if folder.name == row.folder), None)
    number = "" if row.generation is None else f"{label(row.generation)}, "
    return f"{number}{_below(row.folder, root, row.path)} by {name_text(row.rule)}"


def _below(folder: str, root: str | None, path: str) -> str:
    inside = root is not None and path.startswith(f"{root.rstrip('/')}/")
    return name_text(f"{folder}/{path[len(root or '') :].lstrip('/')}" if inside else path)


# --- all together -----------------------------------------------------------------------------------------------------


def _in_all(out: Page, found: "Outlook") -> Iterator[str]:
    totals, money = _totals(found), found.money
    parts = [f"{_count(int(totals['uploads']), 'upload')} ({size_text(totals['upload_bytes'])})"]
    parts += [f"{totals['reused']} re-used"] if totals["reused"] else []
    parts += [f"{found.running} running"] if found.running else []
    if found.fire or found.held:
        parts.append(_count(len(found.fire), "generation"))
        parts += [_prices(found.fire)] if found.fire else []
    if found.fire or found.held or money.daily is not None:
        of = "" if money.daily is None else f" of {units(money.daily)}"
        parts.append(f"{units(money.spent)}{of} spent today (UTC)")
    parts += [] if money.available is None else [f"{units(money.available)} in the workspace"]
    yield from wrapped(out, f"{'in all':10}", parts, parts)
