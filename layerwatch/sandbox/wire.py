"""HTTP/1.1 as far as the sandbox needs it: read a request, write an answer.

By hand, because the header parser of `http.server` costs more than all the rest of a request, and because the sandbox
has to see what such a server hides: chunked bodies, unread bodies, the byte at which a connection breaks. Never decides
what to answer.
"""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from io import BufferedReader
from time import monotonic, time
from typing import Any

MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 100
DRAIN_BYTES = 1024 * 1024
THROTTLED_READ_BYTES = 16 * 1024
REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    308: "Resume Incomplete",
    499: "Client Closed Request",
}


class Hangup(Exception):
    """Close the connection now, without (the rest of) an answer."""


class Malformed(Exception):
    """What came is not an HTTP request."""


@dataclass(slots=True)
class Body:
    """A request's body, read once, in order. `left` and `taken` are bytes; `broken` if the peer left in the middle."""

    stream: BufferedReader
    left: int
    bandwidth: float | None = None  # bytes per second
    stopping: threading.Event | None = None  # set: do not wait any longer for the bandwidth's sake
    before: Callable[[], None] | None = None  # called once before the first byte is read: "100 Continue"
    taken: int = 0
    broken: bool = False

    def read(self, most: int) -> bytes:
        """The next min(`most`, `left`) bytes; fewer only if the peer went away."""
        wanted = min(most, self.left)
        before, self.before = self.before, None
        if before:
            before()
        data = self._throttled(wanted) if self.bandwidth else self._read(wanted)
        self.taken += len(data)
        self.left -= len(data)
        if len(data) < wanted:
            self.broken, self.left = True, 0
        return data

    def drain(self) -> None:
        """Read and forget the rest, so that the connection can be used again."""
        while self.left:
            self.read(DRAIN_BYTES)

    def _read(self, wanted: int) -> bytes:
        try:
            return self.stream.read(wanted)
        except OSError:
            return b""

    def _throttled(self, wanted: int) -> bytes:
        assert self.bandwidth
        pieces = bytearray()
        started = monotonic()
        while len(pieces) < wanted:
            piece = self._read(min(THROTTLED_READ_BYTES, wanted - len(pieces)))
            pieces += piece
            ahead_s = len(pieces) / self.bandwidth - (monotonic() - started)
            if not piece or (ahead_s > 0 and self.stopping and self.stopping.wait(ahead_s)):
                break
        return bytes(pieces)


@dataclass(slots=True)
class Request:
    """One request. `headers` by lower-case name, repeated ones joined by a comma; `length` is Content-Length."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    keep_alive: bool
    length: int | None
    body: Body

    @property
    def chunked(self) -> bool:
        """Whether the body comes in HTTP chunks, whose length nobody knows."""
        return "transfer-encoding" in self.headers

    @property
    def origin(self) -> str:
        """`http://host:port` as the client sees us."""
        return "http://" + self.headers["host"]


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `body` and then all of `more`, or the file at `path` in their stead.

    `length` is announced, where it is not just that of `body`; the connection ends if less comes.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    path: str | None = None
    more: Iterable[bytes] = ()
    length: int | None = None


def as_json(status: int, value: Any, *headers: tuple[str, str]) -> Response:
    """An answer with `value` as JSON."""
    return Response(status, (("Content-Type", "application/json"), *headers), json.dumps(value).encode())


def as_xml_error(status: int, code: str, message: str) -> Response:
    """An error as the storage answers it."""
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, (("Content-Type", "application/xml; charset=UTF-8"),), text.encode())


def _read_line(stream: BufferedReader) -> bytes:
    line = stream.readline(MAX_LINE_BYTES)
    if line and not line.endswith(b"\n"):
        raise Malformed("a line is too long, or the connection broke in it")
    return line.rstrip(b"\r\n")


def _read_headers(stream: BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = _read_line(stream).decode("latin-1")
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise Malformed("a header without a name")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise Malformed("too many headers")


def _length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Malformed("Content-Length is not a number")
    return int(text)


def read_request(stream: BufferedReader) -> Request | None:
    """The next request on a connection, its body not read yet; None at the connection's end.

    Malformed if it is not HTTP/1.x; OSError if the connection breaks.
    """
    line = _read_line(stream)
    if not line:
        return None
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed("not an HTTP/1 request line")
    headers = _read_headers(stream)
    if "host" not in headers:
        raise Malformed("no Host")
    path, _, query = words[1].partition("?")
    length = _length(headers)
    keep_alive = words[2] != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Request(words[0], path, query, headers, keep_alive, length, Body(stream, length or 0))


def head(response: Response, length: int, keep_alive: bool) -> bytes:
    """Status line and headers of an answer whose body has `length` bytes."""
    lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines += [f"Content-Length: {length}", f"Date: {_date(int(time()))}"]
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


_date_of: tuple[int, str] = (0, "")


def _date(second: int) -> str:
    global _date_of  # one text per second; a race only computes it twice
    cached = _date_of
    if cached[0] != second:
        cached = _date_of = (second, formatdate(second, usegmt=True))
    return cached[1]
