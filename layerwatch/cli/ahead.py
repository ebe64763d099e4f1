"""What comes next for a file, and when, and what a person can do: what `layerwatch show` ends with."""

import os

from layerwatch.advice import advice
from layerwatch.cli import story
from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import clock, until
from layerwatch.ledger import FileRow
from layerwatch.notices import name_text, size_text
from layerwatch.states import File


def what_next(now: Situation, row: FileRow) -> str:
    """What layerwatch will do about this row, and when."""
    match row.status:
        case File.QUEUED:
            return _next_of_queued(now, row)
        case File.UPLOADING if now.pid is not None:
            return f"it is being uploaded: {size_text(row.bytes_sent)} of {size_text(row.size)} are stored"
        case File.UPLOADING:
            return f"it was interrupted; the next `layerwatch run` goes on from {size_text(row.bytes_sent)}"
        case File.UPLOADED:
            return _next_of_uploaded(now, row)
        case File.FAILED:
            return "nothing by itself: it is given up until somebody retries it, or the file changes"
    return "nothing, unless the file changes"


def _next_of_uploaded(now: Situation, row: FileRow) -> str:
    rest = now.ledger.outstanding.of_file(row.id)
    waits = [story.action_text(action) for action in now.ledger.outstanding.actions("uploaded", row.id)]
    if rest.aftermath == "pending":
        waits.append("its source is dealt with as the folder has it")
    if rest.planning and (folder := now.folder(row.folder)) and folder.rules:
        waits.append("its rules are looked at")
    late = "" if now.pid is not None or not waits else ", by the next `layerwatch run`"
    return ("; ".join(waits) or "nothing: it is done") + late


def what_to_do(row: FileRow) -> str:
    """What a person can do about the row's error; empty where there is none, or it is past."""
    return "" if row.status in (File.UPLOADING, File.UPLOADED) else advice(row.error_code)


def _next_of_queued(now: Situation, row: FileRow) -> str:
    facts = now.facts.get(row.folder)
    if now.pid is None:
        return "it waits for the next `layerwatch run`"
    if facts is None:
        return f"it waits: the daemon does not know folder {row.folder}"
    if facts.state in ("away", "unreadable"):
        return f"it waits for its folder, which is {facts.state}: {name_text(facts.detail)}"
    if now.hold:
        return f"it waits, as everything does: {name_text(str(now.hold.get('message')))}"
    if row.next_attempt_at and until(row.next_attempt_at) != "now":
        number = f"attempt {row.attempts + 1} of {now.settings.upload.max_attempts}"
        return f"{number} {until(row.next_attempt_at)}, at {clock(row.next_attempt_at)}"
    return "it is uploaded as soon as an uploader is free"


def rules_text(now: Situation, row: FileRow) -> str:
    """Why an uploaded file of a folder with rules has no generation; empty where it has one, or there is no rule."""
    from layerwatch.rules import fit

    folder, root = now.folder(row.folder), now.root(row.folder)
    inside = root is not None and row.path.startswith(os.path.join(root, ""))
    if row.status != File.UPLOADED or not folder or not folder.rules or not inside or story.fired(now, row):
        return ""
    relative = os.path.relpath(row.path, root)
    names = ", ".join(rule.name for rule in folder.rules if fit(rule, folder.name, relative))
    if not names:
        return f"none of folder {folder.name} is for a file of this name"
    if now.ledger.outstanding.of_file(row.id).planning:
        return f"{names}: not looked at yet"
    return f"{names}: not fired, for a rule is for what comes after it; `layerwatch retry --again` fires, and costs"
