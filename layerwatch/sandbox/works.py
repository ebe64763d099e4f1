"""Generations and the balance that pays for them: reserved when one starts, charged when it is complete.

A generation ends by itself when its time is over; nothing runs in the background. Never charges for one that failed,
and never starts one that the available balance does not cover.
"""

import heapq
import itertools
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from layerwatch.sandbox.luck import Luck

FAILURES = {
    "CONTENT_POLICY_VIOLATION": "The prompt or an input was refused by the content policy.",
    "IMAGE_TOO_SMALL": "An input image is too small for this model.",
    "IMAGE_TOO_LARGE": "An input image is too large for this model.",
    "INTERNAL_SERVER_ERROR": "Something went wrong.",
    "DOWNSTREAM_SERVICE_ERROR": "The model's provider did not answer.",
}
SUFFIXES = {"image": "png", "video": "mp4", "audio": "wav"}  # of a result file, by what the model makes


class NotEnough(Exception):
    """The available balance does not cover the price."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One result file; `signature` is what its URL must carry, `suffix` says of what type it is."""

    asset_id: str
    signature: str
    suffix: str
    width: int
    height: int
    seed: int


@dataclass(slots=True)
class Generation:
    """One inference or workflow run, as the sandbox carries it out. Prices in Creative Units, `*_at` ISO 8601 UTC."""

    id: str
    kind: Literal["inference", "run"]
    target: str  # the model's or workflow's id
    body: dict[str, Any]  # as it was sent
    parameters: dict[str, Any]  # as they are used
    price: float
    session_id: str | None
    created_at: str
    due: float  # monotonic seconds
    run_s: float
    assets: tuple[Asset, ...]
    ending: Literal["complete", "failed", "cancelled"]
    failure: tuple[str, str] | None  # code and message
    status: Literal["running", "complete", "failed", "cancelled"] = "running"
    completed_at: str | None = None
    charged: float = 0.0


@dataclass(slots=True)
class Balance:
    """Creative Units of the workspace."""

    total: float
    reserved: float = 0.0

    @property
    def available(self) -> float:
        """What can still be spent."""
        return self.total - self.reserved


def now_text() -> str:
    """Now, as the API writes times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Works:
    """All generations and the balance; every method may be called from any thread."""

    luck: Luck
    balance: Balance
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _all: dict[str, Generation] = field(default_factory=dict)
    _assets: dict[str, Asset] = field(default_factory=dict)
    _running: list[tuple[float, int, Generation]] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _failures: "itertools.cycle[str]" = field(default_factory=lambda: itertools.cycle(FAILURES))
    _sessions: dict[str, str] = field(default_factory=dict)

    def start(
        self,
        kind: Literal["inference", "run"],
        target: str,
        body: dict[str, Any],
        parameters: dict[str, Any],
        *,
        price: float,
        outputs: int,
        modality: str = "image",
    ) -> Generation:
        """Reserve `price` and start a generation with `outputs` result files. NotEnough if the balance is too small."""
        ending = self._ending()
        run_s = self.luck.faults.slow_s
        with self._lock:
            self._settle()
            if price > self.balance.available:
                raise NotEnough
            self.balance.reserved += price
            number = next(self._numbers)
            generation = Generation(
                str(uuid4()), kind, target, body, parameters, price, self._session(body), now_text(),
                time.monotonic() + run_s, run_s, self._make_assets(number, outputs, parameters, SUFFIXES[modality]),
                ending, self._failure() if ending == "failed" else None,
            )  # fmt: skip
            self._all[generation.id] = generation
            heapq.heappush(self._running, (generation.due, number, generation))
            return generation

    def find(self, kind: Literal["inference", "run"], generation_id: str) -> Generation | None:
        """The generation of that id and kind, up to date."""
        with self._lock:
            self._settle()
            found = self._all.get(generation_id)
            return found if found and found.kind == kind else None

    def asset(self, asset_id: str) -> Asset | None:
        """The result file of that id."""
        return self._assets.get(asset_id)

    def set_total(self, total: float) -> None:
        """Another balance; what is reserved stays so."""
        with self._lock:
            self._settle()
            self.balance.total = total

    def look(self) -> tuple[Balance, list[Generation]]:
        """Copies of the balance and the list of generations, oldest first, up to date."""
        with self._lock:
            self._settle()
            return Balance(self.balance.total, self.balance.reserved), list(self._all.values())

    def _settle(self) -> None:
        """End what is due; called with the lock held."""
        now = time.monotonic()
        while self._running and self._running[0][0] <= now:
            generation = heapq.heappop(self._running)[2]
            self.balance.reserved -= generation.price
            generation.completed_at = now_text()
            generation.status = generation.ending
            if generation.ending == "complete":
                generation.charged = generation.price
                self.balance.total -= generation.price

    def _ending(self) -> Literal["complete", "failed", "cancelled"]:
        if self.luck.hits("failures"):
            return "failed"
        return "cancelled" if self.luck.hits("cancels") else "complete"

    def _failure(self) -> tuple[str, str]:
        code = self.luck.faults.fail_code or next(self._failures)
        return code, FAILURES.get(code, "Something went wrong.")

    def _session(self, body: dict[str, Any]) -> str | None:
        name = body.get("session_name")
        if name is None:
            given = body.get("session_id")
            return None if given is None else str(given)
        return self._sessions.setdefault(str(name), str(uuid4()))

    def _make_assets(self, number: int, outputs: int, parameters: dict[str, Any], suffix: str) -> tuple[Asset, ...]:
        width, height = (_pixels(parameters.get(side)) for side in ("width", "height"))
        made = tuple(
            Asset(str(uuid4()), secrets.token_hex(32), suffix, width, height, seed=number * 16 + index)
            for index in range(outputs)
        )
        self._assets.update((asset.asset_id, asset) for asset in made)
        return made


def _pixels(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 256
