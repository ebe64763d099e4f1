"""One request and its answer: what breaks on the way becomes one of our errors, what was answered is handed on.

Never decides what an answer means, and never holds more of one than `MAX_ANSWER_BYTES`.
"""

import contextlib
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import h11
import httpx

from layerwatch import __version__, faults
from layerwatch.api import exchange
from layerwatch.errors import JobError
from layerwatch.redact import redact

CONNECT_S, READ_S, WRITE_S = 10.0, 60.0, 30.0
IDLE_S = 5.0  # then a connection is not used again
MAX_FAULTS = 3
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
MOST_BYTES = (MAX_ANSWER_BYTES, MAX_ERROR_BYTES)
# Identity: of what is compressed on the way the length would not be known.
_ALL = {"User-Agent": f"layerwatch/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Header names are lower case; repeated headers are joined by commas, as HTTP allows."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> object:
        """The body's JSON value; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # the latter for a few thousand brackets
            return None


def tls_context() -> ssl.SSLContext:
    """One for all threads: making it costs more than all the rest of a client."""
    return ssl.create_default_context()


def timeouts(read_s: float) -> httpx.Timeout:
    return httpx.Timeout(read_s, connect=CONNECT_S, write=WRITE_S, pool=CONNECT_S)


LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=IDLE_S)


def new_client(
    tls: ssl.SSLContext, headers: Mapping[str, str], *, read_s: float = READ_S, keep_alive: bool = True
) -> httpx.Client:
    """A client that follows no redirect: where a request goes is decided by us."""
    return httpx.Client(
        verify=tls,
        headers={"User-Agent": f"layerwatch/{__version__}", **headers},
        timeout=timeouts(read_s),
        limits=LIMITS if keep_alive else httpx.Limits(max_connections=1, max_keepalive_connections=0),
        follow_redirects=False,
    )


def host(url: str) -> str:
    """Whom the URL is for, fit for a message: the rest of it may be a secret."""
    try:
        parts = urlsplit(url)
        return parts.hostname + (f":{parts.port}" if parts.port else "") if parts.hostname else "the server"
    except ValueError:
        return "the server"


def words(error: Exception) -> str:
    """What the library says of a fault, without secrets."""
    return redact(str(error)) or type(error).__name__


def read(response: httpx.Response) -> bytes:
    """The body of an answer, or as much of it as an answer can have."""
    limit = MAX_ANSWER_BYTES if response.is_success else MAX_ERROR_BYTES
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def transport_fault(error: httpx.HTTPError | httpx.InvalidURL, url: str, away: faults.Fault) -> JobError:
    """Our error for one of httpx's; `away` is what it means that nobody is there."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return away.error(f"cannot connect to {host(url)}: {redact(str(error))}")
    return faults.BROKEN.error(f"the connection to {host(url)} broke: {words(error)}")


class Wire:
    """What requests are sent by: thrown away when it seems to be poisoned, and its faults are ours.

    `away` is what it means that nobody is there.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        headers: Mapping[str, str],
        *,
        read_s: float = READ_S,
        away: faults.Fault = faults.UNREACHABLE,
    ) -> None:
        self._tls, self._read_s, self._away = tls, read_s, away
        self._headers = {**_ALL, **headers}
        self._waits_s = {"connect": CONNECT_S, "read": read_s, "write": WRITE_S}
        self._directly = not getproxies()  # the client alone knows proxies, and which hosts they are not for
        self._clients: httpx.Client | None = None
        self._exchanges: exchange.Exchange | None = None
        self._faults = 0

    def send(self, method: str, url: str, **request: Any) -> Reply:
        """One request, its whole answer. Raises `ApiDown` when nobody is there, `TryAgain` when it broke on the way."""
        to = exchange.address(url, request) if self._directly else None
        if to is None:
            with self.stream(method, url, **request) as response:
                return Reply(response.status_code, dict(response.headers), read(response))
        headers = {**self._headers, **request.pop("headers", _NONE)}
        try:
            reply = Reply(*self._exchange().send(method, to, headers, MOST_BYTES, **request))
        except BaseException as error:
            self._broke(error, url)
            raise
        self._faults = 0
        return reply

    @contextlib.contextmanager
    def stream(self, method: str, url: str, **request: Any) -> Iterator[httpx.Response]:
        """One request; its answer's body is for the `with` block to read."""
        try:
            response = self._client().send(self._request(method, url, **request), stream=True)
            try:
                yield response
            finally:
                response.close()
        except BaseException as error:
            self._broke(error, url)
            raise
        self._faults = 0

    def _broke(self, error: BaseException, url: str) -> None:
        """Raises our error for one of the wire's; any other was raised by who made the body or read the answer."""
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            self._fault(poisoned=isinstance(error, httpx.PoolTimeout))
            raise transport_fault(error, url, self._away) from None
        self.close()  # in the middle of it: the connection is of no use any more
        if isinstance(error, h11.LocalProtocolError):
            # Not an httpx error: the body was not as long as was announced.
            raise faults.BODY_CHANGED.error(str(error)) from None

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] = _NONE, timeout: float | None = None, **request: Any
    ) -> httpx.Request:
        waits = timeouts(self._read_s) if timeout is None else httpx.Timeout(timeout)
        extensions = {"timeout": waits.as_dict()}
        return httpx.Request(method, url, headers={**self._headers, **headers}, extensions=extensions, **request)

    def _client(self) -> httpx.Client:
        if self._clients is None:
            self._clients = new_client(self._tls, {}, read_s=self._read_s)
        return self._clients

    def _exchange(self) -> exchange.Exchange:
        if self._exchanges is None:
            self._exchanges = exchange.Exchange(self._tls, self._waits_s, IDLE_S)
        return self._exchanges

    def close(self) -> None:
        for each in (self._clients, self._exchanges):
            if each is not None:
                each.close()
        self._clients = self._exchanges = None

    def _fault(self, *, poisoned: bool) -> None:
        self._faults += 1
        if poisoned or self._faults >= MAX_FAULTS:
            self.close()
            self._faults = 0
