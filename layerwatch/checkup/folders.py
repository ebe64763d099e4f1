"""One drop folder: is it there, may we do in it what is to be done, how does it report what happens?"""

import errno
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass

from layerwatch.checkup.directories import Counted, count
from layerwatch.checkup.findings import About, Area, Finding
from layerwatch.checkup.inotify import Needed
from layerwatch.checkup.programs import check_actions
from layerwatch.checkup.room import nearest, space, why_not_makeable, why_not_writable
from layerwatch.config import AfterUpload, Folder, Watch
from layerwatch.ignore import Selection
from layerwatch.ledger import FolderFacts
from layerwatch.mounts import Mount, mount_of
from layerwatch.roots import Lost, Root

_NO_WATCHES = Needed(0)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that is there. `root` is its real path."""

    folder: Folder
    root: str
    mount: Mount
    about: About

    @property
    def is_watched(self) -> bool:
        if self.folder.watch is Watch.AUTO:
            return not self.mount.is_network
        return self.folder.watch is Watch.NATIVE

    def below(self, relative: str) -> str:
        return os.path.normpath(os.path.join(self.root, relative))


def check_folder(
    folder: Folder, known: FolderFacts | None, enough: Callable[[], bool], elsewhere: str | None = None
) -> Generator[Finding, None, Needed]:
    """Everything about one folder; how many directories are to be watched is returned.

    `known` is what a daemon has noted of it; `enough` says when to stop counting. `elsewhere`: what other hosts, with
    which it is shared, call another place that is this folder's to them.
    """
    about = About(Area.FOLDER, folder.name)
    is_same = known is not None and known.path == folder.root
    if elsewhere:
        detail = f"the ledger has this folder at {elsewhere}, which is another place than {folder.root}"
        do = f'if it is the same, say so on this host: under [ledger.paths], "{folder.root}" = "{elsewhere}"'
        yield about.warning("place", detail, f"{do}; else every file would be another one, and fire its rules again")
    found = Root(folder.path, known.mount if known and is_same else None).check(lambda: False)
    if not isinstance(found, Lost) and (reason := _why_not_entered(folder.root)):
        yield about.problem("path", f"{folder.root} can be listed, and not entered: {reason}", _permit(folder.root))
        return _NO_WATCHES
    if isinstance(found, Lost) or found is None:
        trouble = found.trouble if found else f"{folder.root} cannot be looked at"
        yield about.problem("path", trouble, _bring_back(folder.path))
        return _NO_WATCHES
    place = _Place(folder, folder.root, found.mount, about)
    yield about.ok("path", folder.path + ("" if folder.path == place.root else f", which is {place.root}"))
    yield _filesystem(place)
    needed = yield from _directories(place, enough)
    yield from _writing(place)
    yield from check_actions(about, folder, place.root)
    return needed


def check_writing(folder: Folder) -> Iterator[Finding]:
    """Only whether we may do what is to be done beside uploads, and only if that cannot take long."""
    if os.path.isdir(folder.root) and not (mount := mount_of(folder.root)).is_network:
        yield from _writing(_Place(folder, folder.root, mount, About(Area.FOLDER, folder.name)))


# --- is it there? -----------------------------------------------------------------------------------------------------


def _why_not_entered(root: str) -> str | None:
    try:
        os.stat(os.path.join(root, "."))
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _permit(path: str) -> str:
    return f"let uid {os.geteuid()} read and enter {path}, and enter the folders above it (chmod, setfacl)"


def _bring_back(path: str) -> str:
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return _permit(path)
        if error.errno == errno.ELOOP:
            return "put the symbolic links right: they lead round in a circle"
        if error.errno == errno.ESTALE:
            return "mount the share anew: the server has forgotten the old mount"
        if error.errno == errno.ENOENT:
            return "make it, mount what belongs there, or correct the folder's `path`; its files wait until then"
        return "see the reason, or correct the folder's `path`; its files wait until then"
    if not os.path.isdir(path):
        return "name a directory as the folder's `path`"
    if not os.access(path, os.R_OK | os.X_OK):
        return _permit(path)
    return "mount it again; if it is to be empty, put a file there: then it is taken for what it is"


# --- how it reports ---------------------------------------------------------------------------------------------------


def _filesystem(place: _Place) -> Finding:
    about, kind = place.about, place.mount.fstype or "unknown"
    where = f"{kind}, mounted at {place.mount.point}"
    if place.folder.watch is Watch.POLLING:
        return about.ok("filesystem", f"{where}; polled, as configured")
    if not place.mount.is_network:
        return about.ok("filesystem", f"{where}; the kernel reports what happens there")
    if place.folder.watch is Watch.NATIVE:
        detail = f"{where}: a network filesystem, of which the kernel does not report what other machines do"
        return about.warning("filesystem", detail, 'set the folder\'s `watch` to "auto" or "polling"')
    return about.ok("filesystem", f"{where}: a network filesystem, which is polled")


def _directories(place: _Place, enough: Callable[[], bool]) -> Generator[Finding, None, Needed]:
    folder, about = place.folder, place.about
    if not folder.recursive:
        return Needed(1) if place.is_watched else _NO_WATCHES
    selection = Selection(folder.include, folder.exclude, folder.own)
    counted = count(place.root, selection, enough, write=_takes_files(folder) or folder.receipt)
    number = f"{counted.number} {'directory' if counted.number == 1 else 'directories'}"
    yield about.ok("directories", number if counted.whole else f"more than {number}: not counted to the end")
    yield from _barred(about, counted)
    return Needed(counted.number, not counted.whole) if place.is_watched else _NO_WATCHES


def _barred(about: About, counted: Counted) -> Iterator[Finding]:
    if some := counted.unreadable:
        detail = f"{_some(some)} cannot be read: what lies there is not seen"
        do = f"let uid {os.geteuid()} read and enter them, or leave them out with the folder's `exclude`"
        yield about.warning("unreadable", detail, do)
    if some := counted.unwritable:
        detail = f"{_some(some)} cannot be written: what is uploaded from there stays, and gets no receipt"
        do = f"let uid {os.geteuid()} write them, or leave them out with the folder's `exclude`"
        yield about.warning("unwritable", detail, do)


def _some(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} sub-folders, {paths[0]} the first,"


# --- what is done there -----------------------------------------------------------------------------------------------


def _takes_files(folder: Folder) -> bool:
    return folder.after_upload is not AfterUpload.KEEP


def _writing(place: _Place) -> Iterator[Finding]:
    folder, about = place.folder, place.about
    if wanted := [*_wishes(folder)]:
        if reason := why_not_writable(place.root):
            yield about.problem("writing", f"{', '.join(wanted)}: cannot write in {place.root}: {reason}", _let_write())
        else:
            yield about.ok("writing", f"{', '.join(wanted)}: {place.root} can be written")
    if folder.after_upload is AfterUpload.MOVE:
        yield from _made(place, "move_to", folder.move_to)
        yield from _apart(place)
    for rule in folder.rules:
        if rule.outputs:
            yield from _made(place, "outputs", rule.outputs, f" (rule {rule.name})")
            yield from space(about, nearest(place.below(rule.outputs)), f"the results of rule {rule.name}")


def _wishes(folder: Folder) -> Iterator[str]:
    """What needs the folder itself to be written."""
    if _takes_files(folder):
        yield f'after_upload = "{folder.after_upload}"'
    if folder.receipt:
        yield "receipt = true"


def _made(place: _Place, key: str, relative: str, of: str = "") -> Iterator[Finding]:
    path = place.below(relative)
    if reason := why_not_makeable(path):
        yield place.about.problem(key, f"cannot write in {path}{of}: {reason}", _let_write())
    else:
        yield place.about.ok(key, f"{path}{of} {'can be written' if os.path.isdir(path) else 'will be made'}")


def _let_write() -> str:
    return f"let uid {os.geteuid()} write there, or change what the configuration wants done there"


def _apart(place: _Place) -> Iterator[Finding]:
    """Whether a move is a copy: what lies on two disks, or below two mounts of one, has no second name."""
    moved = nearest(place.below(place.folder.move_to))
    with suppress(OSError):  # what cannot be looked at was told before
        if os.lstat(moved).st_dev != os.lstat(place.root).st_dev or mount_of(moved) != place.mount:
            detail = f"{moved} is another filesystem than the folder: files are copied there, then deleted here"
            do = "nothing, if that is meant; a `move_to` on the same filesystem is faster"
            yield place.about.warning("move_to", detail, do)
