"""What a result is called and where it lies: told by its source, its rule and its bytes, never by the server. Pure."""

import os
from dataclasses import dataclass

from layerwatch.aftermath.placing import MOST, NAME_MAX
from layerwatch.ignore import RECEIPT_SUFFIX

# So that every name that is tried for a result leaves room for that of its provenance.
_LONGEST = NAME_MAX - len(f" ({MOST}){RECEIPT_SUFFIX}")
_LONGEST_RULE = 80

UNKNOWN = "bin"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a result belongs. `root` is the real path of the drop folder; `outputs`, a directory, and `source`, the
    input it was made of, are relative to it. It is the result `number`, from 1, `of` so many."""

    root: str
    outputs: str
    source: str
    rule: str
    generation: int
    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        for relative in (self.outputs, self.source):
            if relative.startswith("/") or ".." in relative.split("/"):
                raise ValueError(f"{relative!r} is not a path below {self.root!r}")

    @property
    def directory(self) -> str:
        """The directories of the source, once more below `outputs`."""
        return os.path.normpath(os.path.join(self.root, self.outputs, os.path.dirname(self.source)))

    def name(self, extension: str) -> str:
        """`shot.restyle.png`, or `shot.restyle.07.png` where there are several."""
        number = f".{self.number:0{len(str(self.of))}}" if self.of > 1 else ""
        suffix = f".{_cut(_safe(self.rule), _LONGEST_RULE)}{number}.{extension}"
        stem = os.path.splitext(os.path.basename(self.source))[0]
        return _cut(stem, _LONGEST - len(os.fsencode(suffix))) + suffix


def _safe(rule: str) -> str:
    return "".join(char if char.isprintable() and char != "/" else "_" for char in rule)


def _cut(text: str, most_bytes: int) -> str:
    while len(os.fsencode(text)) > most_bytes:
        text = text[:-1]
    return text


# --- extensions -------------------------------------------------------------------------------------------------------

_BY_TYPE = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/tiff": "tif",
    "image/bmp": "bmp",
    "image/x-exr": "exr",
    "image/aces": "exr",
    "image/vnd.radiance": "hdr",
    "image/vnd.adobe.photoshop": "psd",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/webm": "weba",
    "model/gltf-binary": "glb",
    "model/gltf+json": "gltf",
    "model/obj": "obj",
    "model/stl": "stl",
    "model/vnd.usdz+zip": "usdz",
    "application/json": "json",
    "application/zip": "zip",
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/markdown": "md",
    "text/html": "html",
    "text/vtt": "vtt",
    "application/x-subrip": "srt",
}

# What storages like to announce as "application/octet-stream": where in the file, what stands there.
_BY_BYTES = (
    (0, b"glTF", "glb"),
    (0, b"GIF8", "gif"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"%PDF", "pdf"),
    (0, b"8BPS", "psd"),
    (0, b"v/1\x01", "exr"),
    (4, b"ftypqt  ", "mov"),
    (4, b"ftypavif", "avif"),
    (4, b"ftypheic", "heic"),
)
HEAD = 16


def media_type(content_type: str | None) -> str:
    """`image/png`, of a header that may say `Image/PNG; charset=binary`."""
    return (content_type or "").partition(";")[0].strip().lower()


def extension(sniffed: str | None, head: bytes, announced: str | None) -> str:
    """Of a file that begins with `head`: as its bytes say, else as the server says; never as the server names it."""
    if sniffed in _BY_TYPE:
        return _BY_TYPE[sniffed]
    by_bytes = (name for at, mark, name in _BY_BYTES if head.startswith(mark, at))
    return next(by_bytes, None) or _BY_TYPE.get(media_type(announced), UNKNOWN)
