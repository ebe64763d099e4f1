"""A run that ends by itself: when is it over?"""

import time

from layerwatch.daemon.crew import Crew
from layerwatch.ledger import Ledger

PROBES = 5
PATIENCE_S = 60.0


def why_over(ledger: Ledger, crew: Crew, deadline: float | None) -> str | None:
    """`done`, or why it goes on no longer; None while it does. `deadline` is in monotonic seconds."""
    if deadline is not None and time.monotonic() >= deadline and _unfinished(ledger, crew):
        return "the time is over"
    if crew.only is None and not _all_seen(ledger, crew):
        return None
    if not _unfinished(ledger, crew):
        return "done"
    hold = crew.gate.hold
    if hold and (hold.probes >= PROBES or hold.until - time.monotonic() > PATIENCE_S):
        return f"gave up: {hold.message}"
    return None


def _all_seen(ledger: Ledger, crew: Crew) -> bool:
    """Whether all that lies in the folders, and all that was pushed, has been found and decided."""
    folders, pushed = dict(crew.lookout.folders), crew.pushed
    return (
        folders.keys() == _to_look_through(crew)
        and all(folder.idle for folder in folders.values())
        and pushed is not None
        and pushed.idle(ledger)
    )


def _to_look_through(crew: Crew) -> frozenset[str] | None:
    """The folders that are this run's: those that another host watches are that one's. None while it is not known."""
    if crew.lookout.only is None:
        return frozenset(folder.name for folder in crew.settings.folders)
    return crew.lookout.only if crew.vigil is not None and crew.vigil.certain() else None


def _unfinished(ledger: Ledger, crew: Crew) -> bool:
    """In the order in which one leads to the next, so that nothing slips through between two questions."""
    if crew.only is not None:
        return not all(outcome.settled for outcome in ledger.pushes.outcomes(crew.only))
    now = time.time()
    return (
        ledger.files.unfinished()
        or ledger.finishing.due(now)
        or ledger.planning.unfinished()
        or ledger.firing.unfinished()
        or ledger.deliveries.unfinished(now)
    )
