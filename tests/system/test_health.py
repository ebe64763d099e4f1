"""`/healthz` and `/metrics` of real daemons: each thing that breaks is told, with its word, and told no more once it is
mended, without a restart."""

import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from layerwatch.samples import sample
from tests.system.conftest import Site, until
from tests.web.sights import BOUND_BY_MODES

RED_WITHIN_S = 15.0
KIB = 1024


@dataclass
class Monitor:
    """Whoever asks the daemon of `site` how it is."""

    site: Site
    port: int

    def ask(self, path: str) -> tuple[int, bytes] | None:
        """The status and the body; None where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.RemoteDisconnected):
            return None
        finally:
            connection.close()

    def reasons(self) -> list[dict[str, Any]] | None:
        """What is wrong; None where nobody answers. The status, the document and the metric agree."""
        told = self.ask("/healthz")
        if told is None:
            return None
        document = json.loads(told[1])
        assert document["healthy"] == (told[0] == 200) == (not document["reasons"])
        found: list[dict[str, Any]] = document["reasons"]
        return found

    def whats(self) -> list[str] | None:
        found = self.reasons()
        return None if found is None else [each["what"] for each in found]

    def green(self, patience_s: float = 60.0) -> None:
        until(lambda: self.whats() == [], "all to be well", patience_s)
        assert self.metric("layerwatch_healthy") == 1

    def red(self, what: str) -> dict[str, Any]:
        """Wait for that reason, and nothing but that; returns it."""
        seen: list[dict[str, Any]] = []

        def alone() -> bool:
            seen[:] = self.reasons() or []  # the next reading may have one more
            return [each["what"] for each in seen] == [what]

        until(alone, what, RED_WITHIN_S)
        assert seen[0]["do"]
        return seen[0]

    def metric(self, name: str, **labels: str) -> float:
        told = self.ask("/metrics")
        assert told
        (found,) = (
            sample.value
            for family in text_string_to_metric_families(told[1].decode())
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )
        return float(found)


@pytest.fixture
def monitor(site: Site) -> Monitor:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = Monitor(site, port)
    configure(found)
    return found


def configure(monitor: Monitor, more: str = "") -> None:
    """A daemon that finds out soon: it looks through its folder every two seconds."""
    listen = f'[http]\nlisten = "127.0.0.1:{monitor.port}"\n{more}'
    monitor.site.configure(folder='settle = "100ms"\nrescan = "2s"', more=listen)


def drop(site: Site, seed: int) -> Path:
    path = site.drop / f"{seed}.png"
    path.write_bytes(sample("png", seed, 20 * KIB))
    return path


def uploaded(site: Site, count: int) -> None:
    until(lambda: site.statuses() == {"uploaded": count}, "the upload")


def test_a_folder_that_goes_and_comes_back(site: Site, monitor: Monitor) -> None:
    daemon = site.start()
    monitor.green()
    elsewhere = site.home / "elsewhere"
    site.drop.rename(elsewhere)
    assert str(site.drop) in monitor.red("folder_away")["detail"]
    assert monitor.metric("layerwatch_healthy") == 0
    assert monitor.metric("layerwatch_folder_state", folder="drop", state="away") == 1
    elsewhere.rename(site.drop)
    monitor.green()
    assert site.end(daemon) == 0


# A kernel that has nothing to say of what it watches, for as long as a file is there.
DEAF = """
import os
read = os.read
def silent(fd, size):
    events = read(fd, size)
    if os.path.exists(os.environ["DEAF"]) and os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify":
        return b""
    return events
os.read = silent
"""


def test_a_watch_that_goes_deaf_and_hears_again(site: Site, monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEAF)
    deaf = tmp_path / "deaf"
    daemon = site.start(PYTHONPATH=str(tmp_path), DEAF=str(deaf))
    monitor.green()
    deaf.touch()
    assert "canary" in monitor.red("watch_deaf")["detail"]
    assert monitor.metric("layerwatch_folder_deaf", folder="drop") == 1
    drop(site, 1)
    uploaded(site, 1)
    assert monitor.whats() == ["watch_deaf"], "it was polled, and is as deaf as before"
    deaf.unlink()
    monitor.green()
    assert site.end(daemon) == 0


def test_a_watch_that_is_deaf_from_the_start(site: Site, monitor: Monitor, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEAF)
    deaf = tmp_path / "deaf"
    deaf.touch()
    daemon = site.start(PYTHONPATH=str(tmp_path), DEAF=str(deaf))
    until(lambda: monitor.whats() is not None, "an answer")
    monitor.red("watch_deaf")
    deaf.unlink()
    monitor.green()
    assert site.end(daemon) == 0


# An uploader that meets a fault of ours where nothing is meant to fail, once.
KILLED = """
import ctypes, os, threading, time
def kill():
    while not os.path.exists(os.environ["KILL"]):
        time.sleep(0.05)
    os.unlink(os.environ["KILL"])
    (uploader,) = (thread.ident for thread in threading.enumerate() if thread.name == "uploader 1")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(uploader), ctypes.py_object(SystemError))
threading.Thread(target=kill, name="killer", daemon=True).start()
"""


def test_an_uploader_that_dies_and_a_service_manager_that_starts_it_again(
    site: Site, monitor: Monitor, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(KILLED)
    kill = tmp_path / "kill"
    environment = {"PYTHONPATH": str(tmp_path), "KILL": str(kill)}
    daemon = site.start(**environment)
    monitor.green()
    kill.touch()
    until(lambda: monitor.whats() in (["thread_dead"], None), "thread_dead, or nobody", RED_WITHIN_S)
    assert daemon.wait(60) != 0
    assert "uploader 1 has died" in site.said()
    assert monitor.whats() is None
    drop(site, 1)
    daemon = site.start(**environment)
    monitor.green()
    uploaded(site, 1)
    assert site.end(daemon) == 0


def test_an_uploader_that_hangs(site: Site, monitor: Monitor, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notify = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        daemon = site.start(LAYERWATCH_HANG_AT="claimed", **notify)
        monitor.green()
        drop(site, 1)
        assert "uploader" in monitor.red("thread_silent")["detail"]
        daemon.kill()
        daemon.wait()
        daemon = site.start()
        monitor.green()
        uploaded(site, 1)
        assert site.end(daemon) == 0


def test_a_token_that_is_refused_and_taken_again(site: Site, monitor: Monitor) -> None:
    daemon = site.start()
    monitor.green()
    good, site.sandbox.token = site.sandbox.token, "another"
    drop(site, 1)
    monitor.red("token_refused")
    assert monitor.metric("layerwatch_hold", reason="unauthorized") == 1
    assert good not in json.dumps(monitor.reasons())
    site.sandbox.token = good
    monitor.green()
    uploaded(site, 1)
    assert site.end(daemon) == 0


def test_a_file_that_waits_for_longer_than_was_said(site: Site, monitor: Monitor) -> None:
    configure(monitor, 'oldest_waiting = "1s"')
    daemon = site.start()
    monitor.green()
    site.sandbox.stop()
    path = drop(site, 1)
    assert str(path) in monitor.red("waiting_too_long")["detail"]
    assert monitor.metric("layerwatch_queue_oldest_age_seconds") > 1
    site.sandbox.start()
    monitor.green()
    uploaded(site, 1)
    assert site.end(daemon) == 0


def test_a_ledger_whose_directory_cannot_be_written_and_can_again(site: Site, monitor: Monitor) -> None:
    daemon = site.start(inside=BOUND_BY_MODES)
    monitor.green()
    site.ledger.parent.chmod(0o555)
    assert str(site.ledger.parent) in monitor.red("ledger_unwritable")["detail"]
    site.ledger.parent.chmod(0o755)
    monitor.green()
    assert site.end(daemon) == 0


def test_two_at_once(site: Site, monitor: Monitor) -> None:
    daemon = site.start(inside=BOUND_BY_MODES)
    monitor.green()
    site.drop.rename(site.home / "elsewhere")
    site.ledger.parent.chmod(0o555)
    until(lambda: monitor.whats() == ["folder_away", "ledger_unwritable"], "both", RED_WITHIN_S)
    site.ledger.parent.chmod(0o755)
    monitor.red("folder_away")
    (site.home / "elsewhere").rename(site.drop)
    monitor.green()
    assert site.end(daemon) == 0


def test_what_is_uploaded_is_counted_and_what_lay_there_is_timed(site: Site, monitor: Monitor) -> None:
    daemon = site.start()
    monitor.green()
    drop(site, 1)
    drop(site, 2)
    uploaded(site, 2)
    (site.drop / "twin.png").write_bytes(sample("png", 1, 20 * KIB))
    (site.drop / "not-whole.txt").write_text("not one of the six types")
    until(lambda: site.statuses() == {"uploaded": 3, "skipped": 1}, "the twin, and the other")
    until(lambda: monitor.metric("layerwatch_uploaded_files_total") == 3, "the count of what was told last")
    sizes = sum(path.stat().st_size for path in (site.drop / "1.png", site.drop / "2.png"))
    assert monitor.metric("layerwatch_uploaded_bytes_total") == sizes
    assert monitor.metric("layerwatch_reused_files_total") == 1
    assert monitor.metric("layerwatch_skipped_files_total", reason="unsupported_type") == 1
    assert monitor.metric("layerwatch_files", status="uploaded") == 3
    assert monitor.metric("layerwatch_drop_to_uploaded_seconds_count") == 3
    assert 0.3 <= monitor.metric("layerwatch_drop_to_uploaded_seconds_sum") <= 180, (
        "three times the quiet time at least"
    )
    assert monitor.metric("process_resident_memory_bytes") > 1e6
    waits = [event["waited_s"] for event in site.events() if event["event"] == "uploaded"]
    assert len(waits) == 3
    assert site.end(daemon) == 0


def test_one_that_was_pushed_while_no_daemon_ran_has_waited_since_then(site: Site, monitor: Monitor) -> None:
    daemon = site.start()
    monitor.green()
    assert site.end(daemon) == 0
    outside = site.home / "outside.png"
    outside.write_bytes(sample("png", 9, 20 * KIB))
    pushed = site.call("push", str(outside))
    assert pushed.returncode == 0, pushed.stderr
    until(
        lambda: bool(site.ask("SELECT 1 FROM pushed WHERE strftime('%s', 'now') - strftime('%s', created_at) > 2")),
        "2 s",
    )
    daemon = site.start()
    uploaded(site, 1)
    until(lambda: monitor.whats() is not None, "an answer")
    until(lambda: monitor.metric("layerwatch_drop_to_uploaded_seconds_count") == 1, "the count of what was told last")
    assert monitor.metric("layerwatch_drop_to_uploaded_seconds_sum") > 1
    assert site.end(daemon) == 0
