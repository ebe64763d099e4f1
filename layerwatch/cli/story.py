"""What `layerwatch show` tells of generations: the whole story of one, and those that a file is an input of."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from layerwatch.cli.generations import (
    label,
    meaning,
    needs_text,
    next_of,
    public,
    row_document,
    rule_of,
    state_of,
    to_do,
    units,
)
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, GAP, Page, clock, columns, until
from layerwatch.ledger import ActionRow, FileRow, GenerationRow, HistoryLine
from layerwatch.notices import name_text, size_text
from layerwatch.states import Generation

_LOST = {"gone": "no longer there", "changed": "of another size now", "unreadable": "cannot be looked at"}


def story(now: Situation, row: GenerationRow) -> dict[str, Any]:
    """All that is known of one, for a script."""
    stories, root = now.ledger.stories, now.root(row.folder)
    return row_document(row) | {
        "inputs": [{name: getattr(each, name) for name in each.__slots__} for each in stories.inputs(row.id)],
        "needs": [{name: getattr(need, name) for name in need.__slots__} for need in stories.needs(row.id)],
        "request": public(stories.request(row.id)),
        "results": [
            each | {"state": state_of(each["path"], each["size"], root) if each["saved"] else "not saved"}
            for each in stories.results(row.id)
        ],
        "history": [{name: getattr(line, name) for name in line.__slots__} for line in stories.history(row.id)],
        "actions": [asdict(action) for action in now.ledger.outstanding.actions("complete", row.id)],
        "meaning": meaning(now, row),
        "next": next_of(now, row),
        "do": to_do(row),
    }


# --- for people -------------------------------------------------------------------------------------------------------


def tell(out: Page, now: Situation, row: GenerationRow) -> None:
    """The whole story of one."""
    about = story(now, row)
    out.say(out.paint(name_text(row.path), bold=True))
    out.say(f"\n{label(row.id)}: {out.paint(row.status, COLOURS[row.status])}: {about['meaning']}")
    for lines in (_facts(now, row), _inputs(about), _money(row), _request(about), _results(about)):
        for line in lines:
            out.say(line)
    for line in history(out, now.ledger.stories.history(row.id)):
        out.say(line)
    out.say(f"  next      {about['next']}")
    for action in now.ledger.outstanding.actions("complete", row.id):
        out.say(f"            {action_text(action)}")
    if about["do"]:
        out.say(f"  do        {about['do']}")


def _facts(now: Situation, row: GenerationRow) -> Iterator[str]:
    if row.error_code:
        yield f"  error     {name_text(row.error_code)}: {name_text(row.error or '')}"
    gone = "" if rule_of(now, row) else ", which is no longer configured"
    yield f"  rule      {row.rule} of folder {row.folder}{gone}"
    yield f"  runs      {row.kind} {name_text(row.target or '')}".rstrip()
    if row.remote_id:
        yield f"  remote id {name_text(row.remote_id)}"
    if row.depth > 1:
        yield f"  depth     {row.depth}: it is made of what other generations brought"


def _inputs(about: dict[str, Any]) -> Iterator[str]:
    for each in about["inputs"]:
        yield f"  {name_text(each['role']):9} {name_text(each['path'])}"
        file_id = f", file_id {name_text(each['file_id'])}" if each["file_id"] else ""
        yield f"            file {each['file']}{file_id}"
    for need in about["needs"]:
        optional = ", which it can do without" if need["optional"] else ""
        yield f"  {name_text(need['role']):9} missing: {name_text(need['glob'])}{optional}"


def _money(row: GenerationRow) -> Iterator[str]:
    known = {"estimated": row.estimated_price, "booked": row.booked, "charged": row.price}
    parts = [f"{what} {units(amount)}" for what, amount in known.items() if amount is not None]
    if parts:
        yield f"  price     {', '.join(parts)} Creative Units"
    if row.booked_at:
        yield f"  sent      {clock(row.booked_at)}" + (
            f", complete {clock(row.completed_at)}" if row.completed_at else ""
        )


def _request(about: dict[str, Any]) -> Iterator[str]:
    if about["request"] is not None:
        lines = json.dumps(about["request"], indent=2, ensure_ascii=False).splitlines()
        yield from (f"  {'request' if at == 0 else '':9} {name_text(line)}" for at, line in enumerate(lines))


def action_text(action: ActionRow) -> str:
    """What becomes of a command or webhook that did not succeed, or was not tried, yet."""
    said = f": {name_text(action.detail)}" if action.detail else ""
    if action.status == "failed":
        return f"its command or webhook is given up{said}"
    when = until(action.next_attempt_at) if action.next_attempt_at else "now"
    return f"its command or webhook is called {'again ' if action.attempts else ''}{when}{said}"


def _results(about: dict[str, Any]) -> Iterator[str]:
    for each in about["results"]:
        state = "" if each["state"] == "there" else f", {_LOST.get(each['state'], each['state'])}"
        yield f"  {'result':9} {name_text(each['path'])}, {size_text(each['size'])}{state}"
    for each in about["outputs"]:
        if "path" not in each:
            yield f"  {'result':9} {name_text(str(each.get('url', each)))}"


def history(out: Page, lines: list[HistoryLine]) -> Iterator[str]:
    """One line per event; what does not fit into it, such as a traceback, below."""
    details = [(line.detail or "").splitlines() or [""] for line in lines]
    heads = [
        (clock(line.at), line.event, ": ".join(filter(None, (name_text(line.error_code or ""), name_text(detail[0])))))
        for line, detail in zip(lines, details, strict=True)
    ]
    for cells, line, detail in zip(columns(Page(), heads) if heads else [], lines, details, strict=True):
        cells[1] = out.paint(cells[1], COLOURS.get(line.status))
        yield f"  {GAP.join(cells)}".rstrip()
        yield from (f"      {name_text(more)}" for more in detail[1:])


# --- of a file --------------------------------------------------------------------------------------------------------


def of_file(now: Situation, path: str, ids: Sequence[int]) -> list[GenerationRow]:
    """Those that one of these versions of the file is an input of, the latest first."""
    stories, wanted = now.ledger.stories, set(ids)
    return [row for row in stories.of_path(path) if any(each.file in wanted for each in stories.inputs(row.id))]


def fired(now: Situation, row: FileRow) -> bool:
    """Whether this version of a file is an input of any."""
    return bool(of_file(now, row.path, [row.id]))


def brief(now: Situation, row: GenerationRow) -> dict[str, Any]:
    """What the story of its input says of it, for a script."""
    about = story(now, row)
    return {name: value for name, value in about.items() if name not in ("request", "history")}


def tell_briefly(out: Page, now: Situation, rows: list[GenerationRow]) -> None:
    """What the story of their input says of them."""
    if rows:
        out.say(f"\n{out.paint('generations', bold=True)}")
    for row in rows:
        said = f"{label(row.id)}: {out.paint(row.status, COLOURS[row.status])}, {row.rule}"
        price = row.booked if row.price is None else row.price
        out.say(f"  {said}" + (f", {units(price)} Creative Units" if price else ""))
        for line in _brief(now, row):
            out.say(f"    {line}")


def _brief(now: Situation, row: GenerationRow) -> Iterator[str]:
    if row.error_code:
        yield f"{name_text(row.error_code)}: {name_text(row.error or '')}"
    if row.status == Generation.WAITING:
        yield f"waits for {needs_text(now.ledger.stories.needs(row.id))}"
    for line in _results(story(now, row)):
        yield line.strip().replace("result    ", "result: ", 1)
    if row.status != Generation.COMPLETE:
        yield f"next: {next_of(now, row)}"


def made(now: Situation, paths: list[str]) -> int | None:
    """The generation whose result was saved under one of these paths."""
    wanted = {os.path.normpath(path) for path in paths}
    return next((id_ for id_, path, _, _ in now.ledger.stories.saved_results() if path in wanted), None)
