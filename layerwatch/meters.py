"""What happened since the process started, counted from its notices, for `/metrics`. Any thread may call."""

import copy
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from layerwatch.errors import Code
from layerwatch.notices import Notice

BUCKETS_S = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, math.inf)
OUTCOMES = ("complete", "failed", "cancelled", "unknown")  # of generations
DELIVERIES = ("delivered", "postponed", "failed")
OTHER = "other"
_REASONS = frozenset(map(str, Code))
Charged = Mapping[tuple[str, str], float]  # Creative Units by folder and rule


@dataclass(slots=True)
class Readings:
    """Counts since the start; none of them ever goes down. Those by reason are by `Code`, or `OTHER`. `waits`: files
    uploaded after so long, one count for each of `BUCKETS_S`; `waited_s` is the sum. Sizes in bytes."""

    uploaded_files: int = 0
    uploaded_bytes: int = 0  # of those that were sent
    reused_files: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    pushes_refused: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    overflows: int = 0
    clock_jumps: int = 0
    ledger_troubles: int = 0
    waits: list[int] = field(default_factory=lambda: [0] * len(BUCKETS_S))
    waited_s: float = 0.0


class Meters:
    """Counts; each call is one short step under the lock that is handed in."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._now = Readings()
        self._charged: dict[tuple[str, str], float] = {}

    def count(self, notice: Notice) -> None:
        """Count what a notice tells."""
        if counting := _COUNTING.get(notice.event):
            with self._lock:
                counting(self._now, notice.facts)

    def read(self) -> Readings:
        """All of it, as of one instant."""
        with self._lock:
            return copy.deepcopy(self._now)

    def charged(self, found: Charged) -> Charged:
        """What to tell of sums that the ledger holds: never less than was told before. Layer may correct a price, and
        who reads a counter that goes down takes it for a new one, that began at 0."""
        with self._lock:
            self._charged |= {key: max(units, self._charged.get(key, 0.0)) for key, units in found.items()}
            return dict(self._charged)


# --- what each notice counts as ---------------------------------------------------------------------------------------

_Facts = Mapping[str, Any]
_Count = Callable[[Readings, _Facts], None]


def _uploaded(now: Readings, facts: _Facts) -> None:
    now.uploaded_files += 1
    if facts.get("reused"):
        now.reused_files += 1
    else:
        now.uploaded_bytes += int(facts.get("size", 0))
    if (waited_s := facts.get("waited_s")) is not None:
        now.waits[bisect_left(BUCKETS_S, waited_s)] += 1
        now.waited_s += waited_s


def _postponed(now: Readings, facts: _Facts) -> None:
    if facts.get("stage") != "finish":  # that one is uploaded
        now.retries[_reason(facts)] += 1


def _failed(now: Readings, facts: _Facts) -> None:
    now.failures[_reason(facts)] += 1


def _skipped(now: Readings, facts: _Facts) -> None:
    if "file" in facts:  # else a generation that something took the place of
        now.skipped[_reason(facts)] += 1


def _push_refused(now: Readings, facts: _Facts) -> None:
    now.pushes_refused[_reason(facts)] += 1


def _overflow(now: Readings, _: _Facts) -> None:
    now.overflows += 1


def _clock_jumped(now: Readings, _: _Facts) -> None:
    now.clock_jumps += 1


def _ledger_trouble(now: Readings, _: _Facts) -> None:
    now.ledger_troubles += 1


def _outcome(outcome: str) -> _Count:
    def count(now: Readings, facts: _Facts) -> None:
        now.outcomes[outcome] += len(facts.get("generations", (None,)))  # several are found at a start

    return count


def _delivery(outcome: str) -> _Count:
    def count(now: Readings, _: _Facts) -> None:
        now.deliveries[outcome] += 1

    return count


def _reason(facts: _Facts) -> str:
    """Nobody but us chooses what there is a series for."""
    code = str(facts.get("error_code"))
    return code if code in _REASONS else OTHER


_COUNTING: Mapping[str, _Count] = {
    "uploaded": _uploaded,
    "postponed": _postponed,
    "failed": _failed,
    "skipped": _skipped,
    "superseded": _skipped,
    "push_refused": _push_refused,
    "overflow": _overflow,
    "clock_jumped": _clock_jumped,
    "ledger_trouble": _ledger_trouble,
    **{f"generation_{outcome}": _outcome(outcome) for outcome in OUTCOMES},
    "delivered": _delivery("delivered"),
    "delivery_postponed": _delivery("postponed"),
    "delivery_failed": _delivery("failed"),
}
