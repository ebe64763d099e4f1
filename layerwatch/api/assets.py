"""A generation's result files, streamed from wherever the API says that they are.

Carries no token, and leaves an encrypted connection for a plain one on loopback only. Never holds more of a file than a
block, and never decides where it is saved.
"""

import contextlib
import ipaddress
import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import httpx

from layerwatch import faults
from layerwatch.api.wire import READ_S, Reply, Wire, host, read, transport_fault
from layerwatch.resumable import retry_after_s

BLOCK_BYTES = 256 * 1024
MAX_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))
DECODED = frozenset(("", "identity", "gzip", "x-gzip", "deflate"))


class Download(NamedTuple):
    """A result file that is open: its type as the server says, its length in bytes if it is known, and its bytes."""

    content_type: str | None
    length: int | None
    blocks: Iterator[bytes]


class Assets:
    """The result files behind the URLs that Layer hands out. `read_s` is how long an answer may keep us waiting."""

    def __init__(self, tls: ssl.SSLContext, *, read_s: float = READ_S) -> None:
        self._wire = Wire(tls, {}, read_s=read_s, away=faults.BROKEN)

    def close(self) -> None:
        self._wire.close()

    @contextlib.contextmanager
    def open(self, url: str) -> Iterator[Download]:
        """Open a result file. Raises `NewUrl` when a fresh URL may help, `TryAgain` or `Final`; so do its blocks."""
        for _ in range(MAX_REDIRECTS + 1):
            _insist_on_http(url)
            with self._wire.stream("GET", url) as response:
                if response.status_code == 200:
                    yield _download(response, url)
                    return
                refused = Reply(response.status_code, dict(response.headers), read(response))
            url = _redirected(url, refused)
        raise faults.ASSET_ASTRAY.error(f"{host(url)} redirects more than {MAX_REDIRECTS} times")


def _download(response: httpx.Response, url: str) -> Download:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in DECODED:
        raise faults.ASSET_OTHER.error(f"{host(url)} sends the file encoded as {encoding[:40]!r}")
    length = response.headers.get("content-length", "")
    known = encoding in ("", "identity") and re.fullmatch(r"\d{1,18}", length, re.ASCII)
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Download(content_type or None, int(length) if known else None, _blocks(response, url))


def _blocks(response: httpx.Response, url: str) -> Iterator[bytes]:
    try:
        yield from response.iter_bytes(BLOCK_BYTES)
    except httpx.HTTPError as error:  # also a body that is shorter than was announced
        raise transport_fault(error, url, faults.BROKEN) from None


def _redirected(url: str, reply: Reply) -> str:
    """Where a redirect leads; raises for any other answer."""
    location = reply.headers.get("location")
    if reply.status not in REDIRECTS or not location:
        found = re.search(rb"<Code>(\w{1,64})</Code>", reply.body)
        word = found[1].decode() if found else ""
        said = f"{host(url)} answered {reply.status}" + (f" {word}" if word else "")
        raise faults.asset(reply.status, word).error(said, retry_after_s(reply.headers))
    try:
        target = str(httpx.URL(url).join(location))
    except httpx.InvalidURL:
        raise faults.ASSET_ASTRAY.error(f"{host(url)} redirects to what is not a URL") from None
    if url.startswith("https:") and target.startswith("http:") and not (_is_loopback(url) and _is_loopback(target)):
        raise faults.ASSET_ASTRAY.error(f"{host(url)} redirects to {host(target)} without encryption")
    return target


def _insist_on_http(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise faults.ASSET_ASTRAY.error("the result file's URL is not one of http or https")


def _is_loopback(url: str) -> bool:
    name = httpx.URL(url).host
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
