"""Is a watched folder really heard? A kernel that reports nothing looks just like a quiet folder.

Two proofs: a canary, a hidden file that we make and remove ourselves and must hear of; and the kernel's own list of
what it watches, against the directories that a walk has seen (beyond the watch limit, sub-folders are silently
deaf).
"""

import os
from collections.abc import Iterable, Iterator

CANARY = ".layerwatch-canary"
PATIENCE_S = 5.0


class Canary:
    """The canary of one folder. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._sent_at: float | None = None
        self._path = ""

    def send(self, root: str, now: float) -> None:
        """Make a file in `root` and remove it again, unless the last one is still listened for: whoever sends them more
        often than our patience lasts would never find out. A folder that we may not write in has no canary."""
        if self._sent_at is not None:
            return
        self._path = os.path.join(root, CANARY)
        try:
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            os.unlink(self._path)
        except OSError:
            self._sent_at = None
        else:
            self._sent_at = now

    def hear(self, path: str) -> bool:
        """Whether an event's path is the canary's: then the folder is heard."""
        if path != self._path:
            return False
        self._sent_at = None
        return True

    def due_at(self) -> float | None:
        """When silence will mean that the folder is deaf."""
        return None if self._sent_at is None else self._sent_at + PATIENCE_S

    def missed(self, now: float) -> bool:
        """Whether it was sent and nobody told us. Says so once."""
        missed = self._sent_at is not None and now >= self._sent_at + PATIENCE_S
        if missed:
            self._sent_at = None
        return missed


def unheard(directories: Iterable[tuple[str, int]], watched: set[int]) -> list[str]:
    """The topmost of `directories` (path, inode; parents before children) that the kernel does not watch."""
    found: list[str] = []
    below: set[str] = set()
    for path, inode in directories:
        covered = os.path.dirname(path) in below
        if covered or inode not in watched:
            below.add(path)
        if inode not in watched and not covered:
            found.append(path)
    return found


def watched_inodes() -> set[int]:
    """The inodes of all that the kernel watches for this process."""
    return set(_watched())


def _watched() -> Iterator[int]:
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:inotify":
                continue
            with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
                yield from (int(line.split(" ino:")[1].split(" ")[0], 16) for line in lines if " ino:" in line)
        except FileNotFoundError:
            continue  # closed since it was listed


def watch_limit() -> str:
    """`fs.inotify.max_user_watches`, for a message."""
    try:
        with open("/proc/sys/fs/inotify/max_user_watches", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"
