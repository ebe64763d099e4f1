"""Writing down what has happened: insisted on, however long the disk stays full."""

from collections.abc import Callable
from logging import ERROR, WARNING

from layerwatch.errors import LedgerTrouble
from layerwatch.ledger import LostClaim
from layerwatch.notices import Notice, Tell

LEDGER_RETRY_S = 1.0


def insist(
    record: Callable[[], object], *, stopping: Callable[[], bool], pause: Callable[[float], object], tell: Tell
) -> bool:
    """Record what has happened. False when it could not be, because it is time to end, or because the row is somebody
    else's by now: the next start finds out from the row as it was."""
    cut = False
    while True:
        try:
            record()
        except LedgerTrouble as error:
            cut = True
            tell(Notice("ledger_trouble", f"{error}; trying again", ERROR))
            if stopping():
                return False
            pause(LEDGER_RETRY_S)
        except LostClaim as error:
            what = "was recorded before the connection was cut, or is not" if cut else "is not recorded"
            tell(Notice("lost_claim", f"{error}; what came of it {what}", WARNING if cut else ERROR))
            return False
        else:
            return True
