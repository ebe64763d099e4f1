"""What `layerwatch status` tells of generations: which wait for what, which are held back, and what today has cost."""

from collections.abc import Iterator
from typing import Any

from layerwatch.advice import generation_advice
from layerwatch.cli.generations import by_reason, estimated, estimated_text, label, needs_text, row_document, told
from layerwatch.cli.situation import Situation
from layerwatch.cli.spend import today, today_text
from layerwatch.cli.tables import COLOURS, Page, age, ago, clock, until, wrapped
from layerwatch.ledger import GenerationRow
from layerwatch.notices import name_text
from layerwatch.states import Generation

MOST = 10  # of each that is told one by one


def document(now: Situation) -> dict[str, Any]:
    """All of it, for a script."""
    running = _running(now)
    return {
        "generations": now.ledger.stories.counts(),
        "waiting": [_waiting(now, row) for row in _some(now, Generation.WAITING)],
        "blocked": [_blocked(code, rows) for code, rows in _by_reason(now).items()],
        "unknown": [_with_advice(row) for row in _some(now, Generation.UNKNOWN)],
        "running": {"count": len(running), "oldest": row_document(running[0]) if running else None},
        "failed_generations": [_with_advice(row) for row in _some(now, Generation.FAILED)],
        "spend_today": today(now),
        "deliveries": now.ledger.deliveries.counts(),
    }


def _some(now: Situation, status: Generation) -> list[GenerationRow]:
    return now.ledger.stories.some(status=status, limit=MOST)


def _running(now: Situation) -> list[GenerationRow]:
    """The one that was started first, first."""
    return sorted(now.ledger.stories.some(status=Generation.RUNNING), key=lambda row: (row.booked_at or "", row.id))


def _by_reason(now: Situation) -> dict[str, list[GenerationRow]]:
    return by_reason(now.ledger.stories.some(status=Generation.BLOCKED))


def _waiting(now: Situation, row: GenerationRow) -> dict[str, Any]:
    needs = now.ledger.stories.needs(row.id)
    return row_document(row) | {"needs": [{name: getattr(need, name) for name in need.__slots__} for need in needs]}


def _blocked(code: str, rows: list[GenerationRow]) -> dict[str, Any]:
    total, silent = estimated(rows)
    return {
        "error_code": code,
        "count": len(rows),
        "estimated_price": total,
        "without_price": silent,
        "until": _until(rows),
        "do": generation_advice(code, Generation.BLOCKED),
    }


def _until(rows: list[GenerationRow]) -> str | None:
    return min((row.next_attempt_at for row in rows if row.next_attempt_at), default=None)


def _with_advice(row: GenerationRow) -> dict[str, Any]:
    return row_document(row) | {"do": generation_advice(row.error_code, row.status)}


# --- for people -------------------------------------------------------------------------------------------------------


def counts(out: Page, now: Situation) -> Iterator[str]:
    """How many of each there are, and today's spend; nothing where nothing was ever to be generated."""
    made = now.ledger.deliveries.counts()
    if any(made.values()):
        yield f"actions   {made['pending']} to be tried again, {made['failed']} given up: `layerwatch show` tells more"
    counted = now.ledger.stories.counts()
    if not any(counted.values()) and not any(folder.rules for folder in now.settings.folders):
        return
    some = {status: number for status, number in counted.items() if number}
    many = sum(some.values())
    total = f"{many} {'generation' if many == 1 else 'generations'}: " if some else "no generation yet"
    parts = [f"{number} {status}" for status, number in some.items()]
    painted = [out.paint(part, COLOURS[status]) for part, status in zip(parts, some, strict=True)]
    yield from wrapped(out, f"{'rules':10}{total}", parts, painted)
    yield f"spent     {today_text(today(now))}"


def sections(out: Page, now: Situation) -> Iterator[str]:
    """What waits, is held back, runs, and is in trouble."""
    yield from _tell_waiting(out, now)
    yield from _tell_blocked(out, now)
    yield from _tell_unknown(out, now)
    yield from _tell_running(out, now)
    yield from _tell_failed(out, now)


def _tell_waiting(out: Page, now: Situation) -> Iterator[str]:
    rows = _some(now, Generation.WAITING)
    yield from _title(out, "waiting for inputs", rows)
    for row in rows:
        yield f"  {out.fit(told(now, row), 2)}"
        limit = f"; until {clock(row.deadline_at)}" if row.deadline_at else ""
        yield f"    waits: {needs_text(now.ledger.stories.needs(row.id))}, for {age(row.created_at)} now{limit}"
    yield from _more(now, Generation.WAITING)


def _tell_blocked(out: Page, now: Situation) -> Iterator[str]:
    groups = _by_reason(now)
    yield from _title(out, "held back", list(groups))
    for code, rows in groups.items():
        at = _until(rows)
        again = f"; looked at again {until(at)}" if at else ""
        yield f"  {out.paint(code, COLOURS['blocked'])}: {len(rows)}, {estimated_text(rows)}{again}"
        yield f"    do: {generation_advice(code, Generation.BLOCKED) or '`layerwatch approve`'}"


def _tell_unknown(out: Page, now: Situation) -> Iterator[str]:
    rows = _some(now, Generation.UNKNOWN)
    yield from _title(out, "unknown: may have been started, and paid", rows)
    for row in rows:
        sent = f"sent {ago(row.booked_at)}" if row.booked_at else ""
        yield f"  {out.fit(told(now, row), len(sent) + 4)}  {sent}"
        yield f"    do: layerwatch resolve {label(row.id)}"
    yield from _more(now, Generation.UNKNOWN)


def _tell_running(out: Page, now: Situation) -> Iterator[str]:
    rows = _running(now)
    yield from _title(out, "running in Layer" if now.pid is not None else "running in Layer; nobody looks", rows)
    if rows:
        lasts = f"for {age(rows[0].booked_at or rows[0].created_at)}"
        yield f"  {len(rows)}, the oldest {lasts}:"
        yield f"  {out.fit(told(now, rows[0]), 2)}"


def _tell_failed(out: Page, now: Situation) -> Iterator[str]:
    rows = _some(now, Generation.FAILED)
    yield from _title(out, "failed generations, not fired again by themselves", rows)
    for row in rows:
        yield f"  {out.fit(told(now, row), 2)}"
        yield f"    {out.paint(name_text(row.error_code or ''), 'red')}: {name_text(row.error or '')}"
        if do := generation_advice(row.error_code, row.status):
            yield f"    do: {do}"
    yield from _more(now, Generation.FAILED)


def _more(now: Situation, status: Generation) -> Iterator[str]:
    count = now.ledger.stories.counts()[status]
    if count > MOST:
        yield f"  and {count - MOST} more; `layerwatch ls --generations --status {status}` lists all"


def _title(out: Page, text: str, what: list[Any]) -> Iterator[str]:
    if what:
        yield ""
        yield out.paint(text, bold=True)
