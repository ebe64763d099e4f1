"""What a forecast comes to, in numbers: for scripts, and for the last line."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layerwatch.preview import Foreseen, Outlook


def document(found: "Outlook") -> dict[str, Any]:
    """All of it."""
    whole = asdict(found)
    budget = whole.pop("money")
    return {**whole, "budget": budget, "totals": totals(found)}


def totals(found: "Outlook") -> dict[str, float]:
    folders = found.folders
    price, silent = cost(found.fire)
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
        "held_price": cost(found.held)[0],
        "waiting": len(found.waiting),
        "failing": len(found.failing),
        "unknown": len(found.unknown),
    }


def cost(rows: Iterable["Foreseen"]) -> tuple[float, int]:
    """What they would cost together, and of how many nobody knows it."""
    prices = [row.price for row in rows]
    return round(sum(price for price in prices if price is not None), 6), sum(price is None for price in prices)
