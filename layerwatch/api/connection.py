"""A connection to one server, on which one request after the other is answered: a socket, and h11, which knows HTTP.

The socket never waits by itself: what it is ready for takes one system call. Each is a chance for another thread to go
first, and an upload makes thousands an hour. What is done here twice, then, every upload pays for.

Never decides what an answer means, and never sends anything a second time.
"""

import select
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import h11
import httpcore
import httpx

READ_BYTES = 64 * 1024
MOST_HEAD_BYTES = 100 * 1024
_LAST_RECEIVED = struct.Struct("52xI")  # struct tcp_info, as far as tcpi_last_data_recv: milliseconds
# httpcore's exceptions have their namesakes in httpx, and no ancestor of their own.
_FAULTS = (httpcore.NetworkError, httpcore.TimeoutException)


class Origin(NamedTuple):
    """Whom a connection leads to. `scheme` is http or https."""

    scheme: str
    host: str
    port: int


class Answer(NamedTuple):
    """An answer as it came: names of headers in lower case; the body, or as much of it as was wanted."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Connection:
    """Connects when it is made. `waits_s` are the seconds for `connect`, `read` and `write`, each for one step. Raises
    httpx's exceptions."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext, waits_s: Mapping[str, float]) -> None:
        self._waits_s = waits_s
        self._socket = _connected(origin, tls, waits_s["connect"])
        self._socket.setblocking(False)
        # TLS may hold bytes already for which the socket is not ready any more.
        self._read_first = isinstance(self._socket, ssl.SSLSocket)
        self._poll = select.poll()
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)

    def close(self) -> None:
        self._socket.close()

    @property
    def at_rest(self) -> bool:
        """Whether the last answer is here, whole, and the server lets another request follow."""
        return self._http.our_state is h11.IDLE

    def is_fresh(self, most_s: float) -> bool:
        """Whether to send another request on it. Not one that the server has closed or has spoken on unasked, nor one
        on which it was silent for more than `most_s`: it, or something on the way, is about to close that."""
        told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_RECEIVED.size)
        (silent_ms,) = _LAST_RECEIVED.unpack(told)
        return silent_ms < most_s * 1000 and not self._is_ready(select.POLLIN, 0.0)

    def ask(self, request: h11.Request, first: bytes, rest: Iterator[bytes], most: tuple[int, int]) -> Answer:
        """Send a request, whose body is `first` and `rest`, and read the answer: no more than `most` bytes of one that
        is well, and of any other. Raises what `rest` raises, and h11.LocalProtocolError for a body that is not as long
        as was announced."""
        # Who closes before all is sent may have said why.
        with suppress(httpx.WriteError):
            self._send(request, first, rest)
        answer = self._answer(most)
        if self._http.our_state is self._http.their_state is h11.DONE and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        return answer

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    def _send(self, request: h11.Request, first: bytes, rest: Iterator[bytes]) -> None:
        head = self._bytes_of(request)
        self._write(head + self._bytes_of(h11.Data(data=first)) if first else head)
        for part in rest:
            self._write(self._bytes_of(h11.Data(data=part)))
        self._bytes_of(h11.EndOfMessage())

    def _bytes_of(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    def _answer(self, most: tuple[int, int]) -> Answer:
        response = self._event()
        while not isinstance(response, h11.Response):  # there may be informational ones first
            response = self._event()
        limit, body = most[0 if 200 <= response.status_code < 300 else 1], bytearray()
        while len(body) < limit and isinstance(part := self._event(), h11.Data):
            body += part.data
        return Answer(response.status_code, list(response.headers), bytes(body[:limit]))

    def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = self._read()
                if not data and self._http.their_state is h11.SEND_RESPONSE:
                    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
                self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event

    # --- the socket ---------------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, httpx.WriteTimeout, "write")
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, httpx.WriteTimeout, "write")
            except OSError as error:
                raise httpx.WriteError(str(error)) from error

    def _read(self) -> bytes:
        if not self._read_first:
            self._wait(select.POLLIN, httpx.ReadTimeout, "read")
        while True:
            try:
                return self._socket.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, httpx.ReadTimeout, "read")
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, httpx.ReadTimeout, "read")
            except OSError as error:
                raise httpx.ReadError(str(error)) from error

    def _wait(self, what: int, late: type[httpx.TimeoutException], step: str) -> None:
        if not self._is_ready(what, self._waits_s[step]):
            raise late("timed out")

    def _is_ready(self, what: int, within_s: float) -> bool:
        self._poll.register(self._socket, what)
        return bool(self._poll.poll(within_s * 1000))


def _connected(origin: Origin, tls: ssl.SSLContext, connect_s: float) -> socket.socket:
    try:
        stream = httpcore.SyncBackend().connect_tcp(origin.host, origin.port, connect_s)
        if origin.scheme == "https":
            tls.set_alpn_protocols(["http/1.1"])
            stream = stream.start_tls(tls, origin.host, connect_s)
    except _FAULTS as error:
        made: httpx.HTTPError = getattr(httpx, type(error).__name__)(str(error))
        raise made from error
    found: socket.socket = stream.get_extra_info("socket")
    return found
