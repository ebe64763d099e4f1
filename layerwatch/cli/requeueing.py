"""What `layerwatch retry` does about files: which are queued again, why others are not, and which rules fire again."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from layerwatch.advice import advice
from layerwatch.cli import refiring
from layerwatch.cli.ahead import what_next
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page
from layerwatch.errors import TryAgain
from layerwatch.ledger import FileRow
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


# --- which ------------------------------------------------------------------------------------------------------------


def meant(now: Situation, versions: list[FileRow]) -> FileRow:
    """Of several versions, the failed one that lies there; else the latest that failed; else the latest."""
    failed = [row for row in versions if row.status == File.FAILED]
    there = [row for row in failed if _lies_there(row) == _known(now, row)]
    return (there or failed or versions)[0]


def all_failed(now: Situation, folder: str | None) -> Iterator[Answer]:
    failed = now.ledger.reports.with_status(File.FAILED, folder)
    while batch := [now.ledger.reports.file(known.id) for known in islice(failed, BATCH)]:
        yield from retry(now, [(None, row) for row in batch if row is not None])


# --- the work ---------------------------------------------------------------------------------------------------------


def retry(now: Situation, rows: list[tuple[str | None, FileRow]]) -> Iterator[Answer]:
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


def fire_again(now: Situation, given: str, row: FileRow) -> Iterator[Answer]:
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


def lines(out: Page, now: Situation, answers: list[Answer], *, are_all: bool) -> Iterator[str]:
    """What became of each; of those that were not named, and are queued, only how many."""
    for answer in answers:
        if not (answer.outcome is Outcome.QUEUED and are_all):
            yield f"{_name(now, answer)}: {_word(out, answer)}: {answer.reason}"
            if answer.do and not answer.ok:
                yield f"    do: {answer.do}"


def advice_lines(answers: list[Answer]) -> Iterator[str]:
    codes = Counter(answer.code for answer in answers if answer.outcome is Outcome.QUEUED)
    for code, number in codes.most_common():
        if do := advice(code):
            yield f"{code} ({number}), if it comes again: {do}"


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


def sum_line(now: Situation, answers: list[Answer]) -> str:
    if not answers:
        return "nothing has failed: nothing to retry"
    queued = sum(answer.outcome is Outcome.QUEUED for answer in answers)
    when = "the next `layerwatch run` takes them" if now.pid is None else "the daemon takes them within seconds"
    return f"{queued} of {len(answers)} failed files are queued again" + (f"; {when}" if queued else "")
