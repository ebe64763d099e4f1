"""A quiet file, looked at closely: is it whole, is it something that Layer takes, what is it? Reads the file,
decides nothing more."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from layerwatch import media, source
from layerwatch.errors import Code, Superseded, TryAgain
from layerwatch.ledger import Refusal, Version
from layerwatch.media import Whole
from layerwatch.source import Digest, Held, Identity

SMALL_BYTES = 256 * 1024  # up to here one read brings all that is to be judged and hashed
TAKEN = "JPEG, PNG and WebP images, MP4 video, MP3 and WAV audio"


@dataclass(frozen=True, slots=True)
class NotYet:
    """It may still be being written. `settling`: nothing is wrong with it, it only has not been quiet for long
    enough."""

    reason: str
    settling: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """It is not the file that was quiet any more."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing under this path."""


Finding = Version | Refusal | NotYet | Changed | Gone


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_size` in bytes. How long the file was quiet: `settled`, the whole settle time, not only the short one
    after its writer closed it; `patient`, for so long that nobody can be writing it any more. `aftermath` and
    `seen_at` are those of the version."""

    max_size: int
    settled: bool
    patient: bool
    aftermath: bool = False
    seen_at: float | None = None


def look(path: str) -> tuple[Identity, int] | None:
    """Who is there now, and its mode; None when nobody is."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return source.identity(status), status.st_mode


def examine(
    folder: str, path: str, root: str, expected: Identity, limits: Limits, stopping: Callable[[], bool]
) -> Finding:
    """What the file at `path`, quiet as `expected`, is. Its bytes are read at most once, and, but for a small one's,
    only if they can be taken."""
    seen = look(path)
    if seen is None:
        return Gone()
    identity, mode = seen
    if identity != expected:
        return Changed(identity)
    if refused := _refused_by_looks(mode, identity, limits):
        return Refusal(folder, path, identity, *refused)
    try:
        fd = source.open_file(path, root, identity)
        try:
            found = _examine_open(fd, folder, path, identity, limits, stopping)
            return _unchanged(found, look(path)) if isinstance(found, Version) else found
        finally:
            os.close(fd)
    except Superseded as error:
        now = look(path)
        # The very same file, still there: it is refused for what it is, not for what happened to it meanwhile.
        if now and now[0] == identity and error.code is Code.UNSUPPORTED_TYPE:
            return Refusal(folder, path, identity, error.code, error.message)
        return Changed(now[0]) if now else Gone()
    except TryAgain as error:
        return Refusal(folder, path, identity, error.code, error.message)
    except OSError as error:  # the disk or the share failed in the middle of it
        return Refusal(folder, path, identity, Code.UNREADABLE, source.unreadable(error))


def examine_listed(
    folder: str, path: str, held: Held, expected: Identity, limits: Limits, stopping: Callable[[], bool]
) -> Finding | None:
    """The same of a file in a directory that is held, where a scan saw that it is a regular one: opened without a look
    before. None: something is not as expected, and `examine` is to tell what."""
    if not 0 < expected.size <= limits.max_size:
        return None
    name = path[len(held.path) + 1 :]
    try:
        fd = held.open_file(name)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not source.is_still(status, expected):
                return None
            found = _examine_open(fd, folder, path, expected, limits, stopping)
            after = os.stat(name, dir_fd=held.fd, follow_symlinks=False) if isinstance(found, Version) else status
            return found if source.is_still(after, expected) else None
        finally:
            os.close(fd)
    except (OSError, Superseded, TryAgain):
        return None


def _refused_by_looks(mode: int, identity: Identity, limits: Limits) -> tuple[Code, str] | None:
    if stat.S_ISLNK(mode):
        return Code.UNSUPPORTED_TYPE, "a symbolic link: links are not followed; put the file itself here"
    if not stat.S_ISREG(mode):
        return Code.UNSUPPORTED_TYPE, "not a regular file (a FIFO, socket or device)"
    if identity.size == 0:
        return Code.EMPTY, "the file is empty"
    if identity.size > limits.max_size:
        return Code.TOO_LARGE, f"{identity.size} bytes; [upload] max_file_size is {limits.max_size}"
    return None


def _examine_open(
    fd: int, folder: str, path: str, identity: Identity, limits: Limits, stopping: Callable[[], bool]
) -> Version | Refusal | NotYet:
    # Before anything is read: who has opened it since changes its time, if he writes, and that is looked at in the end.
    written_to = not limits.patient and source.being_written(fd)
    head = os.pread(fd, identity.size, 0) if identity.size <= SMALL_BYTES else b""
    found = media.look(fd, identity.size, head)
    if found is None:
        message = f"{media.describe(fd, identity.size)}; Layer takes {TAKEN}"
        return Refusal(folder, path, identity, Code.UNSUPPORTED_TYPE, message)
    if found.whole is Whole.NO:
        if limits.patient:
            return Refusal(folder, path, identity, Code.INCOMPLETE, found.why)
        return NotYet(found.why)
    if written_to:
        return NotYet("a program still has it open for writing")
    if found.whole is Whole.UNKNOWN and not limits.settled:
        return NotYet("nothing in it tells whether it is complete", settling=True)
    digest = _digest(fd, head, identity.size, stopping)
    if digest is None:
        return NotYet("layerwatch is ending", settling=True)
    aftermath, seen_at = limits.aftermath, limits.seen_at
    return Version(folder, path, identity, found.content_type, digest, aftermath, seen_at=seen_at)


def _unchanged(version: Version, after: tuple[Identity, int] | None) -> Version | Changed | Gone:
    """The version, if that is who is there after it was read."""
    if after is None:
        return Gone()
    # It was this very file when it was opened: what the path shows of it is what its descriptor would show.
    return version if after[0] == version.identity else Changed(after[0])


def _digest(fd: int, head: bytes, size: int, stopping: Callable[[], bool]) -> Digest | None:
    """Of a file of which the first bytes are read; None where it is time to end."""
    if len(head) < size:
        return source.digest(fd, size, stopping=stopping)
    return None if stopping() else source.digest_of(head)
