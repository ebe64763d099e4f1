"""Saving a result: streamed to a hidden name in its directory, checked, and only then given its own.

The directories are entered without following a link, and made as far as they are missing. A name that is taken is not
used: `name (2)` is. Before a result gets its name, `intent` is told which and what its bytes are, so that the ledger
knows them for ours before any watcher can see the file, and so that after a crash `settled` can tell whether it got
there. What a crash left in the making, `sweep` removes.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from layerwatch import media, points, source
from layerwatch.aftermath.placing import entered, give_name, look, numbered
from layerwatch.errors import Code, Final, FolderAway, Superseded, TryAgain
from layerwatch.ignore import RECEIPT_SUFFIX
from layerwatch.media import Whole
from layerwatch.notices import name_text, size_text
from layerwatch.results.disk import DISK, make_durable, telling, temporary, temporary_of, write
from layerwatch.results.naming import HEAD, Place, extension, media_type
from layerwatch.results.origin import generation_of

RESULT_TOO_LARGE = "result_too_large"

_SNIFFED = frozenset(("image/png", "image/jpeg", "image/webp", "video/mp4", "audio/mpeg", "audio/wav"))
_NO_MEDIA = frozenset(("text", "HTML page", "zeros only"))

Intent = Callable[[str, str, int], object]


@dataclass(frozen=True, slots=True)
class Found:
    """A saved result: its absolute path, what its bytes are, and their type where they tell it."""

    path: str
    sha256: str
    size: int
    content_type: str | None


@dataclass(frozen=True, slots=True)
class _Received:
    sha256: str
    size: int
    content_type: str | None
    extension: str


def save(
    place: Place,
    blocks: Iterable[bytes],
    *,
    content_type: str | None,
    length: int | None,
    max_size: int,
    intent: Intent,
) -> Found:
    """Save the bytes that `blocks` yields, `length` of them if it was announced, as what `place` says.

    `intent(path, sha256, size)` is called before the file gets the name, and again if the name was taken in that very
    moment. Raises `TryAgain` (disk, network, corrupt), `Final` (result_too_large), and what `blocks` and `intent`
    raise; then nothing is left behind.
    """
    if length is not None and length > max_size:
        raise _too_large(max_size)
    with ExitStack() as stack:
        with telling(place.directory, place.root):
            directory = stack.enter_context(entered(place.directory, below=place.root))
            fd, waiting = stack.enter_context(temporary(directory, place.generation, place.number))
        sha256, size = _receive(place, fd, blocks, max_size)
        with telling(place.directory, place.root):
            received = _checked(fd, sha256, size, length, content_type)
            os.fsync(fd)
        path = _show(place, directory, waiting, received, intent)
    return Found(path, received.sha256, received.size, received.content_type)


def settled(place: Place, path: str, sha256: str, size: int) -> bool:
    """After a crash: does the result that was intended lie at `path`, with these bytes?

    Raises `TryAgain` where that cannot be told now: to say no would bring a second copy.
    """
    if not os.path.isdir(place.root):
        raise FolderAway(Code.VANISHED, f"the folder {name_text(place.root)} is not there")
    if not path.startswith(os.path.join(place.root, "")):
        return False
    directory = os.path.dirname(path)
    with suppress(Superseded), source.opened(path, place.root) as fd, telling(directory, place.root):
        digest = source.digest(fd, size) if os.fstat(fd).st_size == size else None
        if digest and digest.sha256 == sha256:
            os.fsync(fd)
            with entered(directory) as there:
                make_durable(there)
            return True
    return False


def sweep(root: str, outputs: str, generation: int) -> None:
    """Remove what a crash left of this generation in the making. What cannot be removed does no harm."""
    ours = temporary_of(generation)
    with suppress(OSError), entered(os.path.normpath(os.path.join(root, outputs))) as top:
        for _, _, names, directory in os.fwalk(".", dir_fd=top):
            for name in filter(ours.fullmatch, names):
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)


# --- receiving --------------------------------------------------------------------------------------------------------


def _receive(place: Place, fd: int, blocks: Iterable[bytes], max_size: int) -> tuple[str, int]:
    hashed, size = hashlib.sha256(), 0
    for block in blocks:
        size += len(block)
        if size > max_size:
            raise _too_large(max_size)
        hashed.update(block)
        with telling(place.directory, place.root):
            write(fd, block)
    return hashed.hexdigest(), size


def _too_large(max_size: int) -> Final:
    return Final(RESULT_TOO_LARGE, f"the result is larger than the {size_text(max_size)} that are allowed")


def _checked(fd: int, sha256: str, size: int, length: int | None, announced: str | None) -> _Received:
    if length is not None and size != length:
        raise TryAgain(Code.NETWORK, f"the result came with {size} bytes instead of the {length} that were announced")
    if size == 0:
        raise TryAgain(Code.CORRUPT, "the result is empty")
    found = media.look(fd, size)
    if found and found.whole is Whole.NO:
        raise TryAgain(Code.CORRUPT, f"the result is not whole: {found.why}")
    sniffed = found.content_type if found else None
    if not sniffed:
        _insist_on_media(fd, size, media_type(announced))
    return _Received(sha256, size, sniffed, extension(sniffed, os.pread(fd, HEAD, 0), announced))


def _insist_on_media(fd: int, size: int, announced: str) -> None:
    # A page that says what went wrong, with a status that says that nothing did.
    if announced in _SNIFFED and (what := media.describe(fd, size)) in _NO_MEDIA:
        raise TryAgain(Code.CORRUPT, f"the result was announced as {announced} and is {what}")


# --- giving it its name -----------------------------------------------------------------------------------------------


def _show(place: Place, directory: int, waiting: str, received: _Received, intent: Intent) -> str:
    wanted = place.name(received.extension)
    for name in numbered(wanted):
        with telling(place.directory, place.root):
            if not _is_free(directory, name, place.generation):
                continue
        path = os.path.join(place.directory, name)
        intent(path, received.sha256, received.size)
        with telling(place.directory, place.root):
            _insist_on_place(place, directory)
            points.passed("placing")
            try:
                give_name(directory, waiting, name)
            except FileExistsError:
                continue
            make_durable(directory)
            points.passed("placed")
        return path
    raise TryAgain(DISK, f"in {name_text(place.directory)} every name like {name_text(wanted)} is taken")


def _is_free(directory: int, name: str, generation: int) -> bool:
    """Whether a result can have this name, and its provenance the one beside it."""
    if look(directory, name):
        return False
    beside = name + RECEIPT_SUFFIX
    return look(directory, beside) is None or generation_of(directory, beside) == generation


def _insist_on_place(place: Place, directory: int) -> None:
    # A download takes its time: the directory that is held open may by now be anywhere, outside of the drop folder too.
    with entered(place.directory) as now:
        if not os.path.samestat(os.fstat(now), os.fstat(directory)):
            where = name_text(place.directory)
            raise TryAgain(DISK, f"{where} is another directory than it was when the download began")
