"""Is a rule whole? Its kind and its ids, the glob, its companions under `with`, and every placeholder it uses."""

import datetime
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config import role_checks
from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.config.roles import PROMPT
from layerwatch.placeholders import PlaceholderError, compile_match, names

Found: TypeAlias = Iterator[tuple[Loc, Fault]]

# Known of every file, before anything is captured.
OF_THE_FILE = frozenset({"stem", "name", "folder"})
FILE_ID = "file_id"
_ID_OF = {"inference": "model_id", "workflow": "workflow_id"}
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def check(loc: Loc, rule: Mapping[str, Any]) -> Found:
    yield from _ids(loc, rule)
    yield from _chain(loc, rule)
    sent = {FILE_ID} | (role_checks.beside(rule) & {PROMPT})
    captures, faults = _captures((*loc, "match"), rule.get("match"), OF_THE_FILE | sent)
    yield from faults
    companions = rule.get("with", {})
    companions = companions if isinstance(companions, dict) else {}
    here = None if captures is None else captures | OF_THE_FILE
    taken = role_checks.taken(rule)
    for role, glob in companions.items():
        yield from _role((*loc, "with", role), role, taken)
        yield from _companion((*loc, "with", role), glob, here)
    everywhere = None if here is None else here | sent | {f"{role}.{FILE_ID}" for role in companions}
    leaves = list(_leaves((*loc, "parameters"), rule.get("parameters", {})))
    for at, leaf in leaves:
        yield from _leaf(at, leaf, everywhere)
    used = _used(leaves)
    yield from _of_kind(loc, rule, used)
    yield from role_checks.check(loc, rule, used)


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


def _chain(loc: Loc, rule: Mapping[str, Any]) -> Found:
    """Whether a folder takes what is saved is for `places` to say."""
    if rule.get("chain") is True and "outputs" not in rule:
        fix = 'add outputs = "generated", and [[folders]] whose path is in there; or take chain away'
        yield (*loc, "chain"), Fault("chain = true, and no folder takes these results: they are not saved", fix)


def _of_kind(loc: Loc, rule: Mapping[str, Any], used: frozenset[str] | None) -> Found:
    """What goes with one kind only. A model has a usual place for the file; a workflow's inputs are its author's."""
    if rule.get("kind") != "workflow":
        return
    if rule.get("nested") is True:
        yield (*loc, "nested"), Fault("does not go with kind workflow: a run has inputs of its own", "take it away")
    if used is not None and FILE_ID not in used and isinstance(rule.get("parameters", {}), dict):
        fix = 'name the input under [folders.rules.parameters], such as image = "{file_id}"'
        yield (*loc, "parameters"), Fault("nothing says which input the file goes to", fix)


def _used(leaves: Iterable[tuple[Loc, object]]) -> frozenset[str] | None:
    """The placeholders of all parameters; `None` if they cannot be told."""
    try:
        return frozenset(name for _, leaf in leaves if isinstance(leaf, str) for name in names(leaf))
    except PlaceholderError:
        return None


def _captures(loc: Loc, glob: object, defined: frozenset[str]) -> tuple[frozenset[str] | None, list[tuple[Loc, Fault]]]:
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
    taken = sorted(captured & defined)
    faults = [Fault(f"{{{name}}} is defined already and cannot capture", "give it another name") for name in taken]
    return captured, [(loc, fault) for fault in faults]


def _role(loc: Loc, role: str, taken: Mapping[str, str]) -> Found:
    if role in taken:
        yield loc, Fault(f"is taken: {taken[role]}", "give it another name, such as depth")
    elif not _ROLE.fullmatch(role):
        yield loc, Fault("is not a name for a role", "use letters, digits, '_' and '-', such as depth")


def _companion(loc: Loc, glob: object, defined: frozenset[str] | None) -> Found:
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
