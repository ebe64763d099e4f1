"""`layerwatch status`: what is going on, and what waits for what. Reads only, whether a daemon runs or not."""

import time
from collections.abc import Iterator
from typing import Any

import click

from layerwatch.advice import advice
from layerwatch.cli import generating, hosts, options
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import COLOURS, Page, age, ago, emit, page, until
from layerwatch.ledger import FileRow, iso
from layerwatch.notices import name_text, size_text
from layerwatch.states import File

MOST = 10  # of what waits, and of what is in trouble
LITTLE_BYTES = 16 * 1024 * 1024
EVERY_S, SHORTEST_S, LONGEST_S = 2.0, 0.1, 86_400.0


def _every(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not SHORTEST_S <= value <= LONGEST_S:  # also what is no number at all
        raise click.BadParameter(f"{value:g} is not from {SHORTEST_S:g} to {LONGEST_S:g} seconds", ctx, param)
    return value


@click.command("status")
@options.config
@options.as_json
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C; with --json one document a line.")
@click.option(
    "--every", type=float, callback=_every, metavar="SECONDS", help=f"With --watch: how often [default: {EVERY_S:g}]."
)
def command(config: str | None, as_json: bool, watch: bool, every: float | None) -> None:
    """What is going on: counts, what is in flight, what waits and why.

    --watch keeps it on the screen, as much of it as there is room for, and goes on when the daemon ends or starts.
    """
    from layerwatch.cli import watching
    from layerwatch.cli.situation import situation

    if every is not None and not watch:
        raise click.UsageError("--every goes with --watch")
    if watch:
        watching.watch(config, EVERY_S if every is None else every, as_json=as_json)
        return
    with situation(config) as now:
        if as_json:
            emit(document(now))
            return
        out = page()
        for line in lines(out, now):
            out.say(line)


def lines(out: Page, now: Situation) -> Iterator[str]:
    """All of it, for people."""
    for part in (_daemon, hosts.lines, _counts, generating.counts, _folders, _in_flight, _queue, generating.sections):
        yield from part(out, now)


def document(now: Situation) -> dict[str, Any]:
    """All of it, for a script; keys as in the ledger."""
    reports = now.ledger.reports
    oldest = reports.oldest_queued()
    return {
        "at": iso(time.time()),
        "daemon": {"running": now.pid is not None, "pid": now.pid, **_about(now)},
        "hosts": hosts.document(now),
        "hold": now.hold,
        "free_bytes": now.free_bytes,
        "clock": now.clock,
        "counts": reports.counts(),
        "folders": now.folders(),
        "in_flight": [row.as_dict() | {"percent": _percent(row.bytes_sent, row.size)} for row in reports.in_flight()],
        "oldest_queued": oldest and oldest.as_dict(),
        "candidates": reports.candidates(),
        "troubled": [row.as_dict() | {"do": advice(row.error_code)} for row in reports.troubled(MOST)],
        "failed": [row.as_dict() | {"do": advice(row.error_code)} for row in _failed(now)],
        **generating.document(now),
    }


def _failed(now: Situation) -> list[FileRow]:
    return now.ledger.reports.files(status=File.FAILED, limit=MOST)


def _about(now: Situation) -> dict[str, Any]:
    about = now.notes.get("daemon") if now.pid is not None else None
    return {key: (about or {}).get(key) for key in ("version", "once")}


def _percent(part: int, whole: int) -> int:
    return 100 * part // whole if whole else 0


# --- for people -------------------------------------------------------------------------------------------------------


def _daemon(out: Page, now: Situation) -> Iterator[str]:
    if now.pid is None:
        yield f"daemon    {out.paint('not running', 'yellow')}: what follows is how the last one left it"
        return
    if now.hosts:
        names = sorted({host.name for host in now.hosts if host.alive})
        yield f"daemon    {out.paint('running', 'green')} on {', '.join(map(name_text, names))}"
        yield from hosts.hold(out, now)
        return
    version = _about(now)["version"]
    yield f"daemon    {out.paint('running', 'green')}, process {now.pid}" + (f", version {version}" if version else "")
    if now.hold:
        yield f"hold      {out.paint('everything waits', 'yellow')}: {name_text(str(now.hold.get('message')))}"
    if now.free_bytes is not None and now.free_bytes < LITTLE_BYTES:
        left = size_text(now.free_bytes)
        yield f"disk      {out.paint('full', 'red')}: {left} are left where the ledger is; make room"
    if now.clock:
        yield f"clock     {now.clock['message']}, {ago(now.clock['at'])}; what was waiting was tried at once"


def _counts(out: Page, now: Situation) -> Iterator[str]:
    counts = now.ledger.reports.counts()
    yield "files     " + ", ".join(
        out.paint(f"{number} {status}", COLOURS[status] if number else None) for status, number in counts.items()
    )


def _folders(out: Page, now: Situation) -> Iterator[str]:
    folders = now.folders()
    yield from _title(out, "folders", len(folders))
    widest = max((len(folder["name"]) for folder in folders), default=0)
    for folder in folders:
        state = folder["state"] or "not seen yet"
        path = out.fit(name_text(folder["path"]), 2 + widest + 2 + len(state) + 2)
        yield f"  {folder['name']:{widest}}  {out.paint(state, COLOURS.get(state))}  {path}"
        if about := "; ".join(_about_folder(folder)):
            yield f"  {'':{widest}}  {about}"


def _about_folder(folder: dict[str, Any]) -> Iterator[str]:
    if folder["detail"]:
        yield name_text(folder["detail"])
    if folder["state"]:
        yield f"scanned {ago(folder['scanned_at'])}" if folder["scanned_at"] else "not scanned to its end yet"
    if folder["unknown"]:
        yield f"{folder['unknown']} files not in the ledger yet then"
    if folder["overflows"]:
        yield f"events lost {folder['overflows']} times, and made up for by a scan"


def _in_flight(out: Page, now: Situation) -> Iterator[str]:
    rows = now.ledger.reports.in_flight()
    yield from _title(out, "in flight" if now.pid is not None else "interrupted; the next start goes on", len(rows))
    for row in rows:
        done = f"{size_text(row.bytes_sent)} of {size_text(row.size)}, {_percent(row.bytes_sent, row.size)} %"
        yield f"  {out.fit(now.name(row.path, row.folder), len(done) + 4)}  {done}"


def _queue(out: Page, now: Situation) -> Iterator[str]:
    reports = now.ledger.reports
    if oldest := reports.oldest_queued():
        yield from _title(out, "oldest in the queue", 1)
        waited = f"for {age(oldest.created_at)}"
        yield f"  {out.fit(now.name(oldest.path, oldest.folder), len(waited) + 4)}  {waited}"
    yield from _candidates(out, now, reports.candidates())
    troubled = reports.troubled(MOST)
    yield from _title(out, "in trouble, to be tried again", len(troubled))
    for row in troubled:
        due = f", next attempt {until(row.next_attempt_at)}" if row.next_attempt_at and now.pid is not None else ""
        yield from _trouble(out, now, row, due)
    yield from _given_up(out, now)


def _given_up(out: Page, now: Situation) -> Iterator[str]:
    failed = _failed(now)
    yield from _title(out, "failed, and not tried again by itself", len(failed))
    for row in failed:
        yield from _trouble(out, now, row, "")
    if len(failed) == MOST and (count := now.ledger.reports.counts()["failed"]) > MOST:
        yield f"  and {count - MOST} more; `layerwatch ls --status failed` lists all"


def _trouble(out: Page, now: Situation, row: FileRow, due: str) -> Iterator[str]:
    yield f"  {out.fit(now.name(row.path, row.folder), 2)}"
    yield f"    {out.paint(row.error_code or '', 'red')}: {name_text(row.error or '')}{due}"
    if do := advice(row.error_code):
        yield f"    do: {do}"


def _candidates(out: Page, now: Situation, candidates: list[dict[str, Any]]) -> Iterator[str]:
    yield from _title(out, "not taken yet", len(candidates))
    for item in candidates[:MOST]:
        yield f"  {out.fit(now.name(item['path'], item['folder']), 2)}"
        yield f"    waits: {name_text(item['reason'])}, for {age(item['since'])} now"
    if len(candidates) > MOST:
        yield f"  and {len(candidates) - MOST} more; --json lists all"


def _title(out: Page, text: str, count: int) -> Iterator[str]:
    if count:
        yield ""
        yield out.paint(text, bold=True)
