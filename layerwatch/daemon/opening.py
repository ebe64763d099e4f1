"""What a start does with the ledger: what the last run left is put in order, before anybody works on it."""

import logging
import os
import time

from layerwatch import __version__, points
from layerwatch.config import Settings
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice, Tell


def open_books(ledger: Ledger, settings: Settings, tell: Tell, *, once: bool, alone: bool) -> None:
    """Nobody works on what was being worked on: it goes back, and a paid request that may have left is unknown."""
    now = time.time()
    if alone:
        ledger.facts.forget_folders_but([folder.name for folder in settings.folders])
        ledger.facts.nothing_seen_yet(now)
        ledger.facts.note("hold", None, now)
        ledger.facts.note("clock", None, now)
        ledger.facts.note("daemon", {"pid": os.getpid(), "version": __version__, "once": once}, now)
        ledger.files.hurry(now)  # nothing waits for longer because the clock was wrong, or we were away
    _mind_the_workspace(ledger, settings, now, alone=alone)
    if alone:  # among others the vigil does, once all have had the time to show that they are there
        recover(ledger, tell)


def _mind_the_workspace(ledger: Ledger, settings: Settings, now: float, *, alone: bool) -> None:
    before = ledger.facts.notes().get("workspace")
    if before not in (None, settings.workspace()):
        if not alone:
            reason = f"the daemons that share this ledger work in workspace {before}"
            raise UserError(
                Problem(f"{settings.path}: api.workspace_id", reason, "give all the same, or its own ledger")
            )
        ledger.files.forget_sessions()  # what they would bring is in the other workspace
    if before != settings.workspace():
        ledger.facts.note("workspace", settings.workspace(), now)


def recover(ledger: Ledger, tell: Tell) -> None:
    """What was claimed by those who are no more is anybody's again; what they may have paid for is unknown."""
    now = time.time()
    ledger.finishing.recover()
    ledger.deliveries.recover()
    if unknown := ledger.firing.recover(now):
        points.passed("recovered")
        names = ", ".join(f"g{id_}" for id_ in unknown)
        text = f"generations {names} may have been fired when layerwatch ended: see `layerwatch resolve`"
        tell(Notice("generation_unknown", text, logging.ERROR, {"generations": unknown}))
    if recovered := ledger.files.recover(now):
        points.passed("recovered")
        text = f"{len(recovered)} uploads had been interrupted: going on where they were"
        tell(Notice("recovered", text, facts={"files": recovered}))
