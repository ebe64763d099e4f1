"""`layerwatch demo`: the whole job against a sandbox that fails on purpose, on files it makes, checked in the end.

Touches nothing of the user's: a configuration, a ledger, a folder and an environment of its own.
"""

import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from string import Template
from typing import TYPE_CHECKING, Any

import click

from layerwatch.cli import options
from layerwatch.cli.tables import Page, emit, page
from layerwatch.errors import Problem, UserError
from layerwatch.notices import Notice, Tell, name_text

if TYPE_CHECKING:
    from layerwatch.cli.rehearsal import Rehearsal
    from layerwatch.config import Settings
    from layerwatch.daemon import Ended
    from layerwatch.ledger import GenerationRow
    from layerwatch.sandbox import Sandbox

LONGEST_S = 60.0
FAULTS = (
    "errors=0.07,drop=0.08,partial=0.1,lost_answers=0.1,lazy=0.15,lost_posts=1,latency_s=0.02,bandwidth=1200000,seed=4"
)
CONFIG = Template("""\
[api]
base_url = "$base_url"
workspace_id = "$workspace_id"
token_file = "token"

[ledger]
path = "state/ledger.db"

[upload]
chunk_size = "512KiB"

[budget]
daily = 100

[[folders]]
name = "demo"
path = "drop"
settle = "500ms"

[[folders.rules]]
name = "restyle"
match = "{shot}_beauty.png"
model_id = "$model_id"
outputs = "generated"
[folders.rules.with]
depth = "{shot}_depth.png"
[folders.rules.parameters]
prompt = "oil painting, {shot}"
batch_size = 2
guidance_files = [
  { file_id = "{file_id}", type = "INIT" },
  { file_id = "{depth.file_id}", type = "DEPTH" },
]
""")
# What would make it another run than this one: the user's settings, the token, a proxy.
_FOREIGN = ("LAYER", "CREDENTIALS_DIRECTORY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@click.command("demo")
@options.as_json
@click.option("--keep", metavar="DIR", help="Do it in this new directory, and leave it there to look at.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, keep: str | None) -> None:
    """See the whole job done, against the sandbox: no account, no cost, nothing of yours is touched.

    Makes files of all six types in a drop folder, some while the daemon runs: slowly, renamed into place, in a new
    sub-folder. A rule makes a generation of two of them, and Layer's answer is lost. The sandbox fails on purpose. In
    the end every stored object is compared with its file. Exit code 0 only if all is as it has to be.
    """
    began = time.monotonic()
    with _directory(keep) as base, _own_environment():
        document = _perform(base, began, page(err=True))
    if as_json:
        emit({**document, "kept": keep and os.path.abspath(keep)})
    ctx.exit(0 if document["ok"] else 1)


@contextmanager
def _directory(keep: str | None) -> Iterator[str]:
    if keep is None:
        base = tempfile.mkdtemp(prefix="layerwatch-demo-")
        try:
            yield base
        finally:
            shutil.rmtree(base, ignore_errors=True)
        return
    try:
        os.mkdir(keep, mode=0o700)
    except OSError as error:
        reason = f"cannot be made: {(error.strerror or str(error)).lower()}"
        raise UserError(Problem(f"--keep {name_text(keep)}", reason, "name a new directory")) from None
    yield os.path.abspath(keep)


@contextmanager
def _own_environment() -> Iterator[None]:
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.upper().startswith(_FOREIGN)}
    try:
        yield
    finally:
        os.environ.update(taken)


def _perform(base: str, began: float, out: Page) -> dict[str, Any]:
    from layerwatch.cli.rehearsal import Rehearsal
    from layerwatch.sandbox import Sandbox
    from layerwatch.sandbox.faults import parse

    with Sandbox(store=os.path.join(base, "stored"), faults=parse(FAULTS)) as sandbox:
        settings = _settings(base, sandbox, out)
        rehearsal = Rehearsal(os.path.join(os.path.realpath(base), "drop"))
        rehearsal.set_up()
        ended = _run(settings, rehearsal, sandbox, began)
        return _judged(settings, rehearsal, sandbox, ended, out, began)


def _settings(base: str, sandbox: "Sandbox", out: Page) -> "Settings":
    from layerwatch.config import load
    from layerwatch.sandbox.catalogue import MODELS

    text = CONFIG.substitute(
        base_url=sandbox.base_url, workspace_id=sandbox.workspace_id, model_id=MODELS[0]["model_id"]
    )
    for name, content in (("token", sandbox.token), ("config.toml", text)):
        with open(os.open(os.path.join(base, name), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
            stream.write(content)
    out.say(f"in {name_text(base)}")
    out.say("against a sandbox that fails on purpose, with this config.toml:\n")
    for line in text.splitlines():
        out.say(f"    {line}".rstrip())
    out.say()
    return load(os.path.join(base, "config.toml"), require_token=True)


# --- the run ----------------------------------------------------------------------------------------------------------


def _run(settings: "Settings", rehearsal: "Rehearsal", sandbox: "Sandbox", began: float) -> "Ended":
    from layerwatch.board import Board
    from layerwatch.cli.screen import screen
    from layerwatch.daemon import Daemon

    board, watching = Board(), threading.Event()
    style = "auto" if sys.stderr.isatty() else "human"
    with screen(board, style, verbose=False, ledger=settings.ledger.place) as shown:

        def tell(notice: Notice) -> None:
            shown.tell(notice)
            if notice.event == "folder":
                watching.set()

        daemon = Daemon(settings, once=False, tell=tell, board=board)

        def play() -> None:
            watching.wait(LONGEST_S)
            left = partial(_left_s, began)
            rehearsal.play(settings.ledger.place, left, partial(_settle, settings, sandbox, tell))
            daemon.stop()

        maker = threading.Thread(target=play, name="demo", daemon=True)
        maker.start()
        try:
            ended = daemon.run()
        finally:
            rehearsal.stopping.set()
            watching.set()
            maker.join()
    shown.summary(ended)
    return ended


def _left_s(began: float) -> float:
    return began + LONGEST_S - time.monotonic()


def _settle(settings: "Settings", sandbox: "Sandbox", tell: Tell, made: "GenerationRow") -> None:
    """As a person does who looks into Layer's own app for the session name that `layerwatch resolve` tells."""
    from layerwatch.cli import resolve
    from layerwatch.cli.generations import label
    from layerwatch.fire import session_name

    name = session_name(made.id, made.path)
    found = next((each.id for each in sandbox.generations if each.body["session_name"] == name), None)
    decision = ["--refire"] if found is None else ["--adopt", found]
    tell(Notice("person", f'a person finds {"no " if found is None else ""}"{name}" in Layer'))
    tell(Notice("person", f"$ layerwatch resolve {label(made.id)} {' '.join(decision)}"))
    with redirect_stdout(io.StringIO()):
        resolve.command.main(["-c", settings.path, label(made.id), *decision], standalone_mode=False)


# --- the end ----------------------------------------------------------------------------------------------------------


def _judged(
    settings: "Settings", rehearsal: "Rehearsal", sandbox: "Sandbox", ended: "Ended", out: Page, began: float
) -> dict[str, Any]:
    from layerwatch.cli.generations import row_document
    from layerwatch.cli.ls import table
    from layerwatch.cli.situation import Situation
    from layerwatch.cli.verdicts import checks
    from layerwatch.ledger import Ledger

    with Ledger(settings.ledger.place, names=settings.ledger.names) as ledger:
        facts = {folder.name: folder for folder in ledger.facts.folders()}
        now = Situation(settings, ledger, None, {}, facts)
        rows, made = ledger.reports.files(), ledger.stories.some()
        _say(out, "the ledger, as `layerwatch ls` shows it:", table(out, now, rows))
        _say(out, "what the rule made, as `layerwatch ls --generations` shows it:", table(out, now, made))
        _say(out, "where a result comes from, as the .layer.json beside it says:", _provenance(made))
        found = list(checks(rehearsal, ledger, sandbox, ended))
    faults = {name.removeprefix("fault_"): n for name, n in sandbox.counters.items() if name.startswith("fault_")}
    out.say(f"\nfaults on purpose: {', '.join(f'{n} {name}' for name, n in faults.items()) or 'none'}\n")
    for check in found:
        out.say(f"{out.paint(*(('✓', 'green') if check.ok else ('✗', 'red')))} {name_text(check.detail)}")
    seconds = round(time.monotonic() - began, 1)
    ok = all(check.ok for check in found)
    out.say(f"\n{'all is well' if ok else 'something is wrong'}, after {seconds} s")
    told = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in found]
    ledgers = {"files": [row.as_dict() for row in rows], "generations": [row_document(row) for row in made]}
    return {"ok": ok, "seconds": seconds, "checks": told, "faults": faults, **ledgers}


def _say(out: Page, title: str, lines: Iterable[str]) -> None:
    out.say(f"\n{title}\n")
    for line in lines:
        out.say(line)


def _provenance(made: "Sequence[GenerationRow]") -> Iterator[str]:
    """The heart of the first result's."""
    from layerwatch.cli.generations import units
    from layerwatch.ignore import RECEIPT_SUFFIX

    path = next((each["path"] for row in made for each in row.outputs if "path" in each), None)
    if path is None:
        return
    with open(path + RECEIPT_SUFFIX, encoding="utf-8") as stream:
        told = json.load(stream)
    home = os.path.dirname(os.path.dirname(path))
    yield f"{os.path.relpath(path, home)}"
    for each in told["inputs"]:
        yield f"  {each['role']:6} {os.path.relpath(each['path'], home)}, file_id {each['file_id']}"
    yield f"  rule   {told['rule']}: {told['kind']} {told['remote_id']}"
    yield f"  prompt {told['request']['prompt']}"
    yield f"  price  {units(told['price_creative_units'])} Creative Units"
