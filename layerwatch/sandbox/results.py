"""The generations' result files, for whoever has a signed URL.

Never in memory as a whole when they are large, and never given to a client that sends the API's token along.
"""

import functools
import itertools
import struct
import zlib
from collections.abc import Iterable
from urllib.parse import parse_qs, quote

from layerwatch.sandbox.bodies import error
from layerwatch.sandbox.books import Books, Rule
from layerwatch.sandbox.judge import Judge, Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.wire import Request, Response
from layerwatch.sandbox.works import Asset, Works

CONTENT_TYPES = {"png": "image/png", "mp4": "video/mp4", "wav": "audio/wav"}
SMALLEST_SIDE, LARGEST_SIDE = 8, 512  # in pixels: large ones would only cost time
BLOCK_BYTES = 256 * 1024
PNG_END_BYTES = 12
REDIRECTED = "redirected"


def answer(request: Request, works: Works, luck: Luck, books: Books) -> Response:
    """A result file, for whoever has its signed URL; with the API's token it is refused."""
    books.count("asset")
    judge = Judge(books, luck)
    try:
        if "authorization" in request.headers:
            judge.breach(Rule.TOKEN_TO_STORAGE, "an Authorization header went to a result file's URL", 400)
        judge.maybe_error()
    except Refused as refused:
        return refused.response
    found = works.asset(request.path.strip("/").split("/")[1]) if request.path.count("/") == 3 else None
    if found is None or request.method != "GET" or luck.hits("asset_404"):
        return error(404, "NOT_FOUND", "no such file")
    query = parse_qs(request.query)
    if query.get("X-Goog-Signature") != [found.signature]:
        return error(403, "FORBIDDEN", "the URL is not as it was signed")
    if luck.faults.asset_redirect and REDIRECTED not in query:
        return Response(302, (("Location", f"{request.origin}{request.path}?{request.query}&{REDIRECTED}=1"),))
    return _file(found, luck)


def _file(asset: Asset, luck: Luck) -> Response:
    """The file; half of it, if it is to break off."""
    body, more, length = _content(asset, luck.faults.asset_bytes)
    if luck.hits("asset_short"):
        body, more = body[: len(body) // 2], itertools.islice(more, (length - len(body)) // BLOCK_BYTES // 2)
    headers = [("Content-Type", CONTENT_TYPES[asset.suffix])]
    if name := luck.faults.asset_name:
        plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Content-Disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"))
    return Response(200, tuple(headers), body, more=more, length=length)


def _content(asset: Asset, wanted_bytes: float | None) -> tuple[bytes, Iterable[bytes], int]:
    """The file's beginning, the rest in blocks, and the length of both."""
    body = _small(asset.suffix, asset.width, asset.height, asset.seed)
    if wanted_bytes is None:
        return body, (), len(body)
    size = int(wanted_bytes)
    if size <= len(body):
        return body[:size], (), size
    if asset.suffix != "png":
        return body, _zeros(size - len(body)), size
    return body[:-PNG_END_BYTES], (*_fill(size - len(body)), body[-PNG_END_BYTES:]), size


def _fill(size: int) -> Iterable[bytes]:
    """A PNG's chunks of zeros that every reader skips, `size` bytes in all; all but two are the same object."""
    whole, rest = divmod(size, BLOCK_BYTES)
    if whole and rest < PNG_END_BYTES:  # too little for a chunk of its own
        whole, rest = whole - 1, rest + BLOCK_BYTES
    return (*itertools.repeat(_chunk(BLOCK_BYTES), whole), _chunk(rest))


def _zeros(size: int) -> Iterable[bytes]:
    whole, rest = divmod(size, BLOCK_BYTES)
    return (*itertools.repeat(bytes(BLOCK_BYTES), whole), bytes(rest))


@functools.lru_cache(maxsize=4)
def _chunk(size: int) -> bytes:
    if size < PNG_END_BYTES:
        return bytes(size)
    named = b"noTe" + bytes(size - PNG_END_BYTES)
    return struct.pack(">I", size - PNG_END_BYTES) + named + struct.pack(">I", zlib.crc32(named))


@functools.lru_cache(maxsize=64)
def _small(suffix: str, width: int, height: int, seed: int) -> bytes:
    from layerwatch import samples  # here: only a result file needs it

    return samples.png(_side(width), _side(height), seed) if suffix == "png" else samples.sample(suffix, seed)


def _side(pixels: int) -> int:
    return min(max(pixels, SMALLEST_SIDE), LARGEST_SIDE)
