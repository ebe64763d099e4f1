"""Does a rule send what its model or its workflow takes? Asked when layerwatch starts, so that a mistake shows before
the first file and not after it was paid for.

Pure: the descriptions come from the API, as JSON. How they look is not certain, so whatever is not understood in them
gives no problem at all: a good rule must never be stopped by our ignorance.
"""

import difflib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from layerwatch.config import Kind, Rule
from layerwatch.config.roles import PROMPT
from layerwatch.placeholders import fill, names

# What the API reference gives for inferences in general; a model may take it without naming it.
COMMON = frozenset(
    {
        "prompt",
        "negative_prompt",
        "width",
        "height",
        "batch_size",
        "num_inference_steps",
        "guidance_scale",
        "prompt_strength",
        "quality",
        "seed",
        "duration_seconds",
        "guidance_files",
        "mask",
        "session_name",
        "session_id",
    }
)
_FILE_ID, _GUIDANCE_FILES = "file_id", "guidance_files"
_OURS = frozenset({"model_id", "session_name"})  # of an inference: sent with every one
_MEDIA = frozenset({"file", "image", "video", "audio"})
_JSON = {
    "string": "string",
    "text": "string",
    "str": "string",
    "number": "number",
    "float": "number",
    "double": "number",
    "integer": "integer",
    "int": "integer",
    "boolean": "boolean",
    "bool": "boolean",
    "array": "array",
    "list": "array",
    "object": "object",
    "dict": "object",
    "null": "null",
}
_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_COMPOSED = ("anyOf", "oneOf", "allOf", "not", "$ref", "if")


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that will go wrong (`error`) or may (`warning`); `key` is below the rule, such as
    `parameters.prompt`."""

    severity: Literal["error", "warning"]
    key: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Target:
    """What a rule runs, and the inputs that it takes, by name. `common` are others that it may take."""

    word: str
    inputs: Mapping[str, Mapping[str, Any]]
    common: AbstractSet[str] = frozenset()
    ours: AbstractSet[str] = frozenset()


def problems_with_model(rule: Rule, model: Mapping[str, Any]) -> list[SchemaProblem]:
    """What this model, as `GET models/{id}` tells of it, will not like about the rule."""
    found = (_inputs(model.get(key)) for key in ("inputs", "parameters", "input_schema"))
    inputs = next((each for each in found if each), {})
    return _problems(rule, _Target("model", inputs, COMMON, _OURS))


def problems_with_workflow(rule: Rule, workflow: Mapping[str, Any]) -> list[SchemaProblem]:
    """What this workflow, as the list of workflows tells of it, will not like about the rule."""
    return _problems(rule, _Target("workflow", _inputs(workflow.get("inputs"))))


def _inputs(entries: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(entries, list):
        return {}
    tables = [each for each in entries if isinstance(each, dict) and isinstance(each.get("name"), str)]
    return {each["name"]: each for each in tables} if len(tables) == len(entries) else {}


def _problems(rule: Rule, target: _Target) -> list[SchemaProblem]:
    if not target.inputs:
        return []
    given = _given(rule)
    return [*_missing(rule, target, given), *_unknown(target, given), *_misfits(target, given)]


def _given(rule: Rule) -> dict[str, Any]:
    """What the rule sends, as far as it can be told before there is a file: placeholders are not filled in."""
    given = dict(rule.parameters)
    used = _used(given)
    if rule.prompt_from is not None and PROMPT not in used and not (PROMPT in given and PROMPT in rule.optional):
        given[PROMPT] = f"{{{PROMPT}}}"
    written = given.get(_GUIDANCE_FILES, [])
    if rule.kind is Kind.INFERENCE and _FILE_ID not in used and isinstance(written, list):
        spare = (role for role in rule.with_ if f"{role}.{_FILE_ID}" not in used)
        ours = [_FILE_ID, *(f"{role}.{_FILE_ID}" for role in spare)]
        # Last here, unlike in the body, so that the author's own entries keep their numbers.
        given[_GUIDANCE_FILES] = [*written, *({_FILE_ID: f"{{{name}}}"} for name in ours)]
    return given


def _used(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(names(value))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return frozenset().union(*map(_used, inner))


# --- missing ----------------------------------------------------------------------------------------------------------


def _missing(rule: Rule, target: _Target, given: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    absent = frozenset(name for role in rule.optional for name in _placeholders(rule, role))
    for name, entry in target.inputs.items():
        if entry.get("required") is not True or _has_default(entry) or name in target.ours:
            continue
        if name not in given:
            yield _not_given(rule, target, name, entry)
        elif _goes_with(given[name], absent):
            reason = f"is left out when what is optional is missing, and the {target.word} requires it"
            yield SchemaProblem("warning", f"parameters.{name}", reason, "take the role out of `optional`")


def _not_given(rule: Rule, target: _Target, name: str, entry: Mapping[str, Any]) -> SchemaProblem:
    file_id = f"{name}.{_FILE_ID}" if name in rule.with_ else _FILE_ID
    example = f'"{{{file_id}}}"' if _word(entry) in _MEDIA else "..."
    fix = f"add {name} = {example} under [folders.rules.parameters]"
    if rule.parameters_from is None:
        return SchemaProblem("error", f"parameters.{name}", f"is missing, and the {target.word} requires it", fix)
    reason = f"the {target.word} requires it, and only a *{rule.parameters_from} beside the file can give it"
    return SchemaProblem("warning", f"parameters.{name}", reason, fix)


def _placeholders(rule: Rule, role: str) -> Iterator[str]:
    if role in rule.with_:
        yield f"{role}.{_FILE_ID}"
    elif role == PROMPT:
        yield PROMPT


def _goes_with(value: object, absent: AbstractSet[str]) -> bool:
    """Whether all of a parameter is left out where those placeholders stand for nothing; of a list only an entry is."""
    if isinstance(value, dict):
        return any(_goes_with(each, absent) for each in value.values())
    return isinstance(value, str) and bool(names(value) & absent)


def _has_default(entry: Mapping[str, Any]) -> bool:
    return entry.get("default") is not None or _schema(entry).get("default") is not None


# --- unknown ----------------------------------------------------------------------------------------------------------


def _unknown(target: _Target, given: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    known = target.inputs.keys() | target.common | target.ours
    for name in given:
        if name not in known:
            severity: Literal["error", "warning"] = "warning" if target.common else "error"
            reason = f"the {target.word} takes no such input"
            yield SchemaProblem(severity, f"parameters.{name}", reason, _did_you_mean(name, known, target.inputs))


def _did_you_mean(name: str, known: AbstractSet[str], named: Mapping[str, object]) -> str:
    by_lower = {each.lower(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f"did you mean {by_lower[close[0]]}?" if close else f"it takes: {', '.join(named)}"


# --- of the wrong kind ------------------------------------------------------------------------------------------------


def _misfits(target: _Target, given: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    for name, value in given.items():
        entry = target.inputs.get(name)
        if entry is None or any(key in _schema(entry) for key in _COMPOSED):
            continue
        kind = list(_wrong_kind(f"parameters.{name}", target, entry, value))
        yield from kind or _wrong_value(f"parameters.{name}", target, _schema(entry), value)
        yield from _unknown_fields(f"parameters.{name}", entry.get("item_fields"), value)


def _wrong_kind(key: str, target: _Target, entry: Mapping[str, Any], value: object) -> Iterator[SchemaProblem]:
    taken, is_ = _taken(entry), _kinds(value)
    if taken and not is_ & set(taken):
        of_ = " or ".join(_WORDS[kind] for kind in taken)
        reason = f"is {_WORDS[min(is_)]}, and the {target.word} takes {of_}"
        plain = "string" in is_ and not {"array", "object"} & set(taken)
        fix = f"write {of_}, without quotes" if plain else f"write {of_}"
        yield SchemaProblem("error", key, reason, fix)


def _taken(entry: Mapping[str, Any]) -> list[str]:
    """The kinds of JSON that this input takes; nothing if that cannot be told."""
    word = _schema(entry).get("type") or entry.get("type")
    if isinstance(word, str) and word.lower() in _MEDIA:
        # A file is its id; whether also a list or a table of ids, nobody says.
        return ["string", "array", "object"]
    words = [word] if isinstance(word, str) else word if isinstance(word, list) else []
    kinds = [_JSON.get(each.lower(), "") if isinstance(each, str) else "" for each in words]
    return kinds if all(kinds) else []


def _kinds(value: object) -> frozenset[str]:
    """The kinds of JSON that this value is of; the first in the alphabet is the one to tell people."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return frozenset({"integer", "number"})
    kinds: dict[type, str] = {float: "number", str: "string", list: "array", dict: "object"}
    return frozenset({kinds.get(type(value), "null")})


def _word(entry: Mapping[str, Any]) -> str:
    word = entry.get("type")
    return word.lower() if isinstance(word, str) else ""


def _schema(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = entry.get("value_schema")
    return schema if isinstance(schema, dict) else {}


def _wrong_value(key: str, target: _Target, schema: Mapping[str, Any], value: object) -> Iterator[SchemaProblem]:
    if isinstance(value, str) and names(value):
        return  # nobody knows before there is a file
    sent = fill(value, {}) if isinstance(value, str) else value
    choices = schema.get("enum")
    if isinstance(choices, list) and choices and sent not in choices:
        one_of = ", ".join(map(str, choices))
        yield SchemaProblem("error", key, f"is none of those that the {target.word} takes", f"write one of: {one_of}")
    low, high = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    if not isinstance(sent, int | float) or isinstance(sent, bool):
        return
    if low is not None and sent < low:
        yield SchemaProblem("error", key, f"is less than the {target.word} takes", f"write {low} or more")
    if high is not None and sent > high:
        yield SchemaProblem("error", key, f"is more than the {target.word} takes", f"write {high} or less")


def _bound(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _unknown_fields(key: str, fields: object, value: object) -> Iterator[SchemaProblem]:
    """`item_fields` names what each entry of a list may hold: as texts, or as tables with a name."""
    if isinstance(fields, list) and all(isinstance(each, str) for each in fields):
        fields = [{"name": each} for each in fields]
    known = _inputs(fields)
    for index, each in enumerate(value if known and isinstance(value, list) else ()):
        for name in each if isinstance(each, dict) else ():
            if name not in known:
                fix = _did_you_mean(name, known.keys(), known)
                yield SchemaProblem("warning", f"{key}[{index}].{name}", "entries have no such field", fix)
