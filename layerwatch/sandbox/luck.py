"""The dice that decide when a fault strikes.

Never rolls for a fault that is off, so that the same seed gives the same run as far as threads allow.
"""

import random
import threading

from layerwatch.sandbox.books import Books
from layerwatch.sandbox.faults import Faults


class Luck:
    """The faults in force and the dice that deal them; every method may be called from any thread."""

    def __init__(self, faults: Faults, books: Books) -> None:
        self._books = books
        self._lock = threading.Lock()
        self._random = random.Random(faults.seed)  # noqa: S311 - reproducible, not secret
        self._faults = faults

    @property
    def faults(self) -> Faults:
        """The faults in force."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            if faults.seed != self._faults.seed:
                self._random.seed(faults.seed)
            self._faults = faults

    def hits(self, name: str) -> bool:
        """Whether the fault `name` (a rate) strikes now; one that does is counted as `fault_<name>`."""
        rate: float = getattr(self._faults, name)
        if not rate:
            return False
        with self._lock:
            hit = self._random.random() < rate
        if hit:
            self._books.count(f"fault_{name}")
        return hit

    def between(self, low: int, high: int) -> int:
        """A random whole number from `low` to `high`, both included."""
        with self._lock:
            return self._random.randint(low, high)
