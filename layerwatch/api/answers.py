"""What Layer answers about generations, read leniently: where its reference is open, every likely name is taken. Pure.

Never guesses where money is at stake: an answer without an id that can be asked for again is no acceptance.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from layerwatch.api import fields

SHORTEST_POLL_S, LONGEST_POLL_S = 0.01, 3600.0
MAX_NAME_CHARS = 1000
MAX_MESSAGE_CHARS = 1000
MAX_WORD_CHARS = 64
MAX_ID_CHARS = 200

CHARGED = ("creative_units_charged", "charged_creative_units", "price_creative_units", "creative_units", "price")
PRICES = ("estimated_price_creative_units", *CHARGED)
AVAILABLE = ("workspace_balance_creative_units", "available_creative_units")
INTERVALS = (
    "polling_interval_seconds",
    "suggested_polling_interval_seconds",
    "polling_interval",
    "poll_interval_seconds",
    "poll_after_seconds",
)


class Kind(StrEnum):
    """What a generation is in Layer's terms."""

    INFERENCE = "inference"
    WORKFLOW = "workflow"


class Progress(StrEnum):
    """How far a generation is, whatever word the API has for it."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


IDS = {
    Kind.INFERENCE: ("inference_id", "run_id", "workflow_run_id", "id"),
    Kind.WORKFLOW: ("run_id", "workflow_run_id", "inference_id", "id"),
}
ENDS = {
    **dict.fromkeys(("complete", "completed", "success", "succeeded", "done"), Progress.COMPLETE),
    **dict.fromkeys(("failed", "failure", "error", "errored"), Progress.FAILED),
    **dict.fromkeys(("cancelled", "canceled", "deleted"), Progress.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a generation would cost and what is left, in Creative Units; None where the API does not say."""

    price: float | None
    available: float | None
    sufficient: bool | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A generation that was started. `price` is what the API says that it will cost."""

    remote_id: str
    poll_after_s: float | None
    price: float | None
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Asset:
    """One result file. `url` is a secret: who has it can read the file. `name` is the server's, not to be trusted."""

    url: str = field(repr=False)
    name: str | None
    content_type: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Remote:
    """How a generation stands. `word` is the API's own status; `price` what was charged, where it says so."""

    progress: Progress
    word: str
    poll_after_s: float | None
    price: float | None
    assets: tuple[Asset, ...]
    error_code: str | None
    error: str | None
    completed_at: str | None


def usable_id(text: str) -> bool:
    """Whether it can be a part of a URL's path: nothing that would lead elsewhere."""
    return bool(re.fullmatch(rf"[\w.:~-]{{1,{MAX_ID_CHARS}}}", text, re.ASCII)) and text.strip(".") != ""


def estimate(body: Mapping[str, Any]) -> Estimate:
    """What a price was asked for."""
    inner = fields.unwrapped(body, PRICES)
    available = next((found for name in AVAILABLE if (found := fields.number(inner.get(name))) is not None), None)
    sufficient = inner.get("has_sufficient_creative_units")
    return Estimate(fields.amount(inner, PRICES), available, sufficient if isinstance(sufficient, bool) else None)


def accepted(kind: Kind, body: object) -> Accepted | None:
    """What was started; None for an answer that does not say as what it can be asked for."""
    if not isinstance(body, dict):
        return None
    inner = fields.unwrapped(body, IDS[kind])
    remote_id = fields.text(inner, IDS[kind], MAX_ID_CHARS + 1)
    if remote_id is None or not usable_id(remote_id):
        return None
    session_id = fields.text(inner, ("session_id",), MAX_ID_CHARS)
    return Accepted(remote_id, _poll_after_s(inner), fields.amount(inner, PRICES), session_id)


def remote(kind: Kind, body: Mapping[str, Any]) -> Remote:
    """How it stands; a word never heard of means that it is not over."""
    inner = fields.unwrapped(body, IDS[kind])
    word = fields.text(inner, ("status", "state"), MAX_WORD_CHARS) or ""
    code, message = _error(inner)
    return Remote(
        progress=progress(word),
        word=word,
        poll_after_s=_poll_after_s(inner),
        price=fields.amount(inner, CHARGED),
        assets=tuple(_asset(entry) for entry in fields.results(inner)),
        error_code=code,
        error=message,
        completed_at=fields.text(inner, ("completed_at",), MAX_WORD_CHARS),
    )


def progress(word: str) -> Progress:
    """What a status word means, without case and whatever stands between its parts."""
    plain = word.strip().lower().replace("-", "_").replace(" ", "_")
    return ENDS.get(plain, Progress.RUNNING)


def _poll_after_s(body: Mapping[str, Any]) -> float | None:
    seconds = fields.amount(body, INTERVALS)
    return None if seconds is None else min(max(seconds, SHORTEST_POLL_S), LONGEST_POLL_S)


def _error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Code and message: `error: {code, message}`, `error: "text"`, or `error_code` and `error_message`."""
    told = body.get("error")
    inner = told if isinstance(told, dict) else {"message": told}
    code = fields.code_text(inner.get("code")) or fields.code_text(body.get("error_code"))
    message = fields.text(inner, ("message", "detail"), MAX_MESSAGE_CHARS)
    message = message or fields.text(body, ("error_message",), MAX_MESSAGE_CHARS)
    return code or None, fields.plain(message) if message else None


def _asset(entry: dict[str, Any]) -> Asset:
    size = fields.amount(entry, ("size_bytes", "file_size_bytes", "size", "file_size"))
    return Asset(
        url=entry["url"],
        name=fields.text(entry, ("name", "file_name", "filename"), MAX_NAME_CHARS),
        content_type=fields.text(entry, ("content_type", "mime_type"), MAX_NAME_CHARS),
        size=None if size is None else int(size),
    )
