"""Walking a drop folder: every file that is somebody's work, directory by directory. Never through a link."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from layerwatch.ignore import Selection
from layerwatch.source import Identity, Seen, identity

Known = Callable[[str], Mapping[str, Sequence[Seen]]]


@dataclass(slots=True)
class Directory:
    """One walked directory: its files, with who they are, or why it could not be read. `irregular` are the paths of
    those that are links, FIFOs and the like."""

    path: str
    inode: int
    files: list[tuple[str, Identity]] = field(default_factory=list)
    error: str = ""
    irregular: set[str] = field(default_factory=set)


def walk(
    start: str, root: str, selection: Selection, *, recursive: bool, known: Known = lambda _: {}
) -> Iterator[Directory]:
    """All directories from `start` (below or equal to the real path `root`) down, as far as `selection` wants them.

    `known` tells of a directory which versions of files in it are known, by their paths: these are not listed. Links,
    FIFOs and the like are listed as files: whoever looks at them tells why they are not taken.
    """
    # What lies above the start is looked at here, once, and not for every file.
    above = start.removeprefix(root).strip("/")
    below = len(root.rstrip("/")) + 1
    waiting = [] if selection.why_not_within(above) else [(start, _inode(start))]
    while waiting:
        directory = Directory(*waiting.pop())
        listing = _Listing(directory, below, selection, known)
        try:
            listing.read()
        except OSError as error:
            directory.error = (error.strerror or str(error)).lower()
        if recursive:
            waiting += listing.subdirectories
        yield directory


def _inode(path: str) -> int:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


class _Listing:
    """How one directory is read. From the character `below` on its path is relative to the root."""

    def __init__(self, found: Directory, below: int, selection: Selection, known: Known) -> None:
        self.subdirectories: list[tuple[str, int]] = []  # to be entered: path and inode
        self._found = found
        self._prefix = os.path.join(found.path, "")
        self._inside = self._prefix[below:]
        self._selection = selection
        self._known = known

    def read(self) -> None:
        """Raises `OSError` where the directory itself cannot be read."""
        # By its descriptor: it cannot have become a link since it was found, and each look in it is short.
        fd = os.open(self._found.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with os.scandir(fd) as entries:
                self._sort(entries)
        finally:
            os.close(fd)
        # By name: frames go up in their order, and the ledger's indexes grow at their end.
        self._found.files.sort()

    def _sort(self, entries: Iterable[os.DirEntry[str]]) -> None:
        """Into files and subdirectories."""
        known: Mapping[str, Sequence[Seen]] | None = None
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    self._look_at_directory(entry)
                    continue
                if known is None:  # most directories of some trees have no file at all
                    known = self._known(self._found.path)
                self._look_at_file(entry, known)
            except FileNotFoundError:
                continue  # gone between the listing and the look
            except OSError as error:
                # One that cannot be looked at must not hide the rest.
                self._found.error = self._found.error or (error.strerror or str(error)).lower()

    def _look_at_directory(self, entry: os.DirEntry[str]) -> None:
        name = entry.name
        if self._selection.why_not_enter(self._inside + name, name) is None:
            # Not entry.inode(): of a mount point that is the inode that lies under it.
            self.subdirectories.append((self._prefix + name, entry.stat(follow_symlinks=False).st_ino))

    def _look_at_file(self, entry: os.DirEntry[str], known: Mapping[str, Sequence[Seen]]) -> None:
        name = entry.name
        path = self._prefix + name
        versions = known.get(path, ())
        # Who is known was taken before: its name is looked at only if it has changed, which hardly any has.
        if not versions and self._is_left_out(name):
            return
        seen = entry.stat(follow_symlinks=False)
        if (path, seen.st_size, seen.st_mtime_ns, seen.st_ino) in versions or (versions and self._is_left_out(name)):
            return
        self._found.files.append((path, identity(seen)))
        if not stat.S_ISREG(seen.st_mode):
            self._found.irregular.add(path)

    def _is_left_out(self, name: str) -> bool:
        return self._selection.why_not_here(self._inside + name, name) is not None
