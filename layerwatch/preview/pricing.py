"""What generations would cost: Layer is asked once for all that are alike. Sends estimates, and nothing that costs.

A file that is not uploaded yet has no id that Layer knows: its price is asked for with an uploaded one of the same type
in its place, or without it.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from layerwatch.api import Estimate, Layer
from layerwatch.errors import ApiDown, Final, JobError, TryAgain
from layerwatch.ledger import Firing

NEW = "layerwatch-new:"  # what a made-up file_id begins with
REFUSALS = 3  # of bodies that are alike; the next one would be refused as well
_ENVELOPES = ("parameters", "inputs")
_TEXTS = ("prompt", "session_name")  # no price depends on what they say
_NEW = re.compile(rf"{NEW}\d+")


@dataclass(frozen=True, slots=True)
class Price:
    """`units` is None where Layer does not tell; `asked` is False where that was not found out. `about`: it is that of
    a body with other files, or fewer."""

    units: float | None
    available: float | None = None
    sufficient: bool | None = None
    about: bool = False
    asked: bool = True


UNASKED = Price(None, asked=False)


@dataclass
class Prices:
    """`layer` is None where nobody can be asked, and `trouble` says why. `types` are the content types of made-up
    file_ids, `stand_ins` uploaded files by what they can stand in for."""

    layer: Layer | None
    trouble: str = ""
    types: dict[str, str] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known: dict[str, Price] = {}
        self._refused: Counter[str] = Counter()
        self._refusal: dict[str, Final] = {}

    def of(self, job: Firing, body: Mapping[str, Any]) -> Price:
        """What this body would cost. Raises `Final` where Layer would not take it."""
        if self.layer is None:
            self.warn(f"prices are not known, and limits on them not tried: {self.trouble}")
            return UNASKED
        shape = _shape(job, body)
        if self._refused[shape] >= REFUSALS:
            raise self._refusal[shape]
        if shape not in self._known:
            self._known[shape] = self._ask(self.layer, job, body, shape)
        return self._known[shape]

    def _ask(self, layer: Layer, job: Firing, body: Mapping[str, Any], shape: str) -> Price:
        refusals: list[Final] = []
        for asked, about in self._variants(body):
            try:
                found = _estimate(layer, job, asked)
            except Final as error:
                refusals.append(error)
            except JobError as error:
                self.layer, self.trouble = None, error.message
                return self.of(job, body)
            else:
                return Price(found.price, found.available, found.sufficient, about)
        refusal = refusals[-1]
        if any(each.message != refusal.message for each in refusals):  # then it is about the files, which will be there
            what = f"rule {job.rule}: Layer tells no price before its files are uploaded, limits on it are not tried"
            self.warn(f"{what}: {refusal.message}")
            return UNASKED
        self._refused[shape] += 1
        self._refusal[shape] = refusal
        raise refusal

    def _variants(self, body: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
        """The bodies to ask with, in turn, and whether they are only like the one that would be sent."""
        if not _is_new(body):
            yield body, False
            return
        filled = self._filled(body)
        yield (body, False) if _is_new(filled) else (filled, True)
        yield _without(body), True

    def _filled(self, value: Any) -> Any:
        """With uploaded files in the place of those that are not, as far as there are any."""
        if isinstance(value, Mapping):
            return {key: self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return _NEW.sub(self._stand_in, value) if isinstance(value, str) else value

    def _stand_in(self, found: re.Match[str]) -> str:
        kind = self.types.get(found[0], "")
        return self.stand_ins.get(kind) or self.stand_ins.get(_family(kind)) or found[0]

    def stands_in(self, file_id: str, content_type: str) -> None:
        """This file is uploaded, and may stand in for others of its type, or, failing that, of its family."""
        self.stand_ins.setdefault(content_type, file_id)
        self.stand_ins.setdefault(_family(content_type), file_id)

    def warn(self, text: str) -> None:
        """Said once, however often it is met."""
        if text not in self.warnings:
            self.warnings.append(text)


def _estimate(layer: Layer, job: Firing, body: Mapping[str, Any]) -> Estimate:
    try:
        return layer.estimate(job.kind, job.target, body)
    except ApiDown:
        raise
    except TryAgain:  # a bad moment
        return layer.estimate(job.kind, job.target, body)


def _family(content_type: str) -> str:
    return content_type.partition("/")[0]


def _is_new(value: Any) -> bool:
    """Whether a file that is not uploaded yet is asked for anywhere in it."""
    if isinstance(value, Mapping):
        return any(_is_new(each) for each in value.values())
    if isinstance(value, list):
        return any(_is_new(each) for each in value)
    return isinstance(value, str) and _NEW.search(value) is not None


def _without(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without the list entries, or else the whole parameters, that ask for files that are not uploaded yet."""
    kept: dict[str, Any] = {}
    for key, value in body.items():
        if key in _ENVELOPES and isinstance(value, Mapping):
            kept[key] = _without(value)
        elif not _is_new(value):
            kept[key] = value
        elif isinstance(value, list) and (entries := [each for each in value if not _is_new(each)]):
            kept[key] = entries
    return kept


# --- which are alike --------------------------------------------------------------------------------------------------


def _shape(job: Firing, body: Mapping[str, Any]) -> str:
    """The same for bodies whose price is the same: all of it but ids, prose, and what the file is called."""
    stem = os.path.splitext(job.path.rpartition("/")[2])[0]
    own = "|".join(map(re.escape, (stem, *job.file_ids.values())))
    bare = _bare(body, re.compile(rf"\s|(?<![^\W_])(?:{own})(?![^\W_])"))
    about = [job.folder, job.rule, job.kind, job.target, sorted(job.file_ids), _is_new(body)]
    return json.dumps([*about, bare], sort_keys=True, default=str)


def _bare(value: Any, own: re.Pattern[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: None if key in _TEXTS else _bare(each, own) for key, each in value.items()}
    if isinstance(value, list):
        return [_bare(each, own) for each in value]
    return None if isinstance(value, str) and own.search(value) else value
