"""A confirmed upload, whose source may now be dealt with, and what can come of that. Pure.

The hidden names live here too, so that nobody who meets one has to guess: all begin with `.layerwatch-`, and tell the
row and the version they belong to.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from layerwatch.aftermath.placing import NAME_MAX
from layerwatch.notices import name_text
from layerwatch.source import Digest, Identity

PREFIX = ".layerwatch-"
_TAKEN = re.compile(rf"{re.escape(PREFIX)}(?P<id>[0-9]+)-[0-9a-f]{{12}}-(?P<name>.+)", re.DOTALL)

At = Callable[[str], None]


def nowhere(point: str) -> None:
    """Where tests step in: called with the name of each point between two steps."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A file whose bytes the server has confirmed. `root` is the real path of its folder, `identity` and `digest` are
    those of the version that was stored, `uploaded_at` is ISO 8601. `called`: the path, as all know it who have the
    share, wherever they have mounted it; empty: as it is here."""

    id: int
    folder: str
    root: str
    path: str
    identity: Identity
    digest: Digest
    content_type: str
    file_id: str
    workspace_id: str
    uploaded_at: str
    called: str = ""

    def __post_init__(self) -> None:
        if not self.path.startswith(os.path.join(self.root, "")):
            raise ValueError(f"{self.path!r} does not lie below {self.root!r}")

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path)

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def taken(self) -> str:
        """Its name while it is taken; of a long name the end, by which one knows what it is."""
        prefix, name = f"{PREFIX}{self.id}-{self.digest.sha256[:12]}-", self.name
        while len(os.fsencode(prefix + name)) > NAME_MAX:
            name = name[1:]
        return prefix + name

    def hidden(self, what: str) -> str:
        """The name of something that is in the making, or on its way out, for this file."""
        return f"{PREFIX}{what}-{self.id}-{self.digest.sha256[:12]}"


def taken_by(hidden: str) -> tuple[int, str] | None:
    """The row that has taken the file `hidden`, and the name it had; None when it is not a taken file."""
    found = _TAKEN.fullmatch(hidden)
    return (int(found["id"]), found["name"]) if found else None


# --- outcomes ---------------------------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why a file was left alone. `IN_USE` and `FAILED` may pass; after the others there is nothing left to do."""

    CHANGED = "changed"  # another version has its name: that one has a story of its own
    GONE = "gone"
    IN_USE = "in_use"
    EXISTS = "exists"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Done:
    """`path` is where the file (or the receipt) is now; None when it was deleted."""

    path: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """The file was left alone; `message` tells a person why, and can be printed and stored anywhere."""

    reason: Reason
    message: str


Outcome = Done | Left


class Stay(Exception):
    """The file is to be left alone."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.left = Left(reason, message)


def why(error: OSError) -> str:
    """What the system says, as the end of a sentence."""
    return name_text(error.strerror or str(error)).lower()
