"""What the commands share about generations: what they are called, what they cost, what comes next. Reads only.

Addresses of results let anyone read them: none is shown with its signature.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from layerwatch.advice import generation_advice
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import clock, until
from layerwatch.ledger import GenerationRow, NeedRow
from layerwatch.notices import name_text
from layerwatch.redact import REDACTED, redact
from layerwatch.states import Generation

if TYPE_CHECKING:
    from layerwatch.config import Rule

TIME_LIMIT_S = 3600.0  # of following one whose rule is not configured any more
_NAME = re.compile(r"g([0-9]{1,18})", re.ASCII)
_SIGNED = re.compile(r"sig|token|key|credential|policy|expires|auth", re.IGNORECASE)


# --- what they are called ---------------------------------------------------------------------------------------------


def number(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A generation where only one can be meant: `g17` or `17`."""
    found = _NAME.fullmatch(value if value.startswith("g") else f"g{value}")
    if not found:
        raise click.BadParameter(f"{name_text(value)} is no generation: write g17, or 17", ctx, param)
    return int(found[1])


def numbers(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(number(ctx, param, each) for each in value)


def named(given: str) -> int | None:
    """The generation that is meant where an ID may also be a file's: `g17`."""
    found = _NAME.fullmatch(given)
    return int(found[1]) if found else None


def label(id_: int) -> str:
    return f"g{id_}"


def told(now: Situation, row: GenerationRow) -> str:
    """Which one it is, for people."""
    return f"{label(row.id)}, {now.name(row.path, row.folder)} by {row.rule}"


# --- what they cost ---------------------------------------------------------------------------------------------------


def units(amount: float) -> str:
    """Creative Units as people write them; sums of tenths are not exact."""
    return f"{amount:.4f}".rstrip("0").rstrip(".")


def estimated(rows: Iterable[GenerationRow]) -> tuple[float, int]:
    """What they would cost together, in Creative Units, and of how many nobody has said it."""
    prices = [row.estimated_price for row in rows]
    return round(sum(price for price in prices if price is not None), 6), sum(price is None for price in prices)


def estimated_text(rows: Sequence[GenerationRow]) -> str:
    total, silent = estimated(rows)
    if silent == len(rows):
        return "no price known"
    return f"about {units(total)} Creative Units" + (f", and {silent} without a known price" if silent else "")


def by_reason(rows: list[GenerationRow]) -> dict[str, list[GenerationRow]]:
    """Blocked ones by why they are, the most first."""
    groups: dict[str, list[GenerationRow]] = {}
    for row in rows:
        groups.setdefault(row.error_code or "", []).append(row)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


# --- what is known of one ---------------------------------------------------------------------------------------------


def rule_of(now: Situation, row: GenerationRow) -> "Rule | None":
    """Its rule, as it is configured now."""
    folder = now.folder(row.folder)
    return next((rule for rule in folder.rules if rule.name == row.rule), None) if folder else None


def time_limit_s(now: Situation, row: GenerationRow) -> float:
    """How long it is to be followed."""
    rule = rule_of(now, row)
    return TIME_LIMIT_S if rule is None else rule.time_limit


def needs_text(needs: Iterable[NeedRow]) -> str:
    each = (f"{need.role} ({name_text(need.glob)}{', optional' if need.optional else ''})" for need in needs)
    return ", ".join(each) or "nothing"


def public(value: Any) -> Any:
    """JSON without what lets its reader in elsewhere: signed addresses keep their path alone."""
    if isinstance(value, dict):
        return {key: public(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [public(each) for each in value]
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        return value
    address, mark, query = redact(value).partition("?")
    return f"{address}?{REDACTED}" if mark and _SIGNED.search(query) else address + mark + query


def row_document(row: GenerationRow) -> dict[str, Any]:
    """The row, for a script."""
    return row.as_dict() | {"outputs": public(row.outputs)}


def state_of(path: str, size: int, root: str | None) -> str:
    """Whether a result is still where it was saved: there, changed, gone, or unreadable, which tells nothing."""
    try:
        there = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "gone" if root is not None and os.path.isdir(root) else "unreadable"
    except OSError:
        return "unreadable"
    return "there" if there.st_size == size else "changed"


# --- for people: what it is, what comes next, what to do --------------------------------------------------------------


def meaning(now: Situation, row: GenerationRow) -> str:
    """The status in a sentence."""
    match row.status:
        case Generation.WAITING:
            return "not all of its inputs are there yet; nothing was paid"
        case Generation.QUEUED:
            return "it is to be fired; nothing is paid yet"
        case Generation.SUBMITTING:
            return "its request is on its way to Layer" if now.pid else "its request may have reached Layer"
        case Generation.RUNNING:
            return "Layer has done it; its results are being fetched" if row.remote_state else "Layer works on it"
        case Generation.COMPLETE:
            return "Layer has done it" + ("" if row.outputs else ", without any result")
        case Generation.BLOCKED:
            return "it is held back; nothing was paid"
        case Generation.UNKNOWN:
            return "it may have been started, and paid: only a person can find out"
        case Generation.CANCELLED:
            return _cancelled(row)
    return _failed(row)


def _cancelled(row: GenerationRow) -> str:
    if row.error_code == "superseded":
        return "a newer version of its input took its place; nothing was paid"
    if row.remote_state == "cancelled":
        return "it was cancelled in Layer"
    return "somebody dropped it; what it may have cost stays in the books"


def _failed(row: GenerationRow) -> str:
    match row.remote_state:
        case "complete":
            return "Layer has done it, and its results could not be fetched"
        case None if row.remote_id is None:
            return "it was never started; nothing was paid"
        case None:
            return "it was given up before Layer was done with it"
    return "Layer could not do it"


def next_of(now: Situation, row: GenerationRow) -> str:
    """What layerwatch will do about it, and when."""
    match row.status:
        case Generation.WAITING:
            return _next_of_waiting(now, row)
        case Generation.QUEUED | Generation.SUBMITTING | Generation.RUNNING:
            return _next_of_busy(now, row)
        case Generation.BLOCKED if row.next_attempt_at is None:
            return "nothing by itself: it waits for `layerwatch approve`"
        case Generation.BLOCKED:
            return f"it is looked at again {_when(row.next_attempt_at)}"
        case Generation.COMPLETE:
            return "nothing: it is done"
        case Generation.UNKNOWN:
            return f"nothing by itself: it waits for `layerwatch resolve {label(row.id)}`"
    return "nothing by itself"


def _next_of_waiting(now: Situation, row: GenerationRow) -> str:
    needs = now.ledger.stories.needs(row.id)
    waits = f"it waits for {needs_text(needs)}"
    if row.deadline_at is None:
        return waits
    then = "it goes ahead without" if all(need.optional for need in needs) else "it fails"
    return f"{waits}; {then} {_when(row.deadline_at)}"


def _next_of_busy(now: Situation, row: GenerationRow) -> str:
    if now.pid is None:
        if row.status == Generation.SUBMITTING:
            return "the next `layerwatch run` calls it unknown, for nobody has Layer's answer"
        return "it waits for the next `layerwatch run`"
    if row.status == Generation.SUBMITTING:
        return "Layer's answer is waited for"
    if now.hold:
        return f"it waits, as everything does: {name_text(str(now.hold.get('message')))}"
    if row.status == Generation.QUEUED:
        is_due = row.next_attempt_at is None or until(row.next_attempt_at) == "now"
        return "it is fired as soon as its turn comes" if is_due else f"it is tried again {_when(row.next_attempt_at)}"
    limit = f"; it is given up {_when(row.deadline_at)}" if row.deadline_at and not row.remote_state else ""
    return f"Layer is asked again {_when(row.next_attempt_at)}{limit}"


def _when(at: str | None) -> str:
    if at is None or (left := until(at)) == "now":
        return "now"
    return f"{left}, at {clock(at)}"


def to_do(row: GenerationRow) -> str:
    """What a person can do about it; empty where there is nothing."""
    if row.status in (Generation.COMPLETE, Generation.WAITING, Generation.SUBMITTING):
        return ""
    return generation_advice(row.error_code, row.status)
