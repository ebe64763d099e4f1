"""The starter configuration: `config.example.toml` with a folder and a workspace filled in, written so that a crash
leaves either the whole file or none.
"""

import json
import os
import re
import shlex
import tempfile

from layerwatch.errors import Problem, UserError

EXAMPLE = "config.example.toml"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FOLDER = 'name = "concepts"'
_PATH = 'path = "/srv/drop/concepts"'
_WORKSPACE = '#workspace_id = "00000000-0000-0000-0000-000000000000"'


def text(folder: str | None = None, workspace: str | None = None) -> str:
    """The example, with what is known already."""
    starter = _example()
    if workspace is not None:
        starter = _put(starter, _WORKSPACE, f'workspace_id = "{_uuid(workspace)}"')
    if folder is not None:
        path = _writable(os.path.abspath(os.path.expanduser(folder)))
        starter = _put(starter, _FOLDER, f'name = "{_name(path)}"')
        starter = _put(starter, _PATH, f"path = {json.dumps(path, ensure_ascii=False)}")
    return starter


def write(path: str, content: str, *, force: bool = False) -> None:
    """Readable for its owner only: a token may be written into it later."""
    directory = os.path.dirname(path) or "."
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".config-", suffix=".tmp", dir=directory)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            _publish(temporary, path, force)
        finally:
            if os.path.lexists(temporary):
                os.unlink(temporary)
        _sync(directory)
    except FileExistsError:
        problem = Problem(path, "is there already", "name another file with --output, or overwrite it with --force")
    except OSError as error:
        problem = Problem(
            path, f"cannot be written: {error.strerror}", f"mkdir -p {shlex.quote(directory)}, or --output"
        )
    else:
        return
    raise UserError(problem)


def next_steps(path: str, folder: str | None, workspace: str | None) -> tuple[str, str, str]:
    lacking = [what for what, given in (("workspace_id", workspace), ("your folders", folder)) if given is None]
    edit = f"put in {' and '.join(lacking)}" if lacking else "look it over"
    config = shlex.quote(path)
    return (
        f"wrote {path}: {edit}",
        "export LAYER_TOKEN=... (Layer: Settings > Personal Access Tokens), or name a token_file",
        f"layerwatch check --config {config}, then layerwatch run --config {config}",
    )


def _example() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    # In the package once it is built; one directory up in a checkout.
    for directory in (here, os.path.dirname(here)):
        path = os.path.join(directory, EXAMPLE)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                return stream.read()
    raise UserError(Problem(EXAMPLE, "is missing from this installation", "install layerwatch again"))


def _put(starter: str, line: str, replacement: str) -> str:
    assert starter.count(f"\n{line}\n") == 1, f"the example has {line!r} once"
    return starter.replace(f"\n{line}\n", f"\n{replacement}\n")


def _uuid(workspace: str) -> str:
    if not _UUID.fullmatch(workspace):
        fix = "copy it from Layer; it looks like 00000000-0000-0000-0000-000000000000"
        raise UserError(Problem("--workspace", "is not a UUID", fix))
    return workspace.lower()


def _name(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(path)).strip("-.") or "folder"


def _writable(path: str) -> str:
    """TOML is UTF-8 without control characters; a path may be neither."""
    if not path.isprintable():
        raise UserError(Problem("--folder", "has characters that cannot be written", "rename it, or edit the file"))
    return path


def _publish(temporary: str, path: str, force: bool) -> None:
    if force:
        os.replace(temporary, path)
    else:
        # Unlike a rename, a link fails if the name is taken, even since a moment ago.
        os.link(temporary, path)


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
