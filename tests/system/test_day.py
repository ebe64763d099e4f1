"""The eight-hour day in its short form; `python -m tests.system.day` is the long one."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.day import CLIENTS, GROWTH_KIB, day, not_flat, table
from tests.system.vitals import Vitals

STEADY = Vitals(
    minute=80, resident_kib=65_000, peak_kib=65_000, fds=32, sockets=18, threads=15, watches=26, directories=26,
    ledger_bytes=1_000_000, wal_bytes=0, rows=1000,
)  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_working_day_leaves_the_daemon_as_it_was(tmp_path: Path) -> None:
    outcome = day(tmp_path, minutes=0.55)
    assert outcome.broken == (), table(outcome)


def test_a_day_that_only_fills_the_ledger_is_flat() -> None:
    end = replace(STEADY, resident_kib=STEADY.resident_kib + GROWTH_KIB, ledger_bytes=9_000_000, rows=9000)
    assert list(not_flat((STEADY, STEADY, end))) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"resident_kib": STEADY.resident_kib + GROWTH_KIB + 1}, "resident memory"),
        ({"fds": 33}, "descriptors"),
        ({"sockets": CLIENTS + 3}, "sockets"),
        ({"threads": 16}, "threads"),
        ({"watches": 27}, "watches"),
        ({"ledger_bytes": 1_200_000}, "a row takes"),
    ],
)
def test_what_grows_is_named(changed: dict[str, int], word: str) -> None:
    (broken,) = not_flat((STEADY, STEADY, replace(STEADY, **changed)))
    assert broken.startswith(word)
