"""Sizes, rates and durations: what people write, and back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch.config.faults import Fault
from layerwatch.config.units import duration, rate, size

BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("8MiB", 8 * 1024**2),
        ("64 MB", 64_000_000),
        ("500KB", 500_000),
        ("500kb", 500_000),
        ("1.5MiB", 1_572_864),
        ("0.5 kB", 500),
        ("1TB", 10**12),
        (" 12 ", 12),
        ("12B", 12),
        (12, 12),
        (-1, -1),
    ],
)
def test_sizes(written: object, expected: int) -> None:
    assert size(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("20MB/s", 20_000_000), ("512 KiB / s", 524_288), ("1MiB", 1_048_576), ("100", 100), (100, 100)],
)
def test_rates(written: object, expected: int) -> None:
    assert rate(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2s", 2.0),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("1.5h", 5400.0),
        ("1d", 86_400.0),
        ("2.5", 2.5),
        ("0", 0.0),
        (3, 3.0),
        (0.25, 0.25),
        (-0.5, -0.5),
        (-(10**400), -1.0),
    ],
)
def test_durations(written: object, expected: float) -> None:
    assert duration(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "MB",
        "8 apples",
        "8M",
        "-8MB",
        "1e3MB",
        "0x10",
        "8MiB extra",
        "٣MB",
        True,
        8.0,
        None,
        [],
        "9" * 400,
        "0.3KiB",
    ],
)
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(Fault) as caught:
        size(written)
    assert "8MiB" in caught.value.fix


@pytest.mark.parametrize("written", ["20Mb", "20Kb", "20Gib"])
def test_a_unit_that_may_mean_bits_is_refused(written: str) -> None:
    with pytest.raises(Fault, match="may mean bits"):
        size(written)


@pytest.mark.parametrize(
    "written", ["", " ", "5 minutes", "m5", "30m1h", "1h1h", "-2s", "1e3", "2S", float("nan"), True, None, "9" * 400]
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(Fault) as caught:
        duration(written)
    assert "1h30m" in caught.value.fix


@pytest.mark.parametrize("written", ["367d", float("inf"), 1e12, 10**400])
def test_no_duration_is_longer_than_a_year(written: object) -> None:
    with pytest.raises(Fault, match="longer than a year"):
        duration(written)


@given(st.integers(0, 10**6), st.sampled_from(sorted(BYTES)), st.sampled_from(["", " "]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str, space: str) -> None:
    assert size(f"{number}{space}{unit}") == number * BYTES[unit]
    assert rate(f"{number}{space}{unit}/s") == number * BYTES[unit]


@given(st.integers(0, 10**15 - 1))
def test_plain_bytes_come_back(number: int) -> None:
    assert size(number) == size(str(number)) == number


@given(st.integers(0, 366 * 86_400 * 1000))
def test_milliseconds_come_back(milliseconds: int) -> None:
    assert duration(f"{milliseconds}ms") == float(Decimal(milliseconds) / 1000)


@given(st.integers(0, 365 * 86_400))
def test_a_duration_written_in_parts_comes_back(seconds: int) -> None:
    rest, text = seconds, ""
    for unit, length in SECONDS.items():
        count, rest = divmod(rest, length)
        text += f"{count}{unit}" if count else ""
    assert duration(text or "0s") == seconds


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary()))
def test_anything_is_read_or_refused(written: object) -> None:
    for read in (size, rate, duration):
        try:
            read(written)
        except Fault as fault:
            assert fault.reason  # noqa: PT017 - either outcome is right
            assert fault.fix  # noqa: PT017
