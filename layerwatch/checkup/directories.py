"""How many directories a folder has, as far as they can be counted in a few seconds. Never through a link.

All of them count, also those that are not looked into: the kernel has to watch each.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from layerwatch.ignore import Selection

_LOOK_AT_CLOCK = 1024  # entries


@dataclass(slots=True)
class Counted:
    """`unreadable` and `unwritable` are those of which files are wanted; `whole`: none was left out."""

    number: int = 1
    whole: bool = True
    unreadable: list[str] = field(default_factory=list)
    unwritable: list[str] = field(default_factory=list)


def count(root: str, selection: Selection, enough: Callable[[], bool], *, write: bool) -> Counted:
    """Count from the real path `root` down, until it is `enough`. `write`: say which cannot be written."""
    found = Counted()
    waiting = [(root, True)]
    prefix = len(root.rstrip("/")) + 1
    while waiting and found.whole:
        path, wanted = waiting.pop()
        # Told for a whole tree at little cost; the folder itself is really tried.
        if write and wanted and path != root and not os.access(path, os.W_OK | os.X_OK):
            found.unwritable.append(path)
        try:
            for inner in _inside(path, enough):
                if inner is None:
                    found.whole = False
                    break
                found.number += 1
                below = wanted and selection.why_not_enter(inner.path[prefix:], inner.name) is None
                waiting.append((inner.path, below))
        except OSError:
            if wanted:
                found.unreadable.append(path)
    return found


def _inside(path: str, enough: Callable[[], bool]) -> Iterator[os.DirEntry[str] | None]:
    """The directories in one; None when it is enough."""
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries):
            if number % _LOOK_AT_CLOCK == 0 and enough():
                yield None
                return
            if entry.is_dir(follow_symlinks=False):
                yield entry
