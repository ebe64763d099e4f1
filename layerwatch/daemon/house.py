"""What is nobody else's: the clock, the note of why everything waits, the ledger's write-ahead log, and the folders
that are no longer configured."""

import logging
import time
from collections.abc import Callable

from layerwatch.config import PUSHED
from layerwatch.ledger import Ledger, iso
from layerwatch.notices import Notice, Tell
from layerwatch.pacing import Gate

CLOCK_SLACK_S = 5.0


class House:
    """Kept by the main thread, about once a second. `ring` wakes whoever sleeps."""

    def __init__(self, gate: Gate, tell: Tell, ring: Callable[[], None]) -> None:
        self.alone = True  # nobody else has anything to do with the ledger
        self._gate = gate
        self._tell = tell
        self._ring = ring
        self._clock_offset_s = time.time() - time.monotonic()
        self._noted_hold: tuple[str, str] | None = None
        self._folders: list[str] | None = None

    def forget_all_but(self, folders: list[str]) -> None:
        """Only these are configured now. Until whoever watched the others has gone it takes more than one time."""
        self._folders = [*folders, PUSHED]

    def keep(self, ledger: Ledger, *, anybody_leaving: bool) -> None:
        """Raises `LedgerTrouble`; what is not done then is done the next time."""
        if self._folders is not None and self.alone:
            ledger.facts.forget_folders_but(self._folders)
            self._folders = self._folders if anybody_leaving else None
        self._mind_the_clock(ledger)
        if self.alone:
            self._note_hold(ledger)
        ledger.checkpoint_if_due()

    def _note_hold(self, ledger: Ledger) -> None:
        hold = self._gate.hold
        noted = (hold.code, hold.message) if hold else None
        if noted != self._noted_hold:
            note = {"code": hold.code, "message": hold.message} if hold else None
            ledger.facts.note("hold", note, time.time())
            self._noted_hold = noted

    def _mind_the_clock(self, ledger: Ledger) -> None:
        """A clock that was set, or a machine that slept: what waits for a time must not wait the difference out."""
        offset_s = time.time() - time.monotonic()
        jump_s = offset_s - self._clock_offset_s
        if abs(jump_s) > CLOCK_SLACK_S:
            way = "forward" if jump_s > 0 else "back"
            text = f"the clock jumped {way} by {abs(jump_s):.0f} s, or the machine slept"
            ledger.files.hurry(time.time())
            ledger.facts.note("clock", {"message": text, "at": iso(time.time())}, time.time())
            self._tell(Notice("clock_jumped", text, logging.WARNING, {"seconds": round(jump_s)}))
            self._ring()
        self._clock_offset_s = offset_s
