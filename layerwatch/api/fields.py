"""Reading the API's answers where its reference leaves open what a field is called or how it is written. Pure.

Never raises: what makes no sense is not there. A `bool` is no number, and neither are NaN and infinity.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from layerwatch.redact import REDACTED, redact

ENVELOPES = ("data", "inference", "run", "workflow_run", "estimate")
URLS = ("url", "asset_url", "download_url", "file_url")
RESULTS = ("assets", "files", "outputs", "images")
MAX_DEPTH = 6
MAX_CODE_CHARS = 64


def unwrapped(body: Mapping[str, Any], known: Iterable[str]) -> Mapping[str, Any]:
    """The answer without envelopes such as `{"data": {"run": ...}}`: one that has a `known` field is none."""
    for _ in range(MAX_DEPTH):
        inner = next((body[key] for key in ENVELOPES if isinstance(body.get(key), dict)), None)
        if inner is None or any(body.get(key) for key in known):
            return body
        outer = {key: value for key, value in body.items() if key not in ENVELOPES}
        body = {**outer, **inner}
    return body


def number(value: object) -> float | None:
    """A finite number, which may be written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def amount(body: Mapping[str, Any], names: Iterable[str]) -> float | None:
    """The first of these fields that is a number and not negative."""
    numbers = (number(body.get(name)) for name in names)
    return next((found for found in numbers if found is not None and found >= 0), None)


def text(body: Mapping[str, Any], names: Iterable[str], most: int) -> str | None:
    """The first of these fields that is text, of at most so many characters, or a whole number."""
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and (found := value.strip()[:most]):
            return found
    return None


def code_text(value: object) -> str:
    """A code as it can be recorded and counted by; empty for anything else."""
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return found if re.fullmatch(rf"[\w.:-]{{1,{MAX_CODE_CHARS}}}", found, re.ASCII) else ""


def plain(message: str) -> str:
    """A message without secrets, whoever signed the URLs in it."""
    return re.sub(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]+", rf"\1?{REDACTED}", redact(message))


def results(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The result files, each with its `url`, whichever field they are under and however they are nested."""
    found = next(filter(None, (_files(body.get(name), MAX_DEPTH) for name in RESULTS)), [])
    once: dict[str, dict[str, Any]] = {}
    for entry in found:
        once.setdefault(entry["url"], entry)
    return list(once.values())


def _files(value: object, depth: int) -> list[dict[str, Any]]:
    if not depth:
        return []
    if isinstance(value, list):
        entries = ({"url": item} if isinstance(item, str) else item for item in value)
        return [found for entry in entries for found in _files(entry, depth - 1)]
    if not isinstance(value, dict):
        return []
    if url := next((value[key] for key in URLS if _is_url(value.get(key))), None):
        return [{**value, "url": url}]
    return [found for inner in value.values() if isinstance(inner, list | dict) for found in _files(inner, depth - 1)]


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))
