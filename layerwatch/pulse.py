"""Does every thread still get on? What the watchdog is fed by, and what `/healthz` looks at. Pure.

A thread that hangs looks just like one that has nothing to do, unless both have to say so now and again.
"""

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Heart:
    """One thread's. Only that thread calls it; times are monotonic seconds. Each call is a single dictionary operation,
    so that who listens needs no lock."""

    name: str
    allowance_s: float
    _due: "dict[Heart, float]"

    def beat(self, now: float) -> None:
        """Here I am, and will be again within the allowance."""
        self._due[self] = now + self.allowance_s

    def busy(self, allowance_s: float, now: float) -> None:
        """Here I am, for something that may take so long; the next `beat` ends it."""
        self._due[self] = now + allowance_s

    def stop(self) -> None:
        """My work is over: nobody should wait to hear of me."""
        self._due.pop(self, None)


@dataclass(slots=True)
class Pulse:
    """All threads' hearts."""

    _due: dict[Heart, float] = field(default_factory=dict)

    def heart(self, name: str, allowance_s: float, now: float) -> Heart:
        """That of a thread that is about to start: one that never comes to its first beat is late, too. Two may have
        one name."""
        heart = Heart(name, allowance_s, self._due)
        heart.beat(now)
        return heart

    def late(self, now: float) -> list[str]:
        """The threads that have not been heard of within their time, the longest silent first."""
        # A copy is one step; whoever starts or stops in the middle of a loop would break it.
        found = sorted((due, heart.name) for heart, due in self._due.copy().items() if due < now)
        return [name for _, name in found]
