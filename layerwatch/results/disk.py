"""A file of ours while it is in the making, under a hidden name; and what it means when the disk does not take it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from layerwatch.aftermath.confirmed import PREFIX, why
from layerwatch.aftermath.placing import sync
from layerwatch.errors import Code, FolderAway, TryAgain
from layerwatch.notices import name_text

DISK = "disk"  # the result cannot be written now: full, read-only, not permitted, in the way
EXISTS = "exists"  # somebody else's file has the name that only one can have

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HINTS = {
    errno.ENOTDIR: " (a file, or a link, which is not followed, is in the way)",
    errno.ELOOP: " (links are not followed)",
    errno.EACCES: " (layerwatch runs as uid {uid}, gid {gid})",
}


@contextmanager
def telling(directory: str, root: str) -> Iterator[None]:
    """Turn what the system says about our own steps into `TryAgain`. Around these alone: where results come from, and
    who is told of them, have errors of their own."""
    try:
        yield
    except OSError as error:
        if not os.path.isdir(root):
            raise FolderAway(Code.VANISHED, f"the folder {name_text(root)} is not there") from None
        reason = why(error) + _HINTS.get(error.errno or 0, "").format(uid=os.geteuid(), gid=os.getegid())
        raise TryAgain(DISK, f"cannot save in {name_text(directory)}: {reason}") from None


@contextmanager
def temporary(directory: int, generation: int, number: int) -> Iterator[tuple[int, str]]:
    """A new file in `directory`, open, and its name; removed at the end, unless it was given another by then."""
    name = f"{PREFIX}result-{generation}-{number}-{os.urandom(8).hex()}.part"
    fd = os.open(name, _NEW, 0o666, dir_fd=directory)
    try:
        yield fd, name
    finally:
        # Closed first: NFS keeps an open file that is removed, under a name of its own.
        with suppress(OSError):
            os.close(fd)
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)


def temporary_of(generation: int) -> re.Pattern[str]:
    """The names that `temporary` gives for this generation."""
    return re.compile(rf"{re.escape(PREFIX)}result-{generation}-[0-9]+-[0-9a-f]+\.part")


def write(fd: int, block: bytes) -> None:
    """Write all of `block`: the kernel may take a part of it only."""
    left = memoryview(block)
    while left:
        left = left[os.write(fd, left) :]


def make_durable(directory: int) -> None:
    """Have the names in `directory` on disk."""
    with suppress(PermissionError):  # to write in it does not mean to read it
        sync(directory)
