"""On which line of a TOML text a key is written. Pure; an aid for messages, so a guess that fails is no error.

tomllib keeps no positions. This reads headings and keys at the start of lines, outside of multi-line text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

Loc = tuple[int | str, ...]

_LINE = re.compile(r'\s*(?:\[\[(?P<array>[^\]"]+)\]\]|\[(?P<table>[^\]"]+)\]|(?P<key>[A-Za-z0-9_.\s-]+?)\s*=)')


def positions(text: str) -> Mapping[Loc, int]:
    """The line, from 1, of every heading and key that can be told."""
    found: dict[Loc, int] = {}
    counts: Counter[Loc] = Counter()
    at: Loc = ()
    for number, line in _outside_of_text(text):
        if not (match := _LINE.match(line)):
            continue
        if match["key"]:
            found.setdefault((*at, *_steps(match["key"])), number)
            continue
        at = _placed(_steps(match["array"] or match["table"]), counts)
        if match["array"]:
            counts[at] += 1
            at = (*at, counts[at] - 1)
        found.setdefault(at, number)
    return found


def line_of(loc: Loc, known: Mapping[Loc, int]) -> int | None:
    """The line of the key, else of what it is in: a missing key has no line, nor has one in an inline table."""
    return next((known[loc[:length]] for length in range(len(loc), 0, -1) if loc[:length] in known), None)


def _outside_of_text(text: str) -> Iterator[tuple[int, str]]:
    fence = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not fence:
            yield number, line
        for quotes in (fence,) if fence else ('"""', "'''"):
            if line.count(quotes) % 2:
                fence = "" if fence else quotes
                break


def _steps(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in dotted.split("."))


def _placed(steps: tuple[str, ...], counts: Counter[Loc]) -> Loc:
    """A heading below an array of tables means the latest entry of it."""
    at: Loc = ()
    for step in steps[:-1]:
        at = (*at, step)
        if counts[at]:
            at = (*at, counts[at] - 1)
    return (*at, steps[-1])
