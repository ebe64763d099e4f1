"""A TCP proxy on loopback, a bad network in between: its connections can be cut, and it can be away for a while."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

BLOCK = 65536


class Cuttable:
    """Passes on to `port` of this machine all that comes to its own `port`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._away = False
        self._swallows = False
        self._is_silent = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._away = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """End all connections that there are; returns how many."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def away(self, *, is_away: bool) -> None:
        """From now on nobody comes through, or everybody again."""
        self._away = is_away
        if is_away:
            self.cut()

    def silent(self, *, is_silent: bool) -> None:
        """From now on nothing that is sent arrives, and nobody is told; or it arrives again, but for what was lost."""
        self._is_silent = is_silent

    def swallow_a_commit(self) -> None:
        """The server is told to commit, does so, and its answer never arrives: the next time that a client does."""
        self._swallows = True

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(here,), daemon=True).start()

    def _seen(self, block: bytes, client: socket.socket) -> None:
        if self._swallows and b"COMMIT" in block:
            self._swallows = False
            client.shutdown(socket.SHUT_WR)  # it hears nothing any more; what it has sent arrives

    def _pass_on(self, source: socket.socket, sink: socket.socket, seen: Callable[..., None] = lambda *_: None) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                seen(block, source)
                if not self._is_silent:
                    sink.sendall(block)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _connect(self, here: socket.socket) -> None:
        try:
            there = socket.create_connection(("127.0.0.1", self._to), 10)
        except OSError:
            here.close()
            return
        there.settimeout(None)
        pair = (here, there)
        with self._lock:
            self._pairs.add(pair)
        if self._away:
            self.cut()
        other = threading.Thread(target=self._pass_on, args=(there, here), daemon=True)
        other.start()
        self._pass_on(here, there, self._seen)
        other.join()
        with self._lock:
            self._pairs.discard(pair)
        here.close()
        there.close()
