"""The provenance of a result: `<result>.layer.json`, which tells what it was made of, by which rule, for which price.

Written whole or not at all. Replaces an earlier one of the same generation, at once; never anything else that has its
name, and never through a link.
"""

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from layerwatch.aftermath.placing import entered, exchange, give_free_name, give_name
from layerwatch.errors import Final
from layerwatch.ignore import RECEIPT_SUFFIX
from layerwatch.notices import name_text
from layerwatch.results.disk import EXISTS, make_durable, telling, temporary, write

KEY = "generation"  # by which a generation knows its own
_MOST_BYTES = 4 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def provenance(found_path: str, root: str, facts: Mapping[str, Any]) -> str:
    """Write `facts`, JSON values, beside the result `found_path`: where they are now. `facts["generation"]` is its
    number. The same call made again does no harm.

    Raises `TryAgain` (disk), or `Final` (exists) where another's file has the name; the result itself is not touched.
    """
    directory, name = os.path.dirname(found_path), os.path.basename(found_path) + RECEIPT_SUFFIX
    if not found_path.startswith(os.path.join(root, "")):
        raise ValueError(f"{found_path!r} does not lie below {root!r}")
    content, generation = _content(facts), facts[KEY]
    with ExitStack() as stack, telling(directory, root):
        there = stack.enter_context(entered(directory))
        fd, waiting = stack.enter_context(temporary(there, generation, 0))
        write(fd, content)
        os.fsync(fd)
        _show(there, waiting, name, generation)
        make_durable(there)
    return os.path.join(directory, name)


def _show(directory: int, waiting: str, name: str, generation: int) -> None:
    try:
        give_name(directory, waiting, name)
    except FileExistsError:
        if generation_of(directory, name) != generation:
            raise _taken(name) from None
    else:
        return
    if not exchange(directory, waiting, name):
        return  # NFS: it would take two steps, with none in between; what is there is true of this result, too
    if generation_of(directory, waiting) != generation:
        # Somebody's file came to the name in the very moment: it is kept, beside ours.
        give_free_name(directory, waiting, name)


def _taken(name: str) -> Final:
    return Final(EXISTS, f"what is called {name_text(name)} is not this generation's: its provenance was not written")


def _content(facts: Mapping[str, Any]) -> bytes:
    text = json.dumps(facts, ensure_ascii=False, indent=2, sort_keys=True)
    # Bytes of a name that are not UTF-8: as text, since strict readers of JSON do not take lone surrogates.
    return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode() + b"\n"


def generation_of(directory: int, name: str) -> int | None:
    """The generation that the provenance called `name` is about; None when there is none, or it is none of ours."""
    try:
        said = json.loads(_read(directory, name))
    except (OSError, ValueError, RecursionError):
        return None
    number = said.get(KEY) if isinstance(said, dict) else None
    return number if type(number) is int else None


def _read(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb") as file:
        return file.read(_MOST_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
