"""What the environment says: `LAYERWATCH_` and `__` for nesting. Notes which variable set which key."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_settings import EnvSettingsSource

from layerwatch.config.lines import Loc
from layerwatch.config.settings import Settings
from layerwatch.errors import Problem
from layerwatch.locate import CONFIG_VARIABLE

PREFIX = "LAYERWATCH_"
WORKSPACE = "LAYER_WORKSPACE_ID"
_NO_SETTINGS = {CONFIG_VARIABLE, "LAYERWATCH_PAGER"}  # read elsewhere
_LISTS = {"folders"}
# Settings that are more than text: how one is written in JSON.
_EXAMPLES: Mapping[Loc, str] = {
    ("http", "hosts"): '["render-3.studio.lan"]',
    ("ledger", "paths"): '{"/Volumes/render": "/mnt/render"}',
}
# What a command of `on_uploaded` and `on_complete` is told: it may well call layerwatch itself.
_FACTS = {
    *("event", "file", "folder", "path", "file_id", "hash", "size", "content_type", "uploaded_at"),
    *("generation", "rule", "kind", "remote_id", "price", "completed_at", "outputs"),
}


@dataclass(frozen=True)
class Said:
    """Nested values, the variables they came from, and what is wrong with other variables."""

    values: dict[str, Any]
    variables: Mapping[Loc, str]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def said() -> Said:
    variables = dict(_variables())
    wrong = list(_problems(variables))
    good = {loc: name for loc, name in variables.items() if name not in {problem.where for problem in wrong}}
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): os.environ[name] for name in good.values()}
    strays = (name for loc, name in good.items() if loc[0] not in Settings.model_fields and loc[0] not in _FACTS)
    warnings = tuple(f"{name}: not a setting of layerwatch; ignored" for name in strays)
    return Said(source(), good, tuple(wrong), warnings)


def with_workspace(values: dict[str, Any], variables: Mapping[Loc, str]) -> tuple[dict[str, Any], Mapping[Loc, str]]:
    """Layer's own variable is the last resort: what is written for layerwatch means more."""
    api, named = values.get("api", {}), os.environ.get(WORKSPACE)
    if not named or not isinstance(api, dict) or "workspace_id" in api:
        return values, variables
    return {**values, "api": {**api, "workspace_id": named}}, {**variables, ("api", "workspace_id"): WORKSPACE}


def _variables() -> Iterator[tuple[Loc, str]]:
    for name, value in os.environ.items():
        if value and name.upper().startswith(PREFIX) and name.upper() not in _NO_SETTINGS:
            yield tuple(name[len(PREFIX) :].lower().split("__")), name


def _problems(variables: dict[Loc, str]) -> Iterator[Problem]:
    for loc, name in variables.items():
        section = str(loc[0])
        if len(loc) == 1:
            # A lone name that is no section may be another program's: it gets a warning.
            yield from _broken_section(name, section) if section in Settings.model_fields else ()
        elif section in _LISTS:
            fix = f"set {PREFIX}{section.upper()} to a JSON list, or write [[{section}]] in the file"
            yield Problem(name, f"{section} is a list: one entry cannot be set by itself", fix)
        elif section not in Settings.model_fields or len(loc) > 2:
            yield Problem(name, "no such setting", f"the form is {PREFIX}{_meant(section)}__KEY")
        elif loc in _EXAMPLES:
            yield from _broken_json(name, _EXAMPLES[loc])


def _meant(section: str) -> str:
    close = difflib.get_close_matches(section, Settings.model_fields, n=1)
    return close[0].upper() if close else "SECTION"


def _broken_section(name: str, section: str) -> Iterator[Problem]:
    example = '[{"name": "...", "path": "..."}]' if section in _LISTS else f'{{"key": "value"}}, or set {name}__KEY'
    return _broken_json(name, example)


def _broken_json(name: str, example: str) -> Iterator[Problem]:
    try:
        json.loads(os.environ[name])
    except (ValueError, RecursionError) as error:
        at = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        yield Problem(name, f"is not JSON{at}", f"write {example}")
