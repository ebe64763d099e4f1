"""A server that takes everything and costs next to nothing: `python -m tests.benchmarks.sink`.

It speaks as much of Layer's API and of the storage's protocol as an upload without faults needs, looks at nothing but
lengths and checksums, and counts what arrives when. One process, one thread, no library between the socket and the
answer: what is measured against it is the client. `latency` delays each answer, as a network would, without work: by
how much it really did, on average, is told, too: a machine wakes late who sleeps on it, and that is made up for.

On stdout: one JSON line with its port. `GET /report` tells what came since the last `GET /reset?latency_ms=N`.
"""

import base64
import contextlib
import heapq
import json
import re
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RANGE = re.compile(rb"\r\ncontent-range: *bytes (\d+)-(\d+)/(\d+)", re.IGNORECASE)
_NAME = re.compile(rb'"file_name": *"([^"]*)"')
AMENDS = 0.02  # how much of each answer's lateness is made up for by the next
_BUFFER = memoryview(bytearray(1024 * 1024))


@dataclass(slots=True, eq=False)
class Connection:
    """One client's. `left` bytes of the body are still to come."""

    socket: socket.socket
    head: bytes = b""
    raw: bytes = b""
    left: int = 0
    crc: int = 0
    body: bytes = b""


@dataclass
class Sink:
    """What arrived since the last reset; times are monotonic seconds, the same for all processes of a machine."""

    port: int = 0
    latency_s: float = 0.0
    requests: int = 0
    stored: int = 0
    stored_bytes: int = 0
    received: int = 0  # bytes of files, as they come
    sessions: int = 0
    late: int = 0  # answers that were held back
    held_s: float = 0.0  # for so long, all in all
    first_at: float | None = None
    last_at: float | None = None
    arrivals: dict[str, float] = field(default_factory=dict)  # file name, first request
    crcs: dict[bytes, int] = field(default_factory=dict)  # of the sessions that are not at their end

    def reset(self, latency_s: float) -> None:
        port, sessions = self.port, self.sessions
        self.__init__()  # type: ignore[misc]
        self.port, self.sessions, self.latency_s = port, sessions, latency_s

    def report(self) -> dict[str, Any]:
        names = ("requests", "stored", "stored_bytes", "first_at", "last_at", "arrivals")
        return {name: getattr(self, name) for name in names} | {"held_ms": self.held_s / max(self.late, 1) * 1000}

    def answer(self, connection: Connection, now: float) -> tuple[bytes, float]:
        """The whole answer, and how many seconds it is held back."""
        method, _, rest = connection.head.partition(b" ")
        path = rest[: rest.index(b" ")]
        if method == b"GET":
            return self._told(path), 0.0
        self.requests += 1
        self.first_at = self.first_at or now
        if method == b"PUT":
            return self._stored(connection, path, now), self.latency_s
        self.sessions += 1
        if path.startswith(b"/u/"):
            return _reply(b"201 Created", b"Location: http://127.0.0.1:%d/s/%d\r\n" % (self.port, self.sessions)), (
                self.latency_s
            )
        name = _NAME.search(connection.body)
        if name:
            self.arrivals.setdefault(name[1].decode(), now)
        url = f"http://127.0.0.1:{self.port}/u/{self.sessions}?X-Goog-Expires=900"
        body = json.dumps({"file_id": f"f{self.sessions}", "upload_url": url}).encode()
        return _reply(b"200 OK", b"Content-Type: application/json\r\n", body), self.latency_s

    def _told(self, path: bytes) -> bytes:
        if path.startswith(b"/reset"):
            self.reset(float(path.rpartition(b"=")[2]) / 1000)
        tellers: dict[bytes, dict[str, Any]] = {b"/count": {"stored": self.stored, "received": self.received}}
        if path == b"/report":
            tellers[path] = self.report()
        about = tellers.get(path, {"name": "sink", "available_creative_units": 1000})
        return _reply(b"200 OK", b"Content-Type: application/json\r\n", json.dumps(about).encode())

    def _stored(self, connection: Connection, path: bytes, now: float) -> bytes:
        found = _RANGE.search(connection.head)
        assert found, connection.head
        _, last, size = map(int, found.groups())
        if last + 1 < size:
            self.crcs[path] = connection.crc
            return _reply(b"308 Resume Incomplete", b"Range: bytes=0-%d\r\n" % last)
        self.crcs.pop(path, None)
        self.stored += 1
        self.stored_bytes += size
        self.last_at = now
        crc = base64.b64encode(connection.crc.to_bytes(4, "big"))
        return _reply(b"200 OK", b"x-goog-hash: crc32c=%s\r\nx-goog-stored-content-length: %d\r\n" % (crc, size))


def _reply(status: bytes, headers: bytes = b"", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


class Loop:
    """Reads, answers, and holds back what is to come late."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        sink.port = self._listener.getsockname()[1]
        # Not epoll, as Python has it: it waits for whole milliseconds, always for too long, and 20 ms are to be 20.
        self._selector = selectors.SelectSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._early_s = 0.0  # by so much answers are meant to go before they are due: by so much they go too late
        self._late: list[tuple[float, float, int, Connection, bytes]] = []  # when it is due, and since when it is held
        self._number = 0

    def run(self) -> None:
        while True:
            timeout = max(self._late[0][0] - time.monotonic(), 0.0) if self._late else None
            for key, _ in self._selector.select(timeout):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            while self._late and self._late[0][0] <= (now := time.monotonic()):
                _, since, _, connection, answer = heapq.heappop(self._late)
                self._note_held(now - since)
                _send(connection, answer)

    def _note_held(self, held_s: float) -> None:
        sink = self._sink
        sink.late += 1
        sink.held_s += held_s
        # A server at the other end of a network is not late because this machine is: its 20 ms are 20 ms on average.
        self._early_s = min(max(self._early_s + (held_s - sink.latency_s) * AMENDS, 0.0), sink.latency_s / 10)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client, selectors.EVENT_READ, Connection(client))

    def _read(self, connection: Connection) -> None:
        try:
            size = connection.socket.recv_into(_BUFFER)
        except OSError:
            size = 0
        if not size:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            return
        data = _BUFFER[:size]
        if connection.left:
            self._take(connection, data)
            return
        connection.raw += bytes(data)
        head, end, body = connection.raw.partition(b"\r\n\r\n")
        if not end:
            return
        length = _LENGTH.search(head)
        connection.head, connection.raw, connection.body = head, b"", b""
        connection.left = int(length[1]) if length else 0
        connection.crc = self._sink.crcs.get(head.split(b" ", 2)[1], 0) if head.startswith(b"PUT") else 0
        self._take(connection, memoryview(body))

    def _take(self, connection: Connection, data: memoryview) -> None:
        if connection.head.startswith(b"PUT"):
            self._sink.received += len(data)
            connection.crc = google_crc32c.extend(connection.crc, bytes(data))
        else:
            connection.body += bytes(data)
        connection.left -= len(data)
        if connection.left:
            return
        now = time.monotonic()
        answer, delay_s = self._sink.answer(connection, now)
        if delay_s:
            self._number += 1
            due_at = now + delay_s - self._early_s
            heapq.heappush(self._late, (due_at, now, self._number, connection, answer))
        else:
            _send(connection, answer)


def _send(connection: Connection, answer: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.socket.setblocking(True)
        connection.socket.sendall(answer)
        connection.socket.setblocking(False)


def main() -> None:
    sink = Sink()
    loop = Loop(sink)
    print(json.dumps({"port": sink.port}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        loop.run()
    sys.exit(0)


if __name__ == "__main__":
    main()
