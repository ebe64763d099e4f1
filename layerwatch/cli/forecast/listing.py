"""How a forecast lists things: the first of each one by one, the others in number."""

from collections.abc import Sequence
from typing import TypeVar

from layerwatch.cli.tables import Page
from layerwatch.notices import name_text

T = TypeVar("T")
MOST = 10  # of each that is told one by one


def title(out: Page, text: str) -> str:
    return out.paint(text, bold=True)


def some(rows: Sequence[T], most: int | None) -> tuple[Sequence[T], list[str]]:
    """Those that are told one by one, and a line about the others."""
    shown = rows if most is None else rows[:most]
    return shown, [f"    and {len(rows) - len(shown)} more; --all lists them"] if len(shown) < len(rows) else []


def count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def below(folder: str, root: str | None, path: str) -> str:
    inside = root is not None and path.startswith(f"{root.rstrip('/')}/")
    return name_text(f"{folder}/{path[len(root or '') :].lstrip('/')}" if inside else path)
