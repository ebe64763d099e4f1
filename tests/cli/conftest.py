"""A place of its own for each test: a configuration with two folders, and a ledger filled through its real API."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from layerwatch.cli import cli
from layerwatch.errors import Code, Final, JobError, TryAgain
from layerwatch.ledger import (
    Firing,
    FolderState,
    Following,
    Input,
    Job,
    Ledger,
    Limits,
    Lock,
    Missing,
    Plan,
    Recorded,
    Refusal,
    Session,
    Version,
    Waiting,
)
from layerwatch.source import Digest, identity
from layerwatch.states import Event, Turn, judge
from tests.ledgers import new_ledger

WORKSPACE = "5a9db0c5-0000-4000-8000-000000000001"
SECRET = "https://storage.example/o?upload_id=SECRETSESSION"
MODEL = "3c2f1d00-0000-4000-8000-000000000001"
RULE = f'[[folders.rules]]\nname = "restyle"\nmatch = "*.png"\nmodel_id = "{MODEL}"\n'
# Who has this address has the result.
SIGNED = "https://cdn.example/r.png?X-Goog-Signature=SECRETSIGNATURE&X-Goog-Expires=9"
# What names may hold, and a terminal must never see: escapes, markup, a mark that turns the direction, a lone byte.
HOSTILE = os.fsdecode(b"\x1b[31m[red]b[/]\x07\n\xe2\x80\xae\xff.png".replace(b"/", b"|"))


class Place:
    """`concepts` and `textures` below `home`, the ledger beside them, and commands run in this process."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "concepts"
        self.config = home / "config.toml"
        self.path = str(home / "state" / "ledger.db")
        for name in ("concepts", "textures"):
            (home / name).mkdir()
        self.configure()

    def configure(self, concepts: str = "", upload: str = "", budget: str = "") -> None:
        self.config.write_text(
            f'[ledger]\npath = "state/ledger.db"\n[upload]\n{upload}\n[budget]\n{budget}\n'
            f'[[folders]]\nname = "concepts"\npath = "concepts"\n{concepts}\n'
            '[[folders]]\nname = "textures"\npath = "textures"\n'
        )

    # --- the ledger ---------------------------------------------------------------------------------------------------

    def open(self) -> Ledger:
        return new_ledger(self.path)

    def watched(self, ledger: Ledger, *, scanned: bool = True) -> None:
        for name in ("concepts", "textures"):
            ledger.facts.folder(
                name, str(self.home / name), FolderState.WATCHING, time.time(), detail="", mount=str(self.home)
            )
            if scanned:
                ledger.facts.folder_scanned(name, 0, time.time())

    def write(self, name: str, content: bytes = b"a") -> str:
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)
        return path

    def record(self, ledger: Ledger, name: str, content: bytes = b"a", ago_s: float = 0.0) -> Recorded:
        path = self.write(name, content)
        digest = Digest(hashlib.sha256(content).hexdigest(), 0)
        version = Version("concepts", path, identity(os.lstat(path)), "image/png", digest)
        return ledger.files.record([version], time.time() - ago_s)[0]

    def refuse(self, ledger: Ledger, name: str, code: Code = Code.UNSUPPORTED_TYPE, message: str = "text") -> Recorded:
        path = self.write(name)
        return ledger.files.record([Refusal("concepts", path, identity(os.lstat(path)), code, message)], time.time())[0]

    def claim(self, ledger: Ledger, sent: int = 0) -> Job:
        """The file that has been due longest; with its session, and that many bytes stored."""
        job = ledger.files.claim("claim", WORKSPACE, time.time())
        assert job is not None
        if sent:
            ledger.files.save_session(job, Session(SECRET, "file-x", "image/png", time.time() + 900))
            ledger.files.save_progress(job, sent)
        return job

    def upload(
        self, ledger: Ledger, file_id: str = "f1d00000-0000-4000-8000-000000000001", rule_key: str | None = None
    ) -> Job:
        job = self.claim(ledger)
        ledger.files.uploaded(
            job, Event.STORED, time.time(), file_id=file_id, workspace_id=WORKSPACE, verified="crc32c",
            rule_key=rule_key,
        )  # fmt: skip
        return job

    def fault(self, ledger: Ledger, error: JobError, detail: str = "") -> Job:
        job = self.claim(ledger)
        verdict = judge(error, attempts=job.attempts, progressed=False, max_attempts=8, jitter=1.0)
        ledger.files.faulted(job, verdict, time.time(), keep_session=False, detail=detail)
        return job

    def trouble(self, ledger: Ledger, after_s: float = 100.0) -> Job:
        return self.fault(ledger, TryAgain(Code.NETWORK, "connection refused", after_s))

    def failure(self, ledger: Ledger, detail: str = "") -> Job:
        return self.fault(ledger, Final(Code.REJECTED, "the API answered 422"), detail)

    def waits(self, ledger: Ledger, name: str, reason: str = "PNG ends before its IEND chunk") -> str:
        path = self.write(name)
        item = Waiting(path, "concepts", 1, reason, time.time() - 180)
        ledger.facts.waiting(item, time.time())
        return path

    def runs(self) -> Lock:
        """As if a daemon ran: somebody holds the lock."""
        return Lock(self.path)

    # --- generations --------------------------------------------------------------------------------------------------

    def input(self, ledger: Ledger, name: str = "a.png", content: bytes | None = None) -> Input:
        """An uploaded file that the rules have seen."""
        id_ = self.record(ledger, name, os.fsencode(name) if content is None else content).id
        self.upload(ledger, f"f1d00000-0000-4000-8000-{id_:012}", rule_key=name)
        row = ledger.reports.file(id_)
        assert row is not None
        assert row.hash is not None
        assert row.file_id is not None
        (seen,) = (each for each in ledger.planning.pending(["concepts"], 99) if each.id == id_)
        ledger.planning.plan(seen, [], time.time())
        return Input(id_, row.folder, row.path, row.hash, row.file_id, 0)

    def plan(
        self,
        ledger: Ledger,
        trigger: Input,
        *missing: Missing,
        rule: str = "restyle",
        wait_s: float | None = None,
        ago_s: float = 0.0,
    ) -> int:
        plan = Plan(rule, "inference", MODEL, trigger, {}, {}, missing, wait_s)
        return ledger.planning.plan(trigger, [plan], time.time() - ago_s)[0].id

    def waiting(self, ledger: Ledger, name: str = "a.png", wait_s: float | None = None, optional: bool = False) -> int:
        missing = Missing("depth", f"{name}_depth", f"{name}_depth", optional)
        return self.plan(ledger, self.input(ledger, name), missing, wait_s=wait_s)

    def queued(self, ledger: Ledger, name: str = "a.png", rule: str = "restyle", ago_s: float = 0.0) -> int:
        return self.plan(ledger, self.input(ledger, name), rule=rule, ago_s=ago_s)

    def take(self, ledger: Ledger) -> Firing:
        job = ledger.firing.claim("claim", time.time())
        assert job is not None
        return job

    def request(self, job: Firing) -> dict[str, Any]:
        guidance = [{"file_id": job.file_ids["input"]}]
        name = os.path.basename(job.path).encode(errors="replace").decode()
        session = {"session_name": f"layerwatch g{job.id} {name}"}
        return {"model_id": MODEL, "prompt": "oil \x1b[2J painting", "guidance_files": guidance, **session}

    def blocked(
        self, ledger: Ledger, name: str = "a.png", *, price: float | None = 10.0, rule: str = "restyle", **limits: Any
    ) -> int:
        self.queued(ledger, name, rule)
        job = self.take(ledger)
        assert ledger.firing.book(job, self.request(job), price, [Limits(**(limits or {"daily": 0}))], time.time())
        return job.id

    def submitting(
        self, ledger: Ledger, name: str = "a.png", *, price: float | None = 10.0, rule: str = "restyle", at: float = 0.0
    ) -> Firing:
        self.queued(ledger, name, rule)
        job = self.take(ledger)
        assert ledger.firing.book(job, self.request(job), price, [], at or time.time()) is None
        return job

    def unknown(self, ledger: Ledger, name: str = "a.png", **about: Any) -> int:
        job = self.submitting(ledger, name, **about)
        ledger.firing.lost(job, time.time(), "the connection to api.example broke", "network")
        return job.id

    def running(self, ledger: Ledger, name: str = "a.png", poll_in_s: float = 0.0, **about: Any) -> Following:
        job, now = self.submitting(ledger, name, **about), time.time()
        ledger.firing.accepted(job, f"remote-{job.id}", now, price=None, poll_at=now + poll_in_s, deadline=now + 3600)
        return self.follow(ledger, job.id) if poll_in_s <= 0 else _nobody(job)

    def follow(self, ledger: Ledger, id_: int) -> Following:
        job = ledger.following.claim("claim", time.time() + 1)
        assert job is not None
        assert job.id == id_
        return job

    def complete(
        self, ledger: Ledger, name: str = "a.png", *, charged: float | None = 8.0, saved: bool = True, **about: Any
    ) -> int:
        """With one result, in a file or only as its address."""
        job = self.running(ledger, name, **about)
        outputs: list[dict[str, Any]] = [{"url": SIGNED, "content_type": "image/png"}]
        if saved:
            path = self.write(f"generated/{name}.restyle.png", b"result")
            ledger.following.intend(job, 1, path, hashlib.sha256(b"result").hexdigest(), 6)
            ledger.following.saved(job, 1)
            outputs = [{"path": path, "sha256": "0", "size": 6, "content_type": "image/png"}]
        ledger.following.completed(job, outputs, charged, None, time.time(), deliver=False)
        return job.id

    def failing(
        self,
        ledger: Ledger,
        name: str = "a.png",
        *,
        code: str = "DOWNSTREAM_SERVICE_ERROR",
        remote_state: str | None = "failed",
        charged: float | None = None,
        **about: Any,
    ) -> int:
        """By Layer, or, with another `remote_state`, by us."""
        job = self.running(ledger, name, **about)
        message = "it did not \x1b[2J work"
        ledger.following.ended(
            job, Turn.FAILED, time.time(), code=code, message=message, remote_state=remote_state, price=charged
        )
        return job.id

    # --- commands -----------------------------------------------------------------------------------------------------

    def call(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(cli, [command, "-c", str(self.config), *arguments])

    def told(self, command: str, *arguments: str) -> Any:
        """The one JSON document on stdout, which is ASCII whatever the names are."""
        result = self.call(command, "--json", *arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.isascii()
        assert len(result.stdout.splitlines()) == 1
        return json.loads(result.stdout)

    def said(self, command: str, *arguments: str) -> str:
        result = self.call(command, *arguments)
        assert result.exit_code == 0, result.output
        harmless(result.output)
        return result.stdout


def _nobody(job: Firing) -> Following:
    """What runs, as nobody who follows it has it."""
    return Following(
        job.id, "", job.folder, job.rule, job.kind, job.target, job.path, f"remote-{job.id}", None, 0, 0.0, ()
    )


def harmless(text: str) -> None:
    """Whatever is for people holds nothing that steers a terminal."""
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert "SECRET" not in text


@pytest.fixture(autouse=True)
def _an_environment_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LAYER", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "XDG_", "NO_COLOR", "COLUMNS")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """The place's ledger, with both folders watched."""
    with place.open() as ledger:
        place.watched(ledger)
        yield ledger
