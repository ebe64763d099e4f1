"""What layerwatch says of its work: one notice per event, with a stable name and facts for machines, a line for
people."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Notice:
    """`event` is a stable name, `text` a line for a person, `facts` are for machines (JSON values)."""

    event: str
    text: str
    level: int = logging.INFO
    facts: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Notice], None]


def size_text(size_bytes: float) -> str:
    """A size as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"


def name_text(path: str) -> str:
    """A path as it can be printed anywhere: control characters, and bytes that are not UTF-8, are written as
    escapes."""
    if path.isprintable():
        return path
    printable = (char if char.isprintable() else char.encode("unicode_escape", "replace").decode() for char in path)
    return "".join(printable)
