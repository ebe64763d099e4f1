"""The walks that are under way in one drop folder, a slice at a time: the whole folder, or a part that an event
pointed at."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from layerwatch.walk import Directory

AT_LEAST_S = 1.0  # so often a directory is walked all the same: there are files that somebody writes for ever


@dataclass(slots=True)
class Scanned:
    """What a walk of the whole folder saw: its directories (path, inode; parents first), how many files the ledger did
    not know, and how long it took, without the time in which it waited for other work."""

    took_s: float = 0.0
    unknown: int = 0
    directories: list[tuple[str, int]] = field(default_factory=list)


class Scan:
    """The walks of one folder. `take` gets each directory, and returns how many of its files were news. While
    `is_enough`, hardly any is walked."""

    def __init__(
        self, take: Callable[[Directory], int], is_enough: Callable[[], bool], monotonic: Callable[[], float]
    ) -> None:
        self._take = take
        self._is_enough = is_enough
        self._monotonic = monotonic
        self._walks: deque[tuple[Iterator[Directory], Scanned | None]] = deque()
        self._walked_at = -math.inf
        self.ended = 0  # how many walks of the whole folder have come to their end, since `clear`

    @property
    def busy(self) -> bool:
        return bool(self._walks)

    @property
    def whole(self) -> bool:
        """Whether the whole folder is being walked."""
        return any(scanned is not None for _, scanned in self._walks)

    def begin(self, walk: Iterator[Directory], *, whole: bool) -> None:
        self._walks.append((walk, Scanned() if whole else None))

    def clear(self) -> None:
        """Forget the walks, and that there ever was a whole one: what it saw may be forgotten as well."""
        self._walks.clear()
        self.ended = 0

    def step(self, until: float) -> Scanned | None:
        """Go on up to the monotonic time `until`, or until it is enough; what was seen, when the walk of the whole
        folder has ended."""
        while self._walks and (now := self._monotonic()) < until:
            if self._is_enough() and now < self._walked_at + AT_LEAST_S:
                return None
            self._walked_at = now
            walk, scanned = self._walks[0]
            directory = next(walk, None)
            if directory is None:
                self._walks.popleft()
                if scanned is not None:
                    self.ended += 1
                    return scanned
                continue
            news = self._take(directory)
            if scanned is not None:
                scanned.unknown += news
                scanned.directories.append((directory.path, directory.inode))
                scanned.took_s += self._monotonic() - now
        return None
