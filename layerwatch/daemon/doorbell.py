"""A bell that all who sleep hear."""

import threading


class Doorbell:
    """ "Look again": a hint, never work. Nobody who was not asleep misses a ring."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.rings = 0

    def ring(self) -> None:
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def ring_one(self) -> None:
        """For work that one can do: only one of the sleepers is woken."""
        with self._condition:
            self.rings += 1
            self._condition.notify()

    def wait(self, heard: int, timeout_s: float) -> None:
        """Until it has rung since it stood at `heard`."""
        with self._condition:
            self._condition.wait_for(lambda: self.rings != heard, timeout_s)
