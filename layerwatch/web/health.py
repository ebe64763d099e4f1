"""`/healthz`: is everything as it should be, and if not, what is to be done? For monitoring that looks at the status
alone, and for whoever it wakes. Looks; changes nothing, and asks nobody but the daemon, the ledger and its disk.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from layerwatch.config import PUSHED
from layerwatch.errors import Code, LedgerTrouble
from layerwatch.ledger import FolderState, Ledger
from layerwatch.notices import name_text
from layerwatch.redact import redact
from layerwatch.web.answer import JSON, Answer
from layerwatch.web.sight import FolderSight, Sight
from layerwatch.web.writable import SEE_THE_REASON, why_unwritable

_REFUSED = (Code.UNAUTHORIZED, Code.FORBIDDEN)
_LOST = (FolderState.AWAY, FolderState.UNREADABLE)


class What(StrEnum):
    """What is wrong, in a word that scripts may rely on."""

    FOLDER_AWAY = "folder_away"
    WATCH_DEAF = "watch_deaf"
    THREAD_SILENT = "thread_silent"
    THREAD_DEAD = "thread_dead"
    WAITING_TOO_LONG = "waiting_too_long"
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a word, not a token
    LEDGER_UNWRITABLE = "ledger_unwritable"
    # Worth a note, and no reason to wake anybody.
    HOLD = "hold"
    CONFIGURATION_KEPT = "configuration_kept"
    POLLED = "polled"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong, or worth a note: a sentence that names it, and what to do about it. Made by `reason`."""

    what: What
    detail: str
    do: str


def reason(what: What, detail: str, do: str) -> Reason:
    """One that can be shown anywhere: no control characters, no secrets."""
    return Reason(what, redact(name_text(detail)), redact(name_text(do)))


def answer(sight: Sight, ledger: Ledger | None) -> Answer:
    """200 while there is no reason for alarm, else 503; JSON, with the reasons."""
    found = reasons(sight, ledger)
    document = {
        "healthy": not found,
        "reasons": [asdict(each) for each in found],
        "notes": [asdict(each) for each in notes(sight)],
    }
    return Answer(503 if found else 200, JSON, json.dumps(document, indent=2).encode() + b"\n")


def reasons(sight: Sight, ledger: Ledger | None) -> list[Reason]:
    """All that is wrong now; `ledger` is None where it cannot be opened."""
    return [*_folders(sight), *_threads(sight), *_token(sight), *_held(sight), *_ledger(sight, ledger)]


def notes(sight: Sight) -> list[Reason]:
    """What is not as usual, and works."""
    return [*_holds(sight), *_configuration(sight), *_polled(sight)]


# --- what is wrong ----------------------------------------------------------------------------------------------------


def _folders(sight: Sight) -> Iterator[Reason]:
    for folder in sight.folders():
        if folder.state in _LOST:
            yield reason(
                What.FOLDER_AWAY,
                f"folder {folder.name} is {folder.state}: {folder.detail or folder.path}",
                "mount it, put it back, or let the user that layerwatch runs as read it; else take it out of the"
                " configuration. Its files wait for it",
            )
        elif folder.deaf:
            yield reason(
                What.WATCH_DEAF,
                f"folder {folder.name}: {_why_deaf(folder)}; it is polled",
                "raise fs.inotify.max_user_watches and max_user_instances if a limit is named; where the kernel never"
                ' reports (a network share), set watch = "polling" for this folder',
            )


def _why_deaf(folder: FolderSight) -> str:
    return folder.detail or f"the kernel does not report what happens in {folder.path}"


def _threads(sight: Sight) -> Iterator[Reason]:
    restart = "restart layerwatch; it goes on where it was. If it happens again, the log says more"
    for name in sight.late():
        yield reason(What.THREAD_SILENT, f"the thread {name} has not been heard of within its time", restart)
    if died := sight.died():
        yield reason(What.THREAD_DEAD, died, restart)


def _held(sight: Sight) -> Iterator[Reason]:
    """Generations, too, wait behind it: what is paid for, and what is to be."""
    hold, most_s = sight.hold(), sight.settings().http.oldest_waiting
    if hold and hold.code not in _REFUSED and (held_s := sight.monotonic() - hold.since) > most_s:
        detail = f"everything has been waiting for {held_s:.0f} s ({hold.code}): {hold.message}"
        yield reason(What.WAITING_TOO_LONG, detail, "see `layerwatch check`; it goes on by itself when Layer answers")


def _token(sight: Sight) -> Iterator[Reason]:
    hold = sight.hold()
    if hold and hold.code in _REFUSED:
        yield reason(
            What.TOKEN_REFUSED,
            f"everything waits: {hold.message}",
            "give a valid token (LAYER_TOKEN or token_file) of a member of api.workspace_id, then reload or restart",
        )


def _ledger(sight: Sight, ledger: Ledger | None) -> Iterator[Reason]:
    """One reason at the most that it cannot be written: the first explains the others."""
    overdue: list[Reason] = []
    trouble = why_unwritable(sight.settings().ledger.place, sight.ledger_trouble())
    try:
        if ledger:
            overdue += _waiting(sight, ledger)
        elif not trouble:
            trouble = "the ledger cannot be opened", "see the log, and `layerwatch check`"
    except LedgerTrouble as error:
        trouble = trouble or (str(error), SEE_THE_REASON)
    yield from overdue
    if trouble:
        yield reason(What.LEDGER_UNWRITABLE, *trouble)


def _waiting(sight: Sight, ledger: Ledger) -> Iterator[Reason]:
    settings = sight.settings()
    oldest = ledger.gauges.oldest_queued([PUSHED, *(folder.name for folder in settings.folders)])
    waited_s = sight.wall() - oldest.since if oldest else 0.0
    if oldest and waited_s > settings.http.oldest_waiting:
        yield reason(
            What.WAITING_TOO_LONG,
            f"{oldest.path} (folder {oldest.folder}) has waited for {waited_s:.0f} s to be uploaded, which is longer"
            f" than http.oldest_waiting ({settings.http.oldest_waiting:.0f} s)",
            f"see `layerwatch show {oldest.id}` and `layerwatch status` for what it waits for",
        )


# --- what is worth a note ---------------------------------------------------------------------------------------------


def _holds(sight: Sight) -> Iterator[Reason]:
    hold = sight.hold()
    if hold and hold.code not in _REFUSED:
        detail = f"everything waits ({hold.code}): {hold.message}"
        yield reason(What.HOLD, detail, "nothing, if it passes: it is tried again by itself")


def _configuration(sight: Sight) -> Iterator[Reason]:
    if why := sight.configuration():
        do = "put the configuration right, then reload; until then the one before it is in force"
        yield reason(What.CONFIGURATION_KEPT, why, do)


def _polled(sight: Sight) -> Iterator[Reason]:
    for folder in sight.folders():
        if folder.state is FolderState.POLLING and not folder.deaf:
            yield reason(What.POLLED, f"folder {folder.name} is polled: {folder.detail or folder.path}", "")
