"""Claims of one thread. One whose commit was cut off may hold something that nobody works on, while its daemon lives:
it is given back before anything else is claimed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Claims:
    """`new` makes one; `give_back` lets go what one holds, and raises `LedgerTrouble` while that cannot be done."""

    def __init__(self, new: Callable[[], str], give_back: Callable[[str], object]) -> None:
        self._new = new
        self._give_back = give_back
        self._doubted: list[str] = []

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows what some of them hold."""
        return bool(self._doubted)

    def doubt(self, claim: str) -> None:
        """Nobody knows what this one holds."""
        self._doubted.append(claim)

    @contextmanager
    def one(self) -> Iterator[str]:
        """A new one; when the block ends with an error, it is in doubt. Raises what `give_back` raises."""
        while self._doubted:
            self._give_back(self._doubted[-1])
            self._doubted.pop()
        claim = self._new()
        try:
            yield claim
        except BaseException:
            self.doubt(claim)
            raise
