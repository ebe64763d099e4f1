"""How fast, and whether at all: the bandwidth all uploaders share, and the gate that is closed while the API is
down. Pure.

Both are shared by threads; each public call is one short step under the lock that is handed in.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from layerwatch.errors import ApiDown, Code

PROBE_FIRST_S = 2.0
PROBE_MOST_S = 60.0


class Bandwidth:
    """`rate` bytes per second over all who ask (None: no limit)."""

    def __init__(self, rate: float | None, lock: AbstractContextManager[object]) -> None:
        self._rate = rate
        self._lock = lock
        self._free_at = 0.0

    def reserve(self, size_bytes: int, now: float) -> float:
        """Reserve room for that many bytes; how many seconds to wait before sending them. `now` is monotonic."""
        if self._rate is None:
            return 0.0
        with self._lock:
            start = max(self._free_at, now)
            self._free_at = start + size_bytes / self._rate
        return start - now


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is sent just now. `since` and `until` are monotonic seconds; `until` is when one job may try."""

    code: Code
    message: str
    since: float
    until: float
    probes: int


class Gate:
    """Closed while the API refuses everybody; every so often one job is let through to see whether that is still so."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self.hold: Hold | None = None

    def admits(self, now: float) -> bool:
        """Whether a job may go now. While the gate is closed only one may when it is time, and the next one waits
        again."""
        with self._lock:
            hold = self.hold
            if hold is None:
                return True
            if now < hold.until:
                return False
            self.hold = Hold(hold.code, hold.message, hold.since, now + _probe_s(hold.probes + 1), hold.probes + 1)
            return True

    def close(self, error: ApiDown, now: float) -> Hold:
        """A job met `error`: nobody goes on before the time that the server asked for, or a slowly growing one."""
        with self._lock:
            before = self.hold
            probes = before.probes if before else 0
            wait_s = _probe_s(probes) if error.after_s is None else error.after_s
            until = max(now + wait_s, before.until if before and before.code is Code.RATE_LIMITED else 0.0)
            self.hold = Hold(error.code, error.message, before.since if before else now, until, probes)
            return self.hold

    def open(self) -> bool:
        """A job got through. Whether the gate had been closed."""
        if self.hold is None:
            return False
        with self._lock:
            self.hold = None
            return True

    def wait_s(self, now: float) -> float:
        """Seconds until a job may go; 0 when it may."""
        hold = self.hold
        return max(hold.until - now, 0.0) if hold else 0.0


def _probe_s(probes: int) -> float:
    return min(PROBE_MOST_S, PROBE_FIRST_S * 2.0 ** min(probes, 10))
