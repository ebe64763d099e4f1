"""The head of the page: how it is, in a sentence, and what needs a person."""

from collections.abc import Iterator
from dataclasses import dataclass

from layerwatch import __version__
from layerwatch.ledger import Ledger
from layerwatch.states import Generation
from layerwatch.web import health, words
from layerwatch.web.decisions import held_for_good
from layerwatch.web.sight import Sight
from layerwatch.web.words import When


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: `where` on the page it is told in full, or what to `do` about it."""

    text: str
    where: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How it is: `mood` is good, busy, held or bad, `title` what the window is called."""

    mood: str
    title: str
    sentence: str
    more: str
    needs: tuple[Need, ...]
    since: When
    version: str
    at: When


def state(sight: Sight, files: dict[str, int], made: dict[str, int], needs: tuple[Need, ...], trouble: str) -> State:
    """`files` and `made` are counts by status; `trouble` is why the ledger cannot be read, empty where it can."""
    now = sight.wall()
    mood, title, sentence, more = _said(sight, files, made, needs, words.message(trouble))
    since = words.when(sight.started_at, now)
    return State(mood, title, sentence, more, needs, since, __version__, words.when(now, now))


def _said(
    sight: Sight, files: dict[str, int], made: dict[str, int], needs: tuple[Need, ...], trouble: str
) -> tuple[str, str, str, str]:
    hold = sight.hold()
    if trouble:
        return "bad", "no ledger", "The ledger cannot be read.", trouble
    if hold is not None:
        return "held", "everything waits", "Everything waits.", words.message(hold.message)
    if needs:
        return "bad", _title(files, needs), _needs_you(needs), _under_way(files, made)
    if under_way := _under_way(files, made):
        return "busy", "working", "All is well.", under_way
    some = "Everything that came in has been dealt with." if any(files.values()) else "Nothing has come in yet."
    return "good", "all is well", "All is well.", some


def _title(files: dict[str, int], needs: tuple[Need, ...]) -> str:
    return f"{words.number(files['failed'])} failed" if files["failed"] else _needs_you(needs).lower().rstrip(".")


def _needs_you(needs: tuple[Need, ...]) -> str:
    return "One thing needs you." if len(needs) == 1 else f"{len(needs)} things need you."


def _under_way(files: dict[str, int], made: dict[str, int]) -> str:
    working = made[Generation.SUBMITTING] + made[Generation.RUNNING]
    waiting = made[Generation.QUEUED]
    parts = [
        f"{words.many(files['uploading'], 'file is', 'files are')} going up" if files["uploading"] else "",
        f"{words.many(files['queued'], 'file waits', 'files wait')} for its turn" if files["queued"] == 1 else "",
        f"{words.many(files['queued'], 'file waits', 'files wait')} for their turn" if files["queued"] > 1 else "",
        f"Layer works on {words.many(working, 'generation', 'generations')}" if working else "",
        f"{words.many(waiting, 'generation is', 'generations are')} to be fired" if waiting else "",
    ]
    told = words.listed([part for part in parts if part])
    return f"{told[0].upper()}{told[1:]}." if told else ""


def needs(sight: Sight, ledger: Ledger | None, files: dict[str, int], made: dict[str, int]) -> Iterator[Need]:
    """What needs a person: what ails the daemon, what has failed, and what goes on only with somebody's word."""
    for reason in health.reasons(sight, ledger):
        yield Need(words.message(reason.detail), do=words.message(reason.do))
    for note in health.notes(sight):
        if note.what is health.What.CONFIGURATION_KEPT:
            yield Need(words.message(note.detail), do=words.message(note.do))
    yield from _counted(files["failed"], "trouble", "file could not be uploaded", "files could not be uploaded")
    yield from _counted(made[Generation.FAILED], "decide", "generation failed", "generations failed")
    whether = "may have been paid for, or not: only a person can tell"
    yield from _counted(made[Generation.UNKNOWN], "decide", f"generation {whether}", f"generations {whether}")
    held = held_for_good(ledger) if ledger else 0
    yield from _counted(held, "decide", "generation waits to be approved", "generations wait to be approved")
    if ledger and (given_up := ledger.deliveries.counts()["failed"]):
        text = words.many(given_up, "command or webhook was given up", "commands or webhooks were given up")
        yield Need(text, do="`layerwatch show`, with the file or generation that it was about, tells more")


def _counted(count: int, where: str, one: str, more: str) -> Iterator[Need]:
    if count:
        yield Need(words.many(count, one, more), where)
