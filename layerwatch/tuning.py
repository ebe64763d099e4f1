"""How many uploaders work at once, found out by trying. Pure: the lock is handed in, and so is the time.

With too few the line is idle while they wait for answers; with too many they are in each other's way, on this machine,
on the line, or at the server, and each upload takes longer than it has to. Neither can be known beforehand. So: as long
as there is more to do than hands, another number is tried for a moment. It stays if it brings clearly more; fewer stay
if they bring as much. A server that says "too many requests" halves the number at once.

What is counted is work done: a request, or a block of a file, is one unit, so that many small files and few large ones
are the same to it.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

FIRST, MOST = 8, 32
TRIAL_S = 0.4  # how long a number is tried at least
FEWER_S = 0.8  # ... where it is a smaller one: a lucky moment must not cost the half of what is possible
ROUNDS = 4  # ... and how many units each hand does meanwhile
GAIN = 1.08  # what twice as many have to bring
LOSS = 0.97  # what half as many may cost
SLUMP = 0.6  # of what the number brought: something has changed
REST_FIRST_S, REST_MOST_S = 5.0, 240.0  # between two trials of other numbers
REFUSED_S = 30.0
ONE_REFUSAL_S = 1.0  # all that were under way are refused together


@dataclass(slots=True)
class _Window:
    """What was done since `since`, once the first `skip` units, which were begun before, are over."""

    skip: float
    since: float | None = None
    units: float = 0.0


class Tuner:
    """`limit` is how many may work now. With `fixed` that is all there is to it. Times are monotonic seconds; any
    thread may call."""

    def __init__(self, fixed: int | None, lock: AbstractContextManager[object], *, most: int = MOST) -> None:
        self._fixed = fixed is not None
        self._lock = lock
        self._most = most
        self.limit = fixed or min(FIRST, most)
        self._settled = self.limit  # the number that is known to be good; `limit` is another one during a trial
        self._rate = 0.0  # units a second that it brought
        self._up = True  # where the next trial goes
        self._climbed = False  # the smaller number was the settled one until just now
        self._rest_until = 0.0
        self._refused_at = -ONE_REFUSAL_S
        self._rest_s = REST_FIRST_S
        self._window = _Window(0.0)

    def done(self, units: float, now: float) -> bool:
        """So much work was done. Whether more may work from now on."""
        if self._fixed:
            return False
        with self._lock:
            before = self.limit
            self._count(units, now)
            return self.limit > before

    def idle(self) -> bool:
        """Somebody who may work has nothing to do: what is done now says nothing of what could be. Whether more may
        work from now on."""
        if self._fixed or self._window.since is None:
            return False
        with self._lock:
            before = self.limit
            self._set(self._settled)
            return self.limit > before

    def refused(self, now: float) -> None:
        """The server says that it is too much."""
        if self._fixed:
            return
        with self._lock:
            if now < self._refused_at + ONE_REFUSAL_S:
                return
            self._refused_at = now
            self._settled = max(self._settled // 2, 1)
            self._rate, self._up, self._climbed = 0.0, True, False
            self._rest_until = now + REFUSED_S
            self._set(self._settled)

    def _set(self, limit: int) -> None:
        self.limit = limit
        self._window = _Window(skip=limit)

    def _count(self, units: float, now: float) -> None:
        window = self._window
        if window.skip > 0:
            window.skip -= units
        elif window.since is None:
            window.since = now
        else:
            window.units += units
            trial_s = FEWER_S if self.limit < self._settled else TRIAL_S
            if now - window.since >= trial_s and window.units >= ROUNDS * self.limit:
                self._judge(window.units / (now - window.since), now)

    def _judge(self, rate: float, now: float) -> None:
        if self.limit == self._settled:
            self._known(rate, now)
        elif self.limit > self._settled:
            self._tried(rate, now, good=rate >= self._rate * GAIN)
        else:
            self._tried(rate, now, good=rate >= self._rate * LOSS)

    def _known(self, rate: float, now: float) -> None:
        """What the settled number brings; another one is tried where it is time."""
        if rate < self._rate * SLUMP:
            self._rest_until, self._rest_s = now, REST_FIRST_S
        self._rate = (self._rate + rate) / 2 if self._rate else rate
        if now < self._rest_until:
            self._set(self._settled)
            return
        other = min(self._settled * 2, self._most) if self._up else max(self._settled // 2, 1)
        if other == self._settled:
            self._turn(now)
        self._set(other)

    def _tried(self, rate: float, now: float, *, good: bool) -> None:
        if good:
            self._climbed = self.limit > self._settled
            self._settled, self._rate, self._rest_s = self.limit, rate, REST_FIRST_S
            self._known(rate, now)
            return
        self._turn(now)
        self._set(self._settled)

    def _turn(self, now: float) -> None:
        """No further this way. Once both were tried it is good for a while."""
        if self._climbed or not self._up:
            self._rest_until = now + self._rest_s
            self._rest_s = min(self._rest_s * 2, REST_MOST_S)
        self._up, self._climbed = not self._up, False
