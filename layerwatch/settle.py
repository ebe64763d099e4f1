"""When is a file quiet? The waiting room between "look at this path" and the ledger. Pure: no disk, no clock.

A path is due when nothing about it has changed for its quiet time, seen in two looks: age is never tested, because
`cp -p` and `tar` set old times on files that are being written. Memory here is only a hint: what is lost with it,
the next scan finds again.
"""

import heapq
import math
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


class Settle:
    """The candidates of one folder, and which of them are due."""

    def __init__(self) -> None:
        self._candidates: dict[str, Candidate] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._candidates)

    def __contains__(self, path: str) -> bool:
        return path in self._candidates

    @property
    def settling(self) -> int:
        """Candidates that will hold still soon: what a run that is to end by itself still has to wait for. Not those
        that are put off, nor one that somebody goes on writing."""
        return sum(not item.waiting_for and item.changes < RESTLESS for item in self._candidates.values())

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

    def due(self, now: float) -> Candidate | None:
        """The next candidate whose quiet time is over, or None. It stays until `drop`, `see` or `put_off`."""
        while self._due and self._due[0][0] <= now:
            due_at, path = heapq.heappop(self._due)
            candidate = self._candidates.get(path)
            if candidate is not None and candidate.due_at == due_at:
                candidate.due_at = TAKEN
                return candidate
        return None

    def next_due_at(self) -> float | None:
        """When `due` will have something, as far as is known."""
        while self._due:
            due_at, path = self._due[0]
            candidate = self._candidates.get(path)
            if candidate is not None and candidate.due_at == due_at:
                return due_at
            heapq.heappop(self._due)
        return None

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
        heapq.heappush(self._due, (candidate.due_at, candidate.path))
