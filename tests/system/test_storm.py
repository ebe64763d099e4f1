"""A daemon whose files all fail, as a service of systemd: the journal stays readable, and the ledger has everything."""

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from layerwatch.logs.limit import LEFT_OUT, TROUBLE
from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.system.conftest import Site, until

FILES = TROUBLE.burst + 250
PRIORITIES = {"error": "<3>", "warning": "<4>", "info": "<6>"}


def as_journal(site: Site) -> str:
    """The log, named as systemd names what it has connected to the journal."""
    site.log.touch()
    seen = site.log.stat()
    return f"{seen.st_dev}:{seen.st_ino}"


def at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"])


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_storm_of_failures_is_bounded_in_the_log_and_complete_in_the_ledger(site: Site) -> None:
    site.configure(folder='settle = "50ms"', upload="max_attempts = 1\nworkers = 8")
    site.sandbox.faults = Faults(denied=1.0)
    for number in range(FILES):
        (site.drop / f"{number:05}.png").write_bytes(sample("png", number))
    daemon = site.start(JOURNAL_STREAM=as_journal(site))
    until(lambda: site.statuses() == {"failed": FILES}, "every file to fail", patience_s=240)
    assert site.end(daemon) == 0

    lines = site.said().splitlines()
    events = [json.loads(line[3:]) for line in lines]
    assert [line[:3] for line in lines] == [PRIORITIES[event["level"]] for event in events]
    counted = Counter(event["event"] for event in events)
    left_out = [event for event in events if event["event"] == LEFT_OUT]
    took_s = (at(events[-1]) - at(events[0])).total_seconds()
    assert counted["connected"] == counted["ended"] == 1
    assert events[-1]["event"] == "ended"
    assert events[-1]["failed"] == FILES
    assert TROUBLE.burst <= counted["failed"] <= TROUBLE.burst + took_s * TROUBLE.per_s + 1
    assert counted["failed"] + sum(event["lines"] for event in left_out) == FILES
    assert {event["of"] for event in left_out} == {"failed"}
    assert all("layerwatch ls --status failed" in event["message"] for event in left_out)
    assert json.loads(site.call("ls", "--status", "failed", "--json").stdout)["files"][FILES - 1]["status"] == "failed"


def test_a_service_that_is_to_write_for_people_gives_the_journal_its_priorities(site: Site) -> None:
    (site.drop / "a.png").write_bytes(sample("png", 1))
    (site.drop / "b.txt").write_bytes(b"no image")
    daemon = site.start("--once", "--log", "human", JOURNAL_STREAM=as_journal(site))
    assert daemon.wait(60) == 0
    lines = site.said().splitlines()
    assert any(line.startswith("<6>") and "a.png uploaded" in line for line in lines)
    assert any(line.startswith("<4>") and "warning: drop/b.txt skipped" in line for line in lines)
    assert all(line[:3] in PRIORITIES.values() for line in lines)
