"""The part of the page about what is under way: what goes up, what waits longest, how the folders are."""

from dataclasses import dataclass

from layerwatch.board import Flight
from layerwatch.config import PUSHED
from layerwatch.ledger import FolderState, Ledger
from layerwatch.notices import name_text, size_text
from layerwatch.web import words
from layerwatch.web.sight import FolderSight, Sight
from layerwatch.web.words import When

LEAST_S = 1.0  # a speed over less time than that is noise


@dataclass(frozen=True, slots=True)
class Going:
    """One upload under way. `percent` is of a hundred."""

    id: int
    name: str
    percent: int
    done: str
    speed: str
    left: str


@dataclass(frozen=True, slots=True)
class FolderLine:
    name: str
    path: str
    state: str
    detail: str
    scanned: When | None
    rules: int


# --- going up ---------------------------------------------------------------------------------------------------------


def going(sight: Sight) -> list[Going]:
    """Every upload, the one that has been on its way longest first."""
    flights = sorted(sight.board.flights.copy().items(), key=lambda item: item[1].since)
    return [_going(sight, id_, flight) for id_, flight in flights]


def _going(sight: Sight, id_: int, flight: Flight) -> Going:
    sent, lasted_s = min(flight.sent, flight.size), sight.monotonic() - flight.since
    rate = max(sent - flight.resumed_at, 0) / lasted_s if lasted_s >= LEAST_S else 0.0
    return Going(
        id=id_,
        name=words.name(sight.settings(), flight.path, flight.folder),
        percent=100 * sent // flight.size if flight.size else 100,
        done=f"{size_text(sent)} of {size_text(flight.size)}",
        speed=f"{size_text(rate)}/s" if rate else "",
        left=f"about {words.span((flight.size - sent) / rate)} left" if rate else "",
    )


# --- folders ----------------------------------------------------------------------------------------------------------

_STATES = {
    FolderState.WATCHING: "watching",
    FolderState.POLLING: "polling",
    FolderState.AWAY: "away",
    FolderState.UNREADABLE: "unreadable",
}


def folders(sight: Sight, ledger: Ledger | None) -> list[FolderLine]:
    facts = {} if ledger is None else {each.name: each for each in ledger.facts.folders()}
    rules = {each.name: len(each.rules) for each in sight.settings().folders}
    lines = []
    for each in sight.folders():
        scanned_at = facts[each.name].scanned_at if each.name in facts else None
        scanned = None if scanned_at is None else words.when(scanned_at, sight.wall())
        state = "not looked at yet" if each.state is None else _STATES[each.state]
        path, count = name_text(each.path), rules.get(each.name, 0)
        lines.append(FolderLine(name_text(each.name), path, state, _about(each), scanned, count))
    return lines


def _about(folder: FolderSight) -> str:
    if folder.detail or not folder.deaf:
        return words.message(folder.detail)
    return "the kernel does not report what happens here: it is looked through every so often"


def oldest(sight: Sight, ledger: Ledger) -> tuple[str, When] | None:
    """The name of the file that has been waiting longest, and since when."""
    queued = ledger.gauges.oldest_queued(names(sight))
    if queued is None:
        return None
    return words.name(sight.settings(), queued.path, queued.folder), words.when(queued.since, sight.wall())


def names(sight: Sight) -> list[str]:
    """Of all folders that files may be of."""
    return [*(folder.name for folder in sight.settings().folders), PUSHED]
