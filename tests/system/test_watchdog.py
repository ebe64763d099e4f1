"""What systemd is told: ready, alive for as long as every thread gets on, and the end."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerwatch.samples import sample
from tests.system.conftest import Site, until

WATCHDOG_S = 12


class Manager:
    """The service manager's end of the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def count(self, line: str) -> int:
        return self.listen().count(line)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def environment(manager: Manager, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000), **more}


def test_ready_alive_and_stopping_are_told(site: Site, manager: Manager) -> None:
    daemon = site.start(**environment(manager))
    until(lambda: manager.count("READY=1") == 1, "READY")
    assert any(line.startswith("STATUS=") for line in manager.heard)
    until(lambda: manager.count("WATCHDOG=1") >= 3, "signs of life")
    assert site.end(daemon) == 0
    assert manager.count("STOPPING=1") == 1


@pytest.mark.long
def test_an_uploader_that_hangs_silences_the_watchdog(site: Site, manager: Manager) -> None:
    site.configure(folder='settle = "50ms"')
    daemon = site.start(**environment(manager, LAYERWATCH_HANG_AT="sending"))
    until(lambda: manager.count("WATCHDOG=1") >= 1, "signs of life")
    (site.drop / "a.png").write_bytes(sample("png", 1, 5000))
    (site.drop / "b.png").write_bytes(sample("png", 2, 5000))
    until(lambda: site.statuses().get("uploaded") == 1, "the others to go on")
    until(lambda: "not heard of" in site.said(), "word of it")
    before = manager.count("WATCHDOG=1")
    time.sleep(WATCHDOG_S / 2)
    assert manager.count("WATCHDOG=1") == before
    hung = [row["id"] for row in site.ask("SELECT id FROM files WHERE status = 'uploading'")]
    silent = [event["threads"] for event in site.events() if event["event"] == "thread_hangs"]
    assert len(hung) == 1
    assert re.fullmatch(r"uploader \d", *silent[0]), "the one that hangs, and no other"
    daemon.kill()
    daemon.wait()
    assert site.once().returncode == 0, "what systemd starts then finishes the work"
    assert site.statuses() == {"uploaded": 2}
    recovered = site.ask("SELECT item_id FROM history WHERE item = 'file' AND event = 'recovered'")
    assert [row["item_id"] for row in recovered] == hung, "no other file had to begin again"
