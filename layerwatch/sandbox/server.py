"""The sandbox itself: a listening socket, a thread for each connection, and what they share.

Only plumbing: who answers what is decided by the path's first part. Never listens anywhere but where it is told, never
logs a query string (that is where signatures and session ids are), and never outlives `stop`.
"""

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from layerwatch.sandbox import desk, results
from layerwatch.sandbox.books import Books, Violation
from layerwatch.sandbox.connection import Connection
from layerwatch.sandbox.faults import Faults
from layerwatch.sandbox.layer import Layer
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.session import StoredObject
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Request, Response
from layerwatch.sandbox.works import Balance, Generation, Works

DEFAULT_WORKSPACE = "5a9db0c5-0000-4000-8000-000000000001"
MAX_FILE_SIZE_BYTES = 64 * 1024 * 1024
STOP_BUDGET_S = 1.0


class Sandbox:
    """A stand-in for Layer and its storage on `http://host:port`; port 0 takes a free one at the first `start`.

    State lives from creation on: `stop` and `start` again is an outage, not a reset. Objects are files in `store`,
    or in a temporary directory that goes with this object. `faults` may be set at any time. `md5=False` leaves the MD5
    out of the answers' x-goog-hash and out of the cost of an upload. `log` is called with one line per request, without
    secrets, from the connection's thread.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        token: str = "sandbox-token",  # noqa: S107 - a made-up one, that opens nothing
        workspace_id: str = DEFAULT_WORKSPACE,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        store: str | None = None,
        balance: float = 1000.0,
        max_file_size_bytes: int = MAX_FILE_SIZE_BYTES,
        md5: bool = True,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.host, self.port, self.workspace_id = host, port, workspace_id
        self._log = log
        self._books = Books()
        self._luck = Luck(faults, self._books)
        self._storage = Storage(self._books, self._luck, self._folder(store), md5=md5)
        self._works = Works(self._luck, Balance(balance))
        self._layer = Layer(
            self._books, self._luck, self._storage, self._works,
            token=token, workspace_id=workspace_id, limit=max_file_size_bytes,
        )  # fmt: skip
        self._listener: socket.socket | None = None
        self._accepting = threading.Thread()
        self._stopping = threading.Event()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()

    def _folder(self, store: str | None) -> str:
        if store is not None:
            os.makedirs(store, exist_ok=True)
            return store
        folder = tempfile.mkdtemp(prefix="layerwatch-sandbox-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    # --- on and off ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and serve on background threads. OSError if the port is taken; nothing if it serves already."""
        if self._listener:
            return
        self._stopping = threading.Event()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(
            target=self._accept, args=(self._listener,), name="sandbox-accept", daemon=True
        )
        self._accepting.start()

    def stop(self) -> None:
        """Close the listening socket and every connection, within a second. Objects and counters stay."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        give_up = time.monotonic() + STOP_BUDGET_S
        self._stopping.set()
        _wake(listener)
        self._accepting.join(STOP_BUDGET_S)  # first, so that no connection comes in behind our back
        listener.close()
        with self._lock:
            threads = dict(self._threads)
        for peer in threads.values():
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(max(0.0, give_up - time.monotonic()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                break
            if self._stopping.is_set():
                peer.close()
                break
            self._books.count("connections")
            thread = threading.Thread(target=self._serve, args=(peer,), name="sandbox-connection", daemon=True)
            with self._lock:
                self._threads[thread] = peer
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            Connection(peer, self._answer, self._luck, self._books, self._stopping, self._log).serve()
        finally:
            peer.close()
            with self._lock:
                del self._threads[threading.current_thread()]

    # --- requests -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        place = request.path.split("/", 2)[1] if request.path.startswith("/") else ""
        if place == "storage":
            return self._storage.answer(request)
        if place == "assets":
            return results.answer(request, self._works, self._luck, self._books)
        if place == "sandbox":
            return desk.answer(request, self._storage, self._works, self._luck, self._books)
        return self._layer.answer(request)

    # --- what is seen from outside ------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/api`. RuntimeError before the first `start` if the port is 0."""
        if not self.port:
            raise RuntimeError("the sandbox has no port before it is started")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/api"

    @property
    def token(self) -> str:
        """The one token that is taken; may be set at any time."""
        return self._layer.token

    @token.setter
    def token(self, token: str) -> None:
        self._layer.token = token

    @property
    def faults(self) -> Faults:
        """The faults in force; may be set at any time."""
        return self._luck.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._luck.faults = faults

    @property
    def objects(self) -> list[StoredObject]:
        """Finished objects, oldest first."""
        return self._storage.objects

    def forget(self) -> None:
        """Drop all finished objects and their files; for long runs, whose objects would fill the disk."""
        self._storage.forget()

    @property
    def generations(self) -> list[Generation]:
        """Inferences and runs, oldest first; their status is as of now."""
        return self._works.look()[1]

    @property
    def balance(self) -> Balance:
        """A copy of the workspace's balance, in Creative Units; may be set to another total at any time."""
        return self._works.look()[0]

    @balance.setter
    def balance(self, total: float) -> None:
        self._works.set_total(total)

    @property
    def violations(self) -> list[Violation]:
        """Protocol rules that clients broke, oldest first."""
        return self._books.violations

    @property
    def counters(self) -> Counter[str]:
        """A copy of the counters: requests by kind, `bytes_*`, `fault_*`; a name never counted is 0."""
        return self._books.counts


def _wake(listener: socket.socket) -> None:
    """Wake a thread that waits in accept(): close() does not, shutdown() not everywhere, a connection does."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        with contextlib.suppress(OSError), socket.create_connection(listener.getsockname()[:2], STOP_BUDGET_S):
            pass
