"""May we write there, and is there room? Told by a real try: what `os.access` says is wrong for root, on read-only and
on network filesystems. What the try makes is gone again before it returns.
"""

import os
from collections.abc import Iterator

from layerwatch.aftermath.confirmed import PREFIX, why
from layerwatch.aftermath.placing import entered
from layerwatch.checkup.findings import About, Finding
from layerwatch.notices import size_text

TOO_LITTLE_BYTES = 64 * 1024 * 1024
LITTLE_BYTES = 1024 * 1024 * 1024
FEW_NAMES = 1000

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def nearest(path: str) -> str:
    """`path`, or the deepest directory above it that is there: what is missing would be made below that one."""
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def why_not_writable(directory: str) -> str | None:
    """Why no file can be made in `directory`, and none removed; None where both were done. Links are followed."""
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _try(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return why(error)
    return None


def why_not_makeable(path: str) -> str | None:
    """The same for a directory that may have to be made first. No part of `path` may be a link: none is followed."""
    try:
        with entered(nearest(path)) as fd:
            _try(fd)
    except NotADirectoryError:
        return "a file, or a link, which is not followed, is in the way"
    except OSError as error:
        return why(error)
    return None


def _try(directory: int) -> None:
    name = f"{PREFIX}check-{os.urandom(8).hex()}"
    fd = os.open(name, _NEW, 0o600, dir_fd=directory)
    try:
        try:
            os.write(fd, b"layerwatch check\n")  # a full disk, or a quota, often still has a name to give
        finally:
            os.close(fd)
    finally:
        os.unlink(name, dir_fd=directory)


def space(about: About, directory: str, for_what: str) -> Iterator[Finding]:
    """How much room is left on the disk of `directory`."""
    try:
        disk = os.statvfs(directory)
    except OSError as error:
        yield about.problem("space", f"the disk of {directory} cannot be asked: {why(error)}", "see the reason")
        return
    free = disk.f_bavail * disk.f_frsize
    said = f"{size_text(free)} free for {for_what} in {directory}"
    if disk.f_files and disk.f_favail < FEW_NAMES:
        detail = f"the disk of {directory} takes only {disk.f_favail} more files, whatever room it has ({for_what})"
        yield about.problem("space", detail, "remove files that are not needed: the disk is out of inodes")
    elif free < TOO_LITTLE_BYTES:
        yield about.problem("space", said, "make room on that disk now: work stops when it is full")
    elif free < LITTLE_BYTES:
        yield about.warning("space", said, "make room on that disk before it is full")
    else:
        yield about.ok("space", said)
