"""What several values say together: folders, ledger and rules.

Reads the tables as they were written, not the models: so these faults are told along with those of single values,
and a value of the wrong type is passed over here because it has been told already.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config import rule_checks
from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.locate import default_ledger_path

Found: TypeAlias = Iterator[tuple[Loc, Fault]]


def check(values: Mapping[str, Any]) -> Found:
    for key in values:
        if key.startswith("_"):
            yield (key,), Fault("unknown key", "take it away")
    if values.get("folders", []) == []:
        yield ("folders",), Fault("there is no folder to watch", "add [[folders]] with a name and a path")
    folders = list(tables(values, ("folders",)))
    yield from _same_names(folders)
    roots = [(loc, folder, root) for loc, folder in folders if (root := _root(folder)) is not None]
    yield from _overlaps(roots)
    yield from _ledger_inside(values, roots)
    for loc, folder in folders:
        rules = list(tables(folder, (*loc, "rules")))
        yield from _same_names(rules)
        for at, rule in rules:
            yield from rule_checks.check(at, rule)


def tables(parent: Mapping[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The entries of the list of tables at `loc` that are tables, each with its place."""
    entries = parent.get(str(loc[-1]))
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield (*loc, index), entry


def _same_names(entries: list[tuple[Loc, dict[str, Any]]]) -> Found:
    counts = Counter(str(entry["name"]) for _, entry in entries if isinstance(entry.get("name"), str))
    seen: set[str] = set()
    for loc, entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or counts[name] == 1:
            continue
        if name in seen:
            yield (*loc, "name"), Fault(f"there is another '{name}'", "give each its own name: the ledger tells by it")
        seen.add(name)


def _root(folder: dict[str, Any]) -> str | None:
    path = folder.get("path")
    usable = isinstance(path, str) and os.path.isabs(path) and "\0" not in path
    return os.path.realpath(str(path)) if usable else None


def _overlaps(roots: list[tuple[Loc, dict[str, Any], str]]) -> Found:
    for (_, one, first), (loc, other, second) in itertools.combinations(roots, 2):
        if not (contains(first, second) or contains(second, first)):
            continue
        reason = f"folders '{one.get('name')}' ({first}) and '{other.get('name')}' ({second}) overlap"
        yield (*loc, "path"), Fault(reason, "give each its own directory, or keep one folder with two rules")


def _ledger_inside(values: Mapping[str, Any], roots: list[tuple[Loc, dict[str, Any], str]]) -> Found:
    section = values.get("ledger")
    path = section.get("path") if isinstance(section, dict) else None
    if path is not None and _root({"path": path}) is None:
        return
    ledger = os.path.realpath(path or default_ledger_path())
    for _, folder, root in roots:
        if contains(root, ledger):
            reason = f"the ledger {ledger} would lie inside the drop folder '{folder.get('name')}'"
            yield ("ledger", "path"), Fault(reason, 'keep it elsewhere, such as "/var/lib/layerwatch/ledger.db"')


def contains(outer: str, inner: str) -> bool:
    return os.path.commonpath((outer, inner)) == outer
