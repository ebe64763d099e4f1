"""The ledger held against the disk: what does not go together. Reads only, and changes nothing.

Holds one directory's listing and one page of rows at a time, however large the ledger is. A folder that is not there
is said to be so, and none of its files is called missing. `files` and `generations` look, each in its `place`s.
"""

from collections.abc import Iterator, Sequence

from layerwatch.audit.files import Files
from layerwatch.audit.findings import Checked, Finding, Kind
from layerwatch.audit.generations import Generations
from layerwatch.audit.look import HUNG_S, QUIET_S, STUCK_S, Look, Moment
from layerwatch.audit.place import Place, digest_of, trouble
from layerwatch.config import PUSHED, Folder
from layerwatch.ledger import Ledger

__all__ = [
    "HUNG_S",
    "QUIET_S",
    "STUCK_S",
    "Audit",
    "Checked",
    "Finding",
    "Kind",
    "Moment",
    "digest_of",
    "trouble",
]


class Audit:
    """One look at `folders`, or at the one called `only`. `checked` is complete once `findings` has come to its end."""

    def __init__(
        self,
        ledger: Ledger,
        folders: Sequence[Folder],
        moment: Moment,
        *,
        only: str | None = None,
        rehash: bool = False,
    ) -> None:
        facts = {each.name: each for each in ledger.facts.folders()}
        since = ledger.reports.noted_at("daemon") if moment.daemon else None
        self._look = Look(
            reports=ledger.reports,
            stories=ledger.stories,
            moment=moment,
            folders={folder.name: folder for folder in folders},
            facts=facts,
            places={
                folder.name: Place(folder, facts.get(folder.name), since)
                for folder in folders
                if only in (None, folder.name)
            },
            only=only,
            rehash=rehash,
        )
        self.checked = [place.checked for place in self._look.places.values()]

    def findings(self) -> Iterator[Finding]:
        look = self._look
        for name, rows in look.reports.rows_by_folder().items():
            if look.wants(name) and name not in look.places:
                what = "pushed, and in no folder: not looked at" if name == PUSHED else "no longer configured"
                detail = f"{what}; rows in the ledger: {rows}"
                self.checked.append(Checked(name, None, "unconfigured", detail))
        yield from Files(look).findings()
        yield from Generations(look).findings()
