"""`layerwatch show`: the whole story of one file or one generation, or why there is none."""

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from layerwatch.cli import options, story, suggestions
from layerwatch.cli.ahead import rules_text, what_next, what_to_do
from layerwatch.cli.generations import label, named
from layerwatch.cli.paging import paged
from layerwatch.cli.pushing import loose
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, emit, page
from layerwatch.ledger import FileRow, GenerationRow
from layerwatch.notices import name_text, size_text

if TYPE_CHECKING:
    from layerwatch.cli.whynot import Answer


@click.command("show")
@options.config
@options.as_json
@click.argument("file", metavar="ID|PATH|gID", shell_complete=suggestions.items)
@click.pass_context
def command(ctx: click.Context, config: str | None, as_json: bool, file: str) -> None:
    """One file's whole story: its versions, what happened to them, what comes next. Where there is none: why.

    PATH may be relative, or begin with a folder's name, as `ls` shows it. A number is an ID, and g17 a generation;
    write ./7 or ./g17 for files called so. Exit code 1 where there is no such file or generation, or nothing explains
    why it is not in the ledger.
    """
    from layerwatch.cli.situation import situation

    with situation(config) as now:
        id_ = named(file)
        generation = None if id_ is None else now.ledger.stories.one(id_)
        if generation is not None:
            _generation(now, generation, as_json=as_json)
        else:
            ctx.exit(0 if _file(now, file, as_json=as_json) else 1)


def _generation(now: Situation, row: GenerationRow, *, as_json: bool) -> None:
    if as_json:
        asked = {"path": row.path, "folder": row.folder, "reason": None}
        emit({**asked, "files": [], "generations": [story.story(now, row)], "pushes": []})
    else:
        with paged() as out:
            story.tell(out, now, row)


def _file(now: Situation, file: str, *, as_json: bool) -> bool:
    """Tell its story, or why it has none; whether either is known."""
    from layerwatch.cli.whynot import places

    paths = places(now, file)
    rows = rows_of(now, file, paths)
    answer = None if rows else _why_not(now, file, paths)
    generations = story.of_file(now, rows[0].path, [row.id for row in rows]) if rows else []
    if as_json:
        of = answer or rows[0]
        asked = {"path": of.path, "folder": of.folder, "reason": answer and answer.reason}
        files, made = [_document(now, row) for row in rows], [story.brief(now, row) for row in generations]
        pushes = [asdict(push) for push in now.ledger.outstanding.pushes(of.path)]
        emit({**asked, "files": files, "generations": made, "pushes": pushes})
    elif answer is None:
        with paged() as out:
            _tell(out, now, rows)
            story.tell_briefly(out, now, generations)
    else:
        page().say(f"{name_text(answer.path)} is not in the ledger: {answer.reason}")
    return answer is None or answer.explained


def _why_not(now: Situation, file: str, paths: list[str]) -> "Answer":
    from layerwatch.cli.whynot import Answer, why_not

    if (id_ := story.made(now, paths)) is not None:
        row, name = now.ledger.stories.one(id_), label(id_)
        folder = row.folder if row else None
        return Answer(paths[-1], folder, f"it is a result of {name}: see `layerwatch show {name}`")
    answer = why_not(now, paths)
    if named(file) is not None and not answer.explained:
        return replace(answer, reason="there is no such generation, and no such file")
    return answer


def rows_of(now: Situation, given: str, paths: list[str]) -> list[FileRow]:
    """The rows that `given` means: one, by its id, or all versions at the first of these paths that has any."""
    if given.isdecimal() and (row := now.ledger.reports.file(min(int(given), 2**63 - 1))):
        return [row]
    return next(filter(None, (now.ledger.reports.versions(path) for path in paths)), [])


def _document(now: Situation, row: FileRow) -> dict[str, Any]:
    history = [{name: getattr(line, name) for name in line.__slots__} for line in now.ledger.reports.history(row.id)]
    rest = now.ledger.outstanding.of_file(row.id)
    beside = {
        "source": {"state": rest.aftermath, "detail": rest.aftermath_detail},
        "rules": rules_text(now, row),
        "actions": [asdict(action) for action in now.ledger.outstanding.actions("uploaded", row.id)],
    }
    return row.as_dict() | beside | {"history": history, "next": what_next(now, row), "do": what_to_do(row)}


# --- for people -------------------------------------------------------------------------------------------------------

_SOURCE = {"pending": "to be dealt with as the folder has it: ", "done": "", "left": ""}


def _tell(out: Page, now: Situation, rows: list[FileRow]) -> None:
    out.say(out.paint(name_text(rows[0].path), bold=True))
    if len(rows) > 1:
        out.say(f"{len(rows)} versions, the latest first")
    for row in rows:
        out.say()
        for line in (*_facts(out, now, row), *story.history(out, now.ledger.reports.history(row.id))):
            out.say(line)
        out.say(f"  next      {what_next(now, row)}")
        if do := what_to_do(row):
            out.say(f"  do        {do}")
    for line in filter(None, (_on_disk(now, rows), loose(now, rows[0].path))):
        out.say(f"\n{line}")


def _facts(out: Page, now: Situation, row: FileRow) -> Iterator[str]:
    kind = row.content_type or "type unknown"
    yield f"file {row.id}: {out.paint(row.status, COLOURS.get(row.status))}, {kind}, {size_text(row.size)}"
    if row.error_code:
        yield f"  error     {out.paint(row.error_code, 'red')}: {name_text(row.error or '')}"
    if row.file_id:
        yield f"  file_id   {name_text(row.file_id)}"
    if row.verified:
        yield f"  verified  {name_text(row.verified)}"
    if row.hash:
        yield f"  sha256    {row.hash}"
    yield f"  folder    {row.folder}" + ("" if now.root(row.folder) else ", which is no longer configured")
    rest = now.ledger.outstanding.of_file(row.id)
    if rest.aftermath:
        yield f"  source    {_SOURCE[rest.aftermath]}{name_text(rest.aftermath_detail or '')}".rstrip(": ")
    if rules := rules_text(now, row):
        yield f"  rules     {rules}"


def _on_disk(now: Situation, rows: list[FileRow]) -> str:
    """What lies there now need not be one of the versions that the ledger knows."""
    try:
        status = os.lstat(rows[0].path)
    except OSError as error:
        if any(now.ledger.outstanding.of_file(row.id).aftermath == "done" for row in rows):
            return ""  # it was said what became of it
        return f"on disk: {(error.strerror or str(error)).lower()}"
    if any((row.size, row.mtime_ns) == (status.st_size, status.st_mtime_ns) for row in rows):
        return ""
    return "on disk: changed since; the new version gets a row of its own once it holds still"
