"""The daemons that share a ledger, as `layerwatch status` shows them."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import Page, clock, span, until
from layerwatch.notices import name_text

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.hosts import HostRow


def document(now: Situation) -> list[dict[str, Any]]:
    """For a script; empty where the ledger is not one that is shared."""
    return [asdict(host) | {"alive": host.alive} for host in now.hosts]


def lines(out: Page, now: Situation) -> Iterator[str]:
    """For people. The dead are told of until they are forgotten: others have taken over what they had in hand."""
    if not now.hosts:
        return
    yield ""
    yield out.paint("hosts", bold=True)
    widest = max(len(host.name) for host in now.hosts)
    for host in now.hosts:
        state = out.paint("alive", "green") if host.alive else out.paint("dead ", "red")
        yield f"  {host.name:{widest}}  {state}  {_heard(out, host)}, {_about(host)}"
        yield f"  {'':{widest}}  watches {name_text(', '.join(host.watches)) or 'no folder'}"
    yield ""


def hold(out: Page, now: Situation) -> Iterator[str]:
    """What one of them was told by the API, for which all wait."""
    if held := now.hold:
        when, host = f"{clock(held['until'])}, {until(held['until'])}", name_text(held["host"])
        waits = out.paint("everything waits", "yellow")
        yield f"hold      {waits} until {when}: {host} was told: {name_text(str(held['message']))}"


def _heard(out: Page, host: "HostRow") -> str:
    heard = f"heard of {span(host.silent_s)} ago"
    return heard if host.alive else out.paint(heard, "red")


def _about(host: "HostRow") -> str:
    return f"version {name_text(host.version)}, process {host.pid}, {host.uploading} uploading"
