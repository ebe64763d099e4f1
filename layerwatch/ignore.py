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


class Names:
    """Names that match any of some patterns; case does not count. A pattern with one `*` at an end, as nearly all are,
    is looked for by its text: a regular expression of dozens is what would cost most in a scan."""

    def __init__(self, patterns: Iterable[str]) -> None:
        whole, heads, tails, others = set(), [], [], []
        for pattern in patterns:
            text = pattern.lower()
            if _SPECIAL.isdisjoint(text):
                whole.add(text)
            elif _SPECIAL.isdisjoint(text[1:]) and text[0] == "*":
                tails.append(text[1:])
            elif _SPECIAL.isdisjoint(text[:-1]) and text[-1] == "*":
                heads.append(text[:-1])
            else:
                others.append(fnmatch.translate(pattern))  # each ends in \Z, so that they can be joined
        self._whole, self._heads, self._tails = frozenset(whole), tuple(heads), tuple(tails)
        self._others = re.compile("|".join(others), re.IGNORECASE) if others else None

    def match(self, name: str) -> bool:
        lower = name.lower()
        return (
            lower.endswith(self._tails)
            or lower.startswith(self._heads)
            or lower in self._whole
            or (self._others is not None and self._others.match(name) is not None)
        )


_SPECIAL = frozenset("*?[")
_LITTER = Names(LITTER)


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
            object.__setattr__(self, f"_{name}_name", Names(p for p in patterns if "/" not in p))
            object.__setattr__(self, f"_{name}_path", Names(p.lstrip("/") for p in patterns if "/" in p))

    def why_not(self, relative: str) -> str | None:
        """Why the file at this path below the root is left out; None when it is taken."""
        directory, _, name = relative.rpartition("/")
        return self.why_not_within(directory) or self.why_not_here(relative, name)

    def why_not_within(self, relative: str) -> str | None:
        """Why nothing in this directory is taken, because of itself or of one above it; None when it is."""
        directories = relative.split("/") if relative else []
        for depth, directory in enumerate(directories):
            if reason := self.why_not_enter("/".join(directories[: depth + 1]), directory):
                return reason
        return None

    def why_not_here(self, relative: str, name: str) -> str | None:
        """The same for one in a directory that is walked, of that name."""
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
        by_name: Names = getattr(self, f"_{which}_name")
        by_path: Names = getattr(self, f"_{which}_path")
        return by_name.match(name) or by_path.match(relative)
