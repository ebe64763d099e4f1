"""`layerwatch check`: could layerwatch work here, and if not, what is to be done? Changes nothing."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from layerwatch.cli import options
from layerwatch.cli.tables import Page, emit, page
from layerwatch.notices import name_text

if TYPE_CHECKING:
    from layerwatch.checkup import Finding
    from layerwatch.config import Settings
    from layerwatch.errors import UserError

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_INDENT = 11  # of what belongs to a finding


@click.command("check")
@options.config
@options.as_json
@click.option("--offline", is_flag=True, help="Ask Layer nothing.")
@click.pass_context
def command(ctx: click.Context, config: str | None, as_json: bool, offline: bool) -> None:
    """Could layerwatch work here? Configuration, token, folders, inotify limits, ledger, clock, rules.

    Changes nothing, and may be run beside a daemon; run it as the same user. Exit code 0 if all is well, or nearly
    (warnings); 1 if there is a problem; 2 if the configuration is at fault; 4 if Layer refuses the credentials.
    """
    from layerwatch.checkup import check, exit_code
    from layerwatch.config import load
    from layerwatch.errors import UserError

    try:
        settings = load(config, require_token=False)
    except UserError as error:
        if as_json:
            emit(_broken(error))
            ctx.exit(error.exit_code)
        raise
    findings = check(settings, time.time, time.monotonic, offline=offline)
    if as_json:
        found = list(findings)
        emit(_about(settings) | document(found, exit_code(found)))
    else:
        found = list(_told(page(), findings))
    ctx.exit(exit_code(found))


# --- for scripts ------------------------------------------------------------------------------------------------------


def document(found: "list[Finding]", code: int) -> dict[str, Any]:
    """All of it, for a script."""
    rows = [{key: value for key, value in asdict(each).items() if key != "code"} for each in found]
    counts = {level: sum(each.level == level for each in found) for level in _COLOURS}
    return {"ok": code == 0, "exit_code": code, "counts": counts, "findings": rows}


def _about(settings: "Settings") -> dict[str, Any]:
    from layerwatch.errors import UserError
    from layerwatch.ledger import holder

    about = {"config": settings.path, "ledger": settings.ledger.shown}
    try:
        pid = holder(settings.ledger.place)
    except UserError:  # a server that cannot be asked, which was found
        return about | {"daemon": {"running": None, "pid": None}}
    return about | {"daemon": {"running": pid is not None, "pid": pid}}


def _broken(error: "UserError") -> dict[str, Any]:
    """With a configuration that says nothing certain, nothing else can be looked at."""
    from layerwatch.checkup import About, Area

    found = list(About(Area.CONFIGURATION).told("file", error.problems, code=error.exit_code))
    nothing = {"config": None, "ledger": None, "daemon": {"running": None, "pid": None}}
    return nothing | document(found, error.exit_code)


# --- for people -------------------------------------------------------------------------------------------------------


def _told(out: Page, findings: "Iterator[Finding]") -> "Iterator[Finding]":
    """Each is said as soon as it is found: some take seconds."""
    counts, title = dict.fromkeys(_COLOURS, 0), ""
    for finding in findings:
        counts[finding.level] += 1
        before, title = title, f"{finding.area} {finding.folder or ''}".strip()
        if title != before:
            out.say(out.paint(name_text(title), bold=True))
        for line in _lines(out, finding):
            out.say(line)
        yield finding
    out.say("")
    out.say(_sum(counts))


def _lines(out: Page, finding: "Finding") -> Iterator[str]:
    level = out.paint(f"{finding.level:7}", _COLOURS[finding.level])
    head, *rest = _folded(out, f"{finding.what}: {finding.detail}")
    yield f"  {level}  {head}"
    do = _folded(out, f"do: {finding.do}") if finding.do else []
    yield from (f"{'':{_INDENT}}{line}" for line in (*rest, *do))


def _folded(out: Page, text: str) -> list[str]:
    """As many lines as it takes: what is cut off cannot be done."""
    from textwrap import wrap

    text = name_text(text)
    if out.width is None:
        return [text]
    return wrap(text, max(out.width - _INDENT, 20), break_on_hyphens=False) or [""]


def _sum(counts: dict[str, int]) -> str:
    said = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in ("problem", "warning")]
    told = [text for text, level in zip(said, ("problem", "warning"), strict=True) if counts[level]]
    return ", ".join(told) if counts["problem"] else ("all is well" + (f" but for {told[0]}" if told else ""))
