"""The part of the page about Creative Units."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from layerwatch.ledger import Ledger, Spend, iso
from layerwatch.notices import name_text
from layerwatch.web import words
from layerwatch.web.sight import Sight


@dataclass(frozen=True, slots=True)
class Budget:
    """What was spent, in Creative Units: `lines` are folder, today, this week. `daily` is None where there is no
    limit."""

    today: float
    today_text: str
    week_text: str
    monday: str
    daily: float | None
    daily_text: str
    lines: list[tuple[str, str, str]]


def spending(sight: Sight, ledger: Ledger) -> Budget:
    """Today and this week; days are UTC, as the budget's are, and weeks begin on Monday."""
    today = datetime.fromtimestamp(sight.wall(), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday, daily = today - timedelta(days=today.weekday()), sight.settings().budget.daily
    rows = ledger.stories.spend(iso(monday.timestamp()))
    of_today = [row for row in rows if row.day == today.date().isoformat()]
    spent = _booked(of_today)
    return Budget(
        today=spent,
        today_text=words.units(spent),
        week_text=words.units(_booked(rows)),
        monday=words.day(monday.timestamp()),
        daily=daily,
        daily_text="" if daily is None else words.units(daily),
        lines=[
            (name_text(folder), words.units(_booked(of_today, folder)), words.units(_booked(rows, folder)))
            for folder in sorted({row.folder for row in rows})
        ],
    )


def _booked(rows: list[Spend], folder: str | None = None) -> float:
    return round(sum(row.booked for row in rows if folder in (None, row.folder)), 6)
