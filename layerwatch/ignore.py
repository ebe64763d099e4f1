"""Which names in a drop folder are nobody's work: hidden files, half-done downloads, editors' and systems' litter, and
what layerwatch itself writes. Pure; decides by the name alone.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RECEIPT_SUFFIX = ".layer.json"

# Programs that write `name + suffix` first and rename when they are done, and what systems and editors leave about.
LITTER = (
    ".*",
    "~*",
    "*~",
    "#*#",
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.aria2",
    "*.!ut",
    "*.!qB",
    "*.swp",
    "*.swo",
    "*.swx",
    "*.bak",
    "*.lock",
    "*.lck",
    "*.rsync-partial",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Icon\r",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "@eaDir",
    "#recycle",
    "#snapshot",
    "__MACOSX",
    f"*{RECEIPT_SUFFIX}",
)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    # fnmatch.translate ends every pattern in \Z; joined they are one regular expression, which is ten times as fast.
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)", re.IGNORECASE)


_LITTER = _any_of(LITTER)


@dataclass(frozen=True)
class Selection:
    """What one folder takes. Patterns without a slash are held against the name, those with one against the path
    below the folder; case does not count (cameras write `.JPG`); `exclude` wins."""

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    own: Sequence[str] = ()  # folders of our own below the root (results), relative

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            patterns = getattr(self, name)
            object.__setattr__(self, f"_{name}_name", _any_of(p for p in patterns if "/" not in p))
            object.__setattr__(self, f"_{name}_path", _any_of(p.lstrip("/") for p in patterns if "/" in p))

    def why_not(self, relative: str) -> str | None:
        """Why the file at this path below the root is left out; None when it is taken."""
        *directories, name = relative.split("/")
        for depth, directory in enumerate(directories):
            if reason := self.why_not_enter("/".join(directories[: depth + 1]), directory):
                return reason
        if _LITTER.match(name):
            return f"{name!r} is a temporary, hidden or system name"
        if self._matches("exclude", name, relative):
            return "matches one of the folder's `exclude` patterns"
        if not self._matches("include", name, relative):
            return "matches none of the folder's `include` patterns"
        return None

    def why_not_enter(self, relative: str, name: str) -> str | None:
        """Why the directory at this path below the root is not walked; None when it is."""
        if _LITTER.match(name):
            return f"{name!r} is a temporary, hidden or system folder"
        if relative in self.own:
            return f"{relative!r} is where results are saved"
        if self._matches("exclude", name, relative):
            return f"the folder {relative!r} matches one of the `exclude` patterns"
        return None

    def _matches(self, which: str, name: str, relative: str) -> bool:
        by_name: re.Pattern[str] = getattr(self, f"_{which}_name")
        by_path: re.Pattern[str] = getattr(self, f"_{which}_path")
        return bool(by_name.match(name) or by_path.match(relative))
