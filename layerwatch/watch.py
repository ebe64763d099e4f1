"""Events: one watchdog observer for all drop folders, which only ever says "look at this path". The only room that
knows watchdog.

What it says is a hint: events get lost (a full kernel queue, a watch limit), come early, come twice. The walk finds
what it missed.
"""

import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

# Everything else stays in the kernel: our own reads would make events, and without a filter a recursive observer on a
# few thousand folders overflows its own queue for ever.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
_WATCHDOG_LOG = "watchdog.observers.inotify_c"


class Sign(Enum):
    """What an event, or a walk, says of a path."""

    DONE = auto()  # a writer closed it, or it was renamed to this name
    THERE = auto()  # it is there; nothing says that anybody has finished it
    TREE = auto()  # a directory appeared, with whatever it holds


type_of_sign = {FileCreatedEvent: Sign.THERE, FileClosedEvent: Sign.DONE, FileMovedEvent: Sign.DONE}

Hint = Callable[[str, Sign], None]


class _Handler(FileSystemEventHandler):
    """Hands the path over and returns: an exception here would end all watching, and nobody would notice."""

    def __init__(self, hint: Hint) -> None:
        self._hint = hint

    def dispatch(self, event: FileSystemEvent) -> None:
        path = os.fsdecode(event.dest_path or event.src_path)
        self._hint(path, Sign.TREE if event.is_directory else type_of_sign.get(type(event), Sign.THERE))


class _OverflowListener(logging.Handler):
    """watchdog tells of a full kernel queue by a log line, and by nothing else."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._overflowed = overflowed

    def emit(self, record: logging.LogRecord) -> None:
        if "events were lost" in record.getMessage():
            self._overflowed()


class Watch:
    """The observer. `overflowed` is called, on a thread of its own, whenever events of any of the folders were lost."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        self._observer: BaseObserver = Observer()
        self._watches: dict[str, tuple[ObservedWatch, Hint]] = {}
        self._listener = _OverflowListener(overflowed)

    def start(self) -> None:
        # watchdog warns of each watch that it replaces, with a list of all watches: tens of kilobytes of log.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
        logging.getLogger(_WATCHDOG_LOG).addHandler(self._listener)
        self._observer.start()

    def stop(self) -> None:
        logging.getLogger(_WATCHDOG_LOG).removeHandler(self._listener)
        self._observer.stop()

    def join(self, timeout_s: float) -> None:
        self._observer.join(timeout_s)

    @property
    def alive(self) -> bool:
        return self._observer.is_alive()

    def add(self, root: str, hint: Hint, *, recursive: bool) -> None:
        """Watch the real path `root` (again). Raises `OSError`: it is gone, or the kernel's limits are reached."""
        self.remove(root)
        watch = self._observer.schedule(_Handler(hint), root, recursive=recursive, event_filter=EVENTS)
        self._watches[root] = watch, hint

    def remove(self, root: str, hint: Hint | None = None) -> None:
        """Stop watching `root`: also needed before watching it again, when it went and came back. With `hint` only
        where it still is for that one."""
        watch, told = self._watches.get(root, (None, None))
        if watch is None or (hint is not None and hint != told):
            return
        del self._watches[root]
        with suppress(KeyError):  # stopped meanwhile: it watches nothing any more
            self._observer.unschedule(watch)
