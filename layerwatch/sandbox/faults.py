"""The faults that the sandbox can deal, all off by default, and how they are asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, and how often: `KEYS` says what each one does. ValueError for a value out of range."""

    errors: float = 0.0
    drop: float = 0.0
    partial: float = 0.0
    lost_answers: float = 0.0
    lazy: float = 0.0
    boast: float = 0.0
    dead_sessions: float = 0.0
    denied: float = 0.0
    no_location: float = 0.0
    corrupt: float = 0.0
    no_hash: float = 0.0
    lost_posts: float = 0.0
    broken_posts: float = 0.0
    failures: float = 0.0
    cancels: float = 0.0
    asset_404: float = 0.0
    asset_short: float = 0.0
    url_life_s: float = 900.0
    slow_s: float = 0.2
    latency_s: float = 0.0
    rate_limit: float | None = None
    bandwidth: float | None = None
    retry_after: float | None = None
    price: float | None = None
    asset_bytes: float | None = None
    refuse_posts: int | None = None
    fail_code: str | None = None
    asset_name: str | None = None
    asset_redirect: bool = False
    no_estimate: bool = False
    bare: bool = False
    renamed: bool = False
    other_codes: bool = False
    html: bool = False
    upper_status: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))


Kind = Literal["rate", "seconds", "limit", "status", "text", "flag", "whole"]

STATUSES = (400, 401, 402, 403, 404, 409, 422, 429, 500, 502, 503, 504)  # of an API's refusal to start anything
MAX_TEXT_CHARS = 1000

KEYS: dict[str, tuple[Kind, str]] = {
    "errors": ("rate", "requests to any endpoint answered 500 or 503"),
    "drop": ("rate", "connections closed in the middle of a PUT; what came is kept, in steps of 256 KiB"),
    "partial": ("rate", "PUTs of which less is kept than was sent, answered 308 with the range that was"),
    "lost_answers": ("rate", "last PUTs stored whole, then the connection is closed without an answer"),
    "lazy": ("rate", "308 answers without a Range although bytes are stored"),
    "boast": ("rate", "308 answers whose Range says more than was ever sent"),
    "dead_sessions": ("rate", "upload sessions that answer 410 from some byte on"),
    "denied": ("rate", "starts of an upload answered 403"),
    "no_location": ("rate", "starts of an upload answered 201, but without the session"),
    "corrupt": ("rate", "uploads of which one stored byte is wrong, and so the hash in the answer"),
    "no_hash": ("rate", "final answers without x-goog-hash"),
    "lost_posts": ("rate", "paid POSTs carried out, then the connection is closed without an answer"),
    "broken_posts": ("rate", "paid POSTs not carried out: the connection is closed before anything starts"),
    "failures": ("rate", "generations that end failed, with each of the API's error codes in turn, or fail_code"),
    "cancels": ("rate", "generations that end cancelled"),
    "asset_404": ("rate", "requests for a result file answered 404"),
    "asset_short": ("rate", "result files that break off before their Content-Length"),
    "url_life_s": ("seconds", "how long an upload URL lives (900)"),
    "slow_s": ("seconds", "how long a generation runs (0.2)"),
    "latency_s": ("seconds", "delay before every answer"),
    "rate_limit": ("limit", "API requests per second; 429 with Retry-After beyond"),
    "bandwidth": ("limit", "bytes per second read from each connection"),
    "retry_after": ("limit", "seconds in the Retry-After of what refuse_posts refuses; without it only 429 has one"),
    "price": ("limit", "Creative Units of every generation, whatever the model or workflow"),
    "asset_bytes": ("limit", "how long every result file is; it is never in memory as a whole"),
    "refuse_posts": (
        "status",
        "the status that paid POSTs are answered with, and nothing is started: 402, 429, 503, ...",
    ),
    "fail_code": ("text", "the code of generations that fail, as in CONTENT_POLICY_VIOLATION"),
    "asset_name": ("text", "the file name announced for every result file, as in ../../evil.png"),
    "asset_redirect": ("flag", "result files are found only behind a redirect"),
    "no_estimate": ("flag", "the API has no estimates: 404"),
    "bare": ("flag", "generations' answers without their optional fields: interval, price, session, times"),
    "renamed": (
        "flag",
        "generations' answers with other names: id, price, poll_interval_seconds, outputs, ...",
    ),
    "other_codes": ("flag", "200 for a start and 201 for a finished upload, instead of 201 and 200"),
    "html": ("flag", "every API endpoint answers 200 with an HTML page, as a wrong base_url would"),
    "upper_status": ("flag", "IN_PROGRESS and COMPLETED instead of in_progress and complete"),
    "seed": ("whole", "of the random numbers that deal the faults"),
}

_ALLOWED: dict[Kind, str] = {
    "rate": "a rate from 0 to 1",
    "seconds": "seconds, 0 or more",
    "limit": "a number above 0, or none",
    "status": f"one of {', '.join(map(str, STATUSES))}, or none",
    "text": f"text of 1 to {MAX_TEXT_CHARS} printable characters, or none",
    "flag": "true or false",
    "whole": "a whole number",
}


def _fits(kind: Kind, value: object) -> bool:
    if value is None:
        return kind in ("limit", "status", "text")
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "text":
        return isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS and value.isprintable()
    if isinstance(value, bool) or not isinstance(value, int if kind in ("whole", "status") else int | float):
        return False
    bounds = {
        "rate": 0 <= value <= 1,
        "seconds": 0 <= value < 1e9,
        "limit": 0 < value < 1e15,
        "status": value in STATUSES,
    }
    return bounds.get(kind, True)


def _check(key: str, value: object) -> None:
    if key not in KEYS:
        raise ValueError(f"unknown fault {key!r}; allowed are: {', '.join(KEYS)}")
    kind = KEYS[key][0]
    if not _fits(kind, value):
        raise ValueError(f"fault {key!r}: {value!r} is not {_ALLOWED[kind]}")


def change(faults: Faults, changes: Mapping[str, Any]) -> Faults:
    """`faults` with some keys changed. ValueError names the key, the reason and what is allowed."""
    for key, value in changes.items():
        _check(key, value)
    return replace(faults, **changes)


def _value(key: str, text: str) -> object:
    """`text` in the type that `key` wants; the text itself where it is not one, for `_check` to refuse."""
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    kind = KEYS[key][0] if key in KEYS else "rate"
    if kind == "text":
        return None if text.lower() == "none" else text
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text) if kind in ("whole", "status") else float(text)
    except ValueError:
        return text


def parse(text: str) -> Faults:
    """Read `"errors=0.2,drop=0.1,html"`; a flag may stand without a value.

    ValueError names the key, the reason and what is allowed.
    """
    changes: dict[str, object] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key in changes:
            raise ValueError(f"fault {key!r} is given twice")
        changes[key] = _value(key, value) if equals else True
    return change(Faults(), changes)
