"""`layerwatch retry`: failed files and generations back into the queue, and for all that was named what became of it.

What is fired again costs again: for each generation it says whether that is so.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import click

from layerwatch.advice import advice
from layerwatch.cli import options, refiring
from layerwatch.cli.generations import label, named
from layerwatch.cli.ls import insist_on_folder
from layerwatch.cli.refiring import Refired
from layerwatch.cli.show import rows_of, what_next
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, emit, page
from layerwatch.errors import TryAgain
from layerwatch.ledger import FileRow, GenerationRow
from layerwatch.notices import name_text
from layerwatch.source import Identity, identity
from layerwatch.states import File

BATCH = 500  # rows in one commit


class Outcome(StrEnum):
    """What became of one file; names that scripts may rely on."""

    QUEUED = "queued"
    AGAIN = "again"  # its rules fire again
    NOT_UPLOADED = "not_uploaded"
    NO_RULE = "no_rule"
    NOT_FAILED = "not_failed"
    GONE = "gone"
    CHANGED = "changed"
    NO_FOLDER = "no_folder"
    NOT_IN_LEDGER = "not_in_ledger"


@dataclass(frozen=True, slots=True)
class Answer:
    """One file that was asked for: `given` as it was written, None with `--all-failed`; `row` as it is now."""

    given: str | None
    outcome: Outcome
    reason: str
    row: FileRow | None = None
    code: str | None = None  # what it had failed with, or is in trouble for

    @property
    def ok(self) -> bool:
        return self.outcome in (Outcome.QUEUED, Outcome.AGAIN)

    @property
    def do(self) -> str:
        """What to do about the error; empty where the reason says all."""
        return advice(self.code) if self.outcome in (Outcome.QUEUED, Outcome.NOT_FAILED) else ""

    def as_dict(self) -> dict[str, Any]:
        row = self.row
        return {
            "given": self.given,
            "outcome": self.outcome,
            "id": row and row.id,
            "folder": row and row.folder,
            "path": row and row.path,
            "status": row and row.status,
            "error_code": self.code,
            "reason": self.reason,
            "do": self.do,
        }


@click.command("retry")
@options.config
@options.as_json
@click.argument("files", nargs=-1, metavar="[ID|PATH|gID]...")
@click.option("--all-failed", is_flag=True, help="All files and generations that have failed.")
@click.option("--folder", metavar="NAME", help="With --all-failed: only those of this folder.")
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
            answers, refired = list(_all_failed(now, folder)), refiring.all_failed(now, folder)
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
            answers += _fire_again(now, meant.given, meant.row) if again else _retry(now, [(meant.given, meant.row)])
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
    row, generations = _meant(now, versions), refiring.failed_of(now, versions)
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


def _meant(now: Situation, versions: list[FileRow]) -> FileRow:
    """Of several versions, the failed one that lies there; else the latest that failed; else the latest."""
    failed = [row for row in versions if row.status == File.FAILED]
    there = [row for row in failed if _lies_there(row) == _known(now, row)]
    return (there or failed or versions)[0]


def _all_failed(now: Situation, folder: str | None) -> Iterator[Answer]:
    failed = now.ledger.reports.with_status(File.FAILED, folder)
    while batch := [now.ledger.reports.file(known.id) for known in islice(failed, BATCH)]:
        yield from _retry(now, [(None, row) for row in batch if row is not None])


# --- the work ---------------------------------------------------------------------------------------------------------


def _retry(now: Situation, rows: list[tuple[str | None, FileRow]]) -> Iterator[Answer]:
    hindered = {row.id: _hindrance(now, row) for _, row in rows}
    queued = set(now.ledger.files.retry((id_ for id_, why in hindered.items() if why is None), time.time()))
    for given, before in rows:
        row = now.ledger.reports.file(before.id) or before
        if before.id in queued:
            yield Answer(given, Outcome.QUEUED, what_next(now, row), row, before.error_code)
        else:
            outcome, reason = hindered[before.id] or _not_failed(now, row)
            yield Answer(given, outcome, reason, row, row.error_code)


def _hindrance(now: Situation, row: FileRow) -> tuple[Outcome, str] | None:
    """Why it would be of no use to queue the file; None when it may be."""
    folder = now.folder(row.folder)
    if row.status != File.FAILED:
        return _not_failed(now, row)
    if folder is None:
        return Outcome.NO_FOLDER, f"its folder {row.folder} is no longer configured: add it again first"
    if _is_away(now, row.folder, folder.path):
        return None  # it waits for its folder, as all files of that do
    there = _lies_there(row)
    if there is None:
        return Outcome.GONE, "it is no longer there: put it back, or leave it"
    if there in ("", _known(now, row)) or _only_touched(now, row, folder.root, there):
        return None
    return Outcome.CHANGED, _changed(now, row, there)


def _fire_again(now: Situation, given: str, row: FileRow) -> Iterator[Answer]:
    """The newest version of a file goes through the rules of its folder once more."""
    folder = now.folder(row.folder)
    fitting = refiring.fitting(folder, row.path) if folder else []
    if folder is None:
        outcome, reason = Outcome.NO_FOLDER, f"its folder {row.folder} is no longer configured: add it again first"
    elif row.status != File.UPLOADED:
        outcome, reason = Outcome.NOT_UPLOADED, f"it is not uploaded but {row.status}; next: {what_next(now, row)}"
    elif not fitting:
        outcome, reason = Outcome.NO_RULE, f"no rule of folder {row.folder} is for it"
    elif now.ledger.planning.again([row.id]):
        outcome, reason = Outcome.AGAIN, f"{', '.join(fitting)}; what was paid for before costs again"
    else:
        outcome, reason = Outcome.NOT_UPLOADED, "it is not uploaded any more: a newer version came"
    yield Answer(given, outcome, reason, row, row.error_code)


def _not_failed(now: Situation, row: FileRow) -> tuple[Outcome, str]:
    if row.status == File.UPLOADED:
        return Outcome.NOT_FAILED, "it is not failed but uploaded: there is nothing to do"
    return Outcome.NOT_FAILED, f"it is not failed but {row.status}; next: {what_next(now, row)}"


def _is_away(now: Situation, name: str, path: str) -> bool:
    from layerwatch.audit import trouble

    facts = now.facts.get(name)
    return trouble(path, facts.mount if facts and facts.path == os.path.realpath(path) else None) is not None


def _lies_there(row: FileRow) -> Identity | str | None:
    """Who lies under the row's path now; empty where we may not look, None where nobody does."""
    try:
        return identity(os.lstat(row.path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""  # the daemon may be allowed to


def _known(now: Situation, row: FileRow) -> Identity | None:
    known = now.ledger.reports.known(row.id)
    return known.identity if known else None


def _only_touched(now: Situation, row: FileRow, root: str, there: Identity | str) -> bool:
    """Whether it has the same bytes under a new time or inode. Then the row is told, as a scan would tell it."""
    from layerwatch.audit import digest_of
    from layerwatch.ledger import Version

    known = now.ledger.reports.known(row.id)
    if not isinstance(there, Identity) or known is None or known.hash is None or there.size != row.size:
        return False
    try:
        digest = digest_of(row.path, root, there)
    except TryAgain:
        return True  # the daemon may be allowed to read it
    if digest is None or digest.sha256 != known.hash:
        return False
    version = Version(row.folder, row.path, there, row.content_type or "", digest)
    now.ledger.files.record([version], time.time())
    return True


def _changed(now: Situation, row: FileRow, there: Identity | str) -> str:
    for known in now.ledger.reports.known_at(row.path):
        if known.identity == there and known.id != row.id:
            return f"it has changed since: what lies there is file {known.id}, {known.status}"
    when = "the next `layerwatch run` sees it" if now.pid is None else "it holds still"
    return f"it has changed since: what lies there gets a row of its own once {when}"


# --- for people -------------------------------------------------------------------------------------------------------


def _lines(
    out: Page, now: Situation, answers: list[Answer], refired: list[Refired], *, all_failed: bool
) -> Iterator[str]:
    for answer in answers:
        if answer.outcome is Outcome.QUEUED and all_failed:
            continue  # their number is told
        yield f"{_name(now, answer)}: {_word(out, answer)}: {answer.reason}"
        if answer.do and not answer.ok:
            yield f"    do: {answer.do}"
    if all_failed and (answers or not refired):
        yield _sum(now, answers)
    yield from refiring.lines(out, now, refired)
    codes = Counter(answer.code for answer in answers if answer.outcome is Outcome.QUEUED)
    for code, number in codes.most_common():
        if do := advice(code):
            yield f"{code} ({number}), if it comes again: {do}"
    yield from refiring.advice_lines(refired)


def _word(out: Page, answer: Answer) -> str:
    if answer.outcome is Outcome.AGAIN:
        return out.paint("its rules fire again", COLOURS["queued"])
    if answer.ok:
        return out.paint("queued again", COLOURS["queued"])
    return out.paint("not queued", COLOURS["failed"])


def _name(now: Situation, answer: Answer) -> str:
    if answer.row is None:
        return f"{name_text(answer.given or '')}, not in the ledger"
    return f"{now.name(answer.row.path, answer.row.folder)}, file {answer.row.id}"


def _sum(now: Situation, answers: list[Answer]) -> str:
    if not answers:
        return "nothing has failed: nothing to retry"
    queued = sum(answer.outcome is Outcome.QUEUED for answer in answers)
    when = "the next `layerwatch run` takes them" if now.pid is None else "the daemon takes them within seconds"
    return f"{queued} of {len(answers)} failed files are queued again" + (f"; {when}" if queued else "")
