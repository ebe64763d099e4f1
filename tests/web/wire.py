"""Requests as no proper client would send them: bytes out, bytes back."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from layerwatch.web.server import Server

PATIENCE_S = 60.0


@contextmanager
def connected(server: Server, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(PATIENCE_S)
        connection.connect(server.address)
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    found = bytearray()
    try:
        while block := connection.recv(65_536):
            found += block
    except ConnectionResetError:
        pass  # as good an end as any
    return bytes(found)


def exchange(server: Server, request: bytes) -> bytes:
    with connected(server) as connection:
        connection.sendall(request)
        return rest(connection)


def get(path: str = "/static/page.css", *headers: str, version: str = "1.1", host: str = "localhost") -> bytes:
    lines = [f"GET {path} HTTP/{version}", *([f"Host: {host}"] if host else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
