"""A place of its own for each test, and the page of it: a real server on a free port, asked over real HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from layerwatch.config import Settings, load
from layerwatch.ledger import FolderState, Ledger
from layerwatch.web.server import Server
from layerwatch.web.sight import FolderSight, Sight
from tests.cli.conftest import Place
from tests.web.sights import Daemon


class Site(Daemon):
    """The daemon of a `Place`, as it shows itself, with the settings that the place's configuration has."""

    def __init__(self, place: Place) -> None:
        names = ("concepts", "textures")
        seen = [FolderSight(name, str(place.home / name), FolderState.WATCHING, "", deaf=False) for name in names]
        super().__init__(place.path, now=time.time(), folders=seen)
        self.place = place
        self._loaded: tuple[str, Settings] | None = None

    def sight(self) -> Sight:
        return replace(super().sight(), wall=time.time, monotonic=time.monotonic, started_at=self.now - 7500)

    def settings(self) -> Settings:
        text = self.place.config.read_text()
        if self._loaded is None or self._loaded[0] != text:
            self._loaded = text, load(str(self.place.config), require_token=False)
        return self._loaded[1]


@contextmanager
def serving(
    site: Daemon, token: str | None = None, hosts: tuple[str, ...] = (), host: str = "127.0.0.1", port: int = 0
) -> Iterator[Server]:
    server = Server(site.sight(), (host, port), token, hosts)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(60)
        assert not thread.is_alive()


def client_of(server: Server, **more: Any) -> httpx.Client:
    host, port = server.address
    return httpx.Client(
        base_url=f"http://{f'[{host}]' if ':' in host else host}:{port}", trust_env=False, timeout=60, **more
    )


@pytest.fixture
def place(tmp_path: Any) -> Place:
    return Place(tmp_path.resolve())


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    with place.open() as ledger:
        place.watched(ledger)
        yield ledger


@pytest.fixture
def site(place: Place) -> Site:
    return Site(place)


@pytest.fixture
def client(site: Site, ledger: Ledger) -> Iterator[httpx.Client]:
    """Asks the page of a place that has a ledger."""
    with serving(site) as server, client_of(server) as client:
        yield client
