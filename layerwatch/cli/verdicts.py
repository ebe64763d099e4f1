"""What has to be true at the end of the demo, looked up in the ledger, on the disk and in the sandbox."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from layerwatch.cli.generations import label, units
from layerwatch.cli.rehearsal import BEAUTY, DEPTH, WAITS, Prop, Rehearsal
from layerwatch.daemon import Ended
from layerwatch.errors import Code
from layerwatch.ignore import RECEIPT_SUFFIX
from layerwatch.ledger import GenerationRow, Ledger
from layerwatch.sandbox import Sandbox
from layerwatch.states import File, Generation, Turn


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be true; `detail` says how it is, or what is missing."""

    name: str
    ok: bool
    detail: str


def checks(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox, ended: Ended) -> Iterator[Check]:
    missing = rehearsal.missing(ledger)
    yield _ended(ended, ledger, missing)
    yield _uploaded(rehearsal, missing)
    yield _same_bytes(rehearsal, ledger, sandbox)
    yield _sent_once(rehearsal, sandbox)
    yield _skipped(rehearsal, ledger)
    yield _waiting(rehearsal, missing)
    yield _waited(rehearsal, ledger)
    yield _fired(rehearsal, ledger, sandbox)
    yield _settled(rehearsal, ledger, sandbox)
    yield _results(rehearsal, ledger, sandbox)
    yield _no_loop(rehearsal, ledger)
    broken = sorted({str(violation.rule) for violation in sandbox.violations})
    yield Check(
        "protocol", not broken, f"broken: {', '.join(broken)}" if broken else "no rule of the upload was broken"
    )


def _ended(ended: Ended, ledger: Ledger, missing: list[Prop]) -> Check:
    if ended.signal:
        return Check("ended", False, f"interrupted by {ended.signal}")
    if missing:
        return Check("ended", False, f"not in time: {_names(missing)}")
    failed = ledger.reports.counts()[File.FAILED] + ledger.stories.counts()[Generation.FAILED]
    well = ended.reason == "stopped" and not ended.left and not failed
    return Check("ended", well, f"stopped when all was done; {failed} failed, {ended.left} left in the queue")


def _names(props: list[Prop]) -> str:
    return ", ".join(prop.path for prop in props)


def _uploaded(rehearsal: Rehearsal, missing: list[Prop]) -> Check:
    wanted = [prop for prop in rehearsal.props if prop.fate == File.UPLOADED]
    lacking = [prop for prop in wanted if prop in missing]
    return Check("uploaded", not lacking, f"{len(wanted) - len(lacking)} of {len(wanted)} files are uploaded")


def _same_bytes(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox) -> Check:
    stored = {kept.file_id: kept.path for kept in sandbox.objects}
    wrong = []
    for prop in rehearsal.props:
        row = rehearsal.row(ledger, prop)
        if row and row.status == File.UPLOADED and not _equal(stored.get(row.file_id or ""), rehearsal.path(prop)):
            wrong.append(prop)
    detail = f"differ: {_names(wrong)}" if wrong else "every stored object is its file, byte for byte"
    return Check("bytes", not wrong and bool(stored), detail)


def _equal(one: str | None, other: str) -> bool:
    if one is None:
        return False
    with open(one, "rb") as stored, open(other, "rb") as source:
        return stored.read() == source.read()


def _sent_once(rehearsal: Rehearsal, sandbox: Sandbox) -> Check:
    contents = {prop.data for prop in rehearsal.props if prop.fate == File.UPLOADED}
    sent = len(sandbox.objects)
    return Check("once", sent == len(contents), f"{len(contents)} different contents, {sent} objects: twins share one")


def _skipped(rehearsal: Rehearsal, ledger: Ledger) -> Check:
    rows = [(prop, rehearsal.row(ledger, prop)) for prop in rehearsal.props if prop.fate == File.SKIPPED]
    well = all(row and row.error_code == Code.UNSUPPORTED_TYPE and row.file_id is None for _, row in rows)
    told = ", ".join(f"{prop.path}: {row.error_code if row else 'not seen'}" for prop, row in rows)
    return Check("skipped", well, f"what Layer does not take is skipped ({told})")


def _waiting(rehearsal: Rehearsal, missing: list[Prop]) -> Check:
    cut = [prop for prop in rehearsal.props if prop.fate == WAITS]
    return Check("waiting", not any(prop in missing for prop in cut), f"what is not whole waits ({_names(cut)})")


# --- the rule ---------------------------------------------------------------------------------------------------------


def _waited(rehearsal: Rehearsal, ledger: Ledger) -> Check:
    events = _events(rehearsal, ledger)
    well = events[:2] == [Turn.AWAITS, Turn.READY]
    detail = f"a generation waited for {DEPTH}, and went on with it" if well else "it did not wait for its second input"
    return Check("waited", well, detail)


def _events(rehearsal: Rehearsal, ledger: Ledger) -> list[str]:
    made = rehearsal.made(ledger)
    return [line.event for line in ledger.stories.history(made.id)] if made else []


def _fired(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox) -> Check:
    """Exactly one, and its body as the rule says."""
    fired = sandbox.generations
    if len(fired) != 1:
        return Check("fired", False, f"{len(fired)} generations were fired, not one")
    ids = [row and row.file_id for row in (rehearsal.row(ledger, prop) for prop in _inputs(rehearsal))]
    wanted = [{"file_id": ids[0], "type": "INIT"}, {"file_id": ids[1], "type": "DEPTH"}]
    well = None not in ids and fired[0].body.get("guidance_files") == wanted
    return Check("fired", well, f"fired once, {'' if well else 'not '}with both file_ids where the rule puts them")


def _inputs(rehearsal: Rehearsal) -> list[Prop]:
    return [prop for name in (BEAUTY, DEPTH) for prop in rehearsal.props if prop.path == name]


def _settled(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox) -> Check:
    """An answer was lost, and nothing was paid for twice."""
    made, charged = rehearsal.made(ledger), sum(each.charged for each in sandbox.generations)
    events = _events(rehearsal, ledger)
    lost = bool(sandbox.counters["fault_lost_posts"]) and Turn.LOST in events
    booked = sum(row.booked for row in ledger.stories.spend())
    well = lost and made is not None and Turn.ADOPTED in events and booked == charged > 0
    if not well or made is None:
        return Check("settled", False, f"{units(charged)} Creative Units were paid, {units(booked)} are in the books")
    price = f"paid once, {units(charged)} Creative Units"
    return Check("settled", True, f"the answer to {label(made.id)} was lost, found by a person; {price}")


def _results(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox) -> Check:
    made, folder = rehearsal.made(ledger), os.path.join(rehearsal.folder, "generated")
    there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    stem = os.path.splitext(BEAUTY)[0]
    wanted = [f"{stem}.restyle.{number}.png{end}" for number in (1, 2) for end in ("", RECEIPT_SUFFIX)]
    well = made is not None and there == wanted and all(_is_true(folder, name, made) for name in wanted[::2])
    detail = "2 results in generated/, each with the truth about itself" if well else f"in generated/: {there}"
    return Check("results", well and sandbox.generations[0].id == (made and made.remote_id), detail)


def _is_true(folder: str, name: str, made: GenerationRow) -> bool:
    """Whether the provenance beside a result is about this one."""
    with open(os.path.join(folder, name), "rb") as result:
        sha256 = hashlib.sha256(result.read()).hexdigest()
    with open(os.path.join(folder, name + RECEIPT_SUFFIX), encoding="utf-8") as beside:
        told = json.load(beside)
    roles = [(each["role"], os.path.basename(each["path"])) for each in told["inputs"]]
    known = told["result"]["sha256"], told["remote_id"], roles
    return known == (sha256, made.remote_id, [("input", BEAUTY), ("depth", DEPTH)])


def _no_loop(rehearsal: Rehearsal, ledger: Ledger) -> Check:
    below = os.path.join(rehearsal.folder, "generated", "")
    known = [row.path for row in ledger.reports.files()] + [item["path"] for item in ledger.reports.candidates()]
    came_back = [path for path in known if path.startswith(below)]
    detail = f"{len(came_back)} results were taken for new files" if came_back else "no result was taken for a new file"
    return Check("loop", not came_back, detail)
