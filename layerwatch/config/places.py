"""How the directories lie: folders, the ledger, and the results that go from one folder into another.

Folders lie apart, or else a file would be two folders' work. The one exception is said with `chain = true`: the results
of a rule are another folder's files.
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from layerwatch.config import values
from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.locate import default_ledger_path

Found: TypeAlias = Iterator[tuple[Loc, Fault]]
Rules: TypeAlias = list[tuple[Loc, dict[str, Any]]]

_APART = "give each its own directory, or keep one folder with two rules"


@dataclass(frozen=True)
class Place:
    """A folder as it was written, with its real directory."""

    loc: Loc
    folder: Mapping[str, Any]
    root: str
    rules: Rules

    def __str__(self) -> str:
        return f"'{self.folder.get('name')}' ({self.root})"

    def below(self, relative: object) -> str | None:
        """The real directory that this key means; None if it means none, which is told elsewhere."""
        if not isinstance(relative, str):
            return None
        try:
            return os.path.realpath(os.path.join(self.root, values.inside(relative)))
        except Fault:
            return None

    def feeding(self, other: "Place") -> Rules:
        """The rules whose results are saved where the other folder looks."""
        landings = ((loc, rule, self.below(rule.get("outputs"))) for loc, rule in self.rules)
        return [(loc, rule) for loc, rule, landing in landings if landing and contains(landing, other.root)]


def place(loc: Loc, folder: Mapping[str, Any], rules: Rules) -> Place | None:
    root = _real(folder.get("path"))
    return None if root is None else Place(loc, folder, root, rules)


def overlaps(places: list[Place]) -> Found:
    for one, other in itertools.combinations(places, 2):
        if contains(one.root, other.root):
            fault = _overlap(one, other, one, other)
        elif contains(other.root, one.root):
            fault = _overlap(one, other, other, one)
        else:
            continue
        if fault:
            yield (*other.loc, "path"), fault


def _overlap(one: Place, other: Place, outer: Place, inner: Place) -> Fault | None:
    feeding = outer.feeding(inner)
    reason = f"folders {one} and {other} overlap"
    if not feeding:
        return Fault(reason, _APART)
    if not any(rule.get("chain") is True for _, rule in feeding):
        name = feeding[0][1].get("name")
        return Fault(reason, f"write chain = true in rule '{name}' if its results are to be taken there; else {_APART}")
    if _moved_into(outer, inner):
        return Fault(f"{reason}, and move_to would make files of the one files of the other", "change move_to")
    return None


def _moved_into(outer: Place, inner: Place) -> bool:
    """Whether files that are done with would come back as the inner folder's new ones."""
    if outer.folder.get("after_upload") != "move":
        return False
    moved = outer.below(outer.folder.get("move_to", "uploaded"))
    return moved is not None and (contains(moved, inner.root) or contains(inner.root, moved))


def chains(places: list[Place]) -> Found:
    """Every chain has a next link. Judged only when the places of all folders are known."""
    for one in places:
        fed = {loc for other in places if other is not one for loc, _ in one.feeding(other)}
        for loc, rule in one.rules:
            if rule.get("chain") is True and loc not in fed and one.below(rule.get("outputs")):
                fix = "add [[folders]] whose path is in the outputs of this rule, or take chain away"
                yield (*loc, "chain"), Fault("chain = true, and no folder takes these results", fix)


def ledger_inside(section: object, places: list[Place]) -> Found:
    if isinstance(section, dict) and "url" in section:
        return
    path = section.get("path") if isinstance(section, dict) else None
    ledger = os.path.realpath(default_ledger_path()) if path is None else _real(path)
    for one in places if ledger is not None else ():
        if contains(one.root, str(ledger)):
            reason = f"the ledger {ledger} would lie inside the drop folder '{one.folder.get('name')}'"
            yield ("ledger", "path"), Fault(reason, 'keep it elsewhere, such as "/var/lib/layerwatch/ledger.db"')


def contains(outer: str, inner: str) -> bool:
    return os.path.commonpath((outer, inner)) == outer


def _real(path: object) -> str | None:
    usable = isinstance(path, str) and os.path.isabs(path) and "\0" not in path
    return os.path.realpath(str(path)) if usable else None
