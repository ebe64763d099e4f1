"""Pictures: what came in and what was made of it, as bytes for a browser.

Named by numbers of the ledger, never by a path. Only images of the types that Layer takes, only as long as they are
what the ledger knows, and never through a link out of their folder: for all else there is no picture.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from layerwatch import media, source
from layerwatch.errors import JobError
from layerwatch.ledger import FolderState, Ledger
from layerwatch.ledger.finishing import MOVED_TO
from layerwatch.source import Identity, identity
from layerwatch.web.answer import Answer
from layerwatch.web.sight import Sight

IMAGES = frozenset(("image/png", "image/jpeg", "image/webp"))
MOST_BYTES = 32 * 1024 * 1024
_PRESENT = (FolderState.WATCHING, FolderState.POLLING)
_HEADERS = {"Cache-Control": "private, no-cache", "Content-Security-Policy": "default-src 'none'; sandbox"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies if nothing has changed. `root`: the real path of its folder; `mtime_ns` and `inode` are None
    where the ledger does not know them."""

    path: str
    root: str
    size: int
    sha256: str
    mtime_ns: int | None = None
    inode: int | None = None

    def holds(self, status: os.stat_result) -> bool:
        """Whether that is the file."""
        if self.mtime_ns is None or self.inode is None:
            return status.st_size == self.size
        return identity(status) == Identity(self.size, self.mtime_ns, self.inode)

    def there(self) -> bool:
        """Whether it seems to be there still, without opening it."""
        try:
            return self.holds(os.lstat(self.path))
        except OSError:
            return False


class Picture:
    """An open picture; to be used in a `with`. `answer` is all but its body."""

    def __init__(self, answer: Answer, size: int, fd: int, close: Callable[[], None]) -> None:
        self.answer = answer
        self.size = size
        self._fd = fd
        self._close = close

    def blocks(self) -> Iterator[bytes]:
        """Its bytes. Raises `JobError` where they cannot be read to their end."""
        return source.blocks(self._fd, 0, self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def roots(sight: Sight) -> Mapping[str, str]:
    """The real paths of the folders that pictures can be taken from, by name. None that is away, and none at all while
    a thread hangs, maybe on a share that does not answer: whoever looks at the page must not hang as well."""
    if sight.late():
        return {}
    present = {each.name for each in sight.folders() if each.state in _PRESENT}
    return {each.name: each.root for each in sight.settings().folders if each.name in present}


def place_of_file(roots: Mapping[str, str], ledger: Ledger, id_: int) -> Place | None:
    """Where the picture is that came in as this file; None where it is none, or its folder is not to be asked."""
    known, row = ledger.reports.known(id_), ledger.reports.file(id_)
    root = None if row is None else roots.get(row.folder)
    if known is None or row is None or root is None or not known.hash or row.content_type not in IMAGES:
        return None
    path = _moved_to(known.aftermath, known.aftermath_detail) or known.path
    if not path.startswith(os.path.join(root, "")):
        return None  # pushed from elsewhere, or from where the folder was before: none of what this page may show
    size, mtime_ns, inode = known.identity.size, known.identity.mtime_ns, known.identity.inode
    return Place(path, root, size, known.hash, mtime_ns, inode)


def place_of_result(roots: Mapping[str, str], ledger: Ledger, generation: int, number: int) -> Place | None:
    """Where the result `number`, from 1, of this generation was saved; None where it was not, or not to be asked."""
    row = ledger.stories.one(generation)
    root = None if row is None else roots.get(row.folder)
    if root is None:
        return None
    for result in ledger.stories.results(generation):
        if result["number"] == number and result["saved"] and result["path"].startswith(os.path.join(root, "")):
            return Place(result["path"], root, result["size"], result["sha256"])
    return None


def _moved_to(aftermath: str | None, detail: str | None) -> str | None:
    """Where its folder has moved a file, which is the same one there as long as it is on the same filesystem."""
    if aftermath != "done" or not (detail or "").startswith(MOVED_TO):
        return None
    return (detail or "").removeprefix(MOVED_TO).removesuffix("; receipt written")


def picture(place: Place | None) -> Picture | None:
    """It, open; None where there is no such image any more, or it is too large to be looked at."""
    if place is None or not 0 < place.size <= MOST_BYTES:
        return None
    try:
        with ExitStack() as stack:
            fd = stack.enter_context(source.opened(place.path, place.root))
            found = media.look(fd, place.size) if place.holds(os.fstat(fd)) else None
            if found is None or found.content_type not in IMAGES:
                return None
            now = os.fstat(fd)  # by what is there: somebody may have put another one of the same size in its place
            tag = f'"{place.sha256[:32]}-{now.st_ino}-{now.st_mtime_ns}"'
            answer = Answer(200, found.content_type, b"", {**_HEADERS, "ETag": tag})
            return Picture(answer, place.size, fd, stack.pop_all().close)
    except (JobError, OSError):
        return None
