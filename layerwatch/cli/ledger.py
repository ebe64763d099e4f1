"""`layerwatch ledger`: what is done with a ledger as a whole."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from layerwatch.cli import options, suggestions

if TYPE_CHECKING:
    from layerwatch.ledger.transfer import Copied


@click.group("ledger")
def command() -> None:
    """What is done with a ledger as a whole."""


@command.command("migrate")
@options.config
@options.as_json
@click.option(
    "--to", "target", required=True, metavar="URL|PATH", shell_complete=suggestions.paths, help="Where it is to be."
)
@click.option(
    "--from",
    "source",
    metavar="URL|PATH",
    shell_complete=suggestions.paths,
    help="Where it is [default: as the configuration has it].",
)
def migrate(config: str | None, as_json: bool, target: str, source: str | None) -> None:
    """Copy the ledger from a file to a PostgreSQL server, or back, and compare both row by row.

    No daemon may work on either meanwhile. The target has to be empty, and the source stays as it is: [ledger] url or
    path then says which of them counts. Best without a password in the URL: it comes from ~/.pgpass as well.

    Files keep their names, whatever [ledger.paths] says: move the ledger of the host whose paths all shall go by.
    """
    from layerwatch.cli.tables import emit
    from layerwatch.config import load
    from layerwatch.ledger.migrating import migrate

    place_to = _place(target, "--to")
    place_from = load(config, require_token=False).ledger.place if source is None else _place(source, "--from")
    copied = migrate(place_from, place_to)
    about = {"from": _shown(place_from), "to": _shown(place_to)}
    if as_json:
        emit({**about, "tables": [asdict(each) for each in copied]})
        return
    _tell(about, copied)


def _place(text: str, option: str) -> str:
    """As the ledger takes it; a password in it is not said from now on."""
    from layerwatch.config.addresses import database
    from layerwatch.config.faults import Fault
    from layerwatch.config.loading import keep_out

    if "://" not in text:
        return os.path.abspath(os.path.expanduser(text))
    try:
        database(text)
    except Fault as fault:
        raise click.BadParameter(f"{fault.reason}: {fault.fix}", param_hint=option) from None
    keep_out(text)
    return text


def _shown(place: str) -> str:
    from layerwatch.config.addresses import without_password
    from layerwatch.ledger.store import is_url

    return without_password(place) if is_url(place) else place


def _tell(about: dict[str, str], copied: "list[Copied]") -> None:
    from layerwatch.cli.tables import columns, page
    from layerwatch.notices import name_text

    out = page()
    rows = [["table", "rows", "SHA-256, the same on both sides"]]
    rows += [[each.table, str(each.rows), each.sha256] for each in copied]
    for row in columns(out, rows, right=(1,), shares={2: 1}, clipped=(2,)):
        out.say("  ".join(row).rstrip())
    out.say("")
    out.say(name_text(f"copied from {about['from']}, which is as it was, to {about['to']}"))
    out.say("now let [ledger] url or path say so in the configuration of every host, and start layerwatch again")
