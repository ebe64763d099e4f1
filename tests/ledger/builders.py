"""What the ledger's tests record, and how they look at what was written without asking the ledger."""

import hashlib
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from typing import Any

import pytest

from layerwatch.errors import Code, Final, JobError, NewUrl, Superseded, TryAgain
from layerwatch.ledger import FolderState, Job, Ledger, Recorded, Refusal, Session, Version
from layerwatch.source import Digest, Identity
from layerwatch.states import Event, judge

T0 = 1_750_000_000.0
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


def raw(path: str, question: str, *values: object) -> list[tuple[Any, ...]]:
    """An answer from any other SQLite tool."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


def everything(path: str) -> list[list[tuple[Any, ...]]]:
    """All that is written in the tables of files."""
    return [raw(path, f"SELECT * FROM {table} ORDER BY 1") for table in ("files", "history", "sessions")]


def in_namespace(mount: str, script: str, *arguments: str) -> list[str]:
    """What a script says that runs where the shell command `mount` was done, for it alone."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    shell = f'{mount} && exec "{sys.executable}" -c "$SCRIPT" "$@"'
    command = ["unshare", "-rm", "env", f"SCRIPT={script}", "sh", "-c", shell, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
