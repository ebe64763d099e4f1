"""Times, prices and other people's text as the page shows them. Pure: the time is handed in."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from layerwatch.config import Settings
from layerwatch.ledger import iso, seconds
from layerwatch.notices import name_text
from layerwatch.redact import redact

MOST = 600  # characters of a message


@dataclass(frozen=True, slots=True)
class When:
    """A moment: `iso` for machines, `clock` as it is on the wall here, `ago` as seen from now, `full` to be exact."""

    iso: str
    clock: str
    ago: str
    full: str


def when(at: str | float, now: float) -> When:
    """`at` as unix seconds, or as the ledger writes it."""
    at_s = seconds(at) if isinstance(at, str) else at
    local, today = datetime.fromtimestamp(at_s).astimezone(), datetime.fromtimestamp(now).astimezone()
    if local.date() == today.date():
        clock = local.strftime("%H:%M:%S")
    else:
        clock = local.strftime("%-d %b %H:%M" if local.year == today.year else "%-d %b %Y")
    ago = f"{span(now - at_s)} ago" if at_s <= now else f"in {span(at_s - now)}"
    return When(iso(at_s)[:19] + "Z", clock, ago, local.strftime("%-d %B %Y, %H:%M:%S %Z"))


def span(length_s: float) -> str:
    """A length of time, as short as it is still of use."""
    for unit, size_s, upto_s in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 36 * 3600)):
        if length_s < upto_s:
            return f"{max(length_s, 0) / size_s:.0f} {unit}"
    return f"{length_s / 86_400:.0f} days"


def units(amount: float) -> str:
    """Creative Units; sums of tenths are not exact."""
    text = f"{amount:,.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def number(count: int) -> str:
    return f"{count:,}"


def many(count: int, one: str, more: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {one if count == 1 else more}"


def day(at: float) -> str:
    """The day as budgets count it: UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%-d %b")


def message(text: str | None, most: int = MOST) -> str:
    """What somebody else said: an error, a reason; at most so many characters of it."""
    said = redact(" ".join((text or "").split()))  # before it is cut: half a secret may not look like one
    shown = _plain(said[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def name(settings: Settings, path: str, folder: str) -> str:
    """A path as people know it: below its folder's name, if it lies there."""
    root = next((each.root for each in settings.folders if each.name == folder), None)
    inside = root is not None and path.startswith(os.path.join(root, ""))
    return _plain(redact(f"{folder}/{path[len(root or '') :].lstrip('/')}" if inside else path))


def _plain(text: str) -> str:
    return text if text.isprintable() else name_text(text)


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)
