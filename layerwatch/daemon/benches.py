"""Where the uploaders sit: those who are of use now wait for work, the others for being of use."""

import threading
import time
from collections.abc import Callable

from layerwatch.config import AUTO
from layerwatch.daemon.doorbell import Doorbell
from layerwatch.tuning import MOST, Tuner


class Benches:
    """Of all uploaders; `workers` is how many there may be, or "auto". Any thread may call."""

    def __init__(self, workers: int | str) -> None:
        self._workers: int | str = workers
        self._tuner = _tuner(workers)
        self._idle = Doorbell()  # heard by those who are not wanted now
        self.bell = Doorbell()  # by those who are, and have nothing to do

    def take(self, workers: int | str) -> None:
        """So many from now on."""
        if workers != self._workers:
            self._workers, self._tuner = workers, _tuner(workers)

    @property
    def seats(self) -> int:
        """How many uploaders there are in all."""
        return MOST if isinstance(self._workers, str) else self._workers

    @property
    def limit(self) -> int:
        """How many of them are of use now."""
        return self._tuner.limit

    def ring(self, *, everybody: bool = False) -> None:
        """There may be something to do: for one, who wakes the next one when there is. Or for all."""
        if everybody:
            self.bell.ring()
        else:
            self.bell.ring_one()

    def wake(self) -> None:
        """Let everybody look, above all whether to leave."""
        self.bell.ring()
        self._idle.ring()

    def is_wanted(self, number: int) -> bool:
        return number < self.limit

    def wanted(self, number: int, leaves: Callable[[], bool], silent_s: float) -> bool:
        """Wait until so many are of use; False when it is time to end. `leaves` is asked every `silent_s` seconds."""
        while not leaves():
            heard = self._idle.rings
            if self.is_wanted(number):
                return True
            self.bell.ring_one()  # what it was woken for, if it was, is for one who is wanted
            self._idle.wait(heard, silent_s)
        return False

    def worked(self, units: float) -> None:
        """So much was done."""
        if self._tuner.done(units, time.monotonic()):
            self._idle.ring()

    def refused(self) -> None:
        """The server says that it is too much."""
        self._tuner.refused(time.monotonic())

    def idles(self) -> None:
        """One who is of use has nothing to do."""
        if self._tuner.idle():
            self._idle.ring()


def _tuner(workers: int | str) -> Tuner:
    return Tuner(None if workers == AUTO else int(workers), threading.Lock())
