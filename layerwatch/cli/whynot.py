"""Why the ledger does not have a path: asked of the configuration, the disk and what the daemon noted down."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from layerwatch.cli.pushing import loose, put_off
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import ago, span
from layerwatch.config import Folder
from layerwatch.ignore import Selection
from layerwatch.notices import name_text


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason` for a person; `explained` is False where there is nothing, or nothing that explains it."""

    path: str
    folder: str | None
    reason: str
    explained: bool = True


def places(now: Situation, given: str) -> list[str]:
    """The absolute paths that `given` may mean: as it stands, with its links resolved, below a folder's name, or, as
    `push` has it, what it is a link to."""
    path = os.path.abspath(given)
    resolved = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    name, _, rest = given.partition("/")
    root = now.root(name) if rest else None
    below = [os.path.join(root, os.path.normpath(rest))] if root else []
    return list(dict.fromkeys([path, resolved, *below, os.path.realpath(path)]))


def why_not(now: Situation, paths: list[str]) -> Answer:
    """The first thing that keeps the file at one of these paths out of the ledger."""
    for path in paths:
        if pushed := loose(now, path):
            folder = _folder_of(now, path)
            return Answer(path, folder.name if folder else None, pushed)
    found = next(((folder, path) for path in paths if (folder := _folder_of(now, path))), None)
    if found is None:
        return _elsewhere(now, paths[0])
    folder, path = found
    reasons = chain(_of_folder(now, folder), _of_path(folder, path), _of_daemon(now, folder, path))
    if reason := next(reasons, None):
        return Answer(path, folder.name, reason)
    if _quiet_s(path) is None:
        return Answer(path, folder.name, "there is no such file", explained=False)
    return Answer(path, folder.name, _unexplained(now, folder), explained=False)


def _folder_of(now: Situation, path: str) -> Folder | None:
    return next((f for f in now.settings.folders if path.startswith(os.path.join(f.root, ""))), None)


def _elsewhere(now: Situation, path: str) -> Answer:
    folders = ", ".join(f"{folder.name} ({name_text(folder.root)})" for folder in now.settings.folders)
    is_there = "" if os.path.lexists(path) else "there is no such file, and "
    return Answer(path, None, f"{is_there}it is in none of the drop folders: {folders}", explained=not is_there)


def _of_folder(now: Situation, folder: Folder) -> Iterator[str]:
    try:
        with os.scandir(folder.root):
            pass
    except OSError as error:
        trouble = (error.strerror or str(error)).lower()
        yield f"its folder {folder.name} cannot be read: {name_text(folder.root)}: {trouble}"
    facts = now.facts.get(folder.name)
    if now.pid is not None and facts and facts.state in ("away", "unreadable"):
        yield f"its folder {folder.name} is {facts.state}: {name_text(facts.detail)}"


def _of_path(folder: Folder, path: str) -> Iterator[str]:
    """What the path alone says: is it there, is it left out?"""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield f"it cannot be looked at: {(error.strerror or str(error)).lower()}"
        return
    relative = path[len(os.path.join(folder.root, "")) :]
    own = folder.own
    if linked := _linked_parent(folder.root, relative):
        yield f"it is reached through a symbolic link, {name_text(linked)}: those are not followed"
    if "/" in relative and not folder.recursive:
        yield f"it lies in a sub-folder, and folder {folder.name} has recursive = false"
    if reason := Selection(folder.include, folder.exclude, own).why_not(relative):
        yield f"folder {folder.name} leaves it out: {name_text(reason)}"
    if stat.S_ISLNK(mode):
        yield "it is a symbolic link: those are not followed; put the file itself there"
    if stat.S_ISDIR(mode):
        yield "it is a folder: only files have rows"


def _quiet_s(path: str) -> float | None:
    """How long ago it changed, or was put here; None when it is not there."""
    try:
        return time.time() - os.lstat(path).st_ctime
    except OSError:
        return None


def _linked_parent(root: str, relative: str) -> str:
    parts = relative.split("/")[:-1]
    parents = (os.path.join(root, *parts[: depth + 1]) for depth in range(len(parts)))
    return next(filter(os.path.islink, parents), "")


def _of_daemon(now: Situation, folder: Folder, path: str) -> Iterator[str]:
    """What the daemon has not come to, or put off."""
    quiet_s = _quiet_s(path)
    if quiet_s is None:
        return
    reason = put_off(now, path)
    if now.pid is None:
        last = f"; the last one put it off: {reason}" if reason else ""
        yield f"no daemon runs: it is found by the scan that `layerwatch run` begins with{last}"
    if reason:
        yield f"it waits: {reason}"
    facts = now.facts.get(folder.name)
    if facts is None:
        yield f"the daemon that runs does not know folder {folder.name}: restart it"
    elif facts.scanned_at is None:
        yield f"folder {folder.name} has not been scanned to its end yet"
    if quiet_s < folder.settle + 1:
        yield f"it changed {span(quiet_s)} ago: it counts as written after {folder.settle:g} s of quiet"


def _unexplained(now: Situation, folder: Folder) -> str:
    scanned = now.facts[folder.name].scanned_at
    assert scanned is not None, "a folder that was not scanned yet explains it"
    reason = f"nothing explains it: folder {folder.name} takes it, and was scanned {ago(scanned)}"
    return f"{reason}; the next scan comes at latest {span(folder.rescan)} after that"
