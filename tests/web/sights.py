"""What a daemon shows of itself, set by hand, beside a real ledger."""

import os
import threading
from dataclasses import dataclass, field
from typing import Any

from layerwatch.board import Board
from layerwatch.config import Folder, Rule, Settings
from layerwatch.config.settings import Budget, Http
from layerwatch.config.settings import Ledger as LedgerTable
from layerwatch.ledger import FolderState
from layerwatch.meters import Meters
from layerwatch.notices import Notice
from layerwatch.pacing import Hold
from layerwatch.web.sight import FolderSight, Sight
from tests.ledger.builders import T0

# A command to run another in: root is bound by the modes of files and directories there, as everybody else is.
BOUND_BY_MODES = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.geteuid() == 0
    else ()
)
ID = "00000000-0000-0000-0000-000000000000"


@dataclass
class Daemon:
    """All is well with it until a test sets something else. `now` is unix seconds."""

    ledger_path: str
    now: float = T0
    folders: list[FolderSight] = field(default_factory=lambda: [folder()])
    hold: Hold | None = None
    late: list[str] = field(default_factory=list)
    died: str = ""
    trouble: str = ""
    configuration: str = ""
    daily: float | None = None
    oldest_waiting_s: float = 3600.0
    board: Board = field(default_factory=Board)
    meters: Meters = field(default_factory=lambda: Meters(threading.Lock()))

    def sight(self) -> Sight:
        return Sight(
            settings=self.settings,
            folders=lambda: self.folders,
            hold=lambda: self.hold,
            late=lambda: self.late,
            died=lambda: self.died,
            ledger_trouble=lambda: self.trouble,
            configuration=lambda: self.configuration,
            board=self.board,
            meters=self.meters,
            wall=lambda: self.now,
            monotonic=lambda: self.now - T0,
            started_at=T0,
        )

    def settings(self) -> Settings:
        rule = Rule(name="restyle", match="*.png", model_id=ID)
        return Settings(
            ledger=LedgerTable(path=self.ledger_path),
            budget=Budget(daily=self.daily),
            http=Http(oldest_waiting=self.oldest_waiting_s),
            folders=tuple(Folder(name=each.name, path=each.path, rules=(rule,)) for each in self.folders),
        )

    def tell(self, event: str, **facts: Any) -> None:
        self.meters.count(Notice(event, event, facts=facts))


def folder(
    name: str = "drop", state: FolderState | None = FolderState.WATCHING, detail: str = "", *, deaf: bool = False
) -> FolderSight:
    return FolderSight(name, f"/{name}", state, detail, deaf)


def hold(code: str, message: str = "401: go away") -> Hold:
    return Hold(code, message, since=0.0, until=60.0, closed_at=0.0)
