"""Many who write at once, as the threads of several hosts do: each file is sent once, no Creative Unit is spent twice,
and nobody waits for somebody who waits for him."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from layerwatch.errors import Code, Final, Superseded
from layerwatch.ledger import Ledger, Limits, LostClaim
from layerwatch.states import Event, move
from tests.system.conftest import until

from .builders import (
    T0,
    WORKSPACE,
    accept,
    arrive,
    at_once,
    book,
    claimed,
    faulted,
    passing,
    planned_for,
    queue,
    raw,
    record,
    refusal,
    replayed,
    stored,
    version,
)
from .test_budget import fire_all

LATER = T0 + 10**6


@pytest.fixture
def engine() -> str:
    """Of SQLite one writes at a time."""
    return "postgresql"


def test_of_eight_who_upload_at_once_no_two_have_the_same_file_or_the_same_bytes(ledger: Ledger) -> None:
    found = [version(f"/drop/{number}.png", b"%d" % (number % 100)) for number in range(200)]
    names = {row.id: item.digest.sha256 for row, item in zip(record(ledger, *found), found, strict=True)}
    turn, taken, sending, sent = threading.Lock(), Counter[int](), set[str](), Counter[str]()

    def work(number: int) -> None:
        with Ledger(ledger.path) as own:
            while own.reports.queued():
                job = own.files.claim(f"{number}", WORKSPACE, T0)
                if job is None:
                    continue  # what is left are twins of what the others send
                with turn:
                    taken[job.id] += 1
                    assert job.digest.sha256 == names[job.id]
                    assert job.digest.sha256 not in sending
                    sending.add(job.digest.sha256)
                    sent[job.digest.sha256] += job.twin is None
                with turn:
                    sending.remove(job.digest.sha256)
                stored(own, job, file_id=job.twin.file_id if job.twin else f"file-{job.id}")

    at_once(8, work)
    assert taken == Counter(names.keys())
    assert set(sent.values()) == {1}
    assert ledger.reports.counts()["uploaded"] == 200
    assert raw(ledger.path, "SELECT count(DISTINCT file_id) FROM files") == [(100,)]


def test_eight_at_once_never_book_more_than_the_day_allows(ledger: Ledger) -> None:
    queue(ledger, *map(str, range(40)))
    fire_all(ledger.path, 8, Limits(daily=100.0))
    assert raw(ledger.path, "SELECT sum(booked), count(booked) FROM generations") == [(98.0, 14)]
    assert ledger.stories.counts() | {"running": 14, "blocked": 26} == ledger.stories.counts()


def test_who_gives_a_version_up_waits_for_who_writes_about_the_others_of_its_path(ledger: Ledger) -> None:
    """And holds nothing meanwhile that the other one wants next."""
    arrive(ledger, content=b"a")
    record(ledger, version(content=b"b"))
    job = claimed(ledger)
    with ThreadPoolExecutor(1) as threads, Ledger(ledger.path) as other:
        with other.together():
            record(other, version(content=b"a", mtime_ns=5))
            given_up = threads.submit(faulted, ledger, job, Superseded(Code.VANISHED, "gone"))
            until(lambda: raw(ledger.path, "SELECT 1 FROM pg_locks WHERE NOT granted"), "one that waits")
            record(other, version(content=b"b", mtime_ns=6))
        given_up.result(60)
    assert [row.status for row in ledger.reports.versions(job.path)] == ["skipped", "uploaded"]


def find(own: Ledger, chance: random.Random) -> None:
    """Some of a few paths: new, changed, touched, or broken."""
    paths = [f"/drop/{chance.randrange(5)}.png" for _ in range(3)]
    found = [version(path, b"%d" % chance.randrange(8), mtime_ns=chance.randrange(10**6)) for path in paths]
    record(own, *found, *[refusal(paths[0], mtime_ns=chance.randrange(10**6))] * (chance.random() < 0.2))


def send(own: Ledger, chance: random.Random) -> None:
    job = own.files.claim(f"{chance.random()}", WORKSPACE, LATER)
    error = chance.choice([None, None, passing(), Superseded(Code.CHANGED, "changed"), Final(Code.REJECTED, "no")])
    if job and error:
        faulted(own, job, error)
    elif job:
        event = Event.REUSED if job.twin else Event.STORED
        facts = {"file_id": "f", "workspace_id": WORKSPACE, "verified": "md5", "rule_key": job.path.rpartition("/")[2]}
        own.files.uploaded(job, event, LATER, aftermath=True, deliver=True, **facts)


def plan(own: Ledger, chance: random.Random) -> None:
    for seen in own.planning.pending(["drop"], 3):
        missing = chance.choice(["", "", "depth"])
        own.planning.plan(seen, [planned_for(seen, missing=missing)], LATER)


def pay(own: Ledger, chance: random.Random) -> None:
    job = own.firing.claim(f"{chance.random()}", LATER)
    with suppress(LostClaim):  # what came meanwhile has taken its place
        if job and not book(own, job, 1.0, LATER):
            accept(own, job, LATER)


def meddle(own: Ledger, chance: random.Random) -> None:
    own.files.retry(range(1, 40), LATER)
    own.planning.again(range(1, 40, 5))
    own.firing.retry(range(1, 40), LATER, LATER)
    if work := own.finishing.claim(f"{chance.random()}", LATER):
        own.finishing.finished(work, done=True, detail="kept", code=None, now=LATER)


def test_whatever_many_do_at_once_none_stands_in_anothers_way(ledger: Ledger) -> None:
    """For none that waits for another does that one wait: else one of the two would be told of it."""

    def work(number: int) -> None:
        chance = random.Random(number)
        with Ledger(ledger.path) as own:
            for _ in range(30):
                chance.choice([find, find, send, send, send, plan, pay, meddle])(own, chance)

    at_once(6, work)
    for row in ledger.reports.files():
        status = None
        for line in ledger.reports.history(row.id):
            if line.event != "delivered":
                status = move(status, Event(line.event))
            assert line.status == status
        assert row.status == status
    for generation in ledger.stories.some():
        assert replayed(ledger, generation.id) == generation.status
    assert {event for (event,) in raw(ledger.path, "SELECT DISTINCT event FROM history")} > {"stored", "postponed"}
