"""Fire and fetch: the request that a claimed generation makes, and its results brought home. Never writes the ledger,
but for the two callbacks through which a result is known before anybody can see it.

Nothing here sends the paid request: that is one line in `runner`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from layerwatch import rules
from layerwatch.api import Asset, Assets, Remote
from layerwatch.config import Budget, Rule
from layerwatch.config.roles import PROMPT
from layerwatch.errors import Final, Stopped
from layerwatch.ledger import Firing, Following, Limits
from layerwatch.placeholders import PlaceholderError
from layerwatch.results import Found, Place, provenance, save, settled, sweep
from layerwatch.rules import RuleError
from layerwatch.sidecars import overrides

RULE, RULE_GONE = "rule", "rule_gone"  # `error_code`s


def session_name(generation: int, path: str) -> str:
    """By which a person finds it in Layer's own app."""
    name = path.rpartition("/")[2].encode("utf-8", "replace").decode()
    return f"layerwatch g{generation} {name}"[:255]


def request(job: Firing, rule: Rule | None, relative: str | None) -> dict[str, Any]:
    """The body that `job` is to send; raises `Final` where none can be made any more."""
    if rule is None or relative is None:
        raise Final(RULE_GONE, f"rule {job.rule} of folder {job.folder} is not configured any more")
    fits = rules.fit(rule, job.folder, relative)
    if fits is None:
        raise Final(RULE_GONE, f"rule {job.rule} does not match this file any more")
    try:
        return rules.body(
            rule,
            fits,
            job.file_ids,
            prompt=job.sidecars.get(PROMPT),
            overrides=overrides(job.sidecars),
            session_name=session_name(job.id, job.path),
        )
    except (RuleError, PlaceholderError) as error:
        raise Final(RULE, f"the request of rule {job.rule} cannot be made: {error}") from None


def limits(rule: Rule, everywhere: Budget) -> tuple[Limits, ...]:
    """What the budget, and the rule's own, allow."""
    own = rule.budget
    return (
        Limits(everywhere.per_generation, everywhere.daily, everywhere.burst),
        Limits(own.per_generation, own.daily, own.burst, of=rule.name),
    )


# --- results ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ties:
    """How fetching keeps in touch: `intend` and `saved` are on disk when they return. `called`: what all call a path
    who have the share, wherever they have mounted it."""

    intend: Callable[[int, str, str, int], None]
    saved: Callable[[int], None]
    stopping: Callable[[], bool]
    called: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Home:
    """Where the results of a generation belong: below the folder's `root`, in `outputs`, named after `source`."""

    root: str
    outputs: str
    source: str
    max_size: int


def fetch(
    job: Following, remote: Remote, home: Home, assets: Assets, facts: dict[str, Any], ties: Ties
) -> list[dict[str, Any]]:
    """Every result of a complete generation, where it belongs, with its provenance; what is there already is not
    fetched again. Raises what a result met that cannot be had now, or ever; the others are fetched first."""
    if job.remote_state is not None:  # not the first try: what the last one left half done is of no use
        sweep(home.root, home.outputs, job.id)
    outputs: list[dict[str, Any]] = []
    trouble: list[Exception] = []
    for number, asset in enumerate(remote.assets, 1):
        place = Place(home.root, home.outputs, home.source, job.rule, job.id, number, len(remote.assets))
        try:
            found = _one(job, place, asset, home, assets, ties)
        except Final as error:
            trouble.append(error)
            continue
        about: dict[str, Any] = {
            "path": found.path,
            "sha256": found.sha256,
            "size": found.size,
            "content_type": found.content_type,
        }
        try:
            result = about | {"path": ties.called(found.path), "number": number, "of": len(remote.assets)}
            provenance(found.path, home.root, facts | {"result": result})
        except Final as error:  # somebody else's file has that name: the result itself is here all the same
            about["provenance"] = error.message
        outputs.append(about)
    if trouble:
        raise trouble[0]
    return outputs


def _one(job: Following, place: Place, asset: Asset, home: Home, assets: Assets, ties: Ties) -> Found:
    before = next((each for each in job.results if each.number == place.number), None)
    if before and settled(place, before.path, before.sha256, before.size):
        found = Found(before.path, before.sha256, before.size, asset.content_type)
    else:
        with assets.open(asset.url) as download:
            found = save(
                place,
                _until_stopped(download.blocks, ties.stopping),
                content_type=download.content_type or asset.content_type,
                length=download.length,
                max_size=home.max_size,
                intent=lambda path, sha256, size: ties.intend(place.number, path, sha256, size),
            )
    ties.saved(place.number)
    return found


def _until_stopped(blocks: Iterator[bytes], stopping: Callable[[], bool]) -> Iterator[bytes]:
    for block in blocks:
        if stopping():
            raise Stopped
        yield block
