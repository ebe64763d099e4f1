"""A generation's result files, saved into the outputs directory of its drop folder, each with its provenance beside it.

File operations alone: no ledger, no network, no clock. `naming` says what a result is called, `saving` brings it to its
place, `origin` writes how it came about, `disk` holds a file while it is in the making. Nothing here replaces anybody's
file, follows a link, or leaves the drop folder.
"""

from layerwatch.results.disk import DISK, EXISTS
from layerwatch.results.naming import Place
from layerwatch.results.origin import provenance
from layerwatch.results.saving import RESULT_TOO_LARGE, Found, Intent, save, settled, sweep

__all__ = [
    "DISK",
    "EXISTS",
    "RESULT_TOO_LARGE",
    "Found",
    "Intent",
    "Place",
    "provenance",
    "save",
    "settled",
    "sweep",
]
