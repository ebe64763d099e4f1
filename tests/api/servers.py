"""Servers that misbehave on the wire in ways that no HTTP library would let one: a socket, and what is done to it."""

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from layerwatch.api.connection import Origin

Behaviour = Callable[[socket.socket, bytes], None]


class RawServer:
    """Does `behave(peer, request)` once for each connection, then closes it. `requests` is what came, oldest first.

    `read=False`: the connection is closed before anything is read.
    """

    def __init__(self, behave: Behaviour, *, read: bool = True) -> None:
        self.requests: list[bytes] = []
        self._behave, self._read = behave, read
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                peer.settimeout(5)
                if self._read:
                    self.requests.append(whole_request(peer))
                    self._behave(peer, self.requests[-1])


class KeepingServer:
    """Answers one request after the other on each connection by `behave(peer, request)`, until either side closes it.
    `requests` is what came, with the number of its connection; `gone` the numbers of those that are closed."""

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[int, bytes]] = []
        self.gone: set[int] = set()
        self._behave, self._tls = behave, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", "127.0.0.1", self._listener.getsockname()[1])

    @property
    def connections(self) -> list[int]:
        """On which connection each request came."""
        return [number for number, _ in self.requests]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(len(self._threads), peer), daemon=True))
                self._threads[-1].start()

    def _serve(self, number: int, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.settimeout(30)
            with self._tls.wrap_socket(peer, server_side=True) if self._tls else peer as stream:
                while request := whole_request(stream):
                    self.requests.append((number, request))
                    self._behave(stream, request)
        self.gone.add(number)


def whole_request(peer: socket.socket) -> bytes:
    """Head and body, as far as they come; nothing when the peer has closed."""
    data = b""
    while b"\r\n\r\n" not in data and (part := peer.recv(65536)):
        data += part
    if not data:
        return b""
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (part := peer.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


def text(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """An answer; `length` is announced, where it is not the body's."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + body


def saying(status: int, value: Any, *headers: str) -> Behaviour:
    """Answers with `value` as JSON, or as it is if it is bytes."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = "text/html" if isinstance(value, bytes) else "application/json"
    return lambda peer, _: peer.sendall(text(status, body, f"Content-Type: {kind}", *headers))


def silent(peer: socket.socket, _: bytes) -> None:
    """Takes the request and closes."""


def waiting(peer: socket.socket, _: bytes) -> None:
    """Takes the request and says nothing until the client has had enough."""
    peer.recv(1)


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
