"""What has to be true at the end of the demo, looked up in the ledger, on the disk and in the sandbox."""

from collections.abc import Iterator
from dataclasses import dataclass

from layerwatch.cli.rehearsal import WAITS, Prop, Rehearsal
from layerwatch.daemon import Ended
from layerwatch.errors import Code
from layerwatch.ledger import Ledger
from layerwatch.sandbox import Sandbox
from layerwatch.states import File


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be true; `detail` says how it is, or what is missing."""

    name: str
    ok: bool
    detail: str


def checks(rehearsal: Rehearsal, ledger: Ledger, sandbox: Sandbox, ended: Ended) -> Iterator[Check]:
    missing = rehearsal.missing(ledger)
    yield _ended(ended, missing)
    yield _uploaded(rehearsal, missing)
    yield _same_bytes(rehearsal, ledger, sandbox)
    yield _sent_once(rehearsal, sandbox)
    yield _skipped(rehearsal, ledger)
    yield _waiting(rehearsal, missing)
    broken = sorted({str(violation.rule) for violation in sandbox.violations})
    yield Check(
        "protocol", not broken, f"broken: {', '.join(broken)}" if broken else "no rule of the upload was broken"
    )


def _ended(ended: Ended, missing: list[Prop]) -> Check:
    if ended.signal:
        return Check("ended", False, f"interrupted by {ended.signal}")
    if missing:
        return Check("ended", False, f"not in time: {_names(missing)}")
    well = ended.reason == "stopped" and not ended.left and not ended.failed
    return Check("ended", well, f"stopped when all was done; {ended.failed} failed, {ended.left} left in the queue")


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
