"""When is a file quiet? The waiting room between "look at this path" and the ledger. Pure: no disk, no clock.

A path is due when nothing about it has changed for its quiet time, seen in two looks: age is never tested, because
`cp -p` and `tar` set old times on files that are being written. Memory here is only a hint: what is lost with it,
the next scan finds again.
"""

import heapq
import itertools
import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

from layerwatch.source import Identity

TAKEN = math.inf  # `due_at` of a candidate that was handed out: no time brings it back, only a decision or a new look
RESTLESS = 10


@dataclass(slots=True)
class Candidate:
    """One path that is being watched until it holds still. Times are monotonic seconds."""

    path: str
    identity: Identity
    quiet_s: float
    quiet_since: float
    due_at: float
    waiting_for: str = ""  # why it was put off although quiet; empty while it is only settling
    looks: int = 0  # how often it was put off
    changes: int = 0  # how often it was another file at the next look
    unknown: bool = False  # the ledger has been asked since it is as it is, and does not know it
    regular: bool = False  # a scan saw it as it is, and that it is a regular file

    @property
    def settles(self) -> bool:
        """It will hold still soon: it is not put off, and nobody goes on writing it."""
        return not self.waiting_for and self.changes < RESTLESS


class Settle:
    """The candidates of one folder, and which of them are due."""

    def __init__(self) -> None:
        self._candidates: dict[str, Candidate] = {}
        # When, a number to tell them apart, and who: those that a scan sees together are due together.
        self._due: list[tuple[float, int, list[Candidate]]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._candidates)

    def __contains__(self, path: str) -> bool:
        return path in self._candidates

    @property
    def busy(self) -> bool:
        """Whether any is settling. From any thread: a copy is looked at, which nobody changes."""
        return any(item.settles for item in list(self._candidates.values()))

    @property
    def settling(self) -> int:
        """Candidates that will hold still soon: what a run that is to end by itself still has to wait for. Not those
        that are put off, nor one that somebody goes on writing."""
        return sum(item.settles for item in self._candidates.values())

    @property
    def waiting(self) -> list[Candidate]:
        """Candidates that are quiet, and put off for a reason."""
        return [candidate for candidate in self._candidates.values() if candidate.waiting_for]

    def see(self, path: str, identity: Identity, now: float, quiet_s: float) -> None:
        """Look at `path`: it is new here, or it has changed (its quiet time starts again), or it is as it was.

        `quiet_s` is how long this kind of sign has to be followed by silence; a later, stronger sign (the writer closed
        the file) shortens the wait, a weaker one never lengthens it for the same identity.
        """
        known = self._candidates.get(path)
        if known is None or known.identity != identity:
            changes = known.changes + 1 if known else 0
            self._put(Candidate(path, identity, quiet_s, now, now + quiet_s, changes=changes))
        elif known.due_at == TAKEN:  # whoever took it could not write down what it is
            known.due_at = now + quiet_s
            self._push(known)
        elif quiet_s < known.quiet_s and known.waiting_for:
            # Put off, and now its writer has let go of it: what it waited for may have come true.
            known.due_at = min(known.due_at, now + quiet_s)
            self._push(known)
        elif quiet_s < known.quiet_s:
            known.quiet_s = quiet_s
            known.due_at = known.quiet_since + quiet_s
            self._push(known)

    def see_all(
        self, files: Iterable[tuple[str, Identity]], irregular: Container[str], now: float, quiet_s: float
    ) -> None:
        """Look at all of these, of which the ledger knows none; `irregular` are those that are no regular files."""
        fresh: list[Candidate] = []
        due_at = now + quiet_s
        for path, identity in files:
            if path in self._candidates:
                self.see(path, identity, now, quiet_s)
                self._candidates[path].unknown = True
            else:
                regular = path not in irregular
                candidate = Candidate(path, identity, quiet_s, now, due_at, unknown=True, regular=regular)
                self._candidates[path] = candidate
                fresh.append(candidate)
        if fresh:
            fresh.reverse()  # they are taken from the end
            heapq.heappush(self._due, (due_at, next(self._numbers), fresh))

    def due(self, now: float) -> Candidate | None:
        """The next candidate whose quiet time is over, or None. It stays until `drop`, `see` or `put_off`."""
        candidate = self._first()
        if candidate is None or candidate.due_at > now:
            return None
        self._due[0][2].pop()
        candidate.due_at = TAKEN
        return candidate

    def next_due_at(self) -> float | None:
        """When `due` will have something, as far as is known."""
        candidate = self._first()
        return candidate.due_at if candidate else None

    def _first(self) -> Candidate | None:
        """Whose turn it is. What was dropped, or is due at another time by now, is passed over."""
        while self._due:
            due_at, _, together = self._due[0]
            while together:
                candidate = together[-1]
                if candidate.due_at == due_at and self._candidates.get(candidate.path) is candidate:
                    return candidate
                together.pop()
            heapq.heappop(self._due)
        return None

    def give_back(self, candidates: Iterable[Candidate], now: float) -> None:
        """They were handed out, and nobody has come to look at them: they are still due."""
        for candidate in candidates:
            candidate.due_at = now
            self._push(candidate)

    def put_off(self, candidate: Candidate, now: float, reason: str) -> None:
        """It is quiet and still not to be taken, for `reason`: look again, ever more rarely, at most 30 s apart."""
        candidate.waiting_for = reason
        candidate.looks += 1
        candidate.due_at = now + min(30.0, max(candidate.quiet_s, 0.25) * 2 ** min(candidate.looks - 1, 8))
        self._push(candidate)

    def wait_for_all(self, candidate: Candidate, now: float, quiet_s: float) -> None:
        """The short wait was not enough for this one: it has to be quiet for `quiet_s`."""
        candidate.quiet_s = quiet_s
        candidate.waiting_for = ""
        candidate.due_at = max(candidate.quiet_since + quiet_s, now)
        self._push(candidate)

    def drop(self, path: str) -> None:
        """It is decided, or gone."""
        self._candidates.pop(path, None)

    def clear(self) -> None:
        """Forget all of them: the folder is away."""
        self._candidates.clear()
        self._due.clear()

    def _put(self, candidate: Candidate) -> None:
        self._candidates[candidate.path] = candidate
        self._push(candidate)

    def _push(self, candidate: Candidate) -> None:
        heapq.heappush(self._due, (candidate.due_at, next(self._numbers), [candidate]))
