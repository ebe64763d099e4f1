"""Could layerwatch work here and now? Looks at everything that it needs, and says of each thing what to do about it.

Changes nothing: makes no ledger, migrates none, starts nothing that costs. What it tries to write is gone at once.
"""

import os
from collections.abc import Callable, Iterator

from layerwatch.checkup.findings import About, Area, Finding, Level, exit_code
from layerwatch.checkup.folders import check_folder, check_writing
from layerwatch.checkup.inotify import Needed, check_instances, check_watches, used_by
from layerwatch.checkup.ledger import Known, check_daemon, check_disk, check_ledger, look
from layerwatch.checkup.server import check_server
from layerwatch.config import Folder, Settings
from layerwatch.errors import UserError
from layerwatch.ledger import FolderFacts

__all__ = ["About", "Area", "Finding", "Level", "at_start", "check", "exit_code"]

QUICK_CHECK_S = 30.0
COUNT_S = 3.0  # one folder's directories
COUNT_ALL_S = 10.0


def check(
    settings: Settings, wall: Callable[[], float], monotonic: Callable[[], float], *, offline: bool = False
) -> Iterator[Finding]:
    """Everything, as it is found. Takes seconds; the network comes last."""
    yield from _configuration(settings)
    if settings.ledger.url is None:
        path = settings.ledger.path
        known = look(path)
        of_ledger = list(check_ledger(path, known, _until(QUICK_CHECK_S, monotonic)))
        yield from check_daemon(path, known)
        yield from of_ledger
    else:
        known = Known()
        yield from _database(settings, known)
    needed = Needed(0)
    for folder in settings.folders:
        enough = _until(min(COUNT_S, COUNT_ALL_S / len(settings.folders)), monotonic)
        facts = known.folders.get(folder.name)
        more = yield from check_folder(folder, facts, enough, _elsewhere(settings, folder, facts))
        needed = Needed(needed.watches + more.watches, needed.at_least or more.at_least)
    yield from check_instances()
    used = used_by(os.geteuid() if known.user is None else known.user)
    yield from check_watches(needed, used, known.pid)
    yield from check_server(settings, wall, offline=offline)


def _elsewhere(settings: Settings, folder: Folder, facts: FolderFacts | None) -> str | None:
    if settings.ledger.url is None or facts is None or facts.path == folder.root:
        return None
    return settings.ledger.names.outside(facts.path)


def _database(settings: Settings, known: Known) -> Iterator[Finding]:
    try:
        from layerwatch.checkup.database import check_database  # psycopg costs 0.2 s, and need not be there
    except UserError as error:
        yield from About(Area.LEDGER).told("server", error.problems, code=error.exit_code)
        return
    yield from check_database(settings.ledger, known)


def at_start(settings: Settings) -> list[Finding]:
    """What is not well, of what can be told at once and without the network. To be asked before a daemon begins."""
    found = [*check_instances(), *(check_disk(settings.ledger.path) if settings.ledger.url is None else ())]
    for folder in settings.folders:
        found += check_writing(folder)
    return [finding for finding in found if finding.level is not Level.OK]


def _configuration(settings: Settings) -> Iterator[Finding]:
    about = About(Area.CONFIGURATION)
    rules = sum(len(folder.rules) for folder in settings.folders)
    yield about.ok("file", f"{settings.path}: folders {len(settings.folders)}, rules {rules}")
    for text in settings.warnings:
        detail, is_open, path = text.partition("; chmod ")
        yield about.warning("note", detail, f"chmod {path}" if is_open else "take it away, or correct its name")


def _until(seconds: float, monotonic: Callable[[], float]) -> Callable[[], bool]:
    """Says, from now on, whether that much time is over."""
    end = monotonic() + seconds
    return lambda: monotonic() >= end
