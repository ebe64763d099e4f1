"""The HTTP server: the address it listens at, and a thread for each connection, few of them at once."""

import errno
import logging
import os
import select
import socket
import socketserver
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from layerwatch.web.answer import TEXT, Answer
from layerwatch.web.connections import Connections
from layerwatch.web.handler import Handler, head
from layerwatch.web.sight import Sight

MOST_CONNECTIONS = 32
_BUSY = Answer(503, TEXT, b"too many connections at once: try again\n", {"Retry-After": "1"})
_log = logging.getLogger("layerwatch")


class Server:
    """The page and what goes with it, at `address`; port 0 takes a free one. Raises `OSError` where it cannot listen.

    `token`: what whoever asks has to know, if anything; `hosts`: further names under which browsers may ask.
    """

    def __init__(self, sight: Sight, address: tuple[str, int], token: str | None, hosts: Sequence[str]) -> None:
        self._host = address[0].lower()
        self._http = Http(address, partial(Handler, sight=sight))
        self._serving = self._closing = False
        self.admit(token, hosts)

    def admit(self, token: str | None, hosts: Sequence[str]) -> None:
        """These count instead, from the next request on. From any thread."""
        own = os.uname().nodename.lower()
        names = frozenset(("localhost", own, own.partition(".")[0], self._host, *map(str.lower, hosts)))
        self._http.admitted = token, names

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the port that it really got."""
        host, port, *_ = self._http.server_address
        return str(host), int(port)

    def serve(self) -> None:
        """Answer until `close` is called."""
        self._serving = True
        try:
            while not self._closing:
                self._http.handle_request()
        finally:
            self._http.server_close()
            self._http.connections.end_all()

    def close(self) -> None:
        """End `serve`, and all connections in the middle of whatever they do. From any thread, at any time."""
        self._closing = True
        with suppress(OSError):
            self._http.socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for the next connection
        if not self._serving:
            self._http.server_close()
        self._http.connections.end_all()


class Http(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The listening socket; `admitted` is the token that is asked for, if any, and the names that are ours."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, *_, resolved = found[0]
        self.connections = Connections(MOST_CONNECTIONS)
        self._refused: list[socket.socket] = []
        self._fault = ""
        self.admitted: tuple[str | None, frozenset[str]] = None, frozenset()  # no name: nobody, before it is said
        super().__init__(resolved, handler)  # type: ignore[arg-type]  # of four parts for IPv6

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno != errno.EINVAL:  # which is what `close` brings about
                select.select((), (), (), 0.1)  # no descriptor left, say: it is waiting still, and must not spin us
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        self._forget_refused()
        if self.connections.add(request):
            super().process_request(request, client_address)
            return
        # Closed only when the next one comes: at once, what it has sent and nobody read would take the answer back.
        with suppress(OSError):
            request.settimeout(0)
            request.sendall(head(_BUSY, len(_BUSY.body), "close") + _BUSY.body)
            request.shutdown(socket.SHUT_WR)
        self._refused.append(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.remove(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        self._forget_refused()

    def _forget_refused(self) -> None:
        for each in self._refused:
            each.close()
        self._refused.clear()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  socketserver's names
        """A connection that broke is nobody's fault."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.tell_fault("a connection", error)

    def tell_fault(self, what: str, error: BaseException) -> None:
        """A page that is open asks again and again: the same fault is told once."""
        if (fault := repr(error)) != self._fault:
            self._fault = fault
            _log.error("%.200s could not be answered", what, exc_info=error)
