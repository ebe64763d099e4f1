"""`layerwatch spend`: what was paid, by day, folder and rule."""

import csv
import io
import time
from datetime import UTC, datetime, timedelta

import pytest

from layerwatch.cli.spend import _harmless
from layerwatch.ledger import Ledger

from .conftest import RULE, Place
from .terminal import Terminal

DAY_S = 86_400


def day(ago: int = 0) -> str:
    return (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()


@pytest.fixture
def _filled(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, "a.png", charged=0.1)
    place.complete(ledger, "b.png", charged=0.2)
    place.unknown(ledger, "c.png", price=3, rule="-upscale")
    place.running(ledger, "d.png", price=12.5, poll_in_s=60, at=time.time() - 3 * DAY_S)
    place.blocked(ledger, "e.png")


@pytest.mark.usefixtures("_filled")
def test_by_day_folder_and_rule_with_a_total(place: Place) -> None:
    assert [line.split() for line in place.said("spend").splitlines()] == [
        ["day", "folder", "rule", "generations", "charged", "booked"],
        [day(), "concepts", "-upscale", "1", "0", "3"],
        [day(), "concepts", "restyle", "2", "0.3", "0.3"],
        [day(3), "concepts", "restyle", "1", "0", "12.5"],
        ["total", "4", "0.3", "15.8"],
    ]


@pytest.mark.usefixtures("_filled")
def test_for_scripts(place: Place) -> None:
    document = place.told("spend")
    assert document["rows"][1] == {
        "day": day(), "folder": "concepts", "rule": "restyle", "generations": 2, "charged": 0.3, "booked": 0.3
    }  # fmt: skip
    assert document["total"] == {"generations": 4, "charged": 0.3, "booked": 15.8}
    assert document["today"] == {"day": day(), "generations": 3, "charged": 0.3, "booked": 3.3, "daily": None}
    assert document["since"] is None


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("since", "rows"), [("3d", 2), ("4d", 3), ("1w", 3), ("1d", 2), ("today", 2), ("1970-01-01", 3)]
)
def test_since_a_day(place: Place, since: str, rows: int) -> None:
    since = day() if since == "today" else since
    document = place.told("spend", "--since", since)
    assert len(document["rows"]) == rows
    assert document["today"]["booked"] == 3.3
    assert document["since"] == {"3d": day(2), "4d": day(3), "1w": day(6), "1d": day()}.get(since, since)


@pytest.mark.usefixtures("_filled")
def test_for_a_spreadsheet(place: Place) -> None:
    said = place.said("spend", "--csv")
    assert said.splitlines()[0] == "day,folder,rule,generations,charged,booked"
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["rule"] for row in rows] == ["'-upscale", "restyle", "restyle"]
    assert rows[2] == {
        "day": day(3), "folder": "concepts", "rule": "restyle", "generations": "1", "charged": "0", "booked": "12.5"
    }  # fmt: skip


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_executes_nothing(cell: str) -> None:
    assert _harmless(["a", cell]) == ["a", f"'{cell}"]


def test_what_the_budget_allows_today(place: Place, ledger: Ledger) -> None:
    place.configure(RULE, budget="daily = 100")
    place.complete(ledger, charged=45)
    assert place.said("spend").splitlines()[-2:] == ["", "45 of 100 Creative Units today (UTC)"]
    assert place.told("spend")["today"]["daily"] == 100


@pytest.mark.usefixtures("ledger")
def test_nothing_was_spent(place: Place) -> None:
    result = place.call("spend")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing was spent" in result.stderr
    assert place.said("spend", "--csv") == "day,folder,rule,generations,charged,booked\n"
    assert place.told("spend")["total"] == {"generations": 0, "charged": 0, "booked": 0}


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("since", ["nope", "2026-02-30", "0d", "7", "999999d", "2026-2-3", "\x1b", "٣d", "20260203"])
def test_what_is_no_day_is_a_usage_error(place: Place, since: str) -> None:
    result = place.call("spend", "--since", since)
    assert result.exit_code == 2
    assert "is no day" in result.stderr
    assert "\x1b" not in result.stderr
    assert place.call("spend", "--json", "--csv").exit_code == 2


def test_it_fits_a_terminal(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, charged=1234567.25, rule="a-rule-with-a-long-name-" * 4)
    with Terminal(["spend", "-c", str(place.config)]) as terminal:
        assert terminal.end() == 0
    lines = terminal.seen()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith("1234567.25")
    assert "…" in lines[1]
    assert "\x1b[1m" in terminal.text
