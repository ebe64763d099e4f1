"""The receipt: `<file>.layer.json`, which tells whoever works in the folder what a file is called on the server.

Written whole or not at all. Replaces an earlier receipt of ours, at once; never anything else that has its name, and
never through a link.
"""

import errno
import json
import os
import stat
from contextlib import suppress

from layerwatch.aftermath.confirmed import At, Confirmed, Done, Left, Outcome, Reason, nowhere, why
from layerwatch.aftermath.placing import NAME_MAX, entered, exchange, give_free_name, give_name, look, sync, take
from layerwatch.ignore import RECEIPT_SUFFIX

KEYS = ("file_id", "workspace_id", "sha256", "size_bytes", "content_type", "folder", "path", "uploaded_at")
MOST_BYTES = 64 * 1024


def write_receipt(file: Confirmed, beside: str, at: At = nowhere) -> Outcome:
    """Write the receipt beside the path `beside`: where the file is now, or was when it was deleted.

    The receipt of a later version of the same file stays as it is. The same call made again does no harm.
    """
    directory, name = os.path.dirname(beside), os.path.basename(beside) + RECEIPT_SUFFIX
    if len(os.fsencode(name)) > NAME_MAX:
        return Left(Reason.FAILED, f"the file's name with {RECEIPT_SUFFIX} is longer than {NAME_MAX} bytes")
    try:
        with entered(directory) as fd:
            _write(file, fd, name, at)
    except FileExistsError:
        return Left(Reason.EXISTS, f"what is called {_text(name)} is no receipt of layerwatch")
    except OSError as error:
        return Left(Reason.FAILED, f"the receipt cannot be written: {why(error)}")
    return Done(os.path.join(directory, name))


def _write(file: Confirmed, fd: int, name: str, at: At) -> None:
    # `new` may be half written. The others are complete receipts, or what came to the name in the very moment.
    new, ready, before = (file.hidden(what) for what in ("receipt", "receipt-ready", "receipt-before"))
    _forget(fd, new)  # an interrupted call left it, and them
    _clear(fd, (ready, before), name)
    old = _receipt_at(fd, name)
    if old is None and look(fd, name):
        raise FileExistsError(errno.EEXIST, "not ours", name)
    if old and old["path"] == _text(file.called or file.path) and str(old["uploaded_at"]) > file.uploaded_at:
        return
    at("examined")
    _save(fd, new, _content(file), at)
    give_name(fd, new, ready)
    at("ready")
    try:
        _show(fd, ready, before if old else None, name, at)
    except OSError:
        _clear(fd, (ready, before), name)
        raise
    at("shown")
    _clear(fd, (ready, before), name)
    at("cleared")
    sync(fd)


def _show(fd: int, ready: str, before: str | None, name: str, at: At) -> None:
    if before is None:
        give_name(fd, ready, name)
    elif not exchange(fd, ready, name):
        # Here it takes two steps, and in between there is no receipt.
        take(fd, name, before)
        at("aside")
        give_name(fd, ready, name)


def _clear(fd: int, hidden: tuple[str, ...], name: str) -> None:
    for each in hidden:
        if _receipt_at(fd, each) is not None:
            os.unlink(each, dir_fd=fd)
        elif look(fd, each):
            give_free_name(fd, each, name)


def _forget(fd: int, new: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=fd)


def _save(fd: int, new: str, content: bytes, at: At) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(new, flags, 0o666, dir_fd=fd), "wb") as receipt:
            at("writing")
            receipt.write(content)
            receipt.flush()
            os.fsync(receipt.fileno())
    except OSError:
        _forget(fd, new)
        raise


# --- what it says -----------------------------------------------------------------------------------------------------


def _content(file: Confirmed) -> bytes:
    values = (
        file.file_id,
        file.workspace_id,
        file.digest.sha256,
        file.identity.size,
        file.content_type,
        _text(file.folder),
        _text(file.called or file.path),
        file.uploaded_at,
    )
    return json.dumps(dict(zip(KEYS, values, strict=True)), ensure_ascii=False, indent=2).encode() + b"\n"


def _text(name: str) -> str:
    """A name as JSON can carry it."""
    return name.encode("utf-8", "backslashreplace").decode()


def _receipt_at(fd: int, name: str) -> dict[str, object] | None:
    """What the receipt called `name` says; None when there is none, or it is none of ours."""
    try:
        said = json.loads(_read(fd, name))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said.keys() >= set(KEYS) else None


def _read(fd: int, name: str) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    try:
        return os.read(file, MOST_BYTES) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)
