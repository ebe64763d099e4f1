"""The connections that are open, so that they are never too many, and that all of them can be ended at once."""

import socket
from contextlib import suppress


class Connections:
    """At most `most`. Any thread may call: single dictionary operations are atomic, and each connection is added by
    one thread and handled by one other."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[socket.socket, None] = {}
        self._waiting: dict[socket.socket, None] = {}  # for a request, or for the rest of one: the oldest first

    def add(self, connection: socket.socket) -> bool:
        """Take in a new one; False where all others are being answered, and none has to wait for its client."""
        if len(self._open) >= self._most and not self._end_one():
            return False
        self._open[connection] = None
        self.waits(connection)
        return True

    def waits(self, connection: socket.socket) -> None:
        """It is the client's turn: it may be ended to make room for another."""
        self._waiting.pop(connection, None)
        if connection in self._open:  # else it has been ended meanwhile
            self._waiting[connection] = None

    def works(self, connection: socket.socket) -> None:
        """It is our turn."""
        self._waiting.pop(connection, None)

    def remove(self, connection: socket.socket) -> None:
        self._waiting.pop(connection, None)
        self._open.pop(connection, None)

    def end_all(self) -> None:
        for connection in list(self._open):
            end(connection)

    def _end_one(self) -> bool:
        for connection in list(self._waiting):
            if self._waiting.pop(connection, _GONE) is not _GONE:
                self._open.pop(connection, None)
                end(connection)
                return True
        return False


_GONE = object()


def end(connection: socket.socket) -> None:
    """Wake whoever reads or writes it; closing it stays its own thread's."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
