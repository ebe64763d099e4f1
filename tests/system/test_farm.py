"""Several daemons that share a ledger: each law by itself, and all of them at once in the short form of the farm;
`python -m tests.system.farm` is the long one."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults, Sandbox
from tests.starts import Start
from tests.system.conftest import until
from tests.system.farm import KIB, PAINTED, Farm, Host, chaos, deeds, table

if TYPE_CHECKING:
    from tests.postgres import Server

FOR_EVER = "1h"  # of a lease: nobody is taken for dead
SHORT = "2s"
CHUNK = 256 * KIB
# At its first booking the whole process is stopped, at the worst moment. By this very thread, which goes on otherwise.
STOPS_WHEN_BOOKED = """
import signal, threading
from layerwatch import points
before, stopped = points.passed, []
def passed(name):
    if name == "booked" and not stopped:
        stopped.append(1)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    before(name)
points.passed = passed
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def two(home: Path, sandbox: Sandbox, postgres: "Server", started: Start) -> Iterator[Farm]:
    """Two hosts that take each other for dead after 2 s; not started yet."""
    with Farm(home, sandbox, postgres, hosts=2, lease=SHORT, started=started) as farm:
        yield farm


@pytest.fixture
def patient(home: Path, sandbox: Sandbox, postgres: "Server", started: Start) -> Iterator[Farm]:
    """Two hosts that take nobody for dead; not started yet."""
    with Farm(home, sandbox, postgres, hosts=2, lease=FOR_EVER, started=started) as farm:
        yield farm


def other_than(farm: Farm, host: Host) -> Host:
    (other,) = [each for each in farm.hosts if each is not host]
    return other


def dropped(farm: Farm, name: str, size: int = 20 * KIB) -> None:
    (farm.drop / name).write_bytes(sample("png", len(name), size))


def uploaded(farm: Farm, count: int) -> None:
    until(lambda: farm.statuses() == {"uploaded": count}, f"{count} files uploaded")


def is_stopped(host: Host) -> bool:
    return Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_who_watches_and_ends_hands_its_folder_over_at_once(patient: Farm, how: signal.Signals) -> None:
    """Long before its lease is over: it is its connection that tells."""
    patient.start()
    first = patient.watcher()
    assert first
    second = other_than(patient, first)
    first.signal(how)
    assert first.wait() == (0 if how is signal.SIGTERM else -how)
    dropped(patient, "meanwhile.txt.png")
    until(lambda: second is patient.watcher(), "the other one")
    uploaded(patient, 1)
    assert patient.present().count(first.name) == (how is signal.SIGKILL)


def test_one_that_is_started_again_takes_part_again(two: Farm) -> None:
    two.start()
    first = two.watcher()
    assert first
    first.signal(signal.SIGKILL)
    first.wait()
    first.start()
    until(lambda: two.watcher() is other_than(two, first), "the other one")
    dropped(two, "a.png")
    uploaded(two, 1)
    until(lambda: "host_gone" in other_than(two, first).said(), "word of the dead one")
    pids = sorted(host.pid for host in two.hosts)
    until(lambda: sorted(row["pid"] for row in two.ask("SELECT pid FROM hosts")) == pids, "it to be forgotten")


def test_an_upload_of_one_that_is_stopped_is_resumed_and_it_changes_nothing_when_it_wakes(two: Farm) -> None:
    two.sandbox.faults = Faults(bandwidth=600 * KIB)
    two.start()
    size = 3000 * KIB
    dropped(two, "large.png", size)
    until(lambda: any(row["bytes_sent"] >= 2 * CHUNK for row in two.ask("SELECT bytes_sent FROM files")), "two chunks")
    (first,) = two.holders()
    first.signal(signal.SIGSTOP)
    until(lambda: two.holders() == [other_than(two, first)], "the other one to take it over")
    uploaded(two, 1)
    until(lambda: not two.in_hand(), "the planner to have seen it")
    before = two.ask("SELECT * FROM files"), two.ask("SELECT * FROM history ORDER BY id")
    first.signal(signal.SIGCONT)
    until(lambda: '"lost_claim"' in first.said(), "it to find out")
    assert (two.ask("SELECT * FROM files"), two.ask("SELECT * FROM history ORDER BY id")) == before

    counters = two.sandbox.counters
    assert len(two.sandbox.objects) == 1
    assert counters["upload_url"] == 1, "the session was gone on with"
    assert counters["bytes_received"] <= size + 2 * CHUNK
    assert two.sandbox.violations == []
    dropped(two, "another one.png")
    uploaded(two, 2)


def test_while_the_database_is_away_all_wait_and_then_go_on(
    home: Path, sandbox: Sandbox, postgres: "Server", started: Start
) -> None:
    with Farm(home, sandbox, postgres, hosts=2, started=started) as farm:
        farm.start()
        dropped(farm, "before.png")
        uploaded(farm, 1)
        for host in farm.hosts:
            host.proxy.away(is_away=True)
        dropped(farm, f"meanwhile{PAINTED}")
        until(lambda: all('"ledger_trouble"' in host.said() for host in farm.hosts), "word of it")
        time.sleep(10)
        assert farm.statuses() == {"uploaded": 1}
        for host in farm.hosts:
            host.proxy.away(is_away=False)
        uploaded(farm, 2)
        until(lambda: farm.ask("SELECT 1 FROM generations WHERE status = 'complete'"), "its generation")
        assert not any("host_gone" in host.said() for host in farm.hosts), "nobody was taken for dead"
        for host in farm.hosts:
            host.signal(signal.SIGTERM)
            assert host.wait() == 0


def test_ended_while_the_database_is_away(patient: Farm) -> None:
    patient.start()
    host = patient.hosts[0]
    host.proxy.away(is_away=True)
    until(lambda: '"ledger_trouble"' in host.said(), "word of it")
    host.signal(signal.SIGTERM)
    assert host.wait() == 0, host.said()[-500:]


def test_who_was_stopped_between_booking_and_paying_does_not_pay(two: Farm, home: Path) -> None:
    (home / "sitecustomize.py").write_text(STOPS_WHEN_BOOKED)
    first, second = two.hosts
    first.start(PYTHONPATH=f"{home}:{Path.cwd()}")
    until(lambda: two.watcher() is first, "the watch")
    dropped(two, f"a{PAINTED}")
    until(lambda: is_stopped(first), "a booking")
    assert two.submitting(first)
    second.start()
    until(lambda: two.ask("SELECT 1 FROM generations WHERE status = 'unknown'"), "the other one to find it")
    first.signal(signal.SIGCONT)
    until(lambda: '"lost_claim"' in first.said(), "it to find out")
    assert two.sandbox.generations == []
    assert [row["status"] for row in two.ask("SELECT status FROM generations")] == ["unknown"]


def test_who_was_stopped_between_booking_and_paying_puts_it_off_where_it_is_still_its_own(
    home: Path, sandbox: Sandbox, postgres: "Server"
) -> None:
    """Nobody else was there to take it for dead; it is fired once its host has been heard of again."""
    (home / "sitecustomize.py").write_text(STOPS_WHEN_BOOKED)
    with Farm(home, sandbox, postgres, hosts=1, lease=SHORT) as farm:
        (host,) = farm.hosts
        host.start(PYTHONPATH=f"{home}:{Path.cwd()}")
        until(lambda: farm.watcher() is host, "the watch")
        dropped(farm, f"a{PAINTED}")
        until(lambda: is_stopped(host), "a booking")
        time.sleep(3)
        host.signal(signal.SIGCONT)
        until(lambda: farm.ask("SELECT 1 FROM generations WHERE status = 'complete'"), "the generation")
        events = [row["event"] for row in farm.ask("SELECT event FROM history WHERE item = 'generation' ORDER BY id")]
        assert Counter(events)["not_started"] == 1
        assert len(sandbox.generations) == 1


@pytest.mark.timeout(400)
def test_everything_at_once(tmp_path: Path, postgres_of_its_own: "Server", started: Start) -> None:
    outcome = chaos(tmp_path, postgres_of_its_own, files=150, deeds=deeds(2, 2, 3, 1), started=started)
    assert outcome.broken == (), table(outcome)


@pytest.fixture
def postgres_of_its_own() -> Iterator["Server"]:
    """One that may be restarted, with nobody else connected."""
    from tests.postgres import Server

    with Server(durable=False) as server:
        yield server
