"""A real PostgreSQL server of the tests' own: a cluster in a directory of its own, which is gone once nobody wants it.

However its process ends, a SIGKILL included, the server is stopped and its directory deleted: a shell that waits for
the end of a pipe sees to it.
"""

import base64
import glob
import hashlib
import hmac
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

PATIENCE_S = 60.0
DEBIAN = "/usr/lib/postgresql/*/bin"  # where Debian has them, outside of PATH
ROLE = "layerwatch"
_PROGRAMS = ("initdb", "pg_ctl", "postgres")
# Once the pipe is closed. $0: the directory. To stop what does not run is no fault: only whether that is gone counts.
_KEEPER = """
cat > /dev/null
"$@"
for _ in 1 2 3 4 5; do rm -rf "$0" && exit; sleep 1; done
"""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "dynamic_shared_memory_type": "mmap",  # in the directory, not in /dev/shm: goes with it
    "jit": "off",
}
# No power is cut while tests run: what was committed outlives SIGQUIT and SIGKILL all the same.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def programs(debian: str = DEBIAN) -> str:
    """The directory that holds a server's programs. Raises `FileNotFoundError`: nothing is left untested."""
    found = shutil.which("postgres")
    newest_first = sorted(glob.glob(debian), key=lambda path: float(path.split("/")[-2]), reverse=True)
    for place in ([os.path.dirname(os.path.realpath(found))] if found else []) + newest_first:
        if all(os.access(f"{place}/{name}", os.X_OK) for name in _PROGRAMS):
            return place
    raise FileNotFoundError("there is no PostgreSQL server: install it (on Debian: apt-get install postgresql)")


class Server:
    """One server on 127.0.0.1 and on a Unix socket, started. `durable`: what it commits would outlive a power cut, too.

    It keeps port and password over a restart. Raises `RuntimeError`, with the end of its log, when it does not start.
    """

    def __init__(self, *, durable: bool = True) -> None:
        self._programs = programs()
        self._user = _another_user()
        self._settings = _SETTINGS | ({} if durable else _NOT_DURABLE)
        self.directory = tempfile.mkdtemp(prefix="layerwatch-postgres-")  # short: a socket's path has 107 bytes
        if self._user:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        stop = (*self._program("pg_ctl"), "--silent", "--mode=immediate", "stop")
        self._keeper = self._run("sh", "-c", _KEEPER, self.directory, *stop, stdin=subprocess.PIPE)
        self._process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex()
        self._databases = 0
        try:
            self._initialize()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it, if it runs, and delete all it had."""
        assert self._keeper.stdin
        self._keeper.stdin.close()
        self._keeper.wait(PATIENCE_S)
        if self._process:
            self._process.wait(PATIENCE_S)
        if os.path.exists(self.directory):
            raise RuntimeError(f"{self.directory} could not be deleted")

    # --- starting and stopping ----------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of the postmaster, while it runs."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it again; it answers when this returns."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run(*self._program("postgres"), "-k", self.directory, "-p", str(self.port), *options)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start:\n{self._said()}")
            time.sleep(0.01)

    def stop(self, *, immediate: bool = False) -> None:
        """Its connections are cut; with `immediate` it has no time to tidy up, and recovers at the next start."""
        assert self._process
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self._process.wait(PATIENCE_S)

    def restart(self, *, immediate: bool = False) -> None:
        self.stop(immediate=immediate)
        self.start()

    # --- databases ----------------------------------------------------------------------------------------------------

    def url(self, database: str) -> str:
        """For a client over TCP, with the password: a role that owns its databases, and may do no more."""
        return f"postgresql://{ROLE}:{self._password}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """A new database, as `template` is; to that one nobody may be connected. Returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._order("CREATE DATABASE {} OWNER {} TEMPLATE {}", name, ROLE, template)
        return name

    def drop(self, database: str) -> None:
        """Delete it, whoever is connected."""
        self._order("DROP DATABASE {} WITH (FORCE)", database)

    def administer(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A superuser's connection, over the Unix socket."""
        return psycopg.connect(
            host=self.directory, port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=10
        )

    def _order(self, statement: str, *names: str) -> None:
        with closing(self.administer()) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    # --- how ----------------------------------------------------------------------------------------------------------

    def _initialize(self) -> None:
        # A role without the password cannot come in over TCP; the socket lies where no other user comes.
        local = ("--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        same_everywhere = ("--encoding=UTF8", "--locale=C", "--no-sync")
        if self._run(*self._program("initdb"), *local, *same_everywhere).wait(PATIENCE_S):
            raise RuntimeError(f"initdb failed:\n{self._said()}")
        self._start_on_a_free_port()
        with closing(self.administer()) as connection:
            role, verifier = sql.Identifier(ROLE), sql.Literal(_verifier(self._password))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, verifier))

    def _start_on_a_free_port(self, attempts: int = 5) -> None:
        self.port = _free_port()
        try:
            self.start()
        except RuntimeError:
            if attempts == 1 or "could not bind" not in self._said():
                raise
            self._start_on_a_free_port(attempts - 1)  # somebody else took it meanwhile

    def _program(self, name: str) -> list[str]:
        """The command, as a user that PostgreSQL accepts."""
        command = [f"{self._programs}/{name}", "-D", f"{self.directory}/data"]
        if not self._user:
            return command
        identity = (f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups")
        return ["setpriv", *identity, "--", *command]

    def _run(self, *command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """In a session of its own: what a terminal's Ctrl-C means is ours to say."""
        with open(f"{self.directory}/log", "ab") as log:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            self.administer().close()
        except psycopg.OperationalError:
            return False
        return True

    def _said(self) -> str:
        return Path(f"{self.directory}/log").read_text(errors="replace")[-2000:]


def _another_user() -> pwd.struct_passwd | None:
    """Whose processes they are to be; None where ours are good enough: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _verifier(password: str) -> str:
    """What the server keeps of it. Hashed once, not 4096 times: nobody guesses it, and to log in costs half as much."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    keys = (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    return "SCRAM-SHA-256$1:{}${}:{}".format(*(base64.b64encode(key).decode() for key in keys))


def _free_port() -> int:
    """Below those that the kernel gives away by itself, so that it is still free after a restart."""
    while True:
        port = random.randrange(15_000, 32_000)
        with closing(socket.socket()) as probe:
            # As the server does: a connection of the last minute on that port is nothing to it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
