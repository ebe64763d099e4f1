"""What `layerwatch retry` does about generations: which are fired again, and cost again, and which only looked for."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from layerwatch.advice import generation_advice
from layerwatch.cli.generations import estimated_text, label, next_of, rule_of, time_limit_s, told
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page
from layerwatch.ledger import FileRow, GenerationRow
from layerwatch.notices import name_text
from layerwatch.states import Generation, Turn

if TYPE_CHECKING:
    from layerwatch.config import Folder


class Outcome(StrEnum):
    """What became of one generation; names that scripts may rely on."""

    FIRED = "fired_again"  # it costs again
    LOOKED_FOR = "looked_for"  # it costs nothing
    PLANNED = "planned_again"  # its rule looks for its inputs again
    NOT_FAILED = "not_failed"
    NO_RULE = "no_rule"
    REPLACED = "replaced"


BATCH = 500  # rows in one commit
_REPLACED = "another version, or another generation, of its file took its place: there is nothing to fire"
OK = (Outcome.FIRED, Outcome.LOOKED_FOR, Outcome.PLANNED)
_INSTEAD = {
    Generation.BLOCKED: "`layerwatch approve {name}` lets it go ahead",
    Generation.UNKNOWN: "`layerwatch resolve {name}` settles it",
    Generation.COMPLETE: "`layerwatch retry --again` with its file fires it again",
}


@dataclass(frozen=True, slots=True)
class Refired:
    """One that was asked for, as it was before: `given` as it was written, None with `--all-failed`."""

    given: str | None
    outcome: Outcome
    reason: str
    row: GenerationRow

    @property
    def ok(self) -> bool:
        return self.outcome in OK

    def as_dict(self) -> dict[str, Any]:
        row = self.row
        return {
            "given": self.given,
            "outcome": self.outcome,
            "id": row.id,
            "folder": row.folder,
            "rule": row.rule,
            "path": row.path,
            "was": row.status,
            "error_code": row.error_code,
            "estimated_price": row.estimated_price if self.outcome is Outcome.FIRED else None,
            "reason": self.reason,
            "do": generation_advice(row.error_code, row.status) if row.error_code else "",
        }


# --- which ------------------------------------------------------------------------------------------------------------


def all_failed(now: Situation, folder: str | None) -> list[Refired]:
    """Neither those that are unknown, nor those that somebody cancelled."""
    failed = now.ledger.stories.some(status=Generation.FAILED, folder=folder)
    return retry(now, [(None, row) for row in sorted(failed, key=lambda row: row.id)])


def failed_of(now: Situation, versions: list[FileRow]) -> list[GenerationRow]:
    """The failed ones that were fired for the newest of these versions of a file."""
    if not versions:
        return []
    rows = [row for row in now.ledger.stories.of_path(versions[0].path) if row.status == Generation.FAILED]
    return [row for row in reversed(rows) if _trigger(now, row) == versions[0].id]


def fitting(folder: "Folder", path: str) -> list[str]:
    """The rules of the folder that are for the file at `path`."""
    from layerwatch.rules import fit

    below = os.path.join(folder.root, "")
    relative = path.removeprefix(below)
    return [rule.name for rule in folder.rules if path.startswith(below) and fit(rule, folder.name, relative)]


def _trigger(now: Situation, row: GenerationRow) -> int | None:
    """The file that its rule matched."""
    return next((each.file for each in now.ledger.stories.inputs(row.id) if each.role == "input"), None)


# --- the work ---------------------------------------------------------------------------------------------------------


def retry(now: Situation, asked: list[tuple[str | None, GenerationRow]]) -> list[Refired]:
    answers: dict[int, tuple[Outcome, str]] = {}
    ready: dict[float, list[int]] = {}
    for _, row in asked:
        if answer := _hindrance(now, row):
            answers[row.id] = answer
        else:
            ready.setdefault(time_limit_s(now, row), []).append(row.id)
    events: dict[int, Turn] = {}
    for limit_s, ids in ready.items():
        for start in range(0, len(ids), BATCH):
            at = time.time()
            events |= dict(now.ledger.firing.retry(ids[start : start + BATCH], at, at + limit_s))
    return [
        Refired(given, *(answers.get(row.id) or _outcome(now, row, events.get(row.id))), row) for given, row in asked
    ]


def _outcome(now: Situation, row: GenerationRow, event: Turn | None) -> tuple[Outcome, str]:
    if event is None:  # somebody else was faster, or its file is another one by now
        after = now.ledger.stories.one(row.id) or row
        return _not_failed(now, after) if after.status != row.status else (Outcome.REPLACED, _REPLACED)
    if event is Turn.AWAITS:
        return Outcome.PLANNED, "its rule looks for its inputs again; it costs what it costs once all are there"
    if event is Turn.RESUMED:
        return Outcome.LOOKED_FOR, "looked for again, which costs nothing"
    before = "which costs again" if row.remote_id else "and nothing was paid for it before"
    return Outcome.FIRED, f"fired again, {before} ({estimated_text([row])})"


def _hindrance(now: Situation, row: GenerationRow) -> tuple[Outcome, str] | None:
    """Why it would be of no use to retry it; None when it may be."""
    if row.status not in (Generation.FAILED, Generation.CANCELLED):
        return _not_failed(now, row)
    if rule_of(now, row) is None:
        rule = f"rule {row.rule} of folder {row.folder}"
        return Outcome.NO_RULE, f"{rule} is no longer configured: put it back first"
    return None


def _not_failed(now: Situation, row: GenerationRow) -> tuple[Outcome, str]:
    instead = _INSTEAD.get(Generation(row.status), "").format(name=label(row.id))
    return Outcome.NOT_FAILED, f"it is not failed but {row.status}; {instead or next_of(now, row)}"


# --- for people -------------------------------------------------------------------------------------------------------


def lines(out: Page, now: Situation, refired: list[Refired]) -> Iterator[str]:
    for each in refired:
        if each.ok:
            yield f"{told(now, each.row)}: {out.paint(each.reason, COLOURS['queued'])}"
        else:
            yield f"{told(now, each.row)}: {out.paint('not retried', COLOURS['failed'])}: {each.reason}"
    if len(refired) > 1:
        yield _sum(refired)


def _sum(refired: list[Refired]) -> str:
    counted = Counter(each.outcome for each in refired)
    fired = [each.row for each in refired if each.outcome is Outcome.FIRED]
    parts = [f"{sum(each.ok for each in refired)} of {len(refired)} generations are retried"]
    if fired:
        parts.append(f"{len(fired)} fired again, to be paid for ({estimated_text(fired)})")
    if counted[Outcome.LOOKED_FOR]:
        parts.append(f"{counted[Outcome.LOOKED_FOR]} only looked for, which costs nothing")
    return "; ".join(parts)


def advice_lines(refired: list[Refired]) -> Iterator[str]:
    codes = Counter(each.row.error_code for each in refired if each.ok)
    for code, number in codes.most_common():
        if do := generation_advice(code, Generation.FAILED):
            yield f"{name_text(code or '')} ({number}), if it comes again: {do}"
