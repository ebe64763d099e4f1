"""`[ledger.paths]`: what the places of this host are called in a ledger that several hosts share.

Read as it was written, like all that is judged together. Whatever lies there has to have a name of its own, or else two
files would be one.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.config.places import Place
from layerwatch.names import Names

Found: TypeAlias = Iterator[tuple[Loc, Fault]]
PATHS: Loc = ("ledger", "paths")


def names_of(paths: Mapping[str, str]) -> Names:
    """By the real paths of the left sides: files go by theirs."""
    return Names.of({os.path.realpath(here): there for here, there in paths.items()})


def check(ledger: object, places: list[Place]) -> Found:
    """All that is wrong with it, and folders that have no name by it."""
    written = ledger.get("paths") if isinstance(ledger, dict) else None
    if not isinstance(ledger, dict) or not isinstance(written, dict) or not written:
        return
    if "url" not in ledger:
        reason = "a ledger in a file is this host's alone: there is nobody to agree with on other names"
        yield PATHS, Fault(reason, "take it away; it goes with [ledger] url")
        return
    paths = {here: there for here, there in written.items() if isinstance(there, str)}
    faults = list(_spelling(paths)) or list(_same(paths)) or list(_confused(paths))
    yield from faults
    if not faults and paths:
        yield from _nameless(names_of(paths), places)


def _spelling(paths: Mapping[str, str]) -> Found:
    for here, there in paths.items():
        for side, path in (("left side", here), ("right side", there)):
            if reason := _unusable(path):
                yield (*PATHS, here), Fault(f"the {side} {reason}", 'write for example "/mnt/render"')


def _unusable(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        return "is not an absolute path"
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return "is not the path of a file"
    if path == "/":
        return "is the whole machine, not a place on it"
    if path.startswith("//") or path != os.path.normpath(path):
        return "has a slash at the end, or //, . or .. in it"
    return ""


def _same(paths: Mapping[str, str]) -> Found:
    """Two that are one, here or there."""
    here_first: dict[str, str] = {}
    there_first: dict[str, str] = {}
    for here, there in paths.items():
        if (other := here_first.setdefault(os.path.realpath(here), here)) != here:
            reason = f"is the same directory as {other}, by a symbolic link"
            yield (*PATHS, here), Fault(reason, "keep one of them")
        elif (other := there_first.setdefault(there, here)) != here:
            reason = f"the ledger would call it what it calls {other}: {there}"
            yield (*PATHS, here), Fault(reason, "give each a name of its own, or keep one of them")


def _confused(paths: Mapping[str, str]) -> Found:
    names = names_of(paths)
    for here in paths:
        if path := names.nameless(os.path.realpath(here)):
            yield (*PATHS, here), _taken(names, path, "give what lies there a line of its own, or another right side")


def _nameless(names: Names, places: list[Place]) -> Found:
    """Folders, and where their files and results go, that the ledger cannot tell from others here."""
    fix = "under [ledger.paths] give that place a name of its own, or keep the folder elsewhere"
    for place in places:
        for loc, root in _roots(place):
            if path := names.nameless(root):
                yield loc, _taken(names, path, fix)
                break


def _roots(place: Place) -> Iterator[tuple[Loc, str]]:
    yield (*place.loc, "path"), place.root
    if place.folder.get("after_upload") == "move" and (moved := place.below(place.folder.get("move_to", "uploaded"))):
        yield (*place.loc, "move_to"), moved
    for loc, rule in place.rules:
        if landing := place.below(rule.get("outputs")):
            yield (*loc, "outputs"), landing


def _taken(names: Names, path: str, fix: str) -> Fault:
    name = names.outside(path)
    return Fault(f"the ledger would call {path} what it calls {names.here(name)}: {name}", fix)
