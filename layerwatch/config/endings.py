"""Which endings the files beside an input may have. Pure; decides by the ending alone."""

import re

from layerwatch.config.faults import Fault

_MEDIA = (".png", ".jpg", ".jpeg", ".webp", ".mp4", ".mp3", ".wav")
# As in `layerwatch.ignore`, which is no room below this one; a test holds them together.
_LITTER = (
    "~",
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".opdownload",
    ".aria2",
    ".!ut",
    ".!qb",
    ".swp",
    ".swo",
    ".swx",
    ".bak",
    ".lock",
    ".lck",
    ".rsync-partial",
    ".layer.json",
)
_FIX = 'write for example ".txt" for a prompt, ".json" for parameters'


def suffix(value: str) -> str:
    """The ending of a sidecar, in place of the input's own."""
    if not re.fullmatch(r"\.[^/\0]+", value, re.DOTALL):
        raise Fault("is not a file's ending: it begins with a dot", _FIX)
    if value.lower().endswith(_MEDIA):
        raise Fault("files with this ending are uploaded: they are no text", _FIX)
    if value.lower().endswith(_LITTER):
        raise Fault("files with this ending are never looked at", _FIX)
    if "." in value[1:]:
        raise Fault("has a second dot: only what comes after the last one is an ending", _FIX)
    return value
