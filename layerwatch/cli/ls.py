"""`layerwatch ls`: the ledger's rows, the latest change first."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from layerwatch.cli import options, suggestions
from layerwatch.cli.generations import label, row_document, units
from layerwatch.cli.paging import paged
from layerwatch.cli.sheets import sheet
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, GAP, Page, clock, columns, emit
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import FileRow, GenerationRow
from layerwatch.notices import name_text, size_text
from layerwatch.states import File, Generation

ON_A_TERMINAL = 50
HEAD = ("id", "status", "file", "size", "when", "file_id, error")
STATUSES = list(dict.fromkeys(map(str, (*File, *Generation))))
_NAMES = {"files": FileRow.__slots__, "generations": GenerationRow.__slots__}
GENERATIONS_HEAD = ("id", "status", "rule", "file", "units", "when", "remote id, error")


@click.command("ls")
@options.config
@options.as_json
@click.option("--generations", is_flag=True, help="Generations instead of files.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those with this status.")
@click.option("--folder", metavar="NAME", shell_complete=suggestions.folders, help="Only those of this folder.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"At most so many rows; 0: all [default: {ON_A_TERMINAL} on a terminal, else all].",
)
@click.option("--csv", "as_csv", is_flag=True, help="All columns as comma-separated values, for a spreadsheet.")
def command(
    config: str | None,
    as_json: bool,
    generations: bool,
    status: str | None,
    folder: str | None,
    limit: int | None,
    as_csv: bool,
) -> None:
    """List the ledger: one row per version of a file, or per generation, the latest change first.

    What is longer than the screen goes through $LAYERWATCH_PAGER, $PAGER or less; PAGER=cat turns that off.
    """
    from layerwatch.cli.situation import situation

    if as_json and as_csv:
        raise click.UsageError("Give --json or --csv, not both.")
    what = "generations" if generations else "files"
    _insist_on_status(status, Generation if generations else File, what)
    if limit is None and sys.stdout.isatty() and not (as_json or as_csv):
        limit = ON_A_TERMINAL
    with situation(config) as now:
        if folder is not None:
            insist_on_folder(now, folder)
        rows = _rows(now, status, folder, limit, generations=generations)
        shown = rows[: limit or None]
        if as_json:
            emit({what: [_document(row) for row in shown]})
        elif as_csv:
            sheet(_NAMES[what], (_document(row).values() for row in shown))
        else:
            with paged() as out:
                for line in table(out, now, shown):
                    out.say(line)
    if len(rows) > len(shown):
        click.echo(f"only the latest {len(shown)} are shown; --limit 0 shows all", err=True)
    if not rows:
        click.echo(f"no {what}" if status or folder else f"no {what} yet", err=True)


def _rows(
    now: Situation, status: str | None, folder: str | None, limit: int | None, *, generations: bool
) -> Sequence[FileRow | GenerationRow]:
    """What was asked for, and one row more where there are more: it tells that."""
    most = limit + 1 if limit else None
    if generations:
        return now.ledger.stories.some(status=status, folder=folder, limit=most)
    return now.ledger.reports.files(status=status, folder=folder, limit=most)


def _insist_on_status(status: str | None, of: type[File] | type[Generation], what: str) -> None:
    if status is not None and status not in list(map(str, of)):
        raise click.UsageError(f"{what} are never {status}; --status is one of: {', '.join(of)}")


def insist_on_folder(now: Situation, name: str) -> None:
    known = sorted({*(folder.name for folder in now.settings.folders), *now.facts})
    if name not in known and not now.ledger.reports.knows_files_of(name):
        fix = f"give one of: {', '.join(known)}"
        raise UserError(Problem(f"--folder {name_text(name)}", "there is no such folder", fix))


def table(out: Page, now: Situation, rows: Sequence[FileRow | GenerationRow]) -> list[str]:
    """The rows as lines that fit the page; a page that is no terminal gets no head, for `cut` and `awk`."""
    if not rows:
        return []
    of_files = isinstance(rows[0], FileRow)
    head = [] if out.width is None else [HEAD if of_files else GENERATIONS_HEAD]
    cells = columns(
        out,
        [*head, *(_cells(now, row) for row in rows)],
        shares={2: 2, 5: 1} if of_files else {2: 1, 3: 2, 6: 1},
        right=(0, 3) if of_files else (0, 4),
        clipped=(5, 6),
    )
    lines = [GAP.join(line) for line in cells[: len(head)]]
    for row, line in zip(rows, cells[len(head) :], strict=True):
        line[1] = out.paint(line[1], COLOURS.get(row.status))
        lines.append(GAP.join(line).rstrip())
    return lines


def _cells(now: Situation, row: FileRow | GenerationRow) -> tuple[str, ...]:
    error = f"{row.error_code}: {row.error}" if row.error_code else ""
    name, when = now.name(row.path, row.folder), clock(row.updated_at)
    if isinstance(row, FileRow):
        return str(row.id), row.status, name, size_text(row.size), when, name_text(row.file_id or error)
    price = next((each for each in (row.price, row.booked, row.estimated_price) if each is not None), None)
    note = name_text(error or row.remote_id or "")
    return label(row.id), row.status, row.rule, name, "" if price is None else units(price), when, note


def _document(row: FileRow | GenerationRow) -> dict[str, Any]:
    return row.as_dict() if isinstance(row, FileRow) else row_document(row)
