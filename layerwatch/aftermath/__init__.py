"""What becomes of a source once the server has confirmed its bytes: kept, moved or deleted, with a receipt or without.

File operations alone: no ledger, no network, no clock. `removing` takes a file away safely, `moving` has it ready at
its new place before, `receipt` writes what it is called on the server, `placing` gives names without ever replacing
anything.
"""

from layerwatch.aftermath.confirmed import Confirmed, Done, Left, Outcome, Reason
from layerwatch.aftermath.receipt import write_receipt
from layerwatch.aftermath.removing import delete, keep, move

__all__ = ["Confirmed", "Done", "Left", "Outcome", "Reason", "delete", "keep", "move", "write_receipt"]
