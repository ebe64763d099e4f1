"""What becomes of a source once the server has confirmed its bytes: it is kept, moved or deleted.

Never removes the name of a file that is not the very version that was uploaded, never follows a link out of the folder,
never puts a file over another. When in doubt the file stays, with a reason.

Between a look at a file and its removal, a writer may put a new one under the name. So the file is first *taken*:
renamed to a hidden name beside it, in one step, and looked at again under a name that no writer knows. If it is not
the right one, it is given its name back, or a free one like it when that has been taken since.

The hidden name is one in the same directory, not the same name in a hidden directory: inotify tells of a rename in two
halves, the half of a directory that is not watched (yet) is missing, and for a missing half watchdog holds back all
events of the folder for half a second.

A crash at any point leaves the file under its own name, its hidden one or, once moved, its new one. The same call made
again goes on from there; `keep` puts it back.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from layerwatch import source
from layerwatch.aftermath import moving
from layerwatch.aftermath.confirmed import At, Confirmed, Done, Left, Outcome, Reason, Stay, nowhere, why
from layerwatch.aftermath.placing import entered, give_free_name, look, sync, take
from layerwatch.errors import Code, JobError
from layerwatch.notices import name_text

# Given the open file, has it ready at its new place; the call shows it there.
_Ready = Callable[[int], AbstractContextManager[Callable[[], str | None]]]

_EXPECTED = (OSError, JobError, Stay)
_REASONS: dict[str, Reason] = {
    Code.VANISHED: Reason.GONE,
    Code.CHANGED: Reason.CHANGED,
    Code.UNSUPPORTED_TYPE: Reason.CHANGED,
}


def keep(file: Confirmed, at: At = nowhere) -> Outcome:
    """Leave the file where it is; what an interrupted `move` or `delete` has taken is put back."""
    try:
        with entered(file.directory) as directory:
            if _is_taken(directory, file):
                return Done(os.path.join(file.directory, _put_back(directory, file, at)))
            return Done(file.path) if look(directory, file.name) else Left(Reason.GONE, "the file is gone")
    except _EXPECTED as error:
        return _left(error, file)


def delete(file: Confirmed, at: At = nowhere) -> Outcome:
    """Delete the file, if it still is what was uploaded. `GONE` may mean that an interrupted call had done so."""
    return _remove(file, lambda _fd: nullcontext(lambda: None), at)


def move(file: Confirmed, destination: str, at: At = nowhere) -> Outcome:
    """Move the file, if it still is what was uploaded, keeping its path below the folder.

    `destination` is the real path of a directory that exists, or a path below the folder, which is made. Where the name
    is taken, `name (2)` is used, unless the same bytes lie there: that is the file, moved by an interrupted call.
    """
    # An absolute one is not made: it may be the place of a disk that is not mounted.
    made_below = destination if os.path.isabs(destination) else file.root
    base = os.path.normpath(os.path.join(file.root, destination))
    to = os.path.normpath(os.path.join(base, os.path.relpath(file.directory, file.root)))
    if not os.path.isabs(destination) and not base.startswith(os.path.join(file.root, "")):
        return Left(Reason.FAILED, f"{name_text(destination)} leads out of the folder, or is the folder itself")
    if to == file.directory:
        return Left(Reason.FAILED, "the place to move it to is where it lies")
    outcome = _remove(file, lambda fd: moving.ready(file, fd, to, made_below, at), at)
    if isinstance(outcome, Left) and outcome.reason is Reason.GONE and (there := moving.moved_before(file, to)):
        return Done(there)
    return outcome


# --- removing ---------------------------------------------------------------------------------------------------------


def _remove(file: Confirmed, ready: _Ready, at: At) -> Outcome:
    try:
        with entered(file.directory) as directory:
            try:
                path = _removed(file, directory, ready, at)
            except _EXPECTED as error:
                return _put_back_and_left(file, directory, _left(error, file), at)
            with suppress(OSError):  # a power cut may bring the name back: that costs nothing
                sync(directory)
            return Done(path)
    except _EXPECTED as error:
        return _left(error, file)


def _removed(file: Confirmed, directory: int, ready: _Ready, at: At) -> str | None:
    taken = _is_taken(directory, file)
    name = file.taken if taken else file.name
    with source.opened(os.path.join(file.directory, name), file.root) as fd:
        _insist_on_version(file, directory, name, fd)
        at("checked")
        with ready(fd) as show:
            _insist_on_version(file, directory, name, fd)
            if not taken:
                at("found")
                take(directory, file.name, file.taken)
                at("taken")
            _insist_on_bytes(file, fd)
            _insist_on_version(file, directory, file.taken, fd)
            at("verified")
            path = show()
            _insist_on_version(file, directory, file.taken, fd)
            os.unlink(file.taken, dir_fd=directory)
    at("removed")
    return path


def _insist_on_version(file: Confirmed, directory: int, name: str, fd: int) -> None:
    """What is called `name` is what is open, it is what was uploaded, and nobody writes to it."""
    if not os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(fd)):
        raise Stay(Reason.CHANGED, "another file has its name now")
    # Before the look at size and time: who has closed it by now has written before that.
    if source.being_written(fd):
        raise Stay(Reason.IN_USE, "a program has it open for writing")
    if source.identity(os.fstat(fd)) != file.identity:
        raise Stay(Reason.CHANGED, "it was changed after it was uploaded")


def _insist_on_bytes(file: Confirmed, fd: int) -> None:
    # Some programs, taggers for one, rewrite a file in place and give it its old time back. Only of a taken file is
    # this more than a hope: nobody can open it by its name any more.
    if source.digest(fd, file.identity.size) != file.digest:
        raise Stay(Reason.CHANGED, "it holds other bytes than were uploaded, though its size and time are the same")


def _is_taken(directory: int, file: Confirmed) -> bool:
    hidden, shown = look(directory, file.taken), look(directory, file.name)
    if hidden and shown and os.path.samestat(hidden, shown):
        # A putting back that needs two steps here was interrupted between them.
        os.unlink(file.taken, dir_fd=directory)
        return False
    return hidden is not None


# --- leaving alone ----------------------------------------------------------------------------------------------------


def _put_back(directory: int, file: Confirmed, at: At) -> str:
    at("returning")
    try:
        name = give_free_name(directory, file.taken, file.name)
    except OSError as error:
        kept = f"it lies beside its place as {name_text(file.taken)} and could not be put back: {why(error)}"
        raise Stay(Reason.FAILED, kept) from error
    at("returned")
    with suppress(OSError):
        sync(directory)
    return name


def _put_back_and_left(file: Confirmed, directory: int, left: Left, at: At) -> Left:
    if look(directory, file.taken) is None:
        return left
    try:
        name = _put_back(directory, file, at)
    except Stay as trouble:
        return Left(Reason.FAILED, f"{left.message}; {trouble}")
    now = "" if name == file.name else f"; what was under its name before is now called {name_text(name)}"
    return Left(left.reason, left.message + now)


def _left(error: Exception, file: Confirmed) -> Left:
    match error:
        case Stay():
            return error.left
        case _ if not os.path.isdir(file.root):
            return Left(Reason.FAILED, f"the folder {name_text(file.root)} is not there")
        case JobError():
            return Left(_REASONS.get(error.code, Reason.FAILED), error.message)
        case FileNotFoundError() | NotADirectoryError():
            return Left(Reason.GONE, "the file is gone")
        case OSError():
            return Left(Reason.FAILED, why(error))
    raise error
