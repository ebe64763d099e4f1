"""The process that `tests.starts.ForkServer` starts: it imports all of layerwatch, and forks for each order that comes.

It never does anything else, so that a fork is as a process is that has just imported all that.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from tests.starts import LARGEST_ORDER_BYTES

# What layerwatch imports inside of functions.
LATER = ("psycopg", "psycopg_pool", "rich.live", "rich.progress", "rich.table", "rich.traceback")


@dataclass(frozen=True)
class Order:
    """What to be."""

    arguments: list[str]
    environment: dict[str, str]
    directory: str


def main(descriptor: int) -> None:
    """In a fork, this is layerwatch."""
    import_all()
    server = Server(socket.socket(fileno=descriptor))
    try:
        order = server.serve()
    except KeyboardInterrupt:
        order = None
    if order:
        leave(ended(order))


def ended(order: Order) -> int:
    """Be that, to its end: the exit code. Raises what Python is to say something about."""
    try:
        become(order)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        return end.code or 0
    return 0


def import_all() -> None:
    packages = pkgutil.walk_packages(importlib.import_module("layerwatch").__path__, "layerwatch.")
    for name in (*(package.name for package in packages if package.name != "layerwatch.__main__"), *LATER):
        importlib.import_module(name)
    assert threading.active_count() == 1, "an import starts a thread, which no fork would have"
    gc.freeze()


def become(order: Order) -> None:
    """Does not return, unless layerwatch would end with 0."""
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    importlib.reload(importlib.import_module("layerwatch.points"))  # it alone asks the environment when imported
    sys.path[0], sys.argv = order.directory, ["layerwatch", *order.arguments]
    runpy.run_module("layerwatch", run_name="__main__", alter_sys=True)


def leave(code: int) -> None:
    """As Python ends, but for taking all modules apart, which would copy the memory that the fork shares: most of what
    a short run takes. When the output cannot be written, Python says so."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for those that are no daemons
    atexit._run_exitfuncs()
    gc.collect()  # what was left unclosed says so
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(code)
    os._exit(code & 0xFF)


class Server:
    """Forks, and tells how each fork ended."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor that tells of its end
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)

    def serve(self) -> Order | None:
        """Returns in each fork, with its order; and in the server, with None, once nobody can give any."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._running:
                    self._ended(key.fd)
                    continue
                said, fds, _, _ = socket.recv_fds(self._orders, LARGEST_ORDER_BYTES, 3)
                if not said:
                    self._close()
                    return None
                if not (pid := os.fork()):
                    self._leave(fds)
                    return Order(*json.loads(said))
                self._begun(pid, *fds)

    def _begun(self, pid: int, out: int, err: int, news: int) -> None:
        os.close(out)
        os.close(err)
        end = os.pidfd_open(pid)
        self._running[end] = pid, socket.socket(fileno=news)
        self._selector.register(end, selectors.EVENT_READ)
        self._tell(end, pid)

    def _ended(self, end: int) -> None:
        self._selector.unregister(end)
        pid, news = self._running[end]
        self._tell(end, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        news.close()
        os.close(end)
        del self._running[end]

    def _tell(self, end: int, number: int) -> None:
        with suppress(BrokenPipeError):  # nobody wants to know
            self._running[end][1].send(str(number).encode())

    def _leave(self, fds: list[int]) -> None:
        """In a fork: it has its own output, and nothing of the server's."""
        self._selector.close()
        self._orders.close()
        for end, (_, news) in self._running.items():
            news.close()
            os.close(end)
        for target, fd in enumerate(fds[:2], 1):
            os.dup2(fd, target)
        for fd in fds:
            os.close(fd)

    def _close(self) -> None:
        self._selector.close()
        self._orders.close()
        for pid, _ in self._running.values():
            os.kill(pid, signal.SIGKILL)
