"""What several values say together: folders, ledger and rules.

Reads the tables as they were written, not the models: so these faults are told along with those of single values,
and a value of the wrong type is passed over here because it has been told already.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config import action_checks, path_map, places, rule_checks
from layerwatch.config.addresses import loopback
from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc

Found: TypeAlias = Iterator[tuple[Loc, Fault]]
PUSHED = "pushed"  # in the ledger, the folder of files that were pushed and lie in none


def check(values: Mapping[str, Any], need_folders: bool = True) -> Found:
    for key in values:
        if key.startswith("_"):
            yield (key,), Fault("unknown key", "take it away")
    if need_folders and values.get("folders", []) == []:
        yield ("folders",), Fault("there is no folder to watch", "add [[folders]] with a name and a path")
    yield from _reachable(values.get("http"))
    yield from _one_ledger(values.get("ledger"))
    folders = list(tables(values, ("folders",)))
    yield from _same_names(folders)
    yield from _placed(values, folders)
    for loc, folder in folders:
        if folder.get("name") == PUSHED:
            reason = f"'{PUSHED}' is the name for files that are pushed and lie in no folder"
            yield (*loc, "name"), Fault(reason, "give the folder another name")
        yield from action_checks.check(loc, folder)
        rules = list(tables(folder, (*loc, "rules")))
        yield from _same_names(rules)
        for at, rule in rules:
            yield from rule_checks.check(at, rule)


def _reachable(http: object) -> Found:
    """Who else may look at the status page."""
    listen = http.get("listen") if isinstance(http, dict) else None
    if not isinstance(http, dict) or not isinstance(listen, str) or "token_file" in http:
        return
    host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if host and not loopback(host):
        fix = 'set token_file = "..." under [http], or listen on 127.0.0.1'
        yield ("http", "listen"), Fault("other machines could look at the page, and there is no token", fix)


def _one_ledger(ledger: object) -> Found:
    if isinstance(ledger, dict) and "url" in ledger and "path" in ledger:
        reason = "there is a path as well: there is one ledger, on a disk or on a server"
        yield ("ledger", "url"), Fault(reason, "take one of them away; `layerwatch ledger migrate` moves what is in it")


def tables(parent: Mapping[str, Any], loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The entries of the list of tables at `loc` that are tables, each with its place."""
    entries = parent.get(str(loc[-1]))
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield (*loc, index), entry


def _placed(values: Mapping[str, Any], folders: list[tuple[Loc, dict[str, Any]]]) -> Found:
    found = [places.place(loc, folder, list(tables(folder, (*loc, "rules")))) for loc, folder in folders]
    known = [place for place in found if place is not None]
    yield from places.overlaps(known)
    yield from places.ledger_inside(values.get("ledger"), known)
    yield from path_map.check(values.get("ledger"), known)
    if len(known) == len(found):
        yield from places.chains(known)


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
