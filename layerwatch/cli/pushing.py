"""What `layerwatch show` tells of a path that somebody pushed, as long as that has led to nothing."""

from layerwatch.cli.situation import Situation
from layerwatch.cli.tables import age, ago
from layerwatch.ledger import PushRow
from layerwatch.notices import name_text


def loose(now: Situation, path: str) -> str | None:
    """Its latest push, where nobody has taken it yet, or it was refused; None where there is none such."""
    row = next(iter(now.ledger.outstanding.pushes(path)), None)
    if row is None or row.file is not None:
        return None
    meant = f" for folder {name_text(row.folder)}" if row.folder else ""
    head = f"it was pushed{meant} {ago(row.created_at)}"
    if row.taken_at is not None:
        return f"{head}, and refused ({row.error_code}): {name_text(row.error or '')}; push it again once that is right"
    return f"{head}, and not taken yet: {_why(now, path, row)}"


def _why(now: Situation, path: str, row: PushRow) -> str:
    if now.pid is None:
        return "no daemon runs; the next `layerwatch run` takes it"
    if reason := put_off(now, path):
        return f"it waits: {reason}"
    if row.folder and now.folder(row.folder) is None:
        return "its folder is no longer configured, so it will be refused"
    return "the daemon comes to it in a moment"


def put_off(now: Situation, path: str) -> str | None:
    """Why it lies there and is not taken, and for how long now, as the daemon noted it down."""
    for item in now.ledger.reports.candidates():
        if item["path"] == path:
            return f"{name_text(item['reason'])}, for {age(item['since'])} now"
    return None
