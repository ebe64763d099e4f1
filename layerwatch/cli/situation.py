"""What the reading commands know before they answer: the settings, the ledger, who works on it. Sends nothing."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from layerwatch.errors import Code

if TYPE_CHECKING:
    from layerwatch.config import Folder, Settings
    from layerwatch.ledger import FolderFacts, Ledger
    from layerwatch.ledger.postgres.hosts import HostRow


@dataclass(frozen=True)
class Situation:
    """The moment at which a command looks. `pid` is the daemon's, None when none runs: then the notes are old. Of those
    that share a ledger it is one; `hosts` are all of them."""

    settings: "Settings"
    ledger: "Ledger"
    pid: int | None
    notes: dict[str, Any]
    facts: dict[str, "FolderFacts"]
    hosts: "tuple[HostRow, ...]" = ()

    @property
    def hold(self) -> dict[str, Any] | None:
        """What everything waits for, by the daemon that runs; where several do, by the `host` that was told, `until`
        then. What any of those waits for alone is its own business."""
        if self.settings.ledger.url is None:
            return self.notes.get("hold") if self.pid is not None else None
        told = [host for host in self.hosts if host.hold_until]
        last = max(told, key=lambda host: host.hold_until or "", default=None)
        if last is None:
            return None
        about = {"host": last.name, "message": last.hold_message, "until": last.hold_until}
        return {"code": Code.RATE_LIMITED, **about}

    @property
    def clock(self) -> dict[str, Any] | None:
        """When the clock jumped last while this daemon ran, and how."""
        return self.notes.get("clock") if self.pid is not None else None

    @property
    def free_bytes(self) -> int | None:
        """What is left of the disk that the ledger is on; None where it is on a server."""
        if self.settings.ledger.url is not None:
            return None
        about = os.statvfs(os.path.dirname(self.ledger.path) or ".")
        return about.f_bavail * about.f_frsize

    def folder(self, name: str) -> "Folder | None":
        """The configured folder of that name."""
        return next((folder for folder in self.settings.folders if folder.name == name), None)

    def root(self, name: str) -> str | None:
        """The real path of a folder, as the daemon saw it, or would."""
        if folder := self.folder(name):
            return folder.root
        return self.facts[name].path if name in self.facts else None

    def name(self, path: str, folder: str) -> str:
        """A path as people see it: below its folder's name, if it still is there."""
        from layerwatch.notices import name_text

        root = self.root(folder)
        inside = root is not None and path.startswith(os.path.join(root, ""))
        return name_text(f"{folder}/{path[len(root or '') :].lstrip('/')}" if inside else path)

    def folders(self) -> list[dict[str, Any]]:
        """Every folder, configured or still watched, with what is known of it; `state` is None where nothing is."""
        unseen = [folder for folder in self.settings.folders if folder.name not in self.facts]
        blank = {"state": None, "detail": "", "scanned_at": None, "known_at": None, "unknown": 0, "overflows": 0}
        rows = [asdict(facts) for facts in self.facts.values()]
        return rows + [{"name": f.name, "path": f.root, **blank, "mount": None} for f in unseen]


@contextmanager
def situation(config: str | None) -> Iterator[Situation]:
    """Look, with the ledger open as long as the answer takes. A `UserError` says why there is nothing to look at."""
    from layerwatch.config import load
    from layerwatch.errors import EnvironmentProblem, LedgerTrouble, Problem
    from layerwatch.ledger import Ledger

    settings = load(config, require_token=False)
    with Ledger(settings.ledger.place, create=False, names=settings.ledger.names) as ledger:
        try:
            facts = {folder.name: folder for folder in ledger.facts.folders()}
            hosts = tuple(ledger.hosts())
            yield Situation(settings, ledger, ledger.holder(), ledger.facts.notes(), facts, hosts)
        except LedgerTrouble as error:
            raise EnvironmentProblem(Problem(settings.ledger.shown, str(error), "try again")) from None
