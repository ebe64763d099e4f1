"""The prompt and the parameters that lie beside a file: read as text, and made sense of. Never writes anything."""

import json
import os
from collections.abc import Mapping
from typing import Any

from layerwatch import source
from layerwatch.config.roles import PARAMETERS
from layerwatch.errors import Code, Final
from layerwatch.rules import RuleError

MOST_BYTES = 1024 * 1024


def read(path: str, root: str) -> str:
    """What the sidecar says, which must really lie below `root`. Raises `TryAgain` (cannot be read), `Final` (too
    large, or not UTF-8) or `Superseded` (gone, or no regular file)."""
    with source.opened(path, root) as fd:
        size = os.fstat(fd).st_size
        if size > MOST_BYTES:
            raise Final(Code.TOO_LARGE, f"is larger than {MOST_BYTES} bytes: make it shorter")
        text = b"".join(source.blocks(fd, 0, size))
    try:
        return text.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Final(Code.UNREADABLE, "is not UTF-8: save it as that") from None


def overrides(sidecars: Mapping[str, str]) -> Any:
    """What the parameters beside the file say, as JSON gives it; None where there are none. Raises `RuleError`."""
    if PARAMETERS not in sidecars:
        return None
    try:
        return json.loads(sidecars[PARAMETERS])
    except (ValueError, RecursionError) as error:
        raise RuleError(f"they are not JSON: {error}") from None
