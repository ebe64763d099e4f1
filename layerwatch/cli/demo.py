"""`layerwatch demo`: the whole job against a sandbox that fails on purpose, on files it makes, checked in the end.

Touches nothing of the user's: a configuration, a ledger, a folder and an environment of its own.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from layerwatch.cli import options
from layerwatch.cli.tables import Page, emit, page
from layerwatch.errors import Problem, UserError
from layerwatch.notices import Notice, name_text

if TYPE_CHECKING:
    from layerwatch.cli.rehearsal import Rehearsal
    from layerwatch.config import Settings
    from layerwatch.daemon import Ended
    from layerwatch.sandbox import Sandbox

LONGEST_S = 60.0
FAULTS = "errors=0.07,drop=0.08,partial=0.1,lost_answers=0.1,lazy=0.15,latency_s=0.02,bandwidth=1200000,seed=4"
CONFIG = """\
[api]
base_url = "{base_url}"
workspace_id = "{workspace_id}"
token_file = "token"

[ledger]
path = "state/ledger.db"

[upload]
chunk_size = "512KiB"

[[folders]]
name = "demo"
path = "drop"
settle = "500ms"
"""
# What would make it another run than this one: the user's settings, the token, a proxy.
_FOREIGN = ("LAYER", "CREDENTIALS_DIRECTORY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@click.command("demo")
@options.as_json
@click.option("--keep", metavar="DIR", help="Do it in this new directory, and leave it there to look at.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, keep: str | None) -> None:
    """See the whole job done, against the sandbox: no account, no cost, nothing of yours is touched.

    Makes files of all six types in a drop folder, some while the daemon runs: slowly, renamed into place, in a new
    sub-folder. The sandbox fails on purpose. In the end every stored object is compared with its file. Exit code 0
    only if all is as it has to be.
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
        ended = _run(settings, rehearsal, began)
        return _judged(settings, rehearsal, sandbox, ended, out, began)


def _settings(base: str, sandbox: "Sandbox", out: Page) -> "Settings":
    from layerwatch.config import load

    text = CONFIG.format(base_url=sandbox.base_url, workspace_id=sandbox.workspace_id)
    for name, content in (("token", sandbox.token), ("config.toml", text)):
        with open(os.open(os.path.join(base, name), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as stream:
            stream.write(content)
    out.say(f"in {name_text(base)}, with a sandbox that fails on purpose, and this config.toml:\n")
    for line in text.splitlines():
        out.say(f"    {line}".rstrip())
    out.say()
    return load(os.path.join(base, "config.toml"), require_token=True)


# --- the run ----------------------------------------------------------------------------------------------------------


def _run(settings: "Settings", rehearsal: "Rehearsal", began: float) -> "Ended":
    from layerwatch.board import Board
    from layerwatch.cli.screen import screen
    from layerwatch.daemon import Daemon

    board, watching = Board(), threading.Event()
    with screen(board, "auto" if sys.stderr.isatty() else "human", verbose=False, ledger=settings.ledger.path) as shown:

        def tell(notice: Notice) -> None:
            shown.tell(notice)
            if notice.event == "folder":
                watching.set()

        daemon = Daemon(settings, once=False, tell=tell, board=board)

        def play() -> None:
            watching.wait(LONGEST_S)
            rehearsal.play()
            rehearsal.wait(settings.ledger.path, lambda: began + LONGEST_S - time.monotonic())
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


# --- the end ----------------------------------------------------------------------------------------------------------


def _judged(
    settings: "Settings", rehearsal: "Rehearsal", sandbox: "Sandbox", ended: "Ended", out: Page, began: float
) -> dict[str, Any]:
    from layerwatch.cli.ls import table
    from layerwatch.cli.situation import Situation
    from layerwatch.cli.verdicts import checks
    from layerwatch.ledger import Ledger

    with Ledger(settings.ledger.path) as ledger:
        facts = {folder.name: folder for folder in ledger.facts.folders()}
        rows = ledger.reports.files()
        out.say("\nthe ledger, as `layerwatch ls` shows it:\n")
        for line in table(out, Situation(settings, ledger, None, {}, facts), rows):
            out.say(line)
        found = list(checks(rehearsal, ledger, sandbox, ended))
    faults = {name.removeprefix("fault_"): n for name, n in sandbox.counters.items() if name.startswith("fault_")}
    out.say(f"\nfaults on purpose: {', '.join(f'{n} {name}' for name, n in faults.items()) or 'none'}\n")
    for check in found:
        out.say(f"{out.paint(*(('✓', 'green') if check.ok else ('✗', 'red')))} {name_text(check.detail)}")
    seconds = round(time.monotonic() - began, 1)
    ok = all(check.ok for check in found)
    out.say(f"\n{'all is well' if ok else 'something is wrong'}, after {seconds} s")
    told = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in found]
    return {"ok": ok, "seconds": seconds, "checks": told, "faults": faults, "files": [row.as_dict() for row in rows]}
