"""The state machine of a generation. What costs money is one arrow: `submitted`.

    (new) --awaits--> waiting --ready--> queued --submitted--> submitting --accepted--> running --completed--> complete
    (new) --ready--> queued --held--> blocked --approved/released--> queued
    submitting --not_started--> queued         submitting --held--> blocked         submitting --lost--> unknown
    unknown --refired--> queued         unknown --adopted--> running         unknown --dropped--> cancelled
    running --failed--> failed --retried--> queued       running --cancelled--> cancelled --retried--> queued
    failed --resumed--> running         failed --awaits--> waiting       cancelled --ready--> queued
    waiting --failed--> failed          queued --failed--> failed            submitting --failed--> failed
    waiting --superseded--> cancelled   queued --superseded--> cancelled     blocked --superseded--> cancelled

`submitting` is on disk before the paid request leaves, and nothing leads from it back to `queued` but an answer that
proves that nothing was started.
"""

from enum import StrEnum
from types import MappingProxyType

from layerwatch.states.table import IllegalMove


class Generation(StrEnum):
    """`generations.status`, as promised to those who query the ledger."""

    WAITING = "waiting"  # for its other inputs
    QUEUED = "queued"
    SUBMITTING = "submitting"  # the paid request may be on its way
    RUNNING = "running"  # Layer works on it, or its results are being fetched
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"  # by the budget; `approve`, or the next day
    UNKNOWN = "unknown"  # it may have been started; a person decides: `resolve`


class Turn(StrEnum):
    """What happens to a generation; `history.event`."""

    AWAITS = "awaits"  # a rule fits, and not all of its inputs are there; or a person: wait for them once more
    READY = "ready"  # all are; or what had superseded it is gone again
    HELD = "held"  # the budget, or the workspace's balance, does not allow it now
    APPROVED = "approved"  # a person does
    RELEASED = "released"  # what held it back is over: a new day
    SUBMITTED = "submitted"  # written down, and then the paid request leaves
    ACCEPTED = "accepted"  # Layer has started it
    NOT_STARTED = "not_started"  # the answer proves that it has not
    LOST = "lost"  # no answer came: only a person can find out
    REFIRED = "refired"  # a person: it was not started
    ADOPTED = "adopted"  # a person: it was, and this is its id
    DROPPED = "dropped"  # a person: never mind
    COMPLETED = "completed"  # and its results are where they belong
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  # a newer version of its input took its place before it was paid for
    RETRIED = "retried"  # a person: fire it again
    RESUMED = "resumed"  # a person: look for its results again; pays for nothing


_TURNS = MappingProxyType(
    {
        None: {Turn.AWAITS: Generation.WAITING, Turn.READY: Generation.QUEUED},
        Generation.WAITING: {
            Turn.READY: Generation.QUEUED,
            Turn.FAILED: Generation.FAILED,
            Turn.SUPERSEDED: Generation.CANCELLED,
        },
        Generation.QUEUED: {
            Turn.SUBMITTED: Generation.SUBMITTING,
            Turn.HELD: Generation.BLOCKED,
            Turn.FAILED: Generation.FAILED,
            Turn.SUPERSEDED: Generation.CANCELLED,
        },
        Generation.BLOCKED: {
            Turn.APPROVED: Generation.QUEUED,
            Turn.RELEASED: Generation.QUEUED,
            Turn.SUPERSEDED: Generation.CANCELLED,
        },
        Generation.SUBMITTING: {
            Turn.ACCEPTED: Generation.RUNNING,
            Turn.NOT_STARTED: Generation.QUEUED,
            Turn.HELD: Generation.BLOCKED,
            Turn.FAILED: Generation.FAILED,
            Turn.LOST: Generation.UNKNOWN,
        },
        Generation.RUNNING: {
            Turn.COMPLETED: Generation.COMPLETE,
            Turn.FAILED: Generation.FAILED,
            Turn.CANCELLED: Generation.CANCELLED,
        },
        Generation.UNKNOWN: {
            Turn.REFIRED: Generation.QUEUED,
            Turn.ADOPTED: Generation.RUNNING,
            Turn.DROPPED: Generation.CANCELLED,
        },
        Generation.FAILED: {
            Turn.RETRIED: Generation.QUEUED,
            Turn.RESUMED: Generation.RUNNING,
            Turn.AWAITS: Generation.WAITING,
        },
        Generation.CANCELLED: {Turn.RETRIED: Generation.QUEUED, Turn.READY: Generation.QUEUED},
        Generation.COMPLETE: {},
    }
)

# Not paid for, and replaced when a newer version of the input comes.
OPEN = (Generation.WAITING, Generation.QUEUED, Generation.BLOCKED)


def turn(status: Generation | None, event: Turn) -> Generation:
    """The status that `event` leads to; `None` is a generation that has no row yet. Raises `IllegalMove`."""
    try:
        return _TURNS[status][event]
    except KeyError:
        raise IllegalMove(f"a generation that is {status or 'new'} cannot be {event}") from None
