"""What is going up right now, for a screen. In memory only, written by the uploaders, read by whoever draws it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Flight:
    """One upload under way; sizes in bytes, `since` in monotonic seconds. `resumed_at` is where this attempt began."""

    path: str
    folder: str
    size: int
    since: float
    sent: int = 0
    resumed_at: int = 0


@dataclass
class Board:
    """All of them, by file id. Each entry is written by one thread; single dictionary operations are atomic."""

    flights: dict[int, Flight] = field(default_factory=dict)

    def now(self) -> list[Flight]:
        return list(self.flights.values())
