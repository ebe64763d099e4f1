"""`layerwatch push`, the short way: writes down, durably, that these files are to be uploaded, and does nothing else.

Render hooks call it thousands of times a night, so it imports next to nothing: `sqlite3`, and `tomllib` only where it
must. Whatever is not plain (a file that is not there, a ledger that is to be made, or is on a server, `--wait`) it
leaves, before anything is recorded, to the whole command line, which knows what to say of it.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence

from layerwatch import locate

BUSY_S = 30.0  # hundreds may call at once
FOLDERS_VARIABLE = "LAYERWATCH_FOLDERS"
SECTION_VARIABLE = "LAYERWATCH_LEDGER"
# The time as `ledger.times.iso` writes it.
_INSERT = """
INSERT INTO pushed (path, folder, created_at) VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
"""

Recorded = Sequence[tuple[int, str]]


class NotPlain(Exception):
    """The short way ends here, and nothing was recorded."""


def main(arguments: Sequence[str]) -> bool:
    """Do what the arguments after `push` say. False where it takes the whole command line: nothing is done then."""
    try:
        config, folder, as_json, files = _read(arguments)
        paths = [_real(file) for file in files]
        recorded = _record(_ledger(locate.find_config(config), folder), paths, folder)
    except _not_plain():
        return False
    tell(recorded, as_json=as_json)
    return True


def tell(recorded: Recorded, *, as_json: bool) -> None:
    """Say what was recorded: to people on stderr, to machines on stdout."""
    count = "1 file" if len(recorded) == 1 else f"{len(recorded)} files"
    sys.stderr.write(f"{count} recorded for upload\n")
    if as_json:
        import json

        # ASCII only: so a name that is not UTF-8 survives, as lone surrogates.
        sys.stdout.write(f"{json.dumps({'pushed': [{'push': id_, 'path': path} for id_, path in recorded]})}\n")


def _not_plain() -> tuple[type[Exception], ...]:
    """Looked at only when something was raised: the import is not for those whose files are all right."""
    from layerwatch.errors import UserError

    return NotPlain, UserError, OSError, ValueError, RecursionError, sqlite3.Error


def _read(arguments: Sequence[str]) -> tuple[str | None, str | None, bool, list[str]]:
    """Configuration, folder, whether JSON is wanted, and the files."""
    found: dict[str, str] = {}
    files: list[str] = []
    as_json = False
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--":
            files += rest
        elif not argument.startswith("-"):
            files.append(argument)
        elif argument == "--json":
            as_json = True
        elif name in ("--config", "--folder") and equals:
            found[name] = value
        elif argument in ("--config", "--folder", "-c"):
            found["--config" if argument == "-c" else argument] = _value(rest)
        else:
            raise NotPlain
    if not files:
        raise NotPlain
    return found.get("--config"), found.get("--folder"), as_json, files


def _value(rest: Iterator[str]) -> str:
    for value in rest:
        return value
    raise NotPlain


def _real(file: str) -> str:
    path = os.path.realpath(file)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotPlain
    return path


# --- the configuration ------------------------------------------------------------------------------------------------


def _ledger(config: str, folder: str | None) -> str:
    """The ledger's path; `NotPlain` where the folder is not configured."""
    if os.environ.get(SECTION_VARIABLE) or os.environ.get(locate.URL_VARIABLE):
        raise NotPlain
    with open(config, "rb") as stream:
        text = stream.read().decode("utf-8-sig")
    at_a_glance = None if folder else ledger_section(text)
    if at_a_glance is not None:
        return locate.ledger_path({"ledger": at_a_glance}, config)
    import tomllib

    table = tomllib.loads(text)
    if locate.ledger_url(table) or (folder is not None and folder not in _names(table.get("folders"))):
        raise NotPlain
    return locate.ledger_path(table, config)


def ledger_section(text: str) -> dict[str, str] | None:
    """What a TOML text says under `[ledger]`, read at a glance; None where only tomllib, whose import costs as much as
    all the rest, can tell. Right about every text that tomllib reads."""
    if "'''" in text or '"""' in text or "\\" in text:
        return None  # text over several lines may look like anything; a key may be spelled with escapes
    found: dict[str, str] = {}
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == "[ledger]"
        elif inside and line and not line.startswith("#"):
            key, _, value = (part.strip() for part in line.partition("="))
            if key != "path" or len(value) < 3 or value[0] != '"' or value.find('"', 1) != len(value) - 1:
                return None
            found[key] = value[1:-1]
            continue
        if "ledger" in line.partition("#")[0] and line != "[ledger]":
            return None  # spelled in another way
    return found


def _names(folders: object) -> list[object]:
    if said := os.environ.get(FOLDERS_VARIABLE):
        import json

        folders = json.loads(said)
    return [each.get("name") for each in folders if isinstance(each, dict)] if isinstance(folders, list) else []


# --- the ledger -------------------------------------------------------------------------------------------------------


def _record(ledger: str, paths: Sequence[str], folder: str | None) -> Recorded:
    """One commit, on the disk when it returns. Raises `sqlite3.Error` where the ledger is not one of this version."""
    if not os.path.exists(ledger):
        raise NotPlain
    connection = sqlite3.connect(ledger, timeout=BUSY_S, isolation_level=None)
    try:
        # As `ledger.connecting` has it: a power cut must not forget what a hook was told is recorded, and only the
        # daemon checkpoints while others write.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        recorded = [(connection.execute(_INSERT, (_bound(path), folder)).lastrowid or 0, path) for path in paths]
        connection.execute("COMMIT")
        return recorded
    finally:
        connection.close()


def _bound(path: str) -> str | bytes:
    """As `ledger.store.to_text`: text, or the raw bytes where the name is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path
