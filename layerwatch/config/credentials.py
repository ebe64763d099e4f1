"""Finding secrets: the API token, what webhooks are signed with, what the status page asks for. No message ever holds
one, or a part of one.

The token comes from the first of LAYER_TOKEN, LAYERWATCH_API__TOKEN, token_file, the systemd credential `layer_token`,
and last the configuration file itself.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from layerwatch.config.faults import Origins
from layerwatch.errors import Problem

VARIABLE = "LAYER_TOKEN"
CREDENTIAL = "layer_token"
NO_TOKEN = Problem(
    VARIABLE,
    "there is no API token",
    "make one in Layer (Settings > Personal Access Tokens), then set LAYER_TOKEN, or token_file under [api], "
    f'or the systemd credential "{CREDENTIAL}"',
)
_OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
_LONGEST = 64 * 1024
SHORTEST = 8


@dataclass(frozen=True)
class Found:
    secret: str | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Found(secret={'...' if self.secret else None}, problems={self.problems}, warnings={self.warnings})"


def no_workspace(where: str) -> Problem:
    return Problem(where, "there is no workspace", "set workspace_id under [api], or LAYER_WORKSPACE_ID")


def find(api: Mapping[str, object], origins: Origins) -> Found:
    """The token that counts for this `[api]` table, environment already merged in."""
    if token := os.environ.get(VARIABLE):
        return _judged(VARIABLE, token)
    configured, token_file = api.get("token"), api.get("token_file")
    where = origins.where(("api", "token"))
    if isinstance(configured, str) and ("api", "token") in origins.variables:
        return _judged(where, configured)
    if isinstance(token_file, str) and os.path.isabs(token_file):
        return _from_file(origins.where(("api", "token_file")), token_file, _judged)
    if credential := _credential():
        # systemd has the say over its mode.
        return replace(_from_file(f"systemd credential {CREDENTIAL}", credential, _judged), warnings=())
    return _judged(where, configured) if isinstance(configured, str) else Found()


def of_page(where: str, token_file: object) -> Found:
    """What the status page asks for. Unlike a webhook's secret it is guessed at by whoever can ask again and again, and
    its very text is taken out of all that is said."""
    found = from_file(where, token_file)
    if found.secret is None or len(found.secret) >= SHORTEST:
        return found
    reason = f"the token is shorter than {SHORTEST} characters: it could be guessed"
    return Found(problems=(Problem(where, reason, "put there, for example, what `openssl rand -hex 32` prints"),))


def from_file(where: str, secret_file: object) -> Found:
    """The line of text in this file, whose name was configured at `where`: what calls are signed with, or what the
    status page asks for."""
    usable = isinstance(secret_file, str) and os.path.isabs(secret_file)
    return _from_file(where, str(secret_file), _judged_secret) if usable else Found()


def exposed(api: Mapping[str, object], file: str, mode: int) -> tuple[Problem, ...]:
    """A token in the configuration file is no secret if others may read the file."""
    if "token" not in api or not mode & _OTHERS_READ:
        return ()
    return (Problem(f"{file}: api.token", "other users can read the token in this file", f"chmod 600 {file}"),)


def _credential() -> str | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = os.path.join(directory, CREDENTIAL)
    return path if directory and os.path.lexists(path) else None


def _from_file(where: str, path: str, judged: Callable[[str, str], Found]) -> Found:
    try:
        with open(path, "rb") as stream:
            mode, raw = os.fstat(stream.fileno()).st_mode, stream.read(_LONGEST)
    except (OSError, ValueError) as error:
        reason = f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not a path'}"
        return Found(
            problems=(Problem(where, reason, "write the secret to it, readable for the user layerwatch runs as"),)
        )
    found = judged(where, raw.decode("utf-8", "replace"))
    if not mode & _OTHERS_READ:
        return found
    return replace(found, warnings=(f"{where}: other users can read {path}; chmod 600 {path}",))


def _judged(where: str, text: str) -> Found:
    token = text.strip()
    reason = ""
    if not token:
        reason = "the token is empty"
    elif "\n" in token or "\r" in token:
        reason = "there is more than one line"
    elif not re.fullmatch(r"[!-~]+", token):
        reason = "the token has characters that cannot be sent: a space, a control character or one beyond ASCII"
    if reason:
        return Found(problems=(Problem(where, reason, "put the token there and nothing else, without 'Bearer'"),))
    return Found(token)


def _judged_secret(where: str, text: str) -> Found:
    """Any line of text will do: we never send it."""
    secret = text.strip()
    if secret and secret.isprintable() and "\N{REPLACEMENT CHARACTER}" not in secret:
        return Found(secret)
    reason = "is not one line of text" if secret else "the secret is empty"
    return Found(
        problems=(Problem(where, reason, "put one line of text there, such as what `openssl rand -hex 32` prints"),)
    )
