"""What a folder's actions need: programs that are there, secrets that can be read. Runs and calls nothing."""

import os
import re
import shutil
from collections.abc import Iterator

from layerwatch.checkup.findings import About, Finding
from layerwatch.config import Action, Folder
from layerwatch.errors import UserError

_SHEBANG_BYTES = 256


def check_actions(about: About, folder: Folder, root: str) -> Iterator[Finding]:
    """`on_uploaded` and `on_complete` of one folder, which lies at `root`."""
    for key, action in (("on_uploaded", folder.on_uploaded), ("on_complete", folder.on_complete)):
        if action and action.command:
            yield _command(about, key, action.command[0], root)
        elif action and action.url:
            yield from _webhook(about, key, action)


def _command(about: About, key: str, program: str, root: str) -> Finding:
    # It is looked up as the system will: with a slash in its name from the folder on, else in PATH.
    found = os.path.join(root, program) if "/" in program else shutil.which(program)
    if found is None:
        do = "install it, or give its whole path: the PATH of a service is short"
        return about.problem(key, f"there is no program {program} in PATH", do)
    if not os.path.isfile(found):
        return about.problem(key, f"there is no program {found}", "install it, or correct the command's path")
    if not os.access(found, os.X_OK):
        return about.problem(key, f"{found} may not be executed", f"chmod +x, for uid {os.geteuid()}")
    if (interpreter := _interpreter(found)) and not os.path.exists(interpreter):
        return about.problem(
            key, f"{found} begins with #!{interpreter}, which is not there", "install that, or correct it"
        )
    return about.ok(key, f"{found} can be executed")


def _interpreter(program: str) -> str | None:
    """What a script's first line names."""
    try:
        with open(program, "rb") as file:
            head = file.read(_SHEBANG_BYTES)
    except OSError:
        return None  # what cannot be read may still be executed
    # As the kernel reads it: a line that ends as on Windows names a program that ends in a carriage return.
    line = head.partition(b"\n")[0][2:].strip(b" \t")
    return os.fsdecode(re.split(rb"[ \t]", line)[0]) if head.startswith(b"#!") and line else None


def _webhook(about: About, key: str, action: Action) -> Iterator[Finding]:
    # The address itself may be a secret.
    try:
        signed = "is signed" if action.secret() else "is not signed"
    except UserError as error:
        yield from about.told(key, error.problems, code=error.exit_code)
    else:
        yield about.ok(key, f"a webhook, which {signed}; it was not called")
