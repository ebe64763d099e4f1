"""What a generation is made of besides its file: what is read beside it, what may be missing, which prompt counts."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from layerwatch.config.faults import Fault
from layerwatch.config.lines import Loc
from layerwatch.config.roles import INPUT, PROMPT, SIDECARS

Found: TypeAlias = Iterator[tuple[Loc, Fault]]


def beside(rule: Mapping[str, Any]) -> frozenset[str]:
    """The roles that are read from sidecars."""
    return frozenset(role for role, key in SIDECARS.items() if key in rule)


def taken(rule: Mapping[str, Any]) -> dict[str, str]:
    """The roles that no companion can have, and why."""
    return {INPUT: "it is the file that matched"} | {
        role: f"{SIDECARS[role]} says where it is" for role in beside(rule)
    }


def check(loc: Loc, rule: Mapping[str, Any], used: frozenset[str] | None) -> Found:
    """`used` are the placeholders of the parameters; None if they cannot be told."""
    yield from _alike(loc, rule)
    yield from _again(loc, rule)
    yield from _optional(loc, rule)
    if used is not None:
        yield from _two_prompts(loc, rule, used)


def _alike(loc: Loc, rule: Mapping[str, Any]) -> Found:
    prompt, parameters = (rule.get(key) for key in SIDECARS.values())
    if isinstance(prompt, str) and isinstance(parameters, str) and prompt.lower() == parameters.lower():
        reason = "is prompt_from, too: one file cannot be both"
        yield (*loc, "parameters_from"), Fault(reason, 'write for example ".txt" there and ".json" here')


def _again(loc: Loc, rule: Mapping[str, Any]) -> Found:
    if rule.get("again_on_sidecar") is True and not beside(rule):
        fix = 'add prompt_from = ".txt" or parameters_from = ".json", or take it away'
        yield (*loc, "again_on_sidecar"), Fault("nothing is read beside the files of this rule", fix)


def _optional(loc: Loc, rule: Mapping[str, Any]) -> Found:
    optional = rule.get("optional")
    if not isinstance(optional, list) or not optional:
        return
    companions = rule.get("with", {})
    # In SIDECARS' order, so that the message is the same every time.
    known = [
        *(companions if isinstance(companions, dict) else ()),
        *(role for role in SIDECARS if role in beside(rule)),
    ]
    fix = f"known here: {', '.join(known)}" if known else "name a role under [folders.rules.with] first"
    for index, role in enumerate(optional):
        if isinstance(role, str) and role not in known:
            yield (*loc, "optional", index), Fault("there is no such role in this rule", fix)
    if "wait" not in rule:
        yield (*loc, "wait"), Fault("nothing says how long to wait for what is optional", 'add wait = "10m"')


def _two_prompts(loc: Loc, rule: Mapping[str, Any], used: frozenset[str]) -> Found:
    """A written prompt beside one from a file: fine if it has a place for that one, or stands in when it is missing."""
    parameters, optional = rule.get("parameters", {}), rule.get("optional", ())
    written = isinstance(parameters, dict) and PROMPT in parameters
    stands_in = not isinstance(optional, list | tuple) or PROMPT in optional
    if PROMPT in beside(rule) and written and PROMPT not in used and not stands_in:
        reason = "there is another prompt, from prompt_from: nothing says which one counts"
        fix = 'put {prompt} into it, or take it away, or add optional = ["prompt"] to send it when there is no file'
        yield (*loc, "parameters", PROMPT), Fault(reason, fix)
