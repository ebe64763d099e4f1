"""Walking a drop folder: every file that is somebody's work, directory by directory. Never through a link."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from layerwatch.ignore import Selection
from layerwatch.source import Identity, identity


@dataclass(slots=True)
class Directory:
    """One walked directory: its files, with who they are, or why it could not be read."""

    path: str
    inode: int
    files: list[tuple[str, Identity]] = field(default_factory=list)
    error: str = ""


def walk(start: str, root: str, selection: Selection, *, recursive: bool) -> Iterator[Directory]:
    """All directories from `start` (below or equal to the real path `root`) down, as far as `selection` wants them.

    Links, FIFOs and the like are listed as files: whoever looks at them tells why they are not taken.
    """
    # What lies above the start is looked at here, once, and not for every file.
    above = start.removeprefix(root).strip("/")
    waiting = [] if selection.why_not_within(above) else [(start, _inode(start))]
    while waiting:
        directory = Directory(*waiting.pop())
        path = directory.path
        try:
            _list(directory, path, root, selection, waiting if recursive else None)
        except OSError as error:
            directory.error = (error.strerror or str(error)).lower()
        yield directory


def _inode(path: str) -> int:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def _list(
    found: Directory, path: str, root: str, selection: Selection, subdirectories: list[tuple[str, int]] | None
) -> None:
    prefix = len(root.rstrip("/")) + 1
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                _list_entry(found, entry, entry.path[prefix:], selection, subdirectories)
            except FileNotFoundError:
                continue  # gone between the listing and the look
            except OSError as error:
                # One that cannot be looked at must not hide the rest.
                found.error = found.error or (error.strerror or str(error)).lower()


def _list_entry(
    found: Directory,
    entry: os.DirEntry[str],
    relative: str,
    selection: Selection,
    subdirectories: list[tuple[str, int]] | None,
) -> None:
    if entry.is_dir(follow_symlinks=False):
        if subdirectories is not None and selection.why_not_enter(relative, entry.name) is None:
            # Not entry.inode(): of a mount point that is the inode that lies under it.
            subdirectories.append((entry.path, entry.stat(follow_symlinks=False).st_ino))
    elif selection.why_not_here(relative, entry.name) is None:
        found.files.append((entry.path, identity(entry.stat(follow_symlinks=False))))
