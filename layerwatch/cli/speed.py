"""How fast bytes go out, of each upload and of all together, over the last few seconds. The clock is handed in."""

import threading
from collections import deque
from collections.abc import Mapping

from layerwatch.board import Flight

WINDOW_S = 3.0
LEAST_S = 0.5  # a rate of less time than that is noise


class Speed:
    """Bytes per second of one count that only grows."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, count: int, now: float) -> None:
        readings = self._readings
        readings.append((now, count))
        while len(readings) > 2 and readings[1][0] <= now - WINDOW_S:
            readings.popleft()

    def per_s(self) -> float | None:
        """None while it is too early to tell."""
        if not self._readings:
            return None
        (first_at, first), (last_at, last) = self._readings[0], self._readings[-1]
        return (last - first) / (last_at - first_at) if last_at - first_at >= LEAST_S else None


class Meter:
    """Reads the board: what was sent since the last reading. Any thread may call.

    To be read as well whenever an upload ends: it leaves the board then, and what it had sent since would be lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[int, tuple[Flight, int, Speed]] = {}
        self._sent = 0
        self._total = Speed()

    def read(self, flights: Mapping[int, Flight], now: float) -> None:
        with self._lock:
            before, self._flights = self._flights, {}
            for id_, flight in flights.items():
                self._flights[id_] = self._read_one(before.get(id_), flight, now)
            self._total.read(self._sent, now)

    def _read_one(
        self, before: tuple[Flight, int, Speed] | None, flight: Flight, now: float
    ) -> tuple[Flight, int, Speed]:
        sent = flight.sent
        if before is None or before[0] is not flight:  # an attempt of its own
            before = flight, flight.resumed_at, Speed()
            before[2].read(flight.resumed_at, flight.since)
        # The server may have kept less than it was sent: then `sent` goes back.
        self._sent += max(sent - before[1], 0)
        before[2].read(sent, now)
        return flight, sent, before[2]

    def of(self, id_: int) -> float | None:
        """Bytes per second of one upload; None while it is too early to tell."""
        with self._lock:
            rate = self._flights[id_][2].per_s() if id_ in self._flights else None
            return None if rate is None else max(rate, 0.0)

    def total(self) -> float | None:
        with self._lock:
            return self._total.per_s()
