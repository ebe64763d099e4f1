"""The part of the page about generations that need a person's word, or wait for something."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from layerwatch.advice import generation_advice
from layerwatch.ledger import GenerationRow, Ledger
from layerwatch.notices import name_text
from layerwatch.states import Generation
from layerwatch.web import words
from layerwatch.web.sight import Sight

MOST = 10  # of each kind
_HELD = MappingProxyType(
    {
        "over_per_generation": "dearer than one may be",
        "over_daily": "the limit of the day is reached",
        "burst": "very many at once",
        "price_unknown": "what they cost is not known beforehand",
        "insufficient_units": "the workspace has not enough Creative Units",
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person is to decide about generations, or to know of them: why, and what to do."""

    key: str
    title: str
    status: str
    why: str
    do: str


def held_for_good(ledger: Ledger) -> int:
    """How many generations are blocked until somebody approves them."""
    return sum(held.number for held in ledger.stories.held_back() if held.next_attempt_at is None)


def decisions(sight: Sight, ledger: Ledger, made: dict[str, int]) -> list[Decision]:
    """What needs a word first; `made` counts generations by status."""
    return [*_unknown(sight, ledger), *_held(sight, ledger), *_failed(sight, ledger, made), *_waiting(sight, ledger)]


def _title(sight: Sight, row: GenerationRow) -> str:
    return f"g{row.id}: {name_text(row.rule)} of {words.name(sight.settings(), row.path, row.folder)}"


def _unknown(sight: Sight, ledger: Ledger) -> Iterator[Decision]:
    for row in ledger.stories.newest(Generation.UNKNOWN, MOST):
        why = f"it may have been started, and paid for. {words.message(row.error)}"
        do = f"look in Layer for it; then settle it with `layerwatch resolve g{row.id}`"
        yield Decision(f"g{row.id}", _title(sight, row), row.status, why, do)


def _held(sight: Sight, ledger: Ledger) -> Iterator[Decision]:
    for held in ledger.stories.held_back():
        many = words.many(held.number, "generation is", "generations are")
        reason = _HELD.get(held.error_code or "", name_text(held.error_code or ""))
        title = f"{many} held back: {reason}"
        about = f"about {words.units(held.estimated_price)} Creative Units"
        price = "no price known" if held.without_price == held.number else about
        again = words.when(held.next_attempt_at, sight.wall()) if held.next_attempt_at else None
        goes_on = f"; looked at again {again.ago}" if again else ""
        do = generation_advice(held.error_code, Generation.BLOCKED) or "`layerwatch approve`"
        yield Decision(
            f"held-{held.error_code}", title, Generation.BLOCKED, f"{price}, nothing is paid yet{goes_on}", do
        )


def _failed(sight: Sight, ledger: Ledger, made: dict[str, int]) -> Iterator[Decision]:
    for row in ledger.stories.newest(Generation.FAILED, MOST):
        do = generation_advice(row.error_code, row.status)
        yield Decision(f"g{row.id}", _title(sight, row), row.status, words.message(row.error), do)
    if (more := made[Generation.FAILED] - MOST) > 0:
        text = f"{words.many(more, 'more has', 'more have')} failed"
        do = "`layerwatch ls --generations --status failed` lists all"
        yield Decision("more-failed", text, Generation.FAILED, "", do)


def _waiting(sight: Sight, ledger: Ledger) -> Iterator[Decision]:
    for row in ledger.stories.newest(Generation.WAITING, MOST):
        needs = (f"{need.role} ({name_text(need.glob)})" for need in ledger.stories.needs(row.id))
        why = f"it waits for {words.listed(list(needs)) or 'nothing'}"
        limit = f"; until {words.when(row.deadline_at, sight.wall()).clock}" if row.deadline_at else ""
        yield Decision(f"g{row.id}", _title(sight, row), row.status, why + limit, "")
