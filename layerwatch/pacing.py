"""How fast, and whether at all: the bandwidth all uploaders share, and the gate that is closed while the API is
down. Pure.

Both are shared by threads; each public call is one short step under the lock that is handed in.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from layerwatch.errors import ApiDown, Code

PROBE_FIRST_S = 0.5
PROBE_MOST_S = 60.0


class Bandwidth:
    """`rate` bytes per second over all who ask (None: no limit); it may be changed at any time."""

    def __init__(self, rate: float | None, lock: AbstractContextManager[object]) -> None:
        self.rate = rate
        self._lock = lock
        self._free_at = 0.0

    def reserve(self, size_bytes: int, now: float) -> float:
        """Reserve room for that many bytes; how many seconds to wait before sending them. `now` is monotonic."""
        rate = self.rate
        if rate is None:
            return 0.0
        with self._lock:
            start = max(self._free_at, now)
            self._free_at = start + size_bytes / rate
        return start - now


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is sent just now. `since` and `until` are monotonic seconds; `probes` have failed since."""

    code: str
    message: str
    since: float
    until: float
    closed_at: float
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to try a job, given at the monotonic time `at`; `probe`: it is the one that finds out for all."""

    at: float
    probe: bool


class Gate:
    """Closed while the API refuses everybody; every so often one job may find out whether that is still so.

    Whoever got a pass hands it back in one of three ways: `down`, `up`, or `unused`, when the job told nothing.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._probing = False
        self.hold: Hold | None = None

    def admit(self, now: float) -> Pass | None:
        """Whether a job may go now; while the gate is closed, one at a time, when it is time."""
        with self._lock:
            if self.hold is None:
                return Pass(now, probe=False)
            if self._probing or now < self.hold.until:
                return None
            self._probing = True
            return Pass(now, probe=True)

    def down(self, given: Pass, error: ApiDown, now: float) -> Hold:
        """The job met `error`: nobody goes on before the time that the server asked for, or a slowly growing one."""
        with self._lock:
            before = self.hold
            probes = (before.probes if before else 0) + given.probe
            wait_s = _probe_s(probes) if error.after_s is None else error.after_s
            until = max(now + wait_s, before.until if before else 0.0)
            since = before.since if before else now
            self.hold = Hold(error.code, error.message, since, until, now, probes)
            self._probing = self._probing and not given.probe
            return self.hold

    def up(self, given: Pass) -> bool:
        """The API has answered this job, well or not. Whether that opens the gate: not if it was closed since."""
        with self._lock:
            self._probing = self._probing and not given.probe
            if self.hold is None or given.at < self.hold.closed_at:
                return False
            self.hold = None
            return True

    def unused(self, given: Pass) -> None:
        """The job never came to ask the API: the next one may."""
        with self._lock:
            self._probing = self._probing and not given.probe

    def reopen(self) -> None:
        """What it was closed for no longer counts: whoever asks now asks with other credentials, or somebody else."""
        with self._lock:
            self.hold, self._probing = None, False

    @property
    def lets_begun_go_on(self) -> bool:
        """Whether what is closed is Layer's API alone: an upload that has its session needs only the storage, and would
        lose what it has sent if it waited beyond the session's end."""
        hold = self.hold
        return hold is None or hold.code != Code.NETWORK

    def wait_s(self, now: float) -> float:
        """Seconds until it is worth asking again; 0 when a job may go."""
        with self._lock:
            if self.hold is None:
                return 0.0
            return max(self.hold.until - now, PROBE_FIRST_S if self._probing else 0.0)


def _probe_s(probes: int) -> float:
    return min(PROBE_MOST_S, PROBE_FIRST_S * 2.0 ** min(probes, 10))
