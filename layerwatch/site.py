"""What the configuration says of a job: its rule, where its file lies below the folder, whether a result of ours may
come back as a file. Looks nothing up on disk but what `root` does.

`folders` are the configured ones by name; `root` tells a folder's real path by its name, and is asked for no other.
"""

import os
from collections.abc import Callable, Mapping

from layerwatch.config import Folder, Rule
from layerwatch.ledger import Firing, Following, GenerationRow, Input, Job, Origin

Folders = Mapping[str, Folder]
RootOf = Callable[[str], str]


def rule_of(folders: Folders, folder: str, rule: str) -> Rule | None:
    """The rule of that name; None if the folder, or the rule, is not configured any more."""
    configured = folders.get(folder)
    return next((each for each in configured.rules if each.name == rule), None) if configured else None


def relative(folders: Folders, root: RootOf, of: Firing | Following | GenerationRow | Input | Job) -> str | None:
    """Where a file, or the one that a rule matched, lies below its folder; None if that is somewhere else now, or not
    configured. One that was pushed from elsewhere goes by its name alone."""
    if of.folder not in folders:
        return None
    if not isinstance(of, GenerationRow) and of.outside:
        return os.path.basename(of.path)
    below = root(of.folder).rstrip("/") + "/"
    return of.path.removeprefix(below) if of.path.startswith(below) else None


def why_no_input(folders: Folders, root: RootOf, folder: Folder, origin: Origin) -> str | None:
    """Why a result that lies in this folder is not one of its files; None where a chain of rules says it is."""
    made = f"a result of generation g{origin.id}"
    rule = rule_of(folders, origin.folder, origin.rule)
    outputs = os.path.join(root(origin.folder), rule.outputs) if rule and rule.outputs else None
    here = root(folder.name)
    if not (rule and rule.chain and outputs and (here == outputs or here.startswith(f"{outputs}/"))):
        return f"{made}: taking it as a new file would go round in circles"
    if origin.depth > rule.chain_depth:
        return f"{made}, which is number {origin.depth} in its chain: chain_depth is {rule.chain_depth}"
    return None
