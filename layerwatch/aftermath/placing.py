"""Names in a directory: entering one without following a link, and giving a file a name that is free.

Every directory is held by a descriptor, so what is swapped for a link after it was entered leads nobody away. Nothing
here ever replaces a file or removes the last name of one.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NAME_MAX = 255  # bytes
MOST = 1000  # numbered names that are tried

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOREPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED = frozenset((errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))

# Python has no name for it, and what it has replaces what is there.
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


# --- directories ------------------------------------------------------------------------------------------------------


@contextmanager
def entered(path: str, *, below: str | None = None) -> Iterator[int]:
    """A descriptor of the directory at the absolute `path`, no part of which may be a link.

    What is missing of it below the existing directory `below` is made. Raises `OSError`.
    """
    made_from = len(_parts(below)) if below is not None else None
    fd = os.open("/", _DIRECTORY)
    try:
        for depth, name in enumerate(_parts(path)):
            inner = _step(fd, name, make=made_from is not None and depth >= made_from)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or "." in parts or ".." in parts:
        raise OSError(errno.EINVAL, "not an absolute path without '.' and '..'", path)
    return parts


def _step(fd: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, dir_fd=fd)
    except FileExistsError:
        pass  # somebody was faster; what it is shows now
    else:
        with suppress(PermissionError):  # to write in it does not mean to read it
            sync(fd)
    return os.open(name, _DIRECTORY, dir_fd=fd)


def sync(fd: int) -> None:
    """Have the names in the directory `fd` on disk, where the filesystem lets one ask for it."""
    readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.fsync(readable)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(readable)


def look(fd: int, name: str) -> os.stat_result | None:
    """Who has this name in the directory `fd`, itself and not what it links to; None when nobody has."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


# --- giving names -----------------------------------------------------------------------------------------------------


def give_name(fd: int, old: str, new: str) -> None:
    """Rename within the directory `fd`; `FileExistsError` rather than replace anything."""
    if _renamed(fd, old, new, _NOREPLACE):
        return
    # NFS and some FUSE filesystems.
    if stat.S_ISDIR(os.stat(old, dir_fd=fd, follow_symlinks=False).st_mode):
        if look(fd, new):
            raise FileExistsError(errno.EEXIST, "taken", new)
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)  # a directory never replaces a file
    else:
        # In between the file has both names, never none.
        os.link(old, new, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        os.unlink(old, dir_fd=fd)


def give_free_name(fd: int, old: str, wanted: str) -> str:
    """Rename within the directory `fd` to `wanted`, or, where that is taken, to `wanted (2)` and so on: which it is."""
    for name in numbered(wanted):
        try:
            give_name(fd, old, name)
        except FileExistsError:
            continue
        return name
    raise FileExistsError(errno.EEXIST, f"{MOST} names like it are taken", wanted)


def take(fd: int, name: str, private: str) -> None:
    """Rename whoever is called `name` to `private`, in one step of the kernel: a name that only we give, and that was
    seen to be free."""
    if not _renamed(fd, name, private, _NOREPLACE):
        os.rename(name, private, src_dir_fd=fd, dst_dir_fd=fd)


def exchange(fd: int, one: str, other: str) -> bool:
    """Swap two names at once; False, and nothing done, where the filesystem cannot."""
    return _renamed(fd, one, other, _EXCHANGE)


def _renamed(fd: int, old: str, new: str, flag: int) -> bool:
    if _renameat2 is None:
        return False
    if _renameat2(fd, os.fsencode(old), fd, os.fsencode(new), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), new)


def numbered(name: str) -> Iterator[str]:
    """`shot.png`, `shot (2).png`, `shot (3).png` ..., never longer than a name may be."""
    yield name
    stem, extension = os.path.splitext(name)
    if len(os.fsencode(extension)) > NAME_MAX // 4:
        stem, extension = name, ""  # a dot somewhere, not an extension
    for number in range(2, MOST + 1):
        yield fitted(stem, f" ({number}){extension}")


def fitted(stem: str, suffix: str) -> str:
    """`stem` and `suffix`, with as much of the end of `stem` left out as makes a name of it."""
    while stem and len(os.fsencode(stem + suffix)) > NAME_MAX:
        stem = stem[:-1]
    return stem + suffix
