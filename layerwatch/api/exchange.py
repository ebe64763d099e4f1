"""One request and its small answer, straight through httpcore, by which httpx sends, too.

An upload is three of them, by the thousand: what httpx makes of each (objects for request, URL, headers and answer,
each checked and decoded anew) costs as much again as sending it. Knows no proxies, no redirects and no cookies.
"""

import json
import re
import ssl
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import httpcore
import httpx

# httpcore's exceptions have their namesakes in httpx, and no ancestor of their own.
FAULTS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol)
Body = bytes | Iterator[bytes] | None
_FIT = re.compile(r"(https?)://([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[!-\"$-~]*)")
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip's or zlib's own
MOST_UNPACKED = 16 * 1024 * 1024
_PORTS = {"http": 80, "https": 443}


def fits(url: str, request: Mapping[str, Any]) -> bool:
    """Whether it can be sent this way."""
    return _FIT.fullmatch(url) is not None and request.keys() <= {"headers", "content", "json"}


class Exchange:
    """A pool of connections of its own, for one thread."""

    def __init__(self, tls: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
        )

    def close(self) -> None:
        self._pool.close()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeouts: Mapping[str, Any],
        most: tuple[int, int],
        content: Body = None,
        json: object = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer; no more than `most` bytes are read of one that is well, and of any
        other. Raises httpx's exceptions for httpcore's, and what the body raises."""
        body, more = _body(content, json)
        found = _FIT.fullmatch(url)
        assert found, "it fits"
        scheme, host, port, target = found.groups()
        names_port = port is not None and int(port) != _PORTS[scheme]
        named = {"Host": f"{host}:{port}" if names_port else host, **headers, **more}
        request = httpcore.Request(
            method,
            httpcore.URL(scheme=scheme, host=host, port=int(port or _PORTS[scheme]), target=target),
            headers=[(name.encode(), value.encode()) for name, value in named.items()],
            content=body,
            extensions=dict(timeouts),
        )
        try:
            response = self._pool.handle_request(request)
            try:
                return response.status, (told := _headers(response)), _decoded(told, _read(response, most))
            finally:
                response.close()
        except FAULTS as error:
            raise _namesake(error) from error


def _body(content: Body, value: object) -> tuple[Body, dict[str, str]]:
    if value is not None:
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return content, {"Content-Type": "application/json", "Content-Length": str(len(content))}
    return content, {"Content-Length": str(len(content))} if isinstance(content, bytes) else {}


def _headers(response: httpcore.Response) -> dict[str, str]:
    """Names in lower case; repeated ones joined by commas, as HTTP allows."""
    found: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.lower().decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _read(response: httpcore.Response, most: tuple[int, int]) -> bytes:
    limit, body = most[0 if 200 <= response.status < 300 else 1], bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _decoded(headers: Mapping[str, str], body: bytes) -> bytes:
    """We ask for no encoding; somebody on the way may not have listened. Never more than an answer can have."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return body
    try:
        return zlib.decompressobj(_ANY_HEADER).decompress(body, MOST_UNPACKED)
    except zlib.error:
        raise httpx.DecodingError(f"the answer is encoded as {encoding[:40]!r}") from None


def _namesake(error: Exception) -> httpx.HTTPError:
    made: httpx.HTTPError = getattr(httpx, type(error).__name__)(str(error))
    return made
