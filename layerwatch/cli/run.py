"""`layerwatch run`: the daemon in the foreground."""

import logging
import sys

import click

from layerwatch.cli import options


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

    A second signal ends it at once. Nothing is lost either way: the next start goes on where this one was.
    """
    from layerwatch import redact
    from layerwatch.board import Board
    from layerwatch.checkup import Level, at_start
    from layerwatch.cli.screen import screen
    from layerwatch.config import load
    from layerwatch.daemon import Daemon
    from layerwatch.notices import Notice

    settings = load(config, require_token=True)
    redact.register(settings.token().get_secret_value())
    for folder in settings.folders:
        for action in (folder.on_uploaded, folder.on_complete):
            if action and (secret := action.secret()):
                redact.register(secret.get_secret_value())
    board = Board()
    with screen(board, log, verbose=verbose, ledger=settings.ledger.path) as shown:
        for finding in at_start(settings):
            level = logging.ERROR if finding.level is Level.PROBLEM else logging.WARNING
            shown.tell(Notice("check", f"{finding.detail}; {finding.do}", level, {"what": finding.what}))
        ended = Daemon(settings, once=once, tell=shown.tell, board=board).run()
    shown.summary(ended)
    if as_json:
        import json

        click.echo(json.dumps(shown.tally(ended)))
    sys.exit(1 if once and (ended.failed or ended.left) else 0)
