"""Named points between the irreversible steps of the work, at which a test can end the process as a power cut would.

Inert unless `LAYERWATCH_END_AT` names one, as `name` or `name:3` (its third passing). The names are listed here, so
that a test of all of them is one of all there are.
"""

import os
import signal

POINTS = (
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

_name, _, _count = os.environ.get("LAYERWATCH_END_AT", "").partition(":")
_left = int(_count or 1)


def passed(name: str) -> None:
    """The work has come to this point."""
    global _left
    if name == _name:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
