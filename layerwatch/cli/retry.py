"""`layerwatch retry`: failed files back into the queue, and for every file named what became of it."""

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
from layerwatch.cli import options
from layerwatch.cli.ls import insist_on_folder
from layerwatch.cli.show import rows_of, what_next
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, emit, page
from layerwatch.errors import TryAgain
from layerwatch.ledger import FileRow
from layerwatch.notices import name_text
from layerwatch.source import Identity, identity
from layerwatch.states import File

BATCH = 500  # rows in one commit


class Outcome(StrEnum):
    """What became of one file; names that scripts may rely on."""

    QUEUED = "queued"
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
@click.argument("files", nargs=-1, metavar="[ID|PATH]...")
@click.option("--all-failed", is_flag=True, help="All files that have failed.")
@click.option("--folder", metavar="NAME", help="With --all-failed: only files of this folder.")
@click.pass_context
def command(
    ctx: click.Context, config: str | None, as_json: bool, files: tuple[str, ...], all_failed: bool, folder: str | None
) -> None:
    """Put failed files back in the queue, with all their attempts before them.

    PATH may be relative, or begin with a folder's name, as `ls` shows it. A number is an ID; write ./7 for a file
    called 7. A daemon that runs takes them within seconds, else the next `layerwatch run` does. Exit code 1 if one
    that was named could not be queued.
    """
    from layerwatch.cli.situation import situation

    _insist_on_one_way(files, all_failed, folder)
    with situation(config) as now:
        if folder is not None:
            insist_on_folder(now, folder)
        answers = list(_all_failed(now, folder) if all_failed else _named(now, files))
        if as_json:
            queued = sum(answer.outcome is Outcome.QUEUED for answer in answers)
            emit({"files": [a.as_dict() for a in answers], "queued": queued, "left": len(answers) - queued})
        else:
            out = page()
            for line in _lines(out, now, answers, all_failed):
                out.say(line)
        # Files that failed and are gone stay so: they must not make every later --all-failed a failure.
        ctx.exit(0 if all_failed or all(answer.outcome is Outcome.QUEUED for answer in answers) else 1)


def _insist_on_one_way(files: tuple[str, ...], all_failed: bool, folder: str | None) -> None:
    if files and all_failed:
        raise click.UsageError("Name files or give --all-failed, not both.")
    if not files and not all_failed:
        raise click.UsageError("Name the files to retry by ID or path, or give --all-failed.")
    if folder is not None and not all_failed:
        raise click.UsageError("--folder goes with --all-failed.")


# --- which ------------------------------------------------------------------------------------------------------------


def _named(now: Situation, given: tuple[str, ...]) -> Iterator[Answer]:
    from layerwatch.cli.whynot import places, why_not

    done: set[int] = set()
    for name in dict.fromkeys(given):
        paths = places(now, name)
        row = _meant(now, rows_of(now, name, paths))
        if row is None:
            yield Answer(name, Outcome.NOT_IN_LEDGER, why_not(now, paths).reason)
        elif row.id not in done:
            done.add(row.id)
            yield from _retry(now, [(name, row)])


def _meant(now: Situation, versions: list[FileRow]) -> FileRow | None:
    """Of several versions, the failed one that lies there; else the latest that failed; else the latest."""
    failed = [row for row in versions if row.status == File.FAILED]
    there = [row for row in failed if _lies_there(row) == _known(now, row)]
    return next(iter(there or failed or versions), None)


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


def _lines(out: Page, now: Situation, answers: list[Answer], all_failed: bool) -> Iterator[str]:
    for answer in answers:
        is_queued = answer.outcome is Outcome.QUEUED
        if is_queued and all_failed:
            continue  # their number is told
        word = out.paint("queued again", COLOURS["queued"]) if is_queued else out.paint("not queued", COLOURS["failed"])
        yield f"{_name(now, answer)}: {word}: {answer.reason}"
        if answer.do and not is_queued:
            yield f"    do: {answer.do}"
    if all_failed:
        yield _sum(now, answers)
    codes = Counter(answer.code for answer in answers if answer.outcome is Outcome.QUEUED)
    for code, number in codes.most_common():
        if do := advice(code):
            yield f"{code} ({number}), if it comes again: {do}"


def _name(now: Situation, answer: Answer) -> str:
    if answer.row is None:
        return f"{name_text(answer.given or '')}, not in the ledger"
    return f"{now.name(answer.row.path, answer.row.folder)}, file {answer.row.id}"


def _sum(now: Situation, answers: list[Answer]) -> str:
    if not answers:
        return "no file has failed: nothing to retry"
    queued = sum(answer.outcome is Outcome.QUEUED for answer in answers)
    when = "the next `layerwatch run` takes them" if now.pid is None else "the daemon takes them within seconds"
    return f"{queued} of {len(answers)} failed files are queued again" + (f"; {when}" if queued else "")
