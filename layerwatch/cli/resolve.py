"""`layerwatch resolve`: a person settles a generation that may have been started. Nothing else ever does."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from layerwatch.cli import options, suggestions
from layerwatch.cli.generations import estimated_text, label, next_of, number, public, row_document, time_limit_s, told
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, ago, clock, emit, page
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import GenerationRow
from layerwatch.notices import name_text
from layerwatch.states import Generation

# What Layer's ids are made of: it becomes a part of an address, and nothing in it may lead elsewhere.
_REMOTE_ID = re.compile(r"(?!\.+$)[\w.:~-]{1,200}", re.ASCII)
_INSTEAD = {
    Generation.BLOCKED: "let it go ahead with `layerwatch approve {name}`",
    Generation.FAILED: "fire it again, or look for its results again, with `layerwatch retry {name}`",
    Generation.CANCELLED: "fire it again with `layerwatch retry {name}`",
}


def _remote_id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _REMOTE_ID.fullmatch(value):
        raise click.BadParameter(f"{name_text(value)!r} is no id: copy it from Layer", ctx, param)
    return value


@click.command("resolve")
@options.config
@options.as_json
@click.argument("generation", callback=number, shell_complete=suggestions.unknown)
@click.option("--refire", is_flag=True, help="It was not started: fire it.")
@click.option("--adopt", metavar="REMOTE_ID", callback=_remote_id, help="It was started, under this id: follow it.")
@click.option("--drop", is_flag=True, help="Never mind: no result, and what it may have cost stays in the books.")
@click.option("--reason", metavar="TEXT", default="", help="Why; goes into its history.")
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    as_json: bool,
    generation: int,
    refire: bool,
    adopt: str | None,
    drop: bool,
    reason: str,
) -> None:
    """Settle a generation that is unknown: its request may have reached Layer, and the answer never came.

    Without --refire, --adopt or --drop it tells what is known, to find out in Layer whether it was started, and
    changes nothing. A daemon that runs goes on with it within seconds, else the next `layerwatch run` does. Exit code 2
    if nothing was settled.
    """
    from layerwatch.cli.situation import situation

    if refire + drop + (adopt is not None) > 1:
        raise click.UsageError("Give one of --refire, --adopt and --drop.")
    with situation(config) as now:
        row = _unknown(now, generation)
        if not (refire or drop or adopt):
            _undecided(now, row, as_json=as_json)
            ctx.exit(2)
        if not _settle(now, row, adopt, name_text(reason), refire=refire):
            row = _unknown(now, generation)
        after = now.ledger.stories.one(row.id) or row
        if as_json:
            emit({"generation": row_document(after)})
        else:
            out = page()
            status = out.paint(after.status, COLOURS[after.status])
            out.say(f"{told(now, after)}: {status}; next: {next_of(now, after)}")


def _unknown(now: Situation, id_: int) -> GenerationRow:
    row = now.ledger.stories.one(id_)
    name = label(id_)
    if row is None:
        raise UserError(Problem(name, "there is no such generation", "see `layerwatch ls --generations`"))
    if row.status != Generation.UNKNOWN:
        instead = _INSTEAD.get(Generation(row.status), "see `layerwatch show {name}`").format(name=name)
        raise UserError(Problem(name, f"it is not unknown but {row.status}: there is nothing to settle", instead))
    return row


def _settle(now: Situation, row: GenerationRow, remote_id: str | None, reason: str, *, refire: bool) -> bool:
    at, firing = time.time(), now.ledger.firing
    if remote_id is not None:
        _insist_on_new(now, row, remote_id)
        return firing.adopt(row.id, remote_id, at, reason, at + time_limit_s(now, row))
    return firing.refire(row.id, at, reason) if refire else firing.drop(row.id, at, reason)


def _insist_on_new(now: Situation, row: GenerationRow, remote_id: str) -> None:
    """Two that are followed under one id would bring its results twice, and one of them be lost for good."""
    other = next((each for each in now.ledger.stories.some() if each.remote_id == remote_id), None)
    if other is not None and other.id != row.id:
        fix = "look for the session name that `layerwatch resolve` tells without --adopt"
        raise UserError(Problem(f"--adopt {remote_id}", f"that is {told(now, other)}, already", fix))


# --- for who has to decide --------------------------------------------------------------------------------------------


def _undecided(now: Situation, row: GenerationRow, *, as_json: bool) -> None:
    request = public(now.ledger.stories.request(row.id) or {})
    inputs = now.ledger.stories.inputs(row.id)
    choices = {
        f"layerwatch resolve {label(row.id)} --adopt ID": "it is there: follow it under its id",
        f"layerwatch resolve {label(row.id)} --refire": "it is not there: fire it",
        f"layerwatch resolve {label(row.id)} --drop": "never mind: no result, and it stays booked",
    }
    if as_json:
        known = {"session_name": _session(request), "request": request, "sent_at": row.booked_at}
        roles = [{"role": each.role, "path": each.path, "file_id": each.file_id} for each in inputs]
        emit({"generation": row_document(row) | known | {"inputs": roles}, "choices": choices})
        return
    out = page()
    title = out.paint(f"{label(row.id)} may have been started, and paid", bold=True)
    out.say(f"{title}: Layer's answer never came")
    for line in _known(row):
        out.say(line)
    for each in inputs:
        out.say(f"  {each.role:8}  {now.name(each.path, row.folder)}")
    for line in _parts(out, request):
        out.say(line)
    where = f" by the session name {_session(request)}" if _session(request) else ""
    out.say(f"\nLook for it in Layer{name_text(where)}. Then one of:")
    for choice, what in choices.items():
        out.say(f"  {out.paint(choice, bold=True)}\n      {what}")


def _session(request: Mapping[str, Any]) -> str | None:
    found = request.get("session_name")
    return found if isinstance(found, str) else None


def _known(row: GenerationRow) -> Iterator[str]:
    if row.booked_at:
        yield f"  sent      {ago(row.booked_at)}, at {clock(row.booked_at)}"
    yield f"  why       {name_text(row.error_code or '')}: {name_text(row.error or '')}"
    yield f"  rule      {row.rule} of folder {row.folder}, {row.kind} {name_text(row.target or '')}".rstrip()
    yield f"  price     {estimated_text([row])}"


def _parts(out: Page, request: Mapping[str, Any]) -> Iterator[str]:
    """The request's own words, a line for each: by them it is known again."""
    flat = dict(request)
    for envelope in ("parameters", "inputs"):
        inner = flat.pop(envelope, None)
        flat |= inner if isinstance(inner, dict) else {} if inner is None else {envelope: inner}
    for at, (key, value) in enumerate(flat.items()):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        line = f"{name_text(key)} = {name_text(text)}"
        yield f"  {'request' if at == 0 else '':8}  {out.fit(line, 12)}"
