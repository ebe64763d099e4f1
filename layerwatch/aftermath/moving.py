"""The new place of a file that is moved: it is made ready there under a hidden name, whole and on disk, and shown under
its own at the end. The old place is the caller's; nothing here touches it.

Never by a rename out of the folder, for which watchdog would hold back all events of the folder for half a second: by a
second hard link, or, where that cannot be (another filesystem, somebody else's file), by a copy.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from layerwatch import source
from layerwatch.aftermath.confirmed import At, Confirmed, Reason, Stay, why
from layerwatch.aftermath.placing import entered, give_name, numbered, sync
from layerwatch.errors import JobError
from layerwatch.notices import name_text


@contextmanager
def ready(file: Confirmed, fd: int, to: str, made_below: str, at: At) -> Iterator[Callable[[], str]]:
    """The open `file` in the directory `to`, which is made as far as it is missing below `made_below`; the call shows
    it and returns its path. Where that does not come about, nothing is left behind."""
    waiting = file.hidden("moving")
    with ExitStack() as stack:
        with _telling(f"{name_text(to)} is not a directory to move to (links are not followed)"):
            there = stack.enter_context(entered(to, below=made_below))
        at("entered")
        try:
            with _telling(f"cannot be moved to {name_text(to)}"):
                _forget(there, waiting)  # an interrupted call left it
                _link_or_copy(file, fd, there, waiting, at)
            at("ready")
            yield lambda: _show(file, there, waiting, to, at)
        except (OSError, JobError, Stay):
            with suppress(OSError):
                _forget(there, waiting)
            raise


def moved_before(file: Confirmed, to: str) -> str | None:
    """Where in the directory `to` the bytes of `file` lie already, under its name or one like it."""
    for name in numbered(file.name):
        path = os.path.join(to, name)
        if not os.path.lexists(path):
            return None
        if _holds(file, path, to):
            return path
    return None


@contextmanager
def _telling(what: str) -> Iterator[None]:
    # What is wrong with the new place must not be taken for something wrong with the file.
    try:
        yield
    except OSError as error:
        raise Stay(Reason.FAILED, f"{what}: {why(error)}") from error


def _forget(there: int, waiting: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(waiting, dir_fd=there)


def _link_or_copy(file: Confirmed, fd: int, there: int, waiting: str, at: At) -> None:
    try:
        # By the descriptor: it is this very file, whoever has its name now.
        os.link(f"/proc/self/fd/{fd}", waiting, dst_dir_fd=there)
    except OSError:
        _copy(file, fd, there, waiting, at)


def _copy(file: Confirmed, fd: int, there: int, waiting: str, at: At) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(waiting, flags, 0o600, dir_fd=there), "r+b") as copy:
        at("copying")
        copy.writelines(source.blocks(fd, 0, file.identity.size))
        copy.flush()
        if source.digest(copy.fileno(), file.identity.size) != file.digest:
            raise Stay(Reason.FAILED, "the copy did not come out the same")
        _dress(fd, copy.fileno())
        os.fsync(copy.fileno())


def _dress(fd: int, copy: int) -> None:
    """Give the copy the owner, mode and times of the file, as far as we may."""
    status = os.fstat(fd)
    with suppress(OSError):
        os.fchown(copy, status.st_uid, status.st_gid)
    with suppress(OSError):
        # Without set-uid: the copy may be ours, and then it would run as us.
        os.fchmod(copy, status.st_mode & 0o777)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))


def _show(file: Confirmed, there: int, waiting: str, to: str, at: At) -> str:
    with _telling(f"cannot be moved to {name_text(to)}"):
        for name in numbered(file.name):
            path = os.path.join(to, name)
            try:
                give_name(there, waiting, name)
            except FileExistsError:
                if not _holds(file, path, to):
                    continue
                _forget(there, waiting)
            at("shown")
            sync(there)
            at("durable")
            return path
    raise Stay(Reason.EXISTS, f"in {name_text(to)} every name like {name_text(file.name)} is taken")


def _holds(file: Confirmed, path: str, to: str) -> bool:
    """Whether these very bytes lie at `path`, safely on disk."""
    size = file.identity.size
    with suppress(OSError, JobError), source.opened(path, to) as fd:
        if os.fstat(fd).st_size == size and source.digest(fd, size) == file.digest:
            os.fsync(fd)
            return True
    return False
