"""One look at the ledger and the folders: when, at which, and what is known of them. What its parts share."""

from dataclasses import dataclass

from layerwatch.audit.place import Place
from layerwatch.config import Folder
from layerwatch.ledger import FolderFacts, Reports, Stories

QUIET_S = 60.0  # while a daemon runs, what is younger than that is its business
STUCK_S = 600.0
HUNG_S = 3600.0  # an upload URL lives 15 minutes: no attempt takes as long as this


@dataclass(frozen=True, slots=True)
class Moment:
    """When the audit looks, in unix seconds, and what is known of the daemon: does one run, does everything wait?"""

    now: float
    daemon: bool
    hold: bool


@dataclass(frozen=True)
class Look:
    """`folders` are all that are configured, `places` those that are looked at; `rehash`: their files are read too."""

    reports: Reports
    stories: Stories
    moment: Moment
    folders: dict[str, Folder]
    facts: dict[str, FolderFacts]
    places: dict[str, Place]
    only: str | None
    rehash: bool

    def wants(self, folder: str) -> bool:
        return self.only in (None, folder)
