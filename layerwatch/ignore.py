"""Which names in a drop folder are nobody's work: hidden files, half-done downloads, editors' and systems' litter, and
what layerwatch itself writes. Pure; decides by the name alone.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
        # By one character most names are told from all the patterns.
        self._firsts, self._lasts = frozenset(head[:1] for head in heads), frozenset(tail[-1:] for tail in tails)
        self._others = re.compile("|".join(others), re.IGNORECASE) if others else None
        self._all = "" in tails

    def match(self, name: str) -> bool:
        lower = name.lower()
        return (
            self._all
            or (lower[-1:] in self._lasts and lower.endswith(self._tails))
            or (lower[:1] in self._firsts and lower.startswith(self._heads))
            or lower in self._whole
            or (self._others is not None and self._others.match(name) is not None)
        )


class _Patterns:
    """Those without a slash are held against the name, those with one against the path below the folder."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._names = Names(pattern for pattern in patterns if "/" not in pattern)
        self._paths = Names(pattern.lstrip("/") for pattern in patterns if "/" in pattern)

    def match(self, name: str, relative: str) -> bool:
        return self._names.match(name) or self._paths.match(relative)


_SPECIAL = frozenset("*?[")
_LITTER = Names(LITTER)


@dataclass(frozen=True)
class Selection:
    """What one folder takes. Patterns without a slash are held against the name, those with one against the path
    below the folder; case does not count (cameras write `.JPG`); `exclude` wins."""

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    own: Sequence[str] = ()  # folders of our own below the root (results), relative
    _included: _Patterns = field(init=False, repr=False, compare=False)
    _excluded: _Patterns | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", _Patterns(self.include))
        object.__setattr__(self, "_excluded", _Patterns(self.exclude) if self.exclude else None)

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
        if self._excluded and self._excluded.match(name, relative):
            return "matches one of the folder's `exclude` patterns"
        if not self._included.match(name, relative):
            return "matches none of the folder's `include` patterns"
        return None

    def why_not_enter(self, relative: str, name: str) -> str | None:
        """Why the directory at this path below the root is not walked; None when it is."""
        if _LITTER.match(name):
            return f"{name!r} is a temporary, hidden or system folder"
        if relative in self.own:
            return f"{relative!r} is where results are saved"
        if self._excluded and self._excluded.match(name, relative):
            return f"the folder {relative!r} matches one of the `exclude` patterns"
        return None
