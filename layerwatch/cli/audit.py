"""`layerwatch audit`: the ledger held against the disk. Reads only, and changes nothing."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import click

from layerwatch.advice import advice, generation_advice
from layerwatch.cli import options, suggestions
from layerwatch.cli.generations import label
from layerwatch.cli.ls import insist_on_folder
from layerwatch.cli.paging import paged
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page
from layerwatch.notices import name_text
from layerwatch.redact import redact
from layerwatch.states import File, Generation

if TYPE_CHECKING:
    from layerwatch.audit import Audit, Checked, Finding

MOST = 20  # examples of each kind
_TITLES = {
    "missing": "no longer in their folder",
    "changed": "not the version that the ledger knows",
    "unknown": "in a folder, and not in the ledger",
    "corrupt_on_disk": "same size and time, other content than when they were recorded",
    "unreadable": "could not be looked at",
    "stuck": "do not move on",
    "failed": "given up",
    "unconfirmed": "uploaded, with no checksum confirmed by the server",
    "unresolved": "may have been started, and paid",
    "paid_without_result": "paid for, and nothing came of it",
    "result_missing": "results that are no longer where they were saved",
    "result_changed": "results that are not what was saved",
    "input_missing": "inputs of what still waits for others",
}


@click.command("audit")
@options.config
@options.as_json
@click.option("--folder", metavar="NAME", shell_complete=suggestions.folders, help="Only this folder.")
@click.option(
    "--rehash",
    is_flag=True,
    help="Also read every file, and every result, again, and compare its hash with the ledger's.",
)
@click.pass_context
def command(ctx: click.Context, config: str | None, as_json: bool, folder: str | None, rehash: bool) -> None:
    """Hold the ledger against the disk: what is missing, changed, unknown, stuck, failed or unconfirmed? What was paid
    for, and is not here?

    Changes nothing. A folder that is away is said to be so, and none of its files is called missing. While a daemon
    runs, what has lain still for less than a minute, and what it says it waits for, is left to it. Exit code 0 if
    nothing is wrong, 1 if something is, or a folder could not be looked at.
    """
    from layerwatch.audit import Audit, Moment
    from layerwatch.cli.situation import situation

    with situation(config) as now:
        if folder is not None:
            insist_on_folder(now, folder)
        moment = Moment(time.time(), now.pid is not None, now.hold is not None)
        audit = Audit(now.ledger, now.settings.folders, moment, only=folder, rehash=rehash)
        with paged() as out:
            found = _emit(now, audit) if as_json else _tell(out, now, audit)
        ctx.exit(1 if found or any(_is_lost(checked) for checked in audit.checked) else 0)


def _is_lost(checked: "Checked") -> bool:
    return checked.state in ("away", "unreadable")


def what_to_do(now: Situation, finding: "Finding") -> str:
    """One sentence for a person."""
    runs = now.pid is not None
    if finding.generation is not None:
        return _about_generation(now, finding)
    match str(finding.kind):
        case "missing" | "failed" if finding.gone and finding.status != File.UPLOADED:
            return "put them back, for Layer never got them; if they are not wanted, there is nothing to do"
        case "missing":
            return "nothing, if somebody took them away: Layer has them; else put them back"
        case "changed" | "unknown" if runs:
            return "ask `layerwatch show PATH` why; the next scan takes them, at latest after the folder's `rescan`"
        case "changed" | "unknown":
            return "start `layerwatch run`: it takes them"
        case "corrupt_on_disk":
            return "check the disk; restore them from a backup, or touch them if this is the content that is wanted"
        case "unreadable":
            return "let your user, and layerwatch's, read them"
        case "stuck":
            return _about_stuck(now, finding)
        case "failed":
            return advice(finding.error_code)
    return "nothing, or copy them there again to have them sent anew; compare what Layer has, if it matters"


def _about_generation(now: Situation, finding: "Finding") -> str:
    match str(finding.kind):
        case "stuck":
            return _about_stuck(now, finding)
        case "unresolved" | "failed":
            return generation_advice(finding.error_code, finding.status or "")
        case "result_missing":
            return (
                "nothing, if somebody took them away; else get them from Layer's own app: `layerwatch show` has the id"
            )
        case "result_changed":
            return "nothing, if somebody worked on them; else check the disk, and get them from Layer's own app"
        case "input_missing":
            return "nothing, if they are to be fired all the same, for Layer has them; else put them back"
        case _ if finding.status == Generation.COMPLETE:
            return "look in Layer what became of them, and ask Layer for the Creative Units"
    return generation_advice(finding.error_code, finding.status or "")


def _about_stuck(now: Situation, finding: "Finding") -> str:
    if finding.generation is None and now.folder(finding.folder) is None:
        return "add their folder to the configuration again: it is no longer there"
    if finding.status == Generation.SUBMITTING and now.pid is None:
        return "start `layerwatch run`: it calls them unknown, and `layerwatch resolve` settles them"
    if now.pid is None:
        return "start `layerwatch run`: it goes on where they were interrupted"
    return "see `layerwatch status`, then restart `layerwatch run`: it goes on where they are"


# --- for scripts ------------------------------------------------------------------------------------------------------


def _emit(now: Situation, audit: "Audit") -> int:
    """One document, written while it is found: there may be a million of them. ASCII only, as all documents are."""
    from layerwatch.audit import Kind

    counts = Counter[str]()
    click.echo('{"findings": [', nl=False)
    for finding in audit.findings():
        values = {name: getattr(finding, name) for name in finding.__slots__}  # `asdict` would copy each of them
        text = json.dumps(values | {"do": what_to_do(now, finding)})
        click.echo((", " if counts.total() else "") + redact(text), nl=False)
        counts[finding.kind] += 1
    rest = {"counts": {str(kind): counts[kind] for kind in Kind}, "folders": [asdict(it) for it in audit.checked]}
    click.echo(f"], {redact(json.dumps(rest)[1:])}")
    return counts.total()


# --- for people -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    """Findings of one kind about which the same is to be done."""

    number: int = 0
    examples: list["Finding"] = field(default_factory=list)


def _tell(out: Page, now: Situation, audit: "Audit") -> int:
    from layerwatch.audit import Kind

    counts, groups = Counter[str](), dict[tuple[str, str], _Group]()
    for finding in audit.findings():
        counts[finding.kind] += 1
        group = groups.setdefault((finding.kind, what_to_do(now, finding)), _Group())
        group.number += 1
        if len(group.examples) < MOST:
            group.examples.append(finding)
    for line in _folders(out, audit.checked):
        out.say(line)
    for kind in Kind:
        if counts[kind]:
            title = out.paint(f"{kind}: {counts[kind]}", bold=True)
            out.say(f"\n{title}, {_TITLES[kind]}")
        for (of, do), group in groups.items():
            for line in _group(out, now, do, group) if of == kind else ():
                out.say(line)
    out.say("")
    out.say(_sum(counts.total(), audit.checked))
    return counts.total()


def _folders(out: Page, folders: list["Checked"]) -> Iterator[str]:
    widest = max((len(folder.name) for folder in folders), default=0)
    for folder in folders:
        about = name_text(folder.detail)
        if folder.state == "there":
            about = f"files {folder.files}, refused {folder.refused}, not taken yet {folder.waiting}"
        elif _is_lost(folder):
            about += "; its files were not looked at"
        state = out.paint(folder.state, COLOURS.get(folder.state))
        yield f"{folder.name:{widest}}  {state}  {about}"


def _group(out: Page, now: Situation, do: str, group: _Group) -> Iterator[str]:
    for finding in group.examples:
        about = name_text(finding.detail) + (f", file {finding.file}" if finding.file is not None else "")
        about += f", {label(finding.generation)}" if finding.generation is not None else ""
        yield f"  {out.fit(now.name(finding.path, finding.folder), len(about) + 4)}  {about}"
    if group.number > len(group.examples):
        yield f"  and {group.number - len(group.examples)} more; --json lists all"
    yield f"    do: {do}"


def _sum(number: int, folders: list["Checked"]) -> str:
    lost = [folder.name for folder in folders if _is_lost(folder)]
    beside = f"; not looked at: {', '.join(lost)}" if lost else ""
    if number:
        return f"{number} {'finding' if number == 1 else 'findings'}{beside}"
    return f"nothing is wrong in what was looked at{beside}" if lost else "nothing is wrong"
