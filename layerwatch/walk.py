"""Walking a drop folder: every file that is somebody's work, directory by directory. Never through a link."""

import os
from collections.abc import Iterable, Iterator
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
    # By its descriptor: it cannot have become a link since it was found, and each look in it is short.
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(fd) as entries:
            _list_entries(found, entries, os.path.join(path, ""), len(root.rstrip("/")) + 1, selection, subdirectories)
    finally:
        os.close(fd)


def _list_entries(
    found: Directory,
    entries: Iterable[os.DirEntry[str]],
    prefix: str,
    below: int,
    selection: Selection,
    subdirectories: list[tuple[str, int]] | None,
) -> None:
    """Sort them into files and subdirectories. `prefix` is the directory's path, with a slash; from `below` on it is
    relative to the root."""
    inside, why_not, add = prefix[below:], selection.why_not_here, found.files.append
    for entry in entries:
        name = entry.name
        try:
            if not entry.is_dir(follow_symlinks=False):
                if why_not(inside + name, name) is None:
                    add((prefix + name, identity(entry.stat(follow_symlinks=False))))
            elif subdirectories is not None and selection.why_not_enter(inside + name, name) is None:
                # Not entry.inode(): of a mount point that is the inode that lies under it.
                subdirectories.append((prefix + name, entry.stat(follow_symlinks=False).st_ino))
        except FileNotFoundError:
            continue  # gone between the listing and the look
        except OSError as error:
            # One that cannot be looked at must not hide the rest.
            found.error = found.error or (error.strerror or str(error)).lower()
