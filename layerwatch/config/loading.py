"""From the file and the environment to `Settings`, or to one error with every fault in it."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from layerwatch import locate
from layerwatch.config import action_checks, addresses, checks, credentials, environment
from layerwatch.config.credentials import Found
from layerwatch.config.faults import Origins, told
from layerwatch.config.lines import Loc, positions
from layerwatch.config.settings import Secret, Settings
from layerwatch.errors import Problem, UserError
from layerwatch.redact import register

HTTP: Loc = ("http",)


def load(path: str | None = None, *, require_token: bool, require_folders: bool = True) -> Settings:
    """The settings of `path`, or of the file that `find_config` finds.

    Without `require_token` a missing token or workspace is no fault: `Settings.token()` tells when it is asked. Without
    `require_folders` a ledger on a server is enough, and that the environment names it.
    """
    file = locate.find_config(path, or_environment=not require_folders)
    said = environment.said()
    text, mode = _read(file, said.problems)
    table = _parsed(file, text, said.problems)
    problems = [*said.problems, *credentials.exposed(_section(table, "api"), file, mode)]
    values, variables = environment.with_workspace(_merged(table, said.values), said.variables)
    origins = Origins(file, variables, positions(text))
    _anchor(values, file)
    found = credentials.find(_section(values, "api"), origins)
    folders = require_folders or "url" not in _section(values, "ledger")
    problems += [Problem(origins.where(loc), fault.reason, fault.fix) for loc, fault in checks.check(values, folders)]
    problems += _lacking(_section(values, "api"), found, origins) if require_token else ()
    secrets = _secrets(values, origins)
    problems += [problem for each in secrets.values() for problem in each.problems] if require_token else ()
    settings, faults = _built(_with_token(values, found), origins)
    if settings is None or problems:
        raise UserError(*faults, *problems)
    _hand_out(secrets, settings)
    if settings.ledger.url:
        keep_out(settings.ledger.place)
    warnings = [*said.warnings, *(warning for each in (found, *secrets.values()) for warning in each.warnings)]
    return settings.loaded(os.path.abspath(file), tuple(warnings), found.problems)


def keep_out(url: str) -> None:
    """From now on a database's password is taken out of all that is said."""
    for password in addresses.passwords(url):
        register(password)


def _read(file: str, others: tuple[Problem, ...]) -> tuple[str, int]:
    """The text and the mode of the very file that was read."""
    try:
        with open(file, "rb") as stream:
            mode, raw = os.fstat(stream.fileno()).st_mode, stream.read()
        # Some editors put a byte order mark first; TOML has none.
        return raw.decode("utf-8-sig"), mode
    except OSError as error:
        fix = "check its path and its permissions for the user layerwatch runs as"
        problem = Problem(file, f"cannot be read: {(error.strerror or 'I/O error').lower()}", fix)
    except UnicodeDecodeError as error:
        problem = Problem(file, f"is not UTF-8 (byte {error.start + 1})", "save it as UTF-8")
    raise UserError(problem, *others)


def _parsed(file: str, text: str, others: tuple[Problem, ...]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        # More than TOMLDecodeError: an endless integer, too. Its first line only, as no later one may quote the text.
        reason = str(error).splitlines()[0]
    except RecursionError:
        reason = "nested too deeply"
    fix = 'put text in quotes, lists in [ ], and each key on its own line: key = "text"'
    raise UserError(Problem(file, f"is not valid TOML: {reason[:1].lower()}{reason[1:]}", fix), *others)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Each setting of a section by itself: a map, or a list, takes the place of the whole of the other one."""
    result = dict(under)
    for section, said in over.items():
        below = result.get(section)
        result[section] = {**below, **said} if isinstance(below, dict) and isinstance(said, dict) else said
    return result


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def _anchor(values: dict[str, Any], file: str) -> None:
    """Make every path absolute, in place: these tables are ours alone."""
    for table, key in _paths(values):
        if isinstance(table.get(key), str):
            table[key] = locate.anchored(table[key], file)
    for _, action in _actions(values):
        command = action.get("command")
        # A bare name is looked up in PATH, as everywhere.
        if isinstance(command, list) and command and isinstance(command[0], str) and "/" in command[0]:
            command[0] = locate.anchored(command[0], file)


def _paths(values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    yield _section(values, "api"), "token_file"
    yield _section(values, "ledger"), "path"
    yield _section(values, "http"), "token_file"
    for _, folder in checks.tables(values, ("folders",)):
        yield folder, "path"
    for _, action in _actions(values):
        yield action, "secret_file"


def _actions(values: dict[str, Any]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    for loc, folder in checks.tables(values, ("folders",)):
        yield from action_checks.actions(folder, loc)


def _secrets(values: dict[str, Any], origins: Origins) -> dict[Loc, Found]:
    """What each action's `secret_file` and the status page's `token_file` holds, by the place of their table."""
    found = {
        loc: credentials.from_file(origins.where((*loc, "secret_file")), action.get("secret_file"))
        for loc, action in _actions(values)
    }
    token_file = _section(values, "http").get("token_file")
    return {**found, HTTP: credentials.of_page(origins.where((*HTTP, "token_file")), token_file)}


def _hand_out(secrets: Mapping[Loc, Found], settings: Settings) -> None:
    for loc, found in secrets.items():
        keeper = settings.http if loc == HTTP else getattr(settings.folders[int(loc[1])], str(loc[2]))
        keeper.keep_secret(Secret(None if found.secret is None else SecretStr(found.secret), found.problems))


def _lacking(api: dict[str, Any], found: Found, origins: Origins) -> Iterator[Problem]:
    """What only those commands need that speak to the API."""
    yield from found.problems
    if found.secret is None and not found.problems and "token" not in api:
        yield credentials.NO_TOKEN
    if "workspace_id" not in api:
        yield credentials.no_workspace(origins.where(("api", "workspace_id")))


def _with_token(values: dict[str, Any], found: Found) -> dict[str, Any]:
    """The token that counts takes the place of the one that was written; one of a wrong type stays, to be told."""
    api = values.get("api", {})
    if not isinstance(api, dict):
        return values
    rest = {key: value for key, value in api.items() if key != "token" or not isinstance(value, str)}
    return {**values, "api": {**rest, "token": found.secret} if found.secret else rest}


def _built(values: dict[str, Any], origins: Origins) -> tuple[Settings | None, list[Problem]]:
    # BaseSettings has options of its own that begin with an underscore; `checks` tells of such keys.
    ours = {key: value for key, value in values.items() if not key.startswith("_")}
    try:
        return Settings(**ours), []
    except ValidationError as error:
        return None, list(told(error, Settings, origins))
