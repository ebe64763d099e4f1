"""The example names every setting with its default, and loads: as it is, and with everything in it switched on."""

import os
import re
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from layerwatch.config import Action, Api, Budget, Folder, Http, Ledger, Rule, Settings, Upload, load

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
TABLES: dict[str, type[BaseModel]] = {
    "": Settings,
    "api": Api,
    "ledger": Ledger,
    "upload": Upload,
    "budget": Budget,
    "http": Http,
    "folders": Folder,
    "folders.on_uploaded": Action,
    "folders.on_complete": Action,
    "folders.rules": Rule,
    "folders.rules.budget": Budget,
}
LINE = re.compile(r"(?P<off># ?)?(?:\[+(?P<table>[a-z._]+)\]+|(?P<key>[a-z_]+) = .+)")


def lines() -> Iterator[tuple[str, str, bool, str]]:
    """(table, key, switched on, the comment above) of every setting that the example has."""
    table, above = "", ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        if found and found["table"]:
            table = found["table"]
            parent, _, key = table.rpartition(".")
            yield parent, key, not found["off"], above
        elif found:
            yield table, found["key"], not found["off"], above
        above = line if line.startswith("# ") or (above and line) else ""


NAMED = {(table, key): (on, above) for table, key, on, above in lines()}
FIELDS = [
    (table, info.alias or name, info) for table, model in TABLES.items() for name, info in model.model_fields.items()
]


def in_models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        stack: list[Any] = [info.annotation]
        while stack:
            annotation = stack.pop()
            stack += getattr(annotation, "__args__", ())
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                yield from in_models(annotation)


def test_this_file_knows_every_model() -> None:
    assert set(in_models(Settings)) == set(TABLES.values())


@pytest.mark.parametrize(("table", "key", "info"), FIELDS, ids=[f"{table}.{key}" for table, key, _ in FIELDS])
def test_every_field_is_named_with_a_comment(table: str, key: str, info: FieldInfo) -> None:
    on, above = NAMED[table, key]
    assert above.startswith("#")
    if table in {"api", "ledger", "upload", "budget", "http"} or (table == "folders" and key != "rules"):
        no_default = not info.is_required() and (info.default is None or info.default_factory is not None)
        assert on != no_default


def test_nothing_is_named_that_is_no_field() -> None:
    free = {"folders.rules.with", "folders.rules.parameters"}
    assert {place for place in NAMED if place[0] not in free} == {(table, key) for table, key, _ in FIELDS}


def test_what_is_switched_on_is_the_default() -> None:
    written = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    settings = load(str(EXAMPLE), require_token=False)
    for table, key, info in FIELDS:
        if key in written.get(table, {}) and not info.is_required():
            assert getattr(getattr(settings, table), key) == info.default, (table, key)
    for key, info in Folder.model_fields.items():
        if key in written["folders"][0] and not info.is_required():
            assert getattr(settings.folders[0], key) == info.default, key
    assert set(written["folders"][0]) == set(Folder.model_fields) - {"rules", "on_uploaded", "on_complete"}


def test_what_can_be_switched_on_in_a_block_shows_its_default(tmp_path: Path) -> None:
    """Not where a list is empty by default: there the example shows what could be in it."""
    folder = switched_on(tmp_path).folders[0]
    for table in (folder.rules[0], folder.on_uploaded, folder.on_complete):
        assert table is not None
        for key, info in type(table).model_fields.items():
            if isinstance(info.default, bool | int | float | Enum):
                assert key in table.model_fields_set, key
                assert getattr(table, key) == info.default, key


def test_choices_are_all_named() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for _, _, info in FIELDS:
        if isinstance(info.default, Enum):
            assert all(f'"{choice.value}"' in text for choice in type(info.default))


def test_it_loads_as_it_is() -> None:
    settings = load(str(EXAMPLE), require_token=False)
    assert settings.folders[0].path.startswith("/srv/drop/")
    assert settings.warnings == ()


def switched_on(tmp_path: Path) -> Settings:
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(re.sub(r"^#(?=[\[a-z])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return load(str(path), require_token=False)


def test_it_loads_with_everything_switched_on(tmp_path: Path) -> None:
    settings = switched_on(tmp_path)
    (rule,) = settings.folders[0].rules
    assert rule.with_ == {"depth": "{shot}_depth.png"}
    assert rule.budget.burst == 5
    assert rule.roles == ("depth", "prompt", "parameters")
    on_uploaded, on_complete = settings.folders[0].on_uploaded, settings.folders[0].on_complete
    assert on_uploaded is not None
    assert on_uploaded.command == ("/usr/local/bin/notify", "--quiet")
    assert on_complete is not None
    assert on_complete.url == "https://hooks.example.org/layerwatch"
    assert settings.http.address == ("127.0.0.1", 9753)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LAYER", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)
