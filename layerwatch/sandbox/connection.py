"""One connection: read a request, have it answered, write the answer, again.

Never answers before the request's body is read (a client that is still sending would not see the answer), and never
closes on a client that is still sending without taking what it sends: it would get a reset in the answer's stead.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from layerwatch.sandbox.books import Books
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.wire import DRAIN_BYTES, Hangup, Malformed, Request, Response, head, read_request

LINGER_S = 2.0
CONTROL = "/sandbox"


class Connection:
    """Serves the requests of one `peer` until either side closes it, or `stopping` is set."""

    def __init__(
        self,
        peer: socket.socket,
        answer: Callable[[Request], Response],
        luck: Luck,
        books: Books,
        stopping: threading.Event,
        log: Callable[[str], None] | None,
    ) -> None:
        self._peer, self._answer, self._luck, self._books = peer, answer, luck, books
        self._stopping, self._log = stopping, log
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer until the connection ends; the caller closes the socket."""
        with self._peer.makefile("rb") as stream, contextlib.suppress(OSError, Hangup):
            try:
                while not self._stopping.is_set() and (request := read_request(stream)) and self._exchange(request):
                    pass
            except Malformed as malformed:
                self._send(Response(400, (), f"{malformed}\n".encode()), keep_alive=False)

    def _exchange(self, request: Request) -> bool:
        """Answer one request; whether the connection can be used for another."""
        started = time.monotonic()
        body = request.body
        body.bandwidth, body.stopping = self._luck.faults.bandwidth, self._stopping
        if request.headers.get("expect", "").lower() == "100-continue":
            body.before = self._go_on
        try:
            response = self._answer(request)
            body.drain()
        except Hangup:
            self._note(request, "closed without an answer", started)
            raise
        finally:
            if request.method == "PUT":
                self._books.count("bytes_received", body.taken)
        self._dawdle(request)
        self._note(request, str(response.status), started)
        keep_alive = request.keep_alive and not request.chunked and not body.broken
        self._send(response, keep_alive=keep_alive)
        return keep_alive

    def _note(self, request: Request, outcome: str, started: float) -> None:
        """One line for the log; the path without its query, which holds signatures and session ids."""
        if self._log:
            milliseconds = (time.monotonic() - started) * 1000
            self._log(f"{request.method} {request.path} {request.body.taken} bytes: {outcome}, {milliseconds:.1f} ms")

    def _go_on(self) -> None:
        self._peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _dawdle(self, request: Request) -> None:
        latency_s = self._luck.faults.latency_s
        if latency_s and not request.path.startswith(CONTROL):
            self._stopping.wait(latency_s)

    def _send(self, response: Response, *, keep_alive: bool) -> None:
        if response.path is None:
            self._send_body(response, keep_alive)
        else:
            with open(response.path, "rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(0)
                self._peer.sendall(head(response, size, keep_alive))
                self._peer.sendfile(stream)
        if not keep_alive:
            self._linger()

    def _send_body(self, response: Response, keep_alive: bool) -> None:
        left = len(response.body) if response.length is None else response.length
        self._peer.sendall(head(response, left, keep_alive) + response.body)
        left -= len(response.body)
        for piece in response.more:
            self._peer.sendall(piece)
            left -= len(piece)
        if left:
            raise Hangup

    def _linger(self) -> None:
        self._peer.shutdown(socket.SHUT_WR)
        self._peer.settimeout(LINGER_S)
        while self._peer.recv(DRAIN_BYTES):
            pass
