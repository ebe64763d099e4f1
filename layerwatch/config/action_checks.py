"""Are a folder's actions whole? One thing to do each, and something that sets it off."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc

Found: TypeAlias = Iterator[tuple[Loc, Fault]]

ACTIONS = ("on_uploaded", "on_complete")
_EITHER = 'write command = ["program", "argument"] or url = "https://..."'


def actions(folder: Mapping[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The actions of the folder at `loc` that are tables, each with its place."""
    for key in ACTIONS:
        if isinstance(action := folder.get(key), dict):
            yield (*loc, key), action


def check(loc: Loc, folder: Mapping[str, Any]) -> Found:
    if "on_complete" in folder and folder.get("rules", []) == []:
        fix = "add [[folders.rules]], or write on_uploaded"
        yield (*loc, "on_complete"), Fault("this folder has no rule: nothing is ever complete", fix)
    for at, action in actions(folder, loc):
        yield from _one_thing(at, action)


def _one_thing(loc: Loc, action: Mapping[str, Any]) -> Found:
    if "command" in action and "url" in action:
        yield loc, Fault("has both command and url", "keep one of them")
    elif "command" not in action and "url" not in action:
        yield loc, Fault("says nothing to do", _EITHER)
    if "secret_file" in action and "url" not in action:
        yield (*loc, "secret_file"), Fault("there is no url to sign for", "add url, or take it away")
