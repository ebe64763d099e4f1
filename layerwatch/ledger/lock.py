"""The one lock per ledger: who holds it is the daemon."""

import fcntl
import os
import struct

from layerwatch.errors import AnotherInstance, Problem
from layerwatch.ledger.connecting import insist_on_directory, unusable
from layerwatch.ledger.store import is_url


class Lock:
    """The right to be the one daemon on this ledger. Held through an open descriptor: it dies with the process, however
    that ends, and leaves nothing to clean up. Raises `AnotherInstance`."""

    def __init__(self, path: str) -> None:
        self.path = f"{path}.lock"
        insist_on_directory(path)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            raise self._held(path) from None
        except OSError as error:
            raise unusable(path, error) from None

    def _held(self, path: str) -> AnotherInstance:
        pid = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
        os.close(self._fd)
        reason = f"another layerwatch{f' (process {pid})' if pid else ''} works on this ledger"
        return AnotherInstance(Problem(path, reason, "stop that one first, or give this one its own [ledger] path"))

    def release(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder(place: str) -> int | None:
    """The process that works on the ledger at `place`; None when none does. Where several can, it is one of them, on
    whichever host. Raises `UserError` where a server cannot be asked."""
    if is_url(place):
        from layerwatch.ledger.postgres.health import worker

        return worker(place)
    try:
        fd = os.open(f"{place}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_RDLCK))
        if struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK:
            return None
        text = os.pread(fd, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(fd)


# struct flock: type, whence, start, length (0: all of it), pid. F_OFD: of the open file, not of the process, and who
# asks need not take the lock for a moment, in which a daemon that starts would find it taken.
_FLOCK = "hhqqi0q"


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
