"""The drop folders that are watched here, each by a thread of its own: all that are configured or, where several hosts
share the ledger, those that are this host's."""

import os
import threading
from collections.abc import Callable

from layerwatch.config import Folder
from layerwatch.dropfolder import DropFolder
from layerwatch.errors import LedgerTrouble
from layerwatch.intake import Surroundings
from layerwatch.watch import Watch

ASK_S = 0.5  # how often a folder that another host watches is asked for


class Lookout:
    """`folders` are those that are watched just now, by name; `trouble` is told when the ledger cannot be used, and
    waits a little. Any thread may call."""

    def __init__(self, watch: Watch, trouble: Callable[[LedgerTrouble], None], stop: threading.Event) -> None:
        self.folders: dict[str, DropFolder] = {}
        self.only: frozenset[str] | None = None  # the names of those that are this host's; None: all of them
        self._watch = watch
        self._trouble = trouble
        self._stop = stop

    def keep(self, folder: Folder, around: Surroundings, leave: threading.Event) -> None:
        """Watch it whenever it is ours, until `around` says that it is time to end, or `leave`. By its own thread."""
        while not around.stopping():
            if self._is_ours(folder):
                self._keep_while_ours(folder, around)
            else:
                leave.wait(ASK_S)

    def take_only(self, names: frozenset[str]) -> None:
        """Others watch the rest."""
        self.only = names
        self.wake()

    def wake(self) -> None:
        """Let everybody look, above all whether to leave."""
        for drop in list(self.folders.values()):
            drop.wake()

    def overflowed(self) -> None:
        """The kernel has dropped events; nobody knows whose."""
        for drop in list(self.folders.values()):
            drop.overflowed()

    def root(self, name: str, path: str) -> str:
        """Where the folder `name`, configured as `path`, really is."""
        # Where its own thread found it, a moment ago: looking it up anew would be a dozen system calls a file.
        drop = self.folders.get(name)
        return drop.root if drop and drop.root and drop.folder.path == path else os.path.realpath(path)

    def _is_ours(self, folder: Folder) -> bool:
        return self.only is None or folder.name in self.only

    def _keep_while_ours(self, folder: Folder, around: Surroundings) -> None:
        try:
            drop = DropFolder(folder, self._watch, around)
        except LedgerTrouble as error:
            self._trouble(error)
            return
        self.folders[folder.name] = drop
        while self._is_ours(folder) and not around.stopping():
            try:
                drop.wait(drop.step())
            except LedgerTrouble as error:
                self._trouble(error)
        del self.folders[folder.name]
        if not self._stop.is_set():
            drop.close()
