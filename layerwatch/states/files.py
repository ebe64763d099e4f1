"""The state machine of a file, and what a fault means for it.

(new) --seen--> queued --claimed--> uploading --stored/reused--> uploaded
(new) --refused--> skipped --seen--> queued
uploading --postponed/recovered--> queued         uploading --failed--> failed --retried--> queued
uploading --superseded--> skipped --seen--> queued    uploaded --finished--> uploaded (moved, deleted, receipted)
skipped --refused--> skipped
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from layerwatch.errors import ApiDown, Final, FolderAway, JobError, NewUrl, Superseded, TryAgain
from layerwatch.states.table import IllegalMove


class File(StrEnum):
    """`files.status`, as promised to those who query the ledger."""

    QUEUED = "queued"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    FAILED = "failed"  # will not be tried again by itself
    SKIPPED = "skipped"  # never will be, as it is now: see error_code


class Event(StrEnum):
    """What happens to a file; `history.event`."""

    SEEN = "seen"  # this version lies complete in the folder
    REFUSED = "refused"  # it lies there, and is nothing that could be uploaded
    CLAIMED = "claimed"  # an uploader took it: on disk before any byte leaves
    STORED = "stored"  # the server has confirmed the bytes
    REUSED = "reused"  # the same bytes had been stored before, under another path
    POSTPONED = "postponed"  # a passing fault: again later
    FAILED = "failed"  # a lasting fault, or too many passing ones
    SUPERSEDED = "superseded"  # this version is gone: changed, replaced or deleted before it was stored
    RECOVERED = "recovered"  # layerwatch had ended in the middle of it
    RETRIED = "retried"  # a person asked
    FINISHED = "finished"  # what its folder wants done with an uploaded file is done, or cannot be


_MOVES = MappingProxyType(
    {
        None: {Event.SEEN: File.QUEUED, Event.REFUSED: File.SKIPPED},
        File.QUEUED: {Event.CLAIMED: File.UPLOADING},
        File.UPLOADING: {
            Event.STORED: File.UPLOADED,
            Event.REUSED: File.UPLOADED,
            Event.POSTPONED: File.QUEUED,
            Event.FAILED: File.FAILED,
            Event.SUPERSEDED: File.SKIPPED,
            Event.RECOVERED: File.QUEUED,
        },
        File.UPLOADED: {Event.FINISHED: File.UPLOADED},
        File.FAILED: {Event.RETRIED: File.QUEUED},
        File.SKIPPED: {
            Event.SEEN: File.QUEUED,
            Event.REFUSED: File.SKIPPED,
        },
    }
)


def move(status: File | None, event: Event) -> File:
    """The status that `event` leads to; `None` is a file that has no row yet. Raises `IllegalMove`."""
    try:
        return _MOVES[status][event]
    except KeyError:
        raise IllegalMove(f"a file that is {status or 'new'} cannot be {event}") from None


def allows(status: File | None, event: Event) -> bool:
    """Whether `move` would succeed."""
    return event in _MOVES[status]


# --- what a fault means -----------------------------------------------------------------------------------------------

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 64.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a job that met a fault: the event, the attempts now counted, and when it is due again."""

    event: Event
    attempts: int
    delay_s: float
    code: str
    message: str


def backoff_s(attempts: int, jitter: float) -> float:
    """Seconds to wait after that many attempts in a row; `jitter` in 0..1 spreads it over the upper half."""
    most = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempts, 10))
    return most * (0.5 + 0.5 * jitter)


def judge(
    error: JobError,
    *,
    attempts: int,
    progressed: bool,
    max_attempts: int,
    jitter: float,
    life_s: float | None = None,
) -> Verdict:
    """Decide what `error` means for a file. `life_s` is how long its upload session is still good, if it has one.

    `attempts` counts those in a row that brought nothing: an attempt after which the server held more bytes than before
    starts the count anew (gsutil's rule), and one that failed because the whole API is down, or the folder away, is
    not the file's and not counted at all. What a session holds is lost when it expires: the back-off is at most a
    quarter of what is left of it.
    """
    is_its_own = not isinstance(error, ApiDown | FolderAway)
    match error:
        case Superseded():
            return Verdict(Event.SUPERSEDED, attempts, 0.0, error.code, error.message)
        case Final():
            return Verdict(Event.FAILED, attempts + 1, 0.0, error.code, error.message)
        case _ if is_its_own:
            counted = 1 if progressed else attempts + 1
        case _:
            counted = attempts
    if is_its_own and counted >= max_attempts:
        message = f"{error.message} (given up after {counted} attempts without progress)"
        return Verdict(Event.FAILED, counted, 0.0, error.code, message)
    after_s = error.after_s if isinstance(error, TryAgain) else None
    # The first fault in a row is followed by the shortest wait: most are over at once.
    delay_s = backoff_s(max(counted - 1, 0), jitter) if after_s is None else after_s
    if after_s is None and life_s is not None and not isinstance(error, NewUrl):
        delay_s = min(delay_s, max(life_s / 4, BACKOFF_FIRST_S))
    return Verdict(Event.POSTPONED, counted, delay_s, error.code, error.message)
