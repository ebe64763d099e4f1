"""`layerwatch run`: the daemon in the foreground."""

import gc
import logging
import os
import sys
from typing import TYPE_CHECKING

import click

from layerwatch.cli import options

if TYPE_CHECKING:
    from layerwatch.config import Settings
    from layerwatch.notices import Tell


@click.command("run")
@options.config
@options.as_json
@click.option("--once", is_flag=True, help="Scan every folder, upload what is new, see it through, exit.")
@click.option(
    "--log",
    type=click.Choice(["auto", "human", "json"]),
    default="auto",
    show_default=True,
    help="How to tell what happens; auto: live on a terminal, JSON lines elsewhere.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(config: str | None, as_json: bool, once: bool, log: str, verbose: bool) -> None:
    """Watch the folders, upload what is dropped into them and fire its rules, until SIGTERM or SIGINT.

    A second signal ends it at once. Nothing is lost either way: the next start goes on where this one was. SIGHUP makes
    it read its configuration again.

    --once ends when all files and generations of the configured folders are seen through. Where several hosts share the
    ledger it looks through the folders that none of the others watches, and leaves theirs to them.
    """
    from layerwatch.board import Board
    from layerwatch.cli.screen import screen
    from layerwatch.daemon import Daemon

    settings = _loaded(config)
    board = Board()
    with screen(board, log, verbose=verbose, ledger=settings.ledger.place, host=_host(settings)) as shown:

        def load_again() -> "Settings":
            new = _loaded(settings.path)
            _tell_findings(new, shown.tell)
            return new

        _tell_findings(settings, shown.tell)
        gc.freeze()  # what is there by now stays: no collection has to go through it again
        ended = Daemon(settings, once=once, tell=shown.tell, board=board, load=None if once else load_again).run()
    shown.summary(ended)
    if as_json:
        import json

        click.echo(json.dumps(shown.tally(ended)))
    sys.exit(1 if once and (ended.failed or ended.left) else 0)


def _host(settings: "Settings") -> str | None:
    """Which one this is, where several share the ledger."""
    return None if settings.ledger.url is None else settings.ledger.host or os.uname().nodename


def _loaded(config: str | None) -> "Settings":
    """The configuration; from now on its secrets are kept out of all that is said."""
    from layerwatch import redact
    from layerwatch.config import load

    settings = load(config, require_token=True)
    actions = [action for folder in settings.folders for action in (folder.on_uploaded, folder.on_complete) if action]
    for secret in (settings.token(), settings.http.token(), *(action.secret() for action in actions)):
        if secret:
            redact.register(secret.get_secret_value())
    return settings


def _tell_findings(settings: "Settings", tell: "Tell") -> None:
    from layerwatch.checkup import Level, at_start
    from layerwatch.notices import Notice

    for finding in at_start(settings):
        level = logging.ERROR if finding.level is Level.PROBLEM else logging.WARNING
        tell(Notice("check", f"{finding.detail}; {finding.do}", level, {"what": finding.what}))
