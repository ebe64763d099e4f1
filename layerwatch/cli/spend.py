"""`layerwatch spend`: Creative Units by day, folder and rule. Days are UTC, as the budget's are."""

import csv
import io
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from layerwatch.cli import options
from layerwatch.cli.generations import units
from layerwatch.cli.paging import paged
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import GAP, Page, columns, emit
from layerwatch.ledger import Spend, day_after, iso
from layerwatch.notices import name_text

HEAD = ("day", "folder", "rule", "generations", "charged", "booked")
DAY_S = 86_400.0
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LENGTH = re.compile(r"([1-9][0-9]{0,4})([dw])", re.ASCII)


def _since(ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    """A day, or how many until today."""
    if value is None:
        return None
    try:
        if found := _LENGTH.fullmatch(value):
            days = int(found[1]) * (7 if found[2] == "w" else 1)
            return datetime.fromtimestamp(time.time(), UTC).date() - timedelta(days=days - 1)
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass  # no day of any calendar
    raise click.BadParameter(f"{name_text(value)} is no day: write 2026-11-30, or 7d for the last seven", ctx, param)


@click.command("spend")
@options.config
@options.as_json
@click.option("--since", callback=_since, metavar="DATE|7d", help="From this day on; 7d: today and six days before.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, for a spreadsheet.")
def command(config: str | None, as_json: bool, since: date | None, as_csv: bool) -> None:
    """Creative Units by day (UTC), folder and rule.

    "charged" is what Layer says that it cost, "booked" what counts against the budget: the same, and what still runs,
    or is unknown, with what it was estimated to cost.
    """
    from layerwatch.cli.situation import situation

    if as_json and as_csv:
        raise click.UsageError("Give --json or --csv, not both.")
    with situation(config) as now:
        rows = now.ledger.stories.spend(None if since is None else f"{since.isoformat()}T")
        if as_json:
            emit({"since": since and since.isoformat(), "rows": [_row(row) for row in rows], **_sums(now, rows)})
        elif as_csv:
            click.echo(_csv(rows), nl=False)
        else:
            with paged() as out:
                _tell(out, now, rows)


def today(now: Situation) -> dict[str, Any]:
    """What today has cost so far, and what the budget allows for a day; in Creative Units."""
    began = day_after(time.time()) - DAY_S
    return {"day": iso(began)[:10], **_total(now.ledger.stories.spend(iso(began))), "daily": now.settings.budget.daily}


def today_text(spent: dict[str, Any]) -> str:
    of = "" if spent["daily"] is None else f" of {units(spent['daily'])}"
    return f"{units(spent['booked'])}{of} Creative Units today (UTC)"


def _total(rows: Sequence[Spend]) -> dict[str, float]:
    return {
        "generations": sum(row.generations for row in rows),
        "charged": round(sum(row.charged for row in rows), 6),
        "booked": round(sum(row.booked for row in rows), 6),
    }


def _row(row: Spend) -> dict[str, Any]:
    return asdict(row) | _total([row])


def _sums(now: Situation, rows: Sequence[Spend]) -> dict[str, Any]:
    return {"total": _total(rows), "today": today(now)}


# --- for people and spreadsheets --------------------------------------------------------------------------------------


def _tell(out: Page, now: Situation, rows: Sequence[Spend]) -> None:
    for line in _table(out, rows):
        out.say(line)
    if not rows:
        click.echo("nothing was spent", err=True)
    spent = today(now)
    if spent["daily"] is not None:
        out.say(f"{'' if not rows else chr(10)}{today_text(spent)}")


def _table(out: Page, rows: Sequence[Spend]) -> Iterator[str]:
    if not rows:
        return
    sums = _total(rows)
    total = ("total", "", "", str(sums["generations"]), units(sums["charged"]), units(sums["booked"]))
    lines = columns(out, [HEAD, *map(_cells, rows), total], shares={1: 1, 2: 1}, right=(3, 4, 5))
    for at, line in enumerate(lines):
        text = GAP.join(line).rstrip()
        yield out.paint(text, bold=True) if at in (0, len(lines) - 1) else text


def _cells(row: Spend) -> tuple[str, ...]:
    folder, rule = name_text(row.folder), name_text(row.rule)
    return row.day, folder, rule, str(row.generations), units(row.charged), units(row.booked)


def _csv(rows: Sequence[Spend]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(map(_harmless, map(_cells, rows)))
    return text.getvalue()


def _harmless(cells: Sequence[str]) -> list[str]:
    """A name that a spreadsheet would take for a formula is told to be text."""
    return [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
