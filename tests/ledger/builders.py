"""What the ledger's tests record, and how they look at what was written without asking the ledger."""

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from layerwatch.errors import Code, Final, JobError, NewUrl, Superseded, TryAgain
from layerwatch.ledger import (
    INSUFFICIENT,
    Firing,
    FolderState,
    Following,
    Held,
    Input,
    Job,
    Ledger,
    Limits,
    Missing,
    Plan,
    Recorded,
    Refusal,
    Session,
    Version,
)
from layerwatch.ledger.store import SqliteStore, is_url
from layerwatch.rules import key_of
from layerwatch.source import Digest, Identity
from layerwatch.states import Event, Generation, Turn, judge, turn

if TYPE_CHECKING:
    from .outside import Window

T0 = 1_750_000_000.0
# What asks the engine how it goes about it; test_postgres_plans does so on PostgreSQL.
sqlite_alone = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
WORKSPACE = "workspace-1"


def version(path: str = "/drop/a.png", content: bytes = b"a", *, folder: str = "drop", mtime_ns: int = 1) -> Version:
    digest = Digest(hashlib.sha256(content).hexdigest(), zlib.crc32(content))
    return Version(folder, path, Identity(len(content), mtime_ns, 7), "image/png", digest)


def refusal(path: str = "/drop/a.png", code: Code = Code.INCOMPLETE, *, size: int = 9, mtime_ns: int = 1) -> Refusal:
    return Refusal("drop", path, Identity(size, mtime_ns, 7), code, f"it is {code}")


def session(job: Job, *, expires_at: float = T0 + 900) -> Session:
    return Session(f"https://storage/?upload_id={job.claim}", f"file-{job.id}", "image/png", expires_at)


def watched(ledger: Ledger, *folders: str) -> Ledger:
    for folder in folders or ("drop",):
        ledger.facts.folder(folder, f"/{folder}", FolderState.WATCHING, T0, detail="", mount="/")
    return ledger


def record(ledger: Ledger, *found: Version | Refusal, now: float = T0) -> list[Recorded]:
    return ledger.files.record(found, now)


def claimed(ledger: Ledger, now: float = T0, claim: str = "claim-1") -> Job:
    job = ledger.files.claim(claim, WORKSPACE, now)
    assert job is not None
    return job


def faulted(
    ledger: Ledger, job: Job, error: JobError, now: float = T0, *, max_attempts: int = 8, detail: str = ""
) -> None:
    """As an uploader does it."""
    verdict = judge(error, attempts=job.attempts, progressed=False, max_attempts=max_attempts, jitter=1.0)
    keep = not isinstance(error, NewUrl | Final | Superseded)
    ledger.files.faulted(job, verdict, now, keep_session=keep, detail=detail)


def passing(code: Code = Code.NETWORK) -> TryAgain:
    return TryAgain(code, "connection reset")


def upload(ledger: Ledger, now: float = T0, *, file_id: str = "file-1", workspace: str = WORKSPACE) -> int:
    job = claimed(ledger, now)
    stored(ledger, job, now, file_id=file_id, workspace=workspace)
    return job.id


def stored(ledger: Ledger, job: Job, now: float = T0, *, file_id: str = "file-1", workspace: str = WORKSPACE) -> None:
    """As an uploader writes down what has come to its end, in a folder that wants no more of it."""
    event, verified = (Event.REUSED, job.twin.verified) if job.twin else (Event.STORED, "crc32c")
    ledger.files.uploaded(job, event, now, file_id=file_id, workspace_id=workspace, verified=verified, aftermath=False)


# --- generations ------------------------------------------------------------------------------------------------------

RULE = "restyle"
HELD = Held(INSUFFICIENT, "not enough Creative Units", T0 + 900, first=True)
GENERATIONS = (
    "generations",
    "generation_inputs",
    "generation_needs",
    "earlier_bookings",
    "results",
    "deliveries",
)


def arrive(ledger: Ledger, path: str = "/drop/a.png", content: bytes = b"a", now: float = T0, **more: Any) -> int:
    """A version of a file, found and uploaded, in a folder that has rules; its id."""
    found = version(path, content)._replace(**more)
    (recorded,) = ledger.files.record([found], now)
    put(ledger, now)
    return recorded.id


def put(ledger: Ledger, now: float = T0) -> None:
    """Upload all that is queued."""
    while job := ledger.files.claim("uploader", WORKSPACE, now):
        event = Event.REUSED if job.twin else Event.STORED
        ledger.files.uploaded(
            job,
            event,
            now,
            file_id=job.twin.file_id if job.twin else f"file-{job.id}",
            workspace_id=WORKSPACE,
            verified="crc32c",
            rule_key=key_of(job.path.removeprefix("/drop/")),
        )


def shown(ledger: Ledger, id_: int) -> Input:
    """An uploaded file, as the rules see it now."""
    (found,) = ledger.planning._inputs("WHERE files.id = ?", id_)
    return found


def planned_for(trigger: Input, *, missing: str | tuple[Missing, ...] = (), **more: Any) -> Plan:
    """What a rule makes of it; `missing` may be a role alone."""
    if isinstance(missing, str):
        missing = (Missing(missing, f"*_{missing}.png", f"a_{missing}.png", optional=False),)
    facts: dict[str, Any] = {"rule": RULE, "kind": "inference", "target": "model", "companions": {}, "sidecars": {}}
    return replace(Plan(trigger=trigger, missing=missing, **facts), **more)


def queue(ledger: Ledger, *names: str, now: float = T0, rule: str = RULE) -> list[int]:
    """A generation for a file of each of these names, ready to be fired; their ids."""
    names = names or ("a",)
    found = record(ledger, *(version(f"/drop/{n}.png", os.fsencode(f"{n}, {rule}")) for n in names), now=now)
    put(ledger, now)
    seen = [shown(ledger, each.id) for each in found]
    plans = [ledger.planning.plan(each, [planned_for(each, rule=rule)], now) for each in seen]
    return [planned.id for plan in plans for planned in plan]


def taken(ledger: Ledger, now: float = T0, claim: str = "runner") -> Firing:
    job = ledger.firing.claim(claim, now)
    assert job is not None
    return job


def book(ledger: Ledger, job: Firing, price: float | None = None, now: float = T0, *limits: Limits) -> Held | None:
    return ledger.firing.book(job, {"prompt": "oil"}, price, limits, now)


def accept(ledger: Ledger, job: Firing, now: float = T0, price: float | None = None, remote_id: str = "") -> None:
    ledger.firing.accepted(job, remote_id or f"remote-{job.id}", now, price=price, poll_at=now + 3, deadline=now + 3600)


def fire(
    ledger: Ledger, price: float | None = None, now: float = T0, *limits: Limits, claim: str = "runner"
) -> Held | None:
    """Take what is due first, book it, and let Layer start it."""
    job = taken(ledger, now, claim)
    held = book(ledger, job, price, now, *limits)
    if held is None:
        accept(ledger, job, now)
    return held


def running(ledger: Ledger, now: float = T0, price: float | None = None) -> Following:
    """Take what is due first, fire it, and take it again to be followed."""
    job = taken(ledger, now)
    assert book(ledger, job, price, now) is None
    accept(ledger, job, now)
    return followed(ledger, now + 3)


def followed(ledger: Ledger, now: float = T0, claim: str = "follower") -> Following:
    job = ledger.following.claim(claim, now)
    assert job is not None
    return job


def unknown(ledger: Ledger, price: float | None = None) -> int:
    job = taken(ledger)
    assert book(ledger, job, price) is None
    ledger.firing.lost(job, T0, "the line went dead", "network")
    return job.id


def failed(ledger: Ledger, price: float | None = None, *, charged: float | None = None, **more: Any) -> int:
    job = running(ledger, price=price)
    facts: dict[str, Any] = {"code": "INTERNAL", "message": "no", "remote_state": "failed", "price": charged}
    ledger.following.ended(job, Turn.FAILED, T0, **facts | more)
    return job.id


def status_of(ledger: Ledger, id_: int) -> str:
    row = ledger.stories.one(id_)
    assert row is not None
    return row.status


def events_of(ledger: Ledger, id_: int) -> list[str]:
    return [line.event for line in ledger.stories.history(id_)]


def replayed(ledger: Ledger, id_: int) -> Generation | None:
    """The status that its history leads to."""
    status: Generation | None = None
    for line in ledger.stories.history(id_):
        if line.event != "delivered":
            status = turn(status, Turn(line.event))
        assert line.status == status
    return status


def all_there_is(path: str) -> list[list[tuple[Any, ...]]]:
    """What is written in every table that generations have a part in."""
    return everything(path) + [raw(path, f"SELECT * FROM {table} ORDER BY 1, 2") for table in GENERATIONS]


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads, all begun at the same moment; what one of them raises is raised."""
    gate, failed = threading.Barrier(count), []

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001  for the thread that asked
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failed:
        raise failed[0]


# --- looked at from outside -------------------------------------------------------------------------------------------


def raw(path: str, question: str, *values: object) -> list[tuple[Any, ...]]:
    """An answer from any other tool, to a question that SQLite takes; `path` is where the ledger is."""
    if is_url(path):
        return _window().rows(path, question, values)
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


def changed(path: str, statement: str, *values: object) -> int:
    """Somebody changes it past the ledger: how many rows."""
    if is_url(path):
        return _window().change(path, statement, values)
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).rowcount


def _window() -> "Window":
    from .outside import WINDOW  # psycopg costs 0.2 s, which most have no use for

    return WINDOW


def everything(path: str) -> list[list[tuple[Any, ...]]]:
    """All that is written in the tables of files."""
    return [raw(path, f"SELECT * FROM {table} ORDER BY 1") for table in ("files", "history", "sessions")]


_WALKS = re.compile(
    # Two indexes hold what is to be done and nothing else.
    r"^SCAN (?!CONSTANT|folders|\(|\w+ USING INDEX (files_planning|deliveries_due))|"
    r"files_status \(status=\?\)|_path \(folder=\? AND rule=\?\)|_key \(folder=\?\)"
)
_MADE = re.compile(r"^(?:CO-ROUTINE|MATERIALIZE) (\w+)$")


def scans(ledger: Ledger, ask: Callable[[Ledger], object]) -> list[str]:
    """Where it makes SQLite walk through a large part of a large table: from end to end, or all that was uploaded, or
    all that a rule ever fired."""
    connection = sqlite_connection(ledger)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    try:
        ask(ledger)
    finally:
        connection.set_trace_callback(None)
    plans = [_plan(connection, each) for each in asked if each[:5] not in ("BEGIN", "COMMI", "ROLLB")]
    assert any(plans)
    return [step for plan in plans for step in _walks(plan)]


def _walks(plan: list[str]) -> list[str]:
    # What a sub-select brings is no table: the steps that make it are in the plan, too.
    made = {f"SCAN {found[1]}" for step in plan if (found := _MADE.match(step))}
    return [step for step in plan if _WALKS.search(step) and step not in made]


def sqlite_connection(ledger: Ledger) -> sqlite3.Connection:
    """By which it asks SQLite."""
    assert isinstance(ledger._store, SqliteStore)
    return ledger._store.connection


def _plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    return [str(step) for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]


def in_namespace(mount: str, script: str, *arguments: str) -> list[str]:
    """What a script says that runs where the shell command `mount` was done, for it alone."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    shell = f'{mount} && exec "{sys.executable}" -c "$SCRIPT" "$@"'
    command = ["unshare", "-rm", "env", f"SCRIPT={script}", "sh", "-c", shell, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
