"""Is a rule whole? Its kind and its ids, the glob, its companions under `with`, and every placeholder it uses."""

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.placeholders import PlaceholderError, compile_match, names

Found: TypeAlias = Iterator[tuple[Loc, Fault]]

# Known of every file, before anything is captured.
OF_THE_FILE = frozenset({"stem", "name", "folder"})
FILE_ID = "file_id"
# The role of the file that the rule matched, in the ledger.
INPUT_ROLE = "input"
_ID_OF = {"inference": "model_id", "workflow": "workflow_id"}
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def check(loc: Loc, rule: Mapping[str, Any]) -> Found:
    yield from _ids(loc, rule)
    captures, faults = _captures((*loc, "match"), rule.get("match"))
    yield from faults
    companions = rule.get("with", {})
    companions = companions if isinstance(companions, dict) else {}
    here = None if captures is None else captures | OF_THE_FILE
    for role, glob in companions.items():
        yield from _companion((*loc, "with", role), role, glob, here)
    everywhere = None if here is None else here | {FILE_ID, *(f"{role}.{FILE_ID}" for role in companions)}
    for at, leaf in _leaves((*loc, "parameters"), rule.get("parameters", {})):
        yield from _leaf(at, leaf, everywhere)


def _ids(loc: Loc, rule: Mapping[str, Any]) -> Found:
    kind = rule.get("kind", "inference")
    if not isinstance(kind, str) or kind not in _ID_OF:
        return
    needed = _ID_OF[kind]
    if needed not in rule:
        yield (*loc, needed), Fault(f"is missing: the kind of this rule is {kind}", f'add {needed} = "..." from Layer')
    for other, key in _ID_OF.items():
        if key != needed and key in rule:
            yield (*loc, key), Fault(f"does not go with kind {kind}", f'take it away, or write kind = "{other}"')


def _captures(loc: Loc, glob: object) -> tuple[frozenset[str] | None, list[tuple[Loc, Fault]]]:
    """What `match` defines; `None` if it cannot be told."""
    if not isinstance(glob, str):
        return None, []
    fix = 'write for example "{shot}_beauty.png"'
    if not glob or glob.startswith("/"):
        return None, [(loc, Fault("matches no file: patterns are relative to the folder", fix))]
    try:
        captured = frozenset(compile_match(glob).groupindex)
    except PlaceholderError as error:
        return None, [(loc, Fault(str(error), fix))]
    taken = sorted(captured & (OF_THE_FILE | {FILE_ID}))
    faults = [Fault(f"{{{name}}} is defined already and cannot capture", "give it another name") for name in taken]
    return captured, [(loc, fault) for fault in faults]


def _companion(loc: Loc, role: str, glob: object, defined: frozenset[str] | None) -> Found:
    if not _ROLE.fullmatch(role) or role == INPUT_ROLE:
        reason = "is taken: it is the file that matched" if role == INPUT_ROLE else "is not a name for a role"
        yield loc, Fault(reason, "use letters, digits, '_' and '-', such as depth")
    if not isinstance(glob, str):
        return
    found = list(_undefined(loc, glob, defined))
    yield from found
    if found:
        return
    if not glob or glob.startswith("/"):
        yield loc, Fault("matches no file: patterns are relative to the folder", 'write for example "{shot}_depth.png"')
        return
    try:
        compile_match(glob, dict.fromkeys(names(glob), "x"))
    except PlaceholderError as error:
        yield loc, Fault(str(error), 'write for example "{shot}_depth.png"')


def _leaf(loc: Loc, leaf: object, defined: frozenset[str] | None) -> Found:
    if isinstance(leaf, str):
        yield from _undefined(loc, leaf, defined)
    elif isinstance(leaf, datetime.date | datetime.time):
        yield loc, Fault("a date cannot be sent as it is", "put it in quotes")
    elif isinstance(leaf, float) and not math.isfinite(leaf):
        yield loc, Fault("cannot be sent: JSON has no such number", "write a finite number")


def _undefined(loc: Loc, text: str, defined: frozenset[str] | None) -> Found:
    try:
        used = names(text)
    except PlaceholderError as error:
        yield loc, Fault(str(error), "write {{ and }} for braces that are meant as such")
        return
    for name in sorted(used - defined if defined is not None else ()):
        known = ", ".join(f"{{{each}}}" for each in sorted(defined or ()))
        yield (
            loc,
            Fault(f"nothing defines {{{name}}}", f"defined here: {known}; for the braces themselves {{{{ and }}}}"),
        )


def _leaves(loc: Loc, value: object) -> Iterator[tuple[Loc, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves((*loc, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves((*loc, index), inner)
    else:
        yield loc, value
