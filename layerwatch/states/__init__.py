"""The state machines, of a file and of a generation: every status, every event, the tables of moves. Pure.

Nothing else decides a status. The ledger stores what `move` says and appends the event to the history, so that the
history, replayed through these tables, gives the row.
"""

from layerwatch.states.files import (
    BACKOFF_FIRST_S,
    BACKOFF_MOST_S,
    Event,
    File,
    Verdict,
    allows,
    backoff_s,
    judge,
    move,
)
from layerwatch.states.generations import OPEN, Generation, Turn, turn
from layerwatch.states.table import IllegalMove

__all__ = [
    "BACKOFF_FIRST_S",
    "BACKOFF_MOST_S",
    "OPEN",
    "Event",
    "File",
    "Generation",
    "IllegalMove",
    "Turn",
    "Verdict",
    "allows",
    "backoff_s",
    "judge",
    "move",
    "turn",
]
