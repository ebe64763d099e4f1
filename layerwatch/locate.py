"""Where the configuration and the ledger are. Standard library only: `push` must not pay for the settings models.

Reads the environment when asked, never at import; makes no directory and opens no file. Imports what it raises only
when it does.
"""

import os
from collections.abc import Mapping

CONFIG_VARIABLE = "LAYERWATCH_CONFIG"
LEDGER_VARIABLE = "LAYERWATCH_LEDGER__PATH"
URL_VARIABLE = "LAYERWATCH_LEDGER__URL"
INIT = "run `layerwatch init` to write a starter, or name a file with --config"


def find_config(explicit: str | None = None, *, or_environment: bool = False) -> str:
    """The configuration file: the one that was named, else the first that exists. `or_environment`: else an empty one,
    where a variable names a ledger on a server."""
    if explicit is not None:
        return _existing(explicit, "--config")
    if named := os.environ.get(CONFIG_VARIABLE):
        return _existing(named, CONFIG_VARIABLE)
    places = _places()
    for place in places:
        if os.path.exists(place):
            return place
    if or_environment and os.environ.get(URL_VARIABLE):
        return os.devnull
    raise _fault("config.toml", f"no configuration file; looked in {', '.join(places)}", INIT)


def _existing(path: str, named_by: str) -> str:
    if not os.path.exists(path):
        raise _fault(path or "''", f"no such file, but {named_by} names it", INIT)
    return path


def _places() -> tuple[str, ...]:
    user = _base_directory("XDG_CONFIG_HOME", "~/.config")
    return ("config.toml", os.path.join(user, "layerwatch", "config.toml"), "/etc/layerwatch/config.toml")


def _base_directory(variable: str, default: str) -> str:
    """The XDG rule: a relative path in the variable counts as not set."""
    value = os.environ.get(variable, "")
    return value if os.path.isabs(value) else os.path.expanduser(default)


def default_ledger_path() -> str:
    """systemd's StateDirectory= if there is one, else the user's state directory."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if not state:
        state = os.path.join(_base_directory("XDG_STATE_HOME", "~/.local/state"), "layerwatch")
    if not os.path.isabs(state):
        raise _fault("ledger.path", "this user has no home directory", "set path under [ledger]")
    return os.path.join(state, "ledger.db")


def ledger_url(table: Mapping[str, object]) -> str | None:
    """The database that the ledger is, if it is one of a server's; the environment wins. It may hold a password."""
    section = table.get("ledger")
    in_file = section.get("url") if isinstance(section, Mapping) else None
    url = os.environ.get(URL_VARIABLE) or in_file
    return url if isinstance(url, str) else None


def ledger_path(table: Mapping[str, object], config: str) -> str:
    """The ledger that `config`, already parsed into `table`, means; the environment wins, as everywhere."""
    section = table.get("ledger")
    in_file = section.get("path") if isinstance(section, Mapping) else None
    path = os.environ.get(LEDGER_VARIABLE) or in_file
    return anchored(path, config) if isinstance(path, str) and path else default_ledger_path()


def anchored(path: str, config: str) -> str:
    """`path` with `~` expanded and, if relative, taken from the directory of the configuration file."""
    expanded = os.path.expanduser(path)
    if not path or expanded.startswith("~"):
        return path
    joined = os.path.join(os.path.dirname(os.path.abspath(config)), expanded)
    # Behind a symbolic link `..` is not what its spelling says: only the kernel may resolve it.
    return joined if ".." in joined.split("/") else os.path.normpath(joined)


def _fault(where: str, reason: str, fix: str) -> Exception:
    from layerwatch.errors import Problem, UserError

    return UserError(Problem(where, reason, fix))
