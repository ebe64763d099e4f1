"""What a start does with the ledger: what the last run left is put in order, before anybody works on it."""

import logging
import os
import time

from layerwatch import __version__, points
from layerwatch.config import Settings
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice, Tell


def open_books(ledger: Ledger, settings: Settings, tell: Tell, *, once: bool) -> None:
    """Nobody works on what was being worked on: it goes back, and a paid request that may have left is unknown."""
    now = time.time()
    ledger.facts.forget_folders_but([folder.name for folder in settings.folders])
    ledger.facts.nothing_seen_yet(now)
    ledger.facts.note("hold", None, now)
    ledger.facts.note("clock", None, now)
    ledger.facts.note("daemon", {"pid": os.getpid(), "version": __version__, "once": once}, now)
    if ledger.facts.notes().get("workspace") not in (None, settings.workspace()):
        ledger.files.forget_sessions()  # what they would bring is in the other workspace
    ledger.facts.note("workspace", settings.workspace(), now)
    ledger.finishing.recover()
    ledger.deliveries.recover()
    if unknown := ledger.firing.recover(now):
        points.passed("recovered")
        names = ", ".join(f"g{id_}" for id_ in unknown)
        text = f"generations {names} may have been fired when layerwatch ended: see `layerwatch resolve`"
        tell(Notice("generation_unknown", text, logging.ERROR, {"generations": unknown}))
    ledger.files.hurry(now)  # nothing waits for longer because the clock was wrong, or we were away
    if recovered := ledger.files.recover(now):
        points.passed("recovered")
        text = f"{len(recovered)} uploads had been interrupted: going on where they were"
        tell(Notice("recovered", text, facts={"files": recovered}))
