"""What files are called in a ledger that several hosts share, of which each may have mounted a share elsewhere: every
file has one name there, whichever host says it. Pure.

Only what the ledger keeps goes by these names, and what is compared or hashed for it. Everything else, and everybody
who is told of a file, goes by the paths of this host.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

# A name that is not UTF-8, in a database whose text must be: this mark, which no path begins with, and the bytes in
# hex, which are in the same order, and begin the same, as the bytes.
BYTES = "\x01"
_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Names:
    """Absolute paths of this host, and what the ledger calls them: the same, but for what lies in one of some
    directories. `outward` has their paths here, each with its name there, `inward` the names, each with its path; both
    with the longest first."""

    outward: _Pairs = ()
    inward: _Pairs = ()

    @classmethod
    def of(cls, paths: Mapping[str, str]) -> Self:
        """`paths`: what each directory of this host is called there; absolute, with no slash at the end."""
        turned = {there: here for here, there in paths.items()}
        return cls(_longest_first(paths), _longest_first(turned))

    # --- into the ledger, and out of it -------------------------------------------------------------------------------

    def to_text(self, path: str) -> str | bytes:
        """The name of a path, as it is bound: text, or the raw bytes where it is not UTF-8 (or would be taken for such
        a one)."""
        if self.outward:
            path = _renamed(path, self.outward)
        try:
            path.encode()
        except UnicodeEncodeError:
            return os.fsencode(path)
        return path if not path.startswith(BYTES) else path.encode()  # relative, and odd: not to be taken for the mark

    def to_path(self, value: str | bytes) -> str:
        """The path of what `to_text` bound; what has no place here is called as it is there."""
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        elif value.startswith(BYTES):
            value = os.fsdecode(bytes.fromhex(value[1:]))
        return _renamed(value, self.inward) if self.inward else value

    def differ(self, value: str | bytes) -> bool:
        """Whether `to_path` may say something else than `value`."""
        return isinstance(value, bytes) or value.startswith(BYTES) or bool(self.inward)

    def beside(self, stem: str) -> tuple[str | bytes, str | bytes]:
        """What lies between these two, in the order of the ledger, are the names that begin with that of `stem` and a
        dot."""
        directory, slash, name = stem.rpartition("/")
        there = f"{self.outside(directory)}{slash}{name}"
        return bound(f"{there}."), bound(f"{there}/")

    # --- the same as text ---------------------------------------------------------------------------------------------

    def outside(self, path: str) -> str:
        """The name of a path."""
        return _renamed(path, self.outward)

    def here(self, name: str) -> str:
        """The path that a name has."""
        return _renamed(name, self.inward)

    # --- what has one -------------------------------------------------------------------------------------------------

    def covers(self, path: str) -> bool:
        """Whether a path lies in one of the directories that are called otherwise there."""
        return any(_rest(directory, path) is not None for directory, _ in self.outward)

    def has(self, path: str) -> bool:
        """Whether the name of a path is its own: not that of another path here."""
        return self.here(self.outside(path)) == path

    def nameless(self, root: str) -> str | None:
        """The first path found, `root` itself or in it, whose name is another one's; None where each has its own."""
        inner = [here for here, _ in self.outward if _rest(root, here)]
        for top in (root, *inner):
            # As far down as nothing else begins, here or there, all goes as it does at the top.
            rests = (_rest(self.outside(top), there) for there, _ in self.inward)
            for path in (top, *(top.rstrip("/") + rest for rest in rests if rest)):
                if not self.has(path):
                    return path
        return None


def _longest_first(pairs: Mapping[str, str]) -> _Pairs:
    return tuple(sorted(pairs.items(), key=lambda pair: len(pair[0]), reverse=True))


def _renamed(path: str, pairs: _Pairs) -> str:
    for before, after in pairs:
        if (rest := _rest(before, path)) is not None:
            return after + rest
    return path


def _rest(directory: str, path: str) -> str | None:
    """What of `path` comes after the directory that it is, or lies in; None where it does neither."""
    above = directory.rstrip("/")
    if path == directory:
        return ""
    return path[len(above) :] if path.startswith(f"{above}/") else None


AS_THEY_ARE = Names()
# What is called the same everywhere: what lies below a folder, and what rules look for there.
bound, unbound = AS_THEY_ARE.to_text, AS_THEY_ARE.to_path
