"""Sizes, rates and durations as people write them. Pure; a value that cannot be read is a `Fault`."""

import math
import re
from decimal import Decimal

from layerwatch.config.faults import Fault

KIB, MIB, GIB = 1024, 1024**2, 1024**3
_BYTES = {"": 1, "b": 1} | {
    f"{prefix}{ending}": base**power
    for power, prefix in enumerate("kmgt", start=1)
    for ending, base in (("b", 1000), ("ib", 1024))
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)")
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)"
_DURATION = re.compile(rf"(?=.)(?:{_NUMBER}\s*d)?\s*(?:{_NUMBER}\s*h)?\s*(?:{_NUMBER}\s*m)?\s*(?:{_NUMBER}\s*s)?")
_MILLISECONDS = re.compile(rf"{_NUMBER}\s*ms")
_SECONDS = re.compile(_NUMBER)
_YEAR_S = 366 * 86_400

_SIZE_FIX = 'write for example "8MiB", "64 MB", "500KB", or a plain number of bytes'
_RATE_FIX = 'write for example "20MB/s", "512 KiB/s", or a plain number of bytes a second'
_DURATION_FIX = 'write for example "2s", "500ms", "5m", "1h30m", or a plain number of seconds'


def size(value: object) -> int:
    """Bytes: "8MiB" is 8 x 1024 x 1024, "8MB" is 8,000,000."""
    return _bytes(value, "a size", _SIZE_FIX)


def rate(value: object) -> int:
    """Bytes a second."""
    text = re.sub(r"\s*/\s*s$", "", value.strip()) if isinstance(value, str) else value
    return _bytes(text, "a rate", _RATE_FIX)


def duration(value: object) -> float:
    """Seconds."""
    seconds = _seconds(value)
    if seconds is None or math.isnan(seconds):
        raise Fault("is not a duration", _DURATION_FIX)
    if seconds > _YEAR_S:
        raise Fault("is longer than a year", _DURATION_FIX)
    return seconds


def _bytes(value: object, what: str, fix: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or found[2].lower() not in _BYTES:
        raise Fault(f"is not {what}", fix)
    if re.fullmatch("[A-Z]i?b", found[2]):
        raise Fault(f"is not clear: {found[2]} may mean bits", f"write {found[2][:-1]}B for bytes")
    amount = Decimal(found[1]) * _BYTES[found[2].lower()]
    if amount != int(amount):
        raise Fault("is not a whole number of bytes", fix)
    return int(amount)


def _seconds(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Compared first: TOML's integers may be too large for a float.
        return math.inf if value > _YEAR_S else float(max(value, -1))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if found := _MILLISECONDS.fullmatch(text):
        return float(Decimal(found[1]) / 1000)
    if found := _DURATION.fullmatch(text):
        return float(
            sum(Decimal(part or 0) * unit for part, unit in zip(found.groups(), (86_400, 3600, 60, 1), strict=True))
        )
    return None
