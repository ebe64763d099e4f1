"""`layerwatch ls`: the ledger's rows, the latest change first."""

import click

from layerwatch.cli import options
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, GAP, Page, clock, columns, emit, page
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import FileRow
from layerwatch.notices import name_text, size_text
from layerwatch.states import File

ON_A_TERMINAL = 50
HEAD = ("id", "status", "file", "size", "when", "file_id, error")


@click.command("ls")
@options.config
@options.as_json
@click.option("--status", type=click.Choice([str(status) for status in File]), help="Only files with this status.")
@click.option("--folder", metavar="NAME", help="Only files of this folder.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"At most so many rows; 0: all [default: {ON_A_TERMINAL} on a terminal, else all].",
)
def command(config: str | None, as_json: bool, status: str | None, folder: str | None, limit: int | None) -> None:
    """List the ledger: one row per version of a file, the latest change first."""
    from layerwatch.cli.situation import situation

    out = page()
    if limit is None and out.width is not None and not as_json:
        limit = ON_A_TERMINAL
    with situation(config) as now:
        if folder is not None:
            insist_on_folder(now, folder)
        # One row more than wanted tells whether that was all.
        rows = now.ledger.reports.files(status=status, folder=folder, limit=limit + 1 if limit else None)
        shown = rows[: limit or None]
        if as_json:
            emit({"files": [row.as_dict() for row in shown]})
        else:
            for line in table(out, now, shown):
                out.say(line)
    if len(rows) > len(shown):
        click.echo(f"only the latest {len(shown)} are shown; --limit 0 shows all", err=True)
    if not rows:
        click.echo("no files" if status or folder else "no files yet", err=True)


def insist_on_folder(now: Situation, name: str) -> None:
    known = sorted({*(folder.name for folder in now.settings.folders), *now.facts})
    if name not in known and not now.ledger.reports.knows_files_of(name):
        fix = f"give one of: {', '.join(known)}"
        raise UserError(Problem(f"--folder {name_text(name)}", "there is no such folder", fix))


def table(out: Page, now: Situation, rows: list[FileRow]) -> list[str]:
    """The rows as lines that fit the page; a page that is no terminal gets no head, for `cut` and `awk`."""
    if not rows:
        return []
    head = [] if out.width is None else [HEAD]
    cells = columns(out, [*head, *(_cells(now, row) for row in rows)], shares={2: 2, 5: 1}, right=(0, 3), clipped=(5,))
    lines = [GAP.join(line) for line in cells[: len(head)]]
    for row, line in zip(rows, cells[len(head) :], strict=True):
        line[1] = out.paint(line[1], COLOURS.get(row.status))
        lines.append(GAP.join(line).rstrip())
    return lines


def _cells(now: Situation, row: FileRow) -> tuple[str, ...]:
    note = row.file_id or (f"{row.error_code}: {row.error}" if row.error_code else "")
    name = now.name(row.path, row.folder)
    return str(row.id), row.status, name, size_text(row.size), clock(row.updated_at), name_text(note)
