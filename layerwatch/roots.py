"""Is a drop folder there, and is it the one it was? An unmounted share looks like an empty folder, which is not "all
deleted"."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from layerwatch.ledger import FolderState
from layerwatch.mounts import Mount, mount_of
from layerwatch.notices import name_text


@dataclass(frozen=True, slots=True)
class Found:
    """The folder is there from now on; `again`: it had been seen, or missed, before."""

    mount: Mount
    again: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The folder is not there, or not readable, from now on, and why."""

    state: FolderState
    trouble: str


class Root:
    """The top of one drop folder. `mount_point` is where it was mounted when it was last seen, in an earlier run
    perhaps."""

    def __init__(self, path: str, mount_point: str | None) -> None:
        self.path = os.path.realpath(path)
        self._configured = path
        self._mount_point = mount_point
        self._known: tuple[int, int] | None = None  # device and inode, kept while it is away
        self._present = False
        self._trouble: Lost | None = None

    @property
    def present(self) -> bool:
        return self._present

    def check(self, in_use: Callable[[], bool]) -> Found | Lost | None:
        """What has changed since the last check; None when nothing has. `in_use`: files are known that should lie
        here."""
        self.path = os.path.realpath(self._configured)
        looked = _look(self.path)
        if isinstance(looked, Lost):
            return self._lost(looked)
        seen, empty = looked
        if self._present and seen == self._known:
            return None
        mount = mount_of(self.path)
        if empty and (trouble := self._unmounted(seen, mount, in_use)):
            return self._lost(Lost(FolderState.AWAY, trouble))
        again = self._known is not None or self._trouble is not None
        self._known, self._mount_point, self._present, self._trouble = seen, mount.point, True, None
        return Found(mount, again)

    def _lost(self, lost: Lost) -> Lost | None:
        if not self._present and self._trouble == lost:
            return None
        self._present, self._trouble = False, lost
        return lost

    def _unmounted(self, seen: tuple[int, int], mount: Mount, in_use: Callable[[], bool]) -> str:
        """Why the empty folder that is there is taken for the bare place where ours belongs; the first file in it
        proves otherwise."""
        path = name_text(self.path)
        if self._mount_point not in (None, mount.point):
            return f"{path} is empty, and {name_text(str(self._mount_point))}, where it was mounted, is not"
        if self._known not in (None, seen) and in_use():
            return f"{path} is empty, and not the folder that it was"
        return ""


def _look(path: str) -> tuple[tuple[int, int], bool] | Lost:
    """Who the folder is (device, inode), and whether it is empty."""
    try:
        status = os.stat(path)
        with os.scandir(path) as entries:
            empty = next(entries, None) is None
    except PermissionError:
        trouble = f"{name_text(path)} cannot be read (layerwatch runs as uid {os.geteuid()})"
        return Lost(FolderState.UNREADABLE, trouble)
    except NotADirectoryError:
        return Lost(FolderState.AWAY, f"{name_text(path)} is not a folder")
    except OSError as error:
        return Lost(FolderState.AWAY, f"{name_text(path)}: {(error.strerror or str(error)).lower()}")
    return (status.st_dev, status.st_ino), empty
