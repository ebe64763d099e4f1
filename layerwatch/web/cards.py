"""The part of the page that shows what was made of what: a card for each generation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from layerwatch.config import Settings
from layerwatch.ledger import GenerationRow, Ledger
from layerwatch.notices import name_text
from layerwatch.states import Generation
from layerwatch.web import media, words
from layerwatch.web.sight import Sight
from layerwatch.web.words import When

LATEST = 24
MOST_SHOWN = 4  # pictures on either side of a card


@dataclass(frozen=True, slots=True)
class Thumb:
    """A picture, or, where there is no `link`, what stands for it: image, video, sound, file, gone."""

    link: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Card:
    """One generation. `price` says what it cost, or is thought to cost."""

    id: int
    rule: str
    name: str
    status: str
    meaning: str
    at: When
    price: str
    why: str
    inputs: list[Thumb]
    results: list[Thumb]
    more_results: int


def cards(sight: Sight, ledger: Ledger) -> list[Card]:
    """Of the generations that were fired last."""
    roots = media.roots(sight)
    return [_card(sight, ledger, row, roots) for row in ledger.stories.latest(LATEST)]


_MEANING = {
    Generation.WAITING: "waits for its other inputs",
    Generation.QUEUED: "is to be fired",
    Generation.SUBMITTING: "on its way to Layer",
    Generation.RUNNING: "Layer works on it",
    Generation.COMPLETE: "done",
    Generation.FAILED: "did not work",
    Generation.CANCELLED: "cancelled",
    Generation.BLOCKED: "held back by the budget",
    Generation.UNKNOWN: "may have been paid for",
}


def _card(sight: Sight, ledger: Ledger, row: GenerationRow, roots: Mapping[str, str]) -> Card:
    settings = sight.settings()
    results = list(_results(settings, ledger, row, roots))
    is_over = row.status in (Generation.FAILED, Generation.UNKNOWN, Generation.CANCELLED)
    return Card(
        id=row.id,
        rule=name_text(row.rule),
        name=words.name(settings, row.path, row.folder),
        status=row.status,
        meaning=_MEANING[Generation(row.status)],
        at=words.when(row.completed_at or row.booked_at or row.created_at, sight.wall()),
        price=_price(row),
        why=words.message(row.error) if is_over else "",
        inputs=list(_inputs(settings, ledger, row, roots))[:MOST_SHOWN],
        results=results[:MOST_SHOWN],
        more_results=max(len(results) - MOST_SHOWN, 0),
    )


def _price(row: GenerationRow) -> str:
    if row.price is not None:
        return f"{words.units(row.price)} units"
    return "price unknown" if row.booked is None else f"about {words.units(row.booked)} units"


def _inputs(settings: Settings, ledger: Ledger, row: GenerationRow, roots: Mapping[str, str]) -> Iterator[Thumb]:
    for each in ledger.stories.inputs(row.id):
        file = ledger.reports.file(each.file)
        place = media.place_of_file(roots, ledger, each.file)
        kind = _kind(file.content_type if file else None)
        name = words.name(settings, each.path, row.folder)
        yield _thumb(f"/media/file/{each.file}", kind, name, there=place is not None and place.there())


def _results(settings: Settings, ledger: Ledger, row: GenerationRow, roots: Mapping[str, str]) -> Iterator[Thumb]:
    """The saved ones; those of which there is only an address have nothing to show."""
    kinds = {each["path"]: _kind(each.get("content_type")) for each in row.outputs if "path" in each}
    for each in ledger.stories.results(row.id):
        if each["saved"]:
            place = media.place_of_result(roots, ledger, row.id, each["number"])
            kind, name = kinds.get(each["path"], "image"), words.name(settings, each["path"], row.folder)
            there = place is not None and place.there()
            yield _thumb(f"/media/result/{row.id}/{each['number']}", kind, name, there=there)


def _thumb(link: str, kind: str, name: str, *, there: bool) -> Thumb:
    if kind == "image":
        return Thumb(link, kind, name) if there else Thumb("", "gone", name)
    return Thumb("", kind, name)


def _kind(content_type: str | None) -> str:
    """What a person would call it; an image is only what is shown as one."""
    if content_type in media.IMAGES:
        return "image"
    family = (content_type or "").partition("/")[0]
    return {"video": "video", "audio": "sound"}.get(family, "file")
