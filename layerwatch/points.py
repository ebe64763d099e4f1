"""Named points between the irreversible steps of the work, at which a test can end the process as a power cut would.

Inert unless `LAYERWATCH_END_AT` names one, as `name` or `name:3` (its third passing); `LAYERWATCH_HANG_AT` makes the
thread that comes there first hang for ever instead. The names are listed here, so that a test of all of them is one of
all there are.
"""

import os
import select
import signal

OF_FILES = (
    "recorded",  # found files are in the ledger
    "claimed",  # one of them is claimed, nothing has been sent
    "granted",  # Layer has granted an upload
    "started",  # the storage has opened a session, and nobody has written it down
    "session saved",
    "sending",  # in the middle of a body
    "sent",  # the storage has answered a chunk, and nobody has written it down
    "progress saved",
    "stored",  # the storage has the whole object, and nobody has written it down
    "verified",
    "uploaded",  # written down
    "finishing",  # what a folder wants done with an uploaded file is about to be done
    "finished",  # it is done, and nobody has written it down
    "postponed",
    "recovered",  # at the start after a crash
)
OF_GENERATIONS = (
    "planned",  # a generation is in the ledger
    "taken",  # it is claimed to be fired, and nobody has asked for its price
    "priced",
    "booked",  # the ledger says `submitting`, and the paid request has not left
    "fired",  # Layer has answered it, and nobody has written it down
    "accepted",  # written down
    "polled",  # Layer says that it is complete, and no result has been fetched
    "placing",  # a result is known to the ledger, and nobody can see it yet
    "placed",  # it is there, and nobody has written that down
    "saved",
    "completed",  # written down
    "delivering",  # a command or webhook is about to be called
    "delivered",  # it was, and nobody has written it down
)
POINTS = OF_FILES + OF_GENERATIONS

_name, _, _count = os.environ.get("LAYERWATCH_END_AT", "").partition(":")
_left = int(_count or 1)
_hang = os.environ.get("LAYERWATCH_HANG_AT")


def passed(name: str) -> None:
    """The work has come to this point."""
    global _left, _hang
    if name == _hang:
        _hang = None
        select.select([], [], [])
    if name == _name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
