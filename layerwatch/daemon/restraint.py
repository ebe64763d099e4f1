"""What the API asks of one host counts for all that share its ledger: when it says "too many requests", they wait
together, for as long as it said."""

from logging import WARNING
from typing import TYPE_CHECKING

from layerwatch.errors import ApiDown, Code
from layerwatch.notices import Notice, Tell
from layerwatch.pacing import Gate, Hold, Pass

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.membership import Membership

SLACK_S = 0.5  # two who wait for the same moment need not tell each other


class Restraint:
    """One step a second, by the thread that has the membership."""

    def __init__(self, membership: "Membership", gate: Gate, tell: Tell) -> None:
        self._membership = membership
        self._gate = gate
        self._tell = tell
        self._told: Hold | None = None  # by us to others
        self._heard: Hold | None = None  # by others to us

    def step(self, now: float) -> None:
        """`now` is monotonic. Raises `LedgerTrouble`."""
        self._tell_others(self._gate.hold, now)
        asked = self._membership.held()
        if asked is None:
            return
        name, message, left_s = asked
        hold = self._gate.hold
        if hold is None or hold.until < now + left_s - SLACK_S:
            error = ApiDown(Code.RATE_LIMITED, message, after_s=left_s)
            self._heard = self._gate.down(Pass(now, probe=False), error, now)
            text = f"everything waits: host {name} was told: {message}"
            self._tell(Notice("hold", text, WARNING, {"error_code": Code.RATE_LIMITED, "message": message}))

    def _tell_others(self, hold: Hold | None, now: float) -> None:
        if hold is None or hold.code != Code.RATE_LIMITED or hold in (self._told, self._heard) or hold.until <= now:
            return
        self._membership.holds(hold.message, hold.until - now)
        self._told = hold
