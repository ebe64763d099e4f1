"""Which rule fits which files, what further files a generation then needs, and the request body made of them all.

Pure: paths are text here (relative to the drop folder, `/` between), and nothing is looked up. What was filled in for a
placeholder is never read for placeholders again, and nothing is sent that the rule does not say, but for one thing:
where nothing says where the file goes, it goes into `guidance_files`.
"""

import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from layerwatch.config import Kind, Rule
from layerwatch.config.roles import INPUT, PARAMETERS, PROMPT
from layerwatch.placeholders import PlaceholderError, compile_match, fill, names

_FILE_ID, _GUIDANCE_FILES, _MODEL_ID, _SESSION_NAME = "file_id", "guidance_files", "model_id", "session_name"
_LONGEST_SESSION_NAME = 255
_DEEPEST = 64  # of what an author nests in a sidecar: Python's stack is not endless
_WILDCARD = re.compile(r"[*?]|\[[!^]?\]?[^\]]*\]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # a byte of a file's name that is not UTF-8: JSON cannot be sent with it
_ANYTHING = "\0"
_LEFT_OUT = object()
# Three pairs of letters that are one without case, though they have no single capital letter that would tell.
_TWINS = {"\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb06": "\ufb05"}


class RuleError(ValueError):
    """A body cannot be made: of parameters beside the file, as a rule. The message is fit for their author."""


# --- which files ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fit:
    """How a file fits a rule. `folder` is the drop folder's name, `captures` what `match` captured of the path."""

    folder: str
    relative: str
    captures: Mapping[str, str]

    @property
    def values(self) -> Mapping[str, str]:
        """What is known of the file before anything is uploaded."""
        name = posixpath.basename(self.relative)
        return {**self.captures, "stem": posixpath.splitext(name)[0], "name": name, "folder": self.folder}


@dataclass(frozen=True, slots=True)
class Need:
    """One further file that a generation needs; `glob` and `literal` are filled in and relative to the drop folder."""

    role: str
    glob: str  # for people
    literal: str | None  # the one path that it can be, but for case; None where wildcards leave it open
    pattern: re.Pattern[str]  # for `fullmatch` on paths relative to the drop folder
    optional: bool
    sidecar: bool  # a prompt or parameters: read, not uploaded

    @property
    def key(self) -> str | None:
        """`key_of` the literal: the paths with this key are those that `pattern` matches."""
        return None if self.literal is None else key_of(self.literal)


def key_of(relative: str) -> str:
    """The same for two paths if, and only if, they differ in nothing but case, by the rules that globs go by.

    Not `casefold`, which takes "ß" for "ss": two files, of which a pattern would match one.
    """
    return relative.lower() if relative.isascii() else "".join(map(_letter, relative))


def _letter(char: str) -> str:
    small = char.lower()[0]
    capital = small.upper()
    return capital.lower()[0] if len(capital) == 1 else _TWINS.get(small, small)


def fit(rule: Rule, folder: str, relative: str) -> Fit | None:
    """Whether `match` takes this file, and what it captures. Without a slash it is about the name, in any directory."""
    found = _matcher(rule.match).fullmatch(_subject(rule.match, relative))
    return Fit(folder, relative, found.groupdict()) if found else None


def needs(rule: Rule, fit: Fit) -> tuple[Need, ...]:
    """What a generation for this file waits for: those under `with`, in their order, then the sidecars."""
    companions = [_companion(rule, fit, role, glob) for role, glob in rule.with_.items()]
    suffixes = {PROMPT: rule.prompt_from, PARAMETERS: rule.parameters_from}
    return (*companions, *(_sidecar(rule, fit, role, suffix) for role, suffix in suffixes.items() if suffix))


def may_fill(rule: Rule, relative: str) -> frozenset[str]:
    """The roles under `with` that this file could have in some generation: never too few."""
    return frozenset(role for role, glob in rule.with_.items() if _anyhow(glob).fullmatch(_subject(glob, relative)))


def _subject(glob: str, relative: str) -> str:
    return relative if "/" in glob else posixpath.basename(relative)


@lru_cache(maxsize=1024)
def _matcher(glob: str) -> re.Pattern[str]:
    return compile_match(glob)


@lru_cache(maxsize=1024)
def _anyhow(glob: str) -> re.Pattern[str]:
    """`glob` whatever its placeholders stand for; captures and names of files are never empty and hold no slash."""
    inner = compile_match(glob, dict.fromkeys(names(glob), _ANYTHING)).pattern
    return re.compile(inner.replace(_ANYTHING, "[^/]+"), re.DOTALL | re.IGNORECASE)


def _companion(rule: Rule, fit: Fit, role: str, glob: str) -> Need:
    inner = compile_match(glob, fit.values).pattern
    here = ""
    if "/" not in glob:
        here = _directory(fit.relative)
        inner = f"{re.escape(here)}(?![^/]*/){inner}"  # `**` does not leave the directory here
    filled = here + fill(glob, fit.values)
    return _need(rule, fit, role, filled, inner, is_open=bool(_WILDCARD.search(glob)), sidecar=False)


def _sidecar(rule: Rule, fit: Fit, role: str, suffix: str) -> Need:
    path = _directory(fit.relative) + fit.values["stem"] + suffix
    return _need(rule, fit, role, path, re.escape(path), is_open=False, sidecar=True)


def _directory(relative: str) -> str:
    return relative.removesuffix(posixpath.basename(relative))


def _need(rule: Rule, fit: Fit, role: str, filled: str, inner: str, *, is_open: bool, sidecar: bool) -> Need:
    """No file is its own companion: a need that could only be that is one that nothing fills."""
    pattern = re.compile(rf"(?!{re.escape(fit.relative)}\Z){inner}", re.DOTALL | re.IGNORECASE)
    literal = None if is_open or not pattern.fullmatch(filled) else filled
    return Need(role, filled, literal, pattern, role in rule.optional, sidecar)


# --- the request ------------------------------------------------------------------------------------------------------


def body(
    rule: Rule,
    fit: Fit,
    file_ids: Mapping[str, str],
    *,
    prompt: str | None,
    overrides: object,
    session_name: str,
) -> dict[str, Any]:
    """The request for one generation. `file_ids` are by role; an optional role that is not there is left out, with
    the list entry, or else the whole parameter, that asks for it.

    `overrides` is what a sidecar says, as JSON gave it (None: there is none); its keys take the place of the rule's.
    """
    values = _values(fit, file_ids, prompt)
    absent = _absent(rule, file_ids, prompt)
    own = _checked(rule, overrides, values.keys() | absent)
    used = _used(rule.parameters) | _used(own)
    parameters = _parameters({**rule.parameters, **own}, values, absent)
    if prompt is not None and PROMPT not in used and PROMPT not in own:
        parameters[PROMPT] = _sendable(prompt)
    if rule.kind is Kind.INFERENCE and _FILE_ID not in used:
        parameters[_GUIDANCE_FILES] = _guidance(rule, parameters.get(_GUIDANCE_FILES, []), file_ids, used)
    return _enveloped(rule, parameters, session_name)


def _values(fit: Fit, file_ids: Mapping[str, str], prompt: str | None) -> dict[str, str]:
    companions = {f"{role}.{_FILE_ID}": file_id for role, file_id in file_ids.items() if role != INPUT}
    of_the_sidecar = {} if prompt is None else {PROMPT: prompt}
    return {**fit.values, **companions, _FILE_ID: file_ids[INPUT], **of_the_sidecar}


def _absent(rule: Rule, file_ids: Mapping[str, str], prompt: str | None) -> frozenset[str]:
    """The placeholders that may well stand for nothing."""
    roles = {f"{role}.{_FILE_ID}" for role in rule.optional if role in rule.with_ and role not in file_ids}
    no_prompt = prompt is None and rule.prompt_from is not None and PROMPT in rule.optional
    return frozenset(roles | {PROMPT} if no_prompt else roles)


def _checked(rule: Rule, overrides: object, known: AbstractSet[str]) -> dict[str, Any]:
    """The author of a sidecar has not been told of mistakes when the program started: now is the time."""
    if overrides is None:
        return {}
    if not isinstance(overrides, dict):
        raise RuleError('they are not a JSON object; write for example {"prompt": "oil painting"}')
    if rule.kind is Kind.INFERENCE and _MODEL_ID in overrides:
        raise RuleError("model_id: it is for the rule to say; take it away, or write another rule")
    for key, value in overrides.items():
        for leaf in _leaves(value):
            _check(key, leaf, known)
    return overrides


def _check(key: str, leaf: object, known: AbstractSet[str]) -> None:
    if isinstance(leaf, float) and not math.isfinite(leaf):
        raise RuleError(f"{key}: {leaf} cannot be sent; write a finite number")
    try:
        unknown = sorted(names(leaf) - known) if isinstance(leaf, str) else []
    except PlaceholderError as error:
        raise RuleError(f"{key}: {error}") from error
    if unknown:
        raise RuleError(f"{key}: nothing defines {{{unknown[0]}}}; for the braces themselves write {{{{ and }}}}")


def _leaves(value: object) -> Iterator[object]:
    level = [value]
    for _ in range(_DEEPEST):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            else:
                yield each
        level = below
    if level:
        raise RuleError(f"tables and lists are nested more than {_DEEPEST} deep")


def _used(parameters: Mapping[str, Any]) -> frozenset[str]:
    found = (names(leaf) for leaf in _leaves(parameters) if isinstance(leaf, str))
    return frozenset().union(*found)


def _parameters(templates: Mapping[str, Any], values: Mapping[str, str], absent: AbstractSet[str]) -> dict[str, Any]:
    filled = {_sendable(key): _filled(value, values, absent) for key, value in templates.items()}
    return {key: value for key, value in filled.items() if value is not _LEFT_OUT}


def _filled(value: Any, values: Mapping[str, str], absent: AbstractSet[str]) -> Any:
    if isinstance(value, str):
        return _LEFT_OUT if names(value) & absent else _sendable(fill(value, values))
    if isinstance(value, list):
        entries = [_filled(each, values, absent) for each in value]
        return [each for each in entries if each is not _LEFT_OUT]
    if isinstance(value, dict):
        table = {_sendable(key): _filled(each, values, absent) for key, each in value.items()}
        return _LEFT_OUT if any(each is _LEFT_OUT for each in table.values()) else table
    return value


def _sendable(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _guidance(rule: Rule, written: object, file_ids: Mapping[str, str], used: AbstractSet[str]) -> list[Any]:
    """Nothing says where the file goes: first of all, and the companions that nothing speaks of last."""
    if not isinstance(written, list):
        raise RuleError("guidance_files is not a list, and nothing else says where the file goes: put {file_id} there")
    spare = [role for role in rule.with_ if role in file_ids and f"{role}.{_FILE_ID}" not in used]
    return [{_FILE_ID: file_ids[INPUT]}, *written, *({_FILE_ID: file_ids[role]} for role in spare)]


def _enveloped(rule: Rule, parameters: dict[str, Any], session_name: str) -> dict[str, Any]:
    if rule.kind is Kind.WORKFLOW:
        return {"inputs": parameters, _SESSION_NAME: session_name}
    named = {_SESSION_NAME: _session_name(parameters.get(_SESSION_NAME), session_name)}
    rest = {key: value for key, value in parameters.items() if key not in (_MODEL_ID, _SESSION_NAME)}
    return {_MODEL_ID: rule.target_id, **({"parameters": rest} if rule.nested else rest), **named}


def _session_name(theirs: object, ours: str) -> str:
    """Ours is how a person finds a lost generation in Layer's own app: it stays whole."""
    room = _LONGEST_SESSION_NAME - len(f" ({ours})")
    if not isinstance(theirs, str) or not theirs.strip() or room <= 0:
        return ours
    return f"{theirs.strip()[:room].rstrip()} ({ours})"
