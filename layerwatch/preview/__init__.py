"""What a run would do now, found out by letting it happen on a copy of the ledger. The ledger itself, the folders and
Layer stay as they are: nothing is sent but questions about rules and prices.

`rehearsal` lets the real folders (`arrivals`), planner and budget (`firings`) work on the copy, so that it cannot
disagree with a run; `pricing` asks what generations would cost; `outlook` is what is found.
"""

from layerwatch.preview.outlook import FolderOutlook, Foreseen, Money, NotYet, Outlook, Refused, Reused, Upload
from layerwatch.preview.rehearsal import preview

__all__ = ["FolderOutlook", "Foreseen", "Money", "NotYet", "Outlook", "Refused", "Reused", "Upload", "preview"]
