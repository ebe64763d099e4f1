"""A file in a drop folder, on disk: who it is, opening it safely, and its hashes.

Other people's files: opened only for reading, never through a link, never anything but a regular file, and never one
that lies outside the folder, whatever was swapped in between the look and the opening.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import google_crc32c

from layerwatch import faults
from layerwatch.errors import Code, Superseded

BLOCK = 512 * 1024
READ = 1024 * 1024  # where bytes are only looked at, by few
# O_NONBLOCK: a FIFO that took the file's name must not hold us until somebody writes to it.
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Identity(NamedTuple):
    """Who a file is: when any of these differs, it is another version. `size` in bytes, `mtime_ns` in nanoseconds.

    A tuple: a scan makes one for each file that it sees.
    """

    size: int
    mtime_ns: int
    inode: int


# A version as scans compare it, a hundred thousand at a time: its path, and its identity.
Seen = tuple[str, int, int, int]


def identity(status: os.stat_result) -> Identity:
    """The identity that a stat result shows."""
    return Identity(status.st_size, status.st_mtime_ns, status.st_ino)


def is_still(status: os.stat_result, known: Identity) -> bool:
    """Whether that is who a stat result shows; a scan asks this twice of each file."""
    return (status.st_size, status.st_mtime_ns, status.st_ino) == known


class Digest(NamedTuple):
    """What the bytes are: `sha256` in hex, `crc32c` as the storage reports it."""

    sha256: str
    crc32c: int


@contextmanager
def opened(path: str, root: str, *, queued: Identity | None = None) -> Iterator[int]:
    """A read-only descriptor of the regular file `path`, which must really lie below `root` (a real path), and, with
    `queued`, be that version.

    Raises `Superseded` (vanished; another version; a link, FIFO or device: unsupported) or `TryAgain` (unreadable).
    """
    fd = open_file(path, root, queued)
    try:
        yield fd
    finally:
        os.close(fd)


def open_file(path: str, root: str, queued: Identity | None) -> int:
    """The same, for the caller to close: where files are opened by the thousand."""
    fd = _open(path)
    try:
        _insist_on_file(fd, path, root, queued)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _insist_on_file(fd: int, path: str, root: str, queued: Identity | None) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Superseded(Code.UNSUPPORTED_TYPE, "not a regular file")
    _insist_on_place(fd, path, root)
    if queued is not None:
        insist_on_version(status, queued)


def insist_on_version(status: os.stat_result, queued: Identity) -> None:
    """Raises `Superseded` for a file that is another version by now."""
    if not is_still(status, queued):
        raise Superseded(Code.CHANGED, "the file is not the one that was queued any more")


def _open(path: str) -> int:
    try:
        return os.open(path, _READ_ONLY)
    except OSError as error:
        raise faults.disk(error.errno).error(unreadable(error)) from None


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, and who would have to be able to."""
    reason = (error.strerror or str(error)).lower()
    return f"cannot be read: {reason} (layerwatch runs as uid {os.geteuid()}, gid {os.getegid()})"


def _insist_on_place(fd: int, path: str, root: str) -> None:
    # A directory on the way may have become a link since it was walked: the kernel knows where the descriptor really
    # is.
    place = os.readlink(f"/proc/self/fd/{fd}")
    if place != path and not place.startswith(os.path.join(root, "")):
        if place.endswith(" (deleted)"):
            raise Superseded(Code.VANISHED, "the file is gone")
        raise Superseded(Code.UNSUPPORTED_TYPE, "reached through a link that leads out of the folder: not followed")


class Held(NamedTuple):
    """A directory that is held open while several of its files are looked at by their bare names: its descriptor, its
    path, and who it is (device, inode). What was learned so is good if it `is_in_place` afterwards."""

    fd: int
    path: str
    who: tuple[int, int]

    def open_file(self, name: str) -> int:
        """A read-only descriptor of what is called so in it, never through a link. Raises `OSError`."""
        return os.open(name, _READ_ONLY, dir_fd=self.fd)

    def is_in_place(self) -> bool:
        """Whether the path, without any link on the way, leads to this very directory now."""
        try:
            # The one sees links and what was moved, deleted or unmounted, the other what was mounted over it.
            return os.readlink(f"/proc/self/fd/{self.fd}") == self.path and _who(os.lstat(self.path)) == self.who
        except OSError:
            return False

    def close(self) -> None:
        os.close(self.fd)


def hold(directory: str, root: str) -> Held | None:
    """Hold a directory that really lies in `root` (a real path), or is it; None where it does not, or cannot be
    held."""
    if not os.path.join(directory, "").startswith(os.path.join(root, "")):
        return None
    try:
        fd = os.open(directory, _DIRECTORY)
    except OSError:
        return None
    held = Held(fd, directory, _who(os.fstat(fd)))
    if held.is_in_place():
        return held
    held.close()
    return None


def _who(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def being_written(fd: int) -> bool:
    """Whether some program on this machine has the file open for writing, as far as the kernel tells us.

    False also where it cannot be told: files of other users, network filesystems. The lease is held for microseconds; a
    writer that opens the file within them waits for the release and notices nothing (SIGIO, with which the kernel tells
    the holder, has to be ignored by the process: see `daemon`).
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def blocks(fd: int, first: int, end: int, size: int = BLOCK) -> Iterator[bytes]:
    """The bytes `first` up to, not including, `end`, in blocks of `size`. Raises `Superseded` where the file has become
    shorter."""
    while first < end:
        try:
            block = os.pread(fd, min(size, end - first), first)
        except OSError as error:
            raise faults.disk(error.errno).error(unreadable(error)) from None
        if not block:
            raise Superseded(Code.CHANGED, "the file became shorter while it was read")
        first += len(block)
        yield block


def digest(fd: int, size: int, *, stopping: Callable[[], bool] = lambda: False) -> Digest | None:
    """Both hashes of the first `size` bytes in one pass; None when `stopping` said so in the middle."""
    sha256 = hashlib.sha256()
    crc32c = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    for block in blocks(fd, 0, size, READ):
        if stopping():
            return None
        sha256.update(block)
        crc32c.update(block)  # type: ignore[no-untyped-call]
    return Digest(sha256.hexdigest(), int(crc32c.hexdigest(), 16))  # type: ignore[no-untyped-call]


def digest_of(content: bytes) -> Digest:
    """Both hashes of what has been read already."""
    return Digest(hashlib.sha256(content).hexdigest(), google_crc32c.value(content))


def md5(fd: int, size: int) -> bytes:
    """The MD5 of the first `size` bytes, for a server that tells nothing better."""
    hashed = hashlib.md5(usedforsecurity=False)
    for block in blocks(fd, 0, size):
        hashed.update(block)
    return hashed.digest()
