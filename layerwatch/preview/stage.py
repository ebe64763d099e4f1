"""What the parts of a rehearsal share: the settings, the copy of the ledger, who tells prices, the time."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from layerwatch.config import Folder, Rule, Settings
from layerwatch.ledger import Ledger
from layerwatch.preview.pricing import Prices
from layerwatch.site import rule_of

DAY_S = 86_400.0
LONG_S = 366 * DAY_S  # nothing that is put off to then comes back in a rehearsal

Progress = Callable[[str], None]


@dataclass
class Stage:
    """`copy` is a ledger of our own. `wall` is the clock, in unix seconds; `progress` is told often what is done."""

    settings: Settings
    copy: Ledger
    prices: Prices
    wall: Callable[[], float]
    progress: Progress

    @cached_property
    def folders(self) -> dict[str, Folder]:
        return {folder.name: folder for folder in self.settings.folders}

    def root(self, name: str) -> str:
        return os.path.realpath(self.folders[name].path)

    def rule(self, folder: str, name: str) -> Rule | None:
        return rule_of(self.folders, folder, name)

    def went_on(self, what: str) -> None:
        """Something was done. Keeps the copy from growing without end."""
        self.progress(what)
        self.copy.checkpoint_if_due()
