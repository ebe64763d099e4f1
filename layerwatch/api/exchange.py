"""One request and its small answer, straight through h11, by which httpx sends, too.

An upload is three of them, by the thousand: what httpx and its pool make of each (objects for request, URL, headers
and answer, each checked and decoded anew) costs twice as much as all that is done here. Knows no proxies, no redirects
and no cookies.
"""

import json
import re
import ssl
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import h11
import httpx

from layerwatch.api.connection import Connection, Origin

Body = bytes | Iterator[bytes] | None
_FIT = re.compile(r"(https?)://([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[!-\"$-~]*)")
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip's or zlib's own
MOST_UNPACKED = 16 * 1024 * 1024
MOST_IDLE = 4  # one, but for a storage that has several addresses
_KNOWN = {"headers", "content", "json"}
_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A URL taken apart: who it leads to, by which name, and for what."""

    origin: Origin
    host: str
    target: str


def address(url: str, request: Mapping[str, Any]) -> Address | None:
    """Where to send it; None if it cannot be sent this way."""
    found = _FIT.fullmatch(url)
    if found is None or not request.keys() <= _KNOWN:
        return None
    scheme, host, port, target = found.groups()
    number = int(port or _PORTS[scheme])
    return Address(Origin(scheme, host, number), host if number == _PORTS[scheme] else f"{host}:{port}", target)


class Exchange:
    """Sends one request at a time, for one thread; keeps a connection that may be used again for up to `idle_s`.
    `waits_s`: see `Connection`."""

    def __init__(self, tls: ssl.SSLContext, waits_s: Mapping[str, float], idle_s: float) -> None:
        self._tls, self._waits_s, self._idle_s = tls, waits_s, idle_s
        self._idle: dict[Origin, Connection] = {}  # whose use is longest ago comes first

    def close(self) -> None:
        while self._idle:
            self._idle.popitem()[1].close()

    def send(
        self,
        method: str,
        to: Address,
        headers: Mapping[str, str],
        most: tuple[int, int],
        content: Body = None,
        json: object = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; no more than `most` bytes are read of one that is well, and of any
        other. Raises httpx's exceptions, and what the body raises."""
        body, more = _body(content, json)
        request = _request(method, to.target, {"Host": to.host, **headers, **more})
        # What makes the first bytes may take its time: the connection is looked at after that.
        first = next(body, b"")
        connection = self._connection(to.origin)
        try:
            status, raw, data = connection.ask(request, first, body, most)
        finally:
            self._put_back(to.origin, connection)
        return status, (told := _joined(raw)), _decoded(told, data)

    def _connection(self, origin: Origin) -> Connection:
        kept = self._idle.pop(origin, None)
        if kept is not None:
            if kept.is_fresh(self._idle_s):
                return kept
            kept.close()
        return Connection(origin, self._tls, self._waits_s)

    def _put_back(self, origin: Origin, connection: Connection) -> None:
        if not connection.at_rest:
            connection.close()
            return
        self._idle[origin] = connection
        if len(self._idle) > MOST_IDLE:
            self._idle.pop(next(iter(self._idle))).close()


def _request(method: str, target: str, headers: Mapping[str, str]) -> h11.Request:
    try:
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        return h11.Request(method=method, target=target, headers=pairs)
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error


def _body(content: Body, value: object) -> tuple[Iterator[bytes], dict[str, str]]:
    """The body's parts, and the headers that tell of it."""
    if value is not None:
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return iter((content,)), {"Content-Type": "application/json", "Content-Length": str(len(content))}
    if isinstance(content, bytes):
        return iter((content,)), {"Content-Length": str(len(content))}
    return iter(()) if content is None else content, {}


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Repeated headers are joined by commas, as HTTP allows."""
    found: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _decoded(headers: Mapping[str, str], body: bytes) -> bytes:
    """We ask for no encoding; somebody on the way may not have listened. Never more than an answer can have."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    try:
        return zlib.decompressobj(_ANY_HEADER).decompress(body, MOST_UNPACKED)
    except zlib.error:
        raise httpx.DecodingError(f"the answer is encoded as {encoding[:40]!r}") from None
