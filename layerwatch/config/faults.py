"""Faults in a configuration, and how they are told: where, why, and what to do.

No message repeats a value: a token that was put under the wrong key must not end up in a log.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from layerwatch.config.lines import Loc, line_of
from layerwatch.errors import Problem

_TYPES = {
    "string_type": ("must be text", 'put it in quotes: "..."'),
    "bool_type": ("must be true or false", "write true or false, without quotes"),
    "tuple_type": ("must be a list", 'put it in square brackets: ["..."]'),
    "dict_type": ("must be a table", "write its keys under their own [heading]"),
    "model_type": ("must be a table", "write its keys under their own [heading]"),
}


class Fault(ValueError):
    """One value, or several together, that cannot be used; raised and yielded by the checks."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True)
class Origins:
    """Where each value came from: the file, but for those that a variable of the environment set."""

    file: str
    variables: Mapping[Loc, str] = field(default_factory=dict)
    lines: Mapping[Loc, int] = field(default_factory=dict)

    def where(self, loc: Loc) -> str:
        for length in range(len(loc), 0, -1):
            if variable := self.variables.get(loc[:length]):
                rest = spelled(loc[length:])
                return f"{variable}: {rest}" if rest else variable
        line = line_of(loc, self.lines)
        return f"{self.file}: {spelled(loc)}" + (f" (line {line})" if line else "")


def spelled(loc: Loc) -> str:
    """`folders[0].settle`."""
    text = ""
    for step in loc:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else f'"{step}"'
            text += f".{key}" if text else key
    return text


def told(error: ValidationError, model: type[BaseModel], origins: Origins) -> Iterator[Problem]:
    """Every fault that validation found, each as a problem."""
    for item in error.errors(include_url=False, include_input=False):
        fault = _fault(item, model)
        yield Problem(origins.where(item["loc"]), fault.reason, fault.fix)


def _fault(item: ErrorDetails, model: type[BaseModel]) -> Fault:
    kind, context = item["type"], item.get("ctx", {})
    if isinstance(cause := context.get("error"), Fault):
        return cause
    if kind == "extra_forbidden":
        return _unknown_key(item["loc"], model)
    if kind == "missing":
        return Fault("is missing", f"add {item['loc'][-1]} = ...")
    if kind == "enum":
        return Fault("is not one of the choices", f"write {context['expected']}")
    return Fault(*_TYPES.get(kind, (item["msg"].lower(), "see config.example.toml for what goes here")))


def _unknown_key(loc: Loc, model: type[BaseModel]) -> Fault:
    key, home = str(loc[-1]), loc[:-1]
    tables = dict(_tables(model))
    here = tables[tuple(step for step in home if isinstance(step, str))]
    if close := difflib.get_close_matches(key, here, n=1):
        return Fault("unknown key", f"did you mean '{close[0]}'?")
    for table, keys in tables.items():
        if key in keys:
            return Fault("unknown key here", f"'{key}' belongs under {heading(table)}")
    return Fault("unknown key", f"take it away; known here: {', '.join(here)}")


def heading(table: tuple[str, ...]) -> str:
    name = ".".join(table)
    return f"[[{name}]]" if table in {("folders",), ("folders", "rules")} else f"[{name}]" if name else "no heading"


def _tables(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every table of the configuration with its keys, outermost first."""
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    yield at, list(fields)
    for key, info in fields.items():
        if inner := _model_in(info.annotation):
            yield from _tables(inner, (*at, key))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
