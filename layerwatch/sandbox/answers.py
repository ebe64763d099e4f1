"""The API's answers, in the shapes and with the field names of its reference. Pure: state in, JSON value out."""

import re
from collections.abc import Mapping
from typing import Any

from layerwatch.sandbox.bodies import invalid
from layerwatch.sandbox.faults import Faults
from layerwatch.sandbox.results import CONTENT_TYPES
from layerwatch.sandbox.works import Asset, Balance, Generation, now_text

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_LOWER = {
    ("inference", "running"): "in_progress",
    ("inference", "complete"): "complete",
    ("inference", "failed"): "failed",
    ("inference", "cancelled"): "cancelled",
    ("run", "running"): "running",
    ("run", "complete"): "success",
    ("run", "failed"): "failure",
    ("run", "cancelled"): "cancelled",
}
# What the reference leaves open: fields that may be missing, and what they may be called instead.
_OPTIONAL = frozenset((
    "polling_interval_seconds", "estimated_price_creative_units", "creative_units_charged", "session_id", "created_at",
    "completed_at", "parameters", "steps",
))  # fmt: skip
_OTHER_NAMES = {
    "inference_id": "id",
    "run_id": "id",
    "polling_interval_seconds": "poll_interval_seconds",
    "estimated_price_creative_units": "price",
    "creative_units_charged": "price",
    "assets": "outputs",
}
_OTHER_ASSET_NAMES = {"url": "download_url", "content_type": "mime_type", "name": "file_name"}


def workspace(workspace_id: str, balance: Balance) -> dict[str, Any]:
    """The workspace and what is left to spend."""
    return {
        "workspace_id": workspace_id,
        "slug": "sandbox",
        "name": "Sandbox",
        "balance_creative_units": balance.total,
        "reserved_creative_units": balance.reserved,
        "available_creative_units": balance.available,
        "last_active_at": now_text(),
    }


def page(name: str, everything: list[dict[str, Any]], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """One page of a list; `query` may hold `limit` (1..100) and `cursor`. Refused (422) for others."""
    limit = re.fullmatch(r"\d{1,3}", query.get("limit", [str(DEFAULT_LIMIT)])[0])
    cursor = re.fullmatch(r"c(\d{1,9})", query.get("cursor", ["c0"])[0])
    if not limit or not 1 <= int(limit[0]) <= MAX_LIMIT:
        raise invalid(f"limit must be from 1 to {MAX_LIMIT}")
    if not cursor:
        raise invalid("cursor is not one of ours")
    start, end = int(cursor[1]), int(cursor[1]) + int(limit[0])
    more = end < len(everything)
    pagination = {
        "has_more_results": more,
        "next_cursor": f"c{end}" if more else None,
        "total_count": len(everything),
    }
    return {name: everything[start:end], "pagination": pagination}


def estimate(price: float, balance: Balance) -> dict[str, Any]:
    """What a generation would cost, and what would be left."""
    return {
        "estimated_price_creative_units": price,
        "workspace_balance_creative_units": balance.available,
        "estimated_remaining_balance_creative_units": balance.available - price,
        "has_sufficient_creative_units": balance.available >= price,
    }


def generation(made: Generation, origin: str, faults: Faults) -> dict[str, Any]:
    """An inference or a run, as the faults have it written; `origin` is what its assets' URLs begin with."""
    answer = _begun(made, faults.upper_status) | _ended(made, origin, faults)
    if faults.bare:
        answer = {key: value for key, value in answer.items() if key not in _OPTIONAL}
    if faults.renamed:
        told = answer.pop("error", {})
        answer = {_OTHER_NAMES.get(key, key): value for key, value in answer.items()}
        answer |= {f"error_{key}": value for key, value in told.items()}
    return answer


def _begun(made: Generation, upper: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        f"{made.kind}_id": made.id,
        "status": _status(made, upper),
        "created_at": made.created_at,
        "estimated_price_creative_units": made.price,
        "session_id": made.session_id,
    }
    if made.kind == "inference":
        answer["parameters"] = made.parameters
    else:
        answer |= {"workflow_id": made.target, "steps": [{"name": "generate", "status": _status(made, upper)}]}
    return answer


def _ended(made: Generation, origin: str, faults: Faults) -> dict[str, Any]:
    """What an answer has according to how the generation stands."""
    if made.status == "running":
        return {"polling_interval_seconds": round(min(max(made.run_s / 4, 0.02), 5.0), 3)}
    end: dict[str, Any] = {"completed_at": made.completed_at, "creative_units_charged": made.charged}
    if made.status == "complete":
        end["assets"] = [_asset(asset, origin, faults) for asset in made.assets]
    if made.failure:
        end["error"] = {"message": made.failure[1], "code": made.failure[0]}
    return end


def _status(made: Generation, upper: bool) -> str:
    word = _LOWER[made.kind, made.status]
    if not upper:
        return word
    return "COMPLETED" if word == "complete" else word.upper()


def _asset(asset: Asset, origin: str, faults: Faults) -> dict[str, Any]:
    url = f"{origin}/assets/{asset.asset_id}/{asset.asset_id[:8]}.{asset.suffix}?X-Goog-Signature={asset.signature}"
    entry = {"url": url} | ({"name": faults.asset_name} if faults.asset_name else {})
    if not faults.bare:
        entry |= {"asset_id": asset.asset_id, "content_type": CONTENT_TYPES[asset.suffix]}
    return {_OTHER_ASSET_NAMES.get(key, key): value for key, value in entry.items()} if faults.renamed else entry
