"""The status page as a part of the daemon: opened where the configuration wants one, moved where it wants it next."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerwatch.config import Settings
from layerwatch.daemon.crew import Crew
from layerwatch.errors import EnvironmentProblem, Problem
from layerwatch.meters import Meters

if TYPE_CHECKING:
    from layerwatch.web.server import Server
    from layerwatch.web.sight import FolderSight


@dataclass(frozen=True)
class Troubles:
    """What only the daemon knows of itself; each is empty where all is well."""

    died: Callable[[], str]
    ledger: Callable[[], str]
    configuration: Callable[[], str]


class StatusPage:
    """At most one server at a time. Only the main thread calls."""

    def __init__(self, crew: Crew, meters: Meters, troubles: Troubles) -> None:
        self._crew = crew
        self._meters = meters
        self._troubles = troubles
        self._started_at = time.time()
        self._address: tuple[str, int] | None = None
        self._server: Server | None = None
        self._next: Server | None = None

    def prepare(self, settings: Settings) -> None:
        """Have an address ready for this configuration, before it counts. Raises `UserError` where that is taken."""
        self.drop()
        http = settings.http
        if http.address is not None and http.address != self._address:
            self._next = self._opened(settings, http.address)

    def drop(self) -> None:
        """What was prepared is not wanted after all."""
        if self._next:
            self._next.close()
            self._next = None

    def take(self, settings: Settings) -> None:
        """Serve it as this configuration, which counts from now on, says."""
        http = settings.http
        is_elsewhere = http.address != self._address
        if is_elsewhere:
            self.close()
            self._server, self._next, self._address = self._next, None, http.address
        if self._server:
            token = http.token()
            self._server.admit(token.get_secret_value() if token else None, http.hosts)
            if is_elsewhere:
                threading.Thread(target=self._server.serve, name="page", daemon=True).start()

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    def _opened(self, settings: Settings, address: tuple[str, int]) -> "Server":
        # 60 ms that only those pay who want a page.
        from layerwatch.web.server import Server
        from layerwatch.web.sight import Sight

        crew, troubles = self._crew, self._troubles
        sight = Sight(
            settings=lambda: crew.settings,
            folders=self._folders,
            hold=lambda: crew.gate.hold,
            late=lambda: crew.pulse.late(time.monotonic()),
            died=troubles.died,
            ledger_trouble=troubles.ledger,
            configuration=troubles.configuration,
            board=crew.board,
            meters=self._meters,
            wall=time.time,
            monotonic=time.monotonic,
            started_at=self._started_at,
        )
        try:
            return Server(sight, address, None, ())
        except OSError as error:
            where, reason = f"{settings.path}: http.listen", (error.strerror or str(error)).lower()
            fix = "give another port or address, or end what holds it"
            if self._address and self._address[1] == address[1]:
                fix = "layerwatch itself holds that port: give another one, or restart it"
            raise EnvironmentProblem(Problem(where, f"{settings.http.listen}: {reason}", fix)) from None

    def _folders(self) -> "list[FolderSight]":
        from layerwatch.web.sight import FolderSight

        found = []
        for folder in self._crew.settings.folders:
            drop = self._crew.lookout.folders.get(folder.name)
            state, detail = drop.state if drop else (None, "")
            found.append(FolderSight(folder.name, folder.root, state, detail, deaf=bool(drop and drop.deaf)))
        return found
