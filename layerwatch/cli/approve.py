"""`layerwatch approve`: what the budget holds back goes ahead, because a person says so."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from layerwatch.cli import options, suggestions
from layerwatch.cli.generations import by_reason, estimated, estimated_text, label, numbers, told
from layerwatch.cli.ls import insist_on_folder
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, emit, page
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import GenerationRow
from layerwatch.notices import name_text
from layerwatch.states import Generation

BATCH = 500  # rows in one commit


@dataclass(frozen=True, slots=True)
class Left:
    """One that was named and is not blocked; `row` is None where there is no such generation."""

    id: int
    row: GenerationRow | None

    @property
    def reason(self) -> str:
        return f"it is not blocked but {self.row.status}" if self.row else "there is no such generation"

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "status": self.row and self.row.status, "reason": self.reason}


@click.command("approve")
@options.config
@options.as_json
@click.argument(
    "generations", nargs=-1, callback=numbers, metavar="[GENERATION]...", shell_complete=suggestions.blocked
)
@click.option("--folder", metavar="NAME", shell_complete=suggestions.folders, help="Only those of this folder.")
@click.option("--rule", metavar="NAME", help="Only those of the rules of this name.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    as_json: bool,
    generations: tuple[int, ...],
    folder: str | None,
    rule: str | None,
    yes: bool,
) -> None:
    """Let blocked generations go ahead, whatever the budget says: all of them, or those named (g17 or 17).

    Without names it tells how many they are and what they would cost, and on a terminal it asks. A daemon that runs
    fires them within seconds, else the next `layerwatch run` does. Exit code 2 if one that was named is not blocked, 1
    if the answer was no.
    """
    from layerwatch.cli.situation import situation

    if generations and (folder is not None or rule is not None):
        raise click.UsageError("Name generations, or narrow all down with --folder and --rule, not both.")
    out = page(err=as_json)
    with situation(config) as now:
        blocked, left = _named(now, generations) if generations else (_all(now, folder, rule), [])
        if blocked and not generations and not _agreed(out, blocked, yes=yes):
            out.say("nothing is approved")
            ctx.exit(1)
        approved = _approve(now, blocked)
        # Somebody else, or the next day, may have come first.
        left += [Left(row.id, now.ledger.stories.one(row.id)) for row in blocked if row not in approved and generations]
        if as_json:
            emit(_document(approved, left))
        else:
            for line in _lines(out, now, approved, left, one_by_one=bool(generations)):
                out.say(line)
    ctx.exit(2 if left else 0)


# --- which ------------------------------------------------------------------------------------------------------------


def _named(now: Situation, ids: tuple[int, ...]) -> tuple[list[GenerationRow], list[Left]]:
    blocked, left = [], []
    for id_ in dict.fromkeys(ids):
        row = now.ledger.stories.one(id_)
        if row and row.status == Generation.BLOCKED:
            blocked.append(row)
        else:
            left.append(Left(id_, row))
    return blocked, left


def _all(now: Situation, folder: str | None, rule: str | None) -> list[GenerationRow]:
    if folder is not None:
        insist_on_folder(now, folder)
    rows = sorted(now.ledger.stories.some(status=Generation.BLOCKED, folder=folder), key=lambda row: row.id)
    if rule is None:
        return rows
    _insist_on_rule(now, rule, rows)
    return [row for row in rows if row.rule == rule]


def _insist_on_rule(now: Situation, name: str, blocked: list[GenerationRow]) -> None:
    configured = {rule.name for folder in now.settings.folders for rule in folder.rules}
    known = sorted(configured | {row.rule for row in blocked})
    if name not in known:
        fix = f"give one of: {', '.join(known)}" if known else "no rule is configured"
        raise UserError(Problem(f"--rule {name_text(name)}", "there is no such rule", fix))


def _approve(now: Situation, blocked: list[GenerationRow]) -> list[GenerationRow]:
    done: set[int] = set()
    for start in range(0, len(blocked), BATCH):
        ids = [row.id for row in blocked[start : start + BATCH]]
        done.update(now.ledger.firing.approve(ids, time.time()))
    return [row for row in blocked if row.id in done]


# --- for people -------------------------------------------------------------------------------------------------------


def _agreed(out: Page, blocked: list[GenerationRow], *, yes: bool) -> bool:
    out.say(f"{len(blocked)} blocked, {estimated_text(blocked)}")
    for code, rows in by_reason(blocked).items():
        out.say(f"  {code}: {len(rows)}, {estimated_text(rows)}")
    if yes or not sys.stdin.isatty():
        return True
    return click.confirm("Let them go ahead?", err=out.err)


def _lines(
    out: Page, now: Situation, approved: list[GenerationRow], left: list[Left], *, one_by_one: bool
) -> Iterator[str]:
    if not approved and not left:
        yield "nothing is blocked"
        return
    if one_by_one:
        word = out.paint("approved", COLOURS["queued"])
        yield from (f"{told(now, row)}: {word}, {estimated_text([row])}" for row in approved)
    else:
        yield out.paint(f"{len(approved)} approved", COLOURS["queued"])
    for each in left:
        name = told(now, each.row) if each.row else label(each.id)
        yield f"{name}: {out.paint('not approved', COLOURS['failed'])}: {each.reason}"
    if approved:
        when = "the next `layerwatch run` fires them" if now.pid is None else "the daemon fires them within seconds"
        yield when


def _document(approved: list[GenerationRow], left: list[Left]) -> dict[str, Any]:
    return {
        "approved": [row.id for row in approved],
        "estimated_price": estimated(approved)[0],
        "left": [each.as_dict() for each in left],
    }
