"""`layerwatch retry`: failed files and generations back into the queue, and for all that was named what became of it.

What is fired again costs again: for each generation it says whether that is so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from layerwatch.cli import options, refiring, requeueing, suggestions
from layerwatch.cli.generations import label, named
from layerwatch.cli.ls import insist_on_folder
from layerwatch.cli.refiring import Refired
from layerwatch.cli.requeueing import Answer, Outcome
from layerwatch.cli.show import rows_of
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import Page, emit, page
from layerwatch.ledger import FileRow, GenerationRow
from layerwatch.states import File


@click.command("retry")
@options.config
@options.as_json
@click.argument("files", nargs=-1, metavar="[ID|PATH|gID]...", shell_complete=suggestions.failed)
@click.option("--all-failed", is_flag=True, help="All files and generations that have failed.")
@click.option(
    "--folder", metavar="NAME", shell_complete=suggestions.folders, help="With --all-failed: only those of this folder."
)
@click.option("--again", is_flag=True, help="The rules of these uploaded files fire again, which costs again.")
@click.pass_context
def command(
    ctx: click.Context,
    config: str | None,
    as_json: bool,
    files: tuple[str, ...],
    all_failed: bool,
    folder: str | None,
    again: bool,
) -> None:
    """Put failed files and generations back in the queue, with all their attempts before them.

    PATH may be relative, or begin with a folder's name, as `ls` shows it; it stands for the file, and for the failed
    generations that were fired for its newest version. A number is an ID, and g17 a generation; write ./7 or ./g17 for
    files called so. A generation that Layer could not do, or never began, is fired again, and costs again; one that
    Layer has done, or may still do, is only looked for. A daemon that runs takes them within seconds, else the next
    `layerwatch run` does. Exit code 1 if one that was named could not be queued.
    """
    from layerwatch.cli.situation import situation

    _insist_on_one_way(files, all_failed=all_failed, folder=folder, again=again)
    with situation(config) as now:
        if folder is not None:
            insist_on_folder(now, folder)
        if all_failed:
            answers, refired = list(requeueing.all_failed(now, folder)), refiring.all_failed(now, folder)
        else:
            answers, refired = _named(now, files, again=again)
        if as_json:
            queued = sum(answer.outcome is Outcome.QUEUED for answer in answers)
            left = sum(not answer.ok for answer in answers)
            document = {"files": [a.as_dict() for a in answers], "queued": queued, "left": left}
            emit(document | {"generations": [each.as_dict() for each in refired]})
        else:
            out = page()
            for line in _lines(out, now, answers, refired, all_failed=all_failed):
                out.say(line)
        # Files that failed and are gone stay so: they must not make every later --all-failed a failure.
        ctx.exit(0 if all_failed or all([each.ok for each in answers] + [each.ok for each in refired]) else 1)


def _insist_on_one_way(files: tuple[str, ...], *, all_failed: bool, folder: str | None, again: bool) -> None:
    if files and all_failed:
        raise click.UsageError("Name files or generations or give --all-failed, not both.")
    if not files and not all_failed:
        raise click.UsageError("Name what to retry by ID, path or gID, or give --all-failed.")
    if folder is not None and not all_failed:
        raise click.UsageError("--folder goes with --all-failed.")
    if again and all_failed:
        raise click.UsageError("--again is for files that are named: it costs again.")


# --- which ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Meant:
    """What one name stands for, before anything is done: a file, generations, or nothing that the ledger has."""

    given: str
    generations: list[GenerationRow]
    row: FileRow | None = None
    nowhere: Answer | None = None


def _named(now: Situation, given: tuple[str, ...], *, again: bool) -> tuple[list[Answer], list[Refired]]:
    answers: list[Answer] = []
    refired: list[Refired] = []
    done: set[int | str] = set()  # files by id, generations by what they are called
    for meant in [_look_up(now, name, again=again) for name in dict.fromkeys(given)]:
        if meant.nowhere is not None:
            answers.append(meant.nowhere)
        if meant.row is not None and meant.row.id not in done:
            done.add(meant.row.id)
            if again:
                answers += requeueing.fire_again(now, meant.given, meant.row)
            else:
                answers += requeueing.retry(now, [(meant.given, meant.row)])
        for each in meant.generations:
            if label(each.id) not in done:
                done.add(label(each.id))
                refired += refiring.retry(now, [(meant.given, each)])
    return answers, refired


def _look_up(now: Situation, given: str, *, again: bool) -> _Meant:
    from layerwatch.cli.whynot import places

    id_ = named(given)
    generation = None if id_ is None else now.ledger.stories.one(id_)
    if generation is not None:
        _insist_on_files(given, again=again)
        return _Meant(given, [generation])
    paths = places(now, given)
    versions = rows_of(now, given, paths)
    if not versions:
        return _Meant(given, [], nowhere=_nowhere(now, given, paths))
    if again:
        return _Meant(given, [], versions[0])
    row, generations = requeueing.meant(now, versions), refiring.failed_of(now, versions)
    return _Meant(given, generations, row if row.status == File.FAILED or not generations else None)


def _insist_on_files(name: str, *, again: bool) -> None:
    if again:
        raise click.UsageError(f"--again is about files: name the one that {name} was fired for.")


def _nowhere(now: Situation, name: str, paths: list[str]) -> Answer:
    from layerwatch.cli.whynot import why_not

    answer = why_not(now, paths)
    is_nothing = named(name) is not None and not answer.explained
    reason = "there is no such generation, and no such file" if is_nothing else answer.reason
    return Answer(name, Outcome.NOT_IN_LEDGER, reason)


# --- for people -------------------------------------------------------------------------------------------------------


def _lines(
    out: Page, now: Situation, answers: list[Answer], refired: list[Refired], *, all_failed: bool
) -> Iterator[str]:
    yield from requeueing.lines(out, now, answers, are_all=all_failed)
    if all_failed and (answers or not refired):
        yield requeueing.sum_line(now, answers)
    yield from refiring.lines(out, now, refired)
    yield from requeueing.advice_lines(answers)
    yield from refiring.advice_lines(refired)
