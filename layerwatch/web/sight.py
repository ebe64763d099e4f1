"""What the daemon shows of itself, beyond what is in the ledger."""

from collections.abc import Callable
from dataclasses import dataclass

from layerwatch.board import Board
from layerwatch.config import Settings
from layerwatch.ledger import FolderState
from layerwatch.meters import Meters
from layerwatch.pacing import Hold


@dataclass(frozen=True, slots=True)
class FolderSight:
    """A drop folder as its own thread sees it; `state` is None before the first look. `deaf`: the kernel should report
    what happens in it, or in a part of it, and does not."""

    name: str
    path: str
    state: FolderState | None
    detail: str
    deaf: bool


@dataclass(frozen=True)
class Sight:
    """Every call answers at once, from any thread. `wall` is unix time, `monotonic` and those of `board` and `hold`
    are monotonic seconds.

    `late` names the threads that have not been heard of within their time, `died` says which one died and of what,
    `ledger_trouble` what the ledger answered when it was last of no use, a few seconds ago at the most, and
    `configuration` why a new one was not taken; each is empty where all is well.
    """

    settings: Callable[[], Settings]
    folders: Callable[[], list[FolderSight]]
    hold: Callable[[], Hold | None]
    late: Callable[[], list[str]]
    died: Callable[[], str]
    ledger_trouble: Callable[[], str]
    configuration: Callable[[], str]
    board: Board
    meters: Meters
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    started_at: float
