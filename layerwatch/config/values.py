"""What one value may be, each with the reason and the fix when it is not. Knows nothing of other values."""

import os
import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, SecretStr

from layerwatch.config import addresses, endings, units
from layerwatch.config.faults import Fault

_Number = TypeVar("_Number", int, float)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def at_least(low: _Number, why: str, fix: str) -> Callable[[_Number], _Number]:
    def check(value: _Number) -> _Number:
        if value < low:
            raise Fault(why, fix)
        return value

    return check


def whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # The environment knows text only.
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip()):
        return int(value)
    raise Fault("is not a whole number", "write a plain number such as 4")


def amount(value: object) -> float:
    # The environment knows text only.
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", value.strip()):
        return float(value)
    # Compared, not converted: TOML's integers may be too large for a float.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15:
        return float(value)
    raise Fault("is not a number of Creative Units", "write a number such as 50; for no limit leave the key out")


def _chunk(value: int) -> int:
    if value <= 0 or value % (256 * units.KIB):
        raise Fault(
            "must be a multiple of 256 KiB: the storage takes no other",
            'write for example "8MiB" or "256KiB"',
        )
    return value


def _workers(value: object) -> object:
    if value == AUTO:
        return value
    try:
        number = whole(value)
    except Fault:
        raise Fault("is neither a whole number nor auto", 'write a plain number such as 4, or "auto"') from None
    if not 1 <= number <= 64:
        raise Fault('must be from 1 to 64, or "auto": each worker has a connection of its own', "write for example 4")
    return number


def name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", value) or value in {".", ".."}:
        raise Fault("is not a name", "use letters, digits, '.', '_' and '-' only")
    return value


def uuid(value: str) -> str:
    lower = value.lower()
    if not _UUID.fullmatch(lower):
        raise Fault("is not a UUID", "copy it from Layer; it looks like 00000000-0000-0000-0000-000000000000")
    return lower


def absolute(value: str) -> str:
    """Relative paths and `~` were made absolute before: what is left is empty, or another user's unknown home."""
    if not os.path.isabs(value) or "\0" in value:
        raise Fault("is not a usable path", "write an absolute path, one under ~, or one relative to this file")
    return value


def inside(value: str) -> str:
    """A directory strictly below the folder."""
    path = os.path.normpath(value)
    if not value or os.path.isabs(path) or path.split("/")[0] == ".." or "\0" in value or value.startswith("~"):
        raise Fault("must be relative and stay inside the folder", 'write a directory\'s name such as "generated"')
    if path == ".":
        raise Fault("must not be the folder itself: results would be taken as new files", 'write "generated"')
    if "{" in path or "}" in path:
        raise Fault("placeholders are not filled in here", "write the directory's name as it is")
    return path


def glob(value: str) -> str:
    if not value:
        raise Fault("matches no file", 'write for example "*.png"')
    if "{" in value.replace("[{]", ""):
        raise Fault("alternatives in braces are not known here", 'list them: ["*.png", "*.jpg"]; [{] is a brace')
    return value


def some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise Fault("would take no file at all", 'write ["*"] for all files')
    return value


def argument_list(value: object) -> object:
    if isinstance(value, str):
        raise Fault("must be a list: no shell is involved", 'write each argument by itself: ["program", "argument"]')
    return value


def command(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not value[0]:
        raise Fault("names no program", 'write for example ["/usr/local/bin/notify", "--quiet"]')
    if any("\0" in argument for argument in value):
        raise Fault("has a NUL character, which no program can be given", "take it out")
    return value


def _some_time(value: float) -> float:
    if value <= 0:
        raise Fault("must be more than nothing", 'write for example "60s" or "1h"')
    return value


_POSITIVE = at_least(1, "must be more than nothing", 'write for example "64MiB"')
_NOT_NEGATIVE = "must not be negative"
_NO_LIMIT = "write 0 or more; for no limit leave the key out"

Size = Annotated[int, BeforeValidator(units.size), AfterValidator(_POSITIVE)]
ChunkSize = Annotated[int, BeforeValidator(units.size), AfterValidator(_chunk)]
Rate = Annotated[int, BeforeValidator(units.rate), AfterValidator(_POSITIVE)]
Duration = Annotated[
    float, BeforeValidator(units.duration), AfterValidator(at_least(0.0, _NOT_NEGATIVE, 'write "0s" or more'))
]
TimeLimit = Annotated[float, BeforeValidator(units.duration), AfterValidator(_some_time)]
Interval = Annotated[
    float,
    BeforeValidator(units.duration),
    AfterValidator(at_least(1.0, "is less than a second: the disk would never rest", 'write "1s" or more')),
]
Lease = Annotated[
    float,
    BeforeValidator(units.duration),
    AfterValidator(at_least(2.0, "is too short: a busy host would be taken for dead", 'write "20s"')),
]
AUTO: Final = "auto"
Workers = Annotated[int | Literal["auto"], BeforeValidator(_workers)]
Attempts = Annotated[
    int,
    BeforeValidator(whole),
    AfterValidator(at_least(1, "must be 1 or more: the first try counts", "write 8")),
]
Count = Annotated[int, BeforeValidator(whole), AfterValidator(at_least(0, _NOT_NEGATIVE, _NO_LIMIT))]
Depth = Annotated[
    int,
    BeforeValidator(whole),
    AfterValidator(
        at_least(1, "must be 1 or more: else no result is taken", "write 3; for no chain write chain = false")
    ),
]
Amount = Annotated[float, BeforeValidator(amount), AfterValidator(at_least(0.0, _NOT_NEGATIVE, _NO_LIMIT))]
Name = Annotated[str, AfterValidator(name)]
Uuid = Annotated[str, AfterValidator(uuid)]
AbsolutePath = Annotated[str, AfterValidator(absolute)]
Inside = Annotated[str, AfterValidator(inside)]
Glob = Annotated[str, AfterValidator(glob)]
Listen = Annotated[str, AfterValidator(addresses.listen)]
HostName = Annotated[str, AfterValidator(addresses.host_name)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(addresses.database)]
BaseUrl = Annotated[str, AfterValidator(addresses.base_url)]
WebhookUrl = Annotated[str, AfterValidator(addresses.webhook)]
Suffix = Annotated[str, AfterValidator(endings.suffix)]
Command = Annotated[tuple[str, ...], BeforeValidator(argument_list), AfterValidator(command)]
