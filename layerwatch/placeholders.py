"""`{placeholders}` in rules: which ones a text uses, filling them in, and globs that capture parts of a path.

Pure. `{{` and `}}` stand for literal braces. What a placeholder means is for `rules` to say, not for this room.
"""

import itertools
import re
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<stray>[{}])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?")
_CAPTURE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GLOB = re.compile(
    r"(?P<escape>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<brace>[{}])"
    r"|\[(?P<no>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<deep>\*\*/?)|(?P<star>\*)|(?P<one>\?)|(?P<plain>.)",
    re.DOTALL,
)


class PlaceholderError(ValueError):
    """A text or glob whose placeholders cannot be understood; the message is fit for its author."""


def names(text: str) -> set[str]:
    """Every placeholder that `text` uses."""
    return {found["name"] for found in _tokens(text) if found["name"] is not None}


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with its placeholders replaced. What is filled in is never read for placeholders again."""
    for found in _tokens(text):
        if found["name"] is not None and found["name"] not in values:
            raise PlaceholderError(f"{{{found['name']}}} is not defined")
    return _TOKEN.sub(lambda found: found["escape"][0] if found["escape"] else values[found["name"]], text)


def _tokens(text: str) -> Iterator[re.Match[str]]:
    for found in _TOKEN.finditer(text):
        if found["stray"]:
            raise PlaceholderError(_stray(found["stray"]))
        if found["name"] is not None and not _NAME.fullmatch(found["name"]):
            raise PlaceholderError(f"{{{found['name']}}} is not a placeholder's name")
        yield found


def _stray(brace: str) -> str:
    return f"a single {brace} stands alone; write {brace * 2} for the character itself"


def compile_match(glob: str, known: Mapping[str, str] | None = None) -> re.Pattern[str]:
    """A glob as a regular expression, for `fullmatch`; each `{name}` is a group, as short as it can be.

    `*`, `?`, `[...]` and captures stay within one directory; `**` crosses directories. A name that occurs again must
    match the same text again. Names in `known` stand for that very text, whatever characters it holds. Case does not
    count, as it does not for `include`: cameras write `.JPG`.
    """
    pieces = list(_GLOB.finditer(glob))
    known = known or {}
    _refuse_touching(pieces, known)
    seen: set[str] = set()
    return re.compile("".join(_piece(found, known, seen) for found in pieces), re.DOTALL | re.IGNORECASE)


def _refuse_touching(pieces: list[re.Match[str]], known: Mapping[str, str]) -> None:
    """Two captures in a row, or a capture beside a star: nothing says where the one ends."""
    for left, right in itertools.pairwise(pieces):
        if not (_open_ended(left, known) and _open_ended(right, known)):
            continue
        if left["name"] is not None or right["name"] is not None:
            raise PlaceholderError(f"nothing says where {left[0]} ends and {right[0]} begins; put a character between")


def _open_ended(found: re.Match[str], known: Mapping[str, str]) -> bool:
    if found["deep"]:
        return not found["deep"].endswith("/")
    return bool(found["star"]) or (found["name"] is not None and found["name"] not in known)


def _piece(found: re.Match[str], known: Mapping[str, str], seen: set[str]) -> str:
    if found["name"] is not None:
        return re.escape(known[found["name"]]) if found["name"] in known else _group(found["name"], seen)
    if found["brace"]:
        raise PlaceholderError(_stray(found["brace"]))
    if found["set"] is not None:
        return _one_of(found["set"], found["no"])
    if found["deep"]:
        return "(?:.*/)?" if found["deep"].endswith("/") else ".*"
    if found["star"] or found["one"]:
        return "[^/]*" if found["star"] else "[^/]"
    return re.escape(found["escape"][0] if found["escape"] else found["plain"])


def _group(name: str, seen: set[str]) -> str:
    if not _CAPTURE.fullmatch(name):
        raise PlaceholderError(f"{{{name}}} cannot capture: a name has letters, digits and _, and no digit first")
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return f"(?P<{name}>[^/]+?)"


def _one_of(members: str, no: str) -> str:
    parts = []
    for found in re.finditer(r"(.)-(.)|(.)", members, re.DOTALL):
        first, last, single = found.groups()
        if single is None and first > last:
            raise PlaceholderError(f"the range {first}-{last} is empty")
        parts.append(re.escape(single) if single is not None else f"{re.escape(first)}-{re.escape(last)}")
    return f"(?!/)[{'^' if no else ''}{''.join(parts)}]"
