"""Upload: takes a claimed file, does what the protocol asks, returns what came of it. Never writes the ledger, but
for the two callbacks through which a session and its progress are saved.

One call is one attempt: the first passing fault ends it, and the next attempt, now or after a restart, goes on with
the saved session. So no uploader ever sleeps on a fault, and a crash is nothing special.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from layerwatch import points, source
from layerwatch.api import Layer, Storage
from layerwatch.errors import ApiDown, Code, FolderAway, NewUrl, Stopped, Superseded, TryAgain
from layerwatch.ledger import Job, Session
from layerwatch.notices import name_text
from layerwatch.pacing import Bandwidth
from layerwatch.resumable import Query, Send, Start, Stored, Transfer

MARGIN_S = 30.0


@dataclass(frozen=True)
class Tools:
    """What an uploader works with. `wall` and `monotonic` are clocks in seconds, `stopping` says that it is time to
    end, `pause` waits that many seconds or until it is. `shared`: the ledger is, with hosts that may see the
    same share, and other inodes there."""

    layer: Layer
    storage: Storage
    bandwidth: Bandwidth
    chunk_size: int
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    pause: Callable[[float], object]
    shared: bool = False


@dataclass(frozen=True)
class Ties:
    """How an upload keeps in touch: both calls are on disk when they return, `sending` only shows on a screen."""

    save_session: Callable[[Session], None]
    save_progress: Callable[[int], None]
    sending: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The server has the bytes of this very version; `verified` is what proves it: crc32c, md5, size or nothing."""

    file_id: str
    verified: str


def upload(job: Job, root: str, tools: Tools, ties: Ties) -> Uploaded:
    """One attempt to upload `job`, which lies below the folder's `root`. Raises `JobError`s and `Stopped`."""
    attempt = _Upload(job, tools, ties)
    if done := attempt.done_before():
        return done
    try:
        with source.opened(job.path, root, queued=None if tools.shared else job.identity) as fd:
            return attempt.run(fd)
    except Superseded as gone:
        if gone.code is Code.VANISHED and not os.path.isdir(root):
            raise FolderAway(Code.VANISHED, f"the folder {name_text(root)} is not there") from None
        raise


def _insist_on_version(fd: int, job: Job) -> None:
    source.insist_on_version(os.fstat(fd), job.identity)


class _Upload:
    """One attempt: the transfer, the session it goes through, and the open file."""

    def __init__(self, job: Job, tools: Tools, ties: Ties) -> None:
        self._job = job
        self._fd = -1
        self._tools = tools
        self._ties = ties
        self._session = job.session
        self._found_here = True
        self._transfer = self._begun()

    def _begun(self) -> Transfer:
        return Transfer(
            self._job.identity.size,
            self._tools.chunk_size,
            session=self._session.uri if self._session else None,
            refused_before=self._job.error_code == Code.FORBIDDEN,
        )

    def done_before(self) -> Uploaded | None:
        """Whether an earlier attempt had in fact stored it all, and only the answer was lost. Needs no file: it may
        have changed, or be gone, since. A session that has expired is asked this, and is of no other use."""
        if self._session is None:
            return None
        expired = self._tools.wall() >= self._session.expires_at
        request = self._transfer.next_request()
        assert isinstance(request, Query)
        try:
            self._query(request)
        except TryAgain as error:
            if not expired or isinstance(error, ApiDown):
                raise
        stored = self._transfer.stored
        if stored is not None and stored.crc32c == self._job.digest.crc32c:
            return Uploaded(self._session.file_id, "crc32c")
        if expired:
            self._session = None
            self._transfer = self._begun()
        return None

    def run(self, fd: int) -> Uploaded:
        """Do the rest, from the open file."""
        self._fd = fd
        if self._tools.shared:
            self._take_for_ours()
        while request := self._transfer.next_request():
            if self._tools.stopping():
                raise Stopped
            match request:
                case Start():
                    self._start()
                case Query():
                    self._query(request)
                case Send():
                    self._send(request)
        assert self._session
        assert self._transfer.stored
        verified = self._verify(self._transfer.stored)
        points.passed("verified")
        return Uploaded(self._session.file_id, verified)

    def _take_for_ours(self) -> None:
        """Another host may have found the file, and the share may have other inodes there. What has its size and time
        is that version, as long as its checksum agrees."""
        status, queued = os.fstat(self._fd), self._job.identity
        source.insist_on_version(status, queued._replace(inode=status.st_ino))
        self._found_here = status.st_ino == queued.inode
        self._job = replace(self._job, identity=source.identity(status))

    def _start(self) -> None:
        tools = self._tools
        asked_at = tools.wall()  # before the answer: the clock that counts runs from its issue
        grant = tools.layer.upload_url(self._job.content_type, self._job.identity.size, _name(self._job.path))
        points.passed("granted")
        self._transfer.receive(tools.storage.start(grant.url, grant.content_type))
        assert self._transfer.session
        points.passed("started")
        margin_s = min(MARGIN_S, grant.life_s / 10)
        expires_at = asked_at + grant.life_s - margin_s
        self._session = Session(self._transfer.session, grant.file_id, grant.content_type, expires_at)
        self._ties.save_session(self._session)
        points.passed("session saved")

    def _query(self, request: Query) -> None:
        assert self._session
        self._transfer.receive(self._tools.storage.query(self._session.uri, request.content_range))
        self._ties.sending(self._transfer.offset)
        self._save_progress()

    def _send(self, request: Send) -> None:
        session = self._in_time()
        answer = self._tools.storage.put(
            session.uri,
            session.content_type,
            request.content_range,
            request.end - request.first,
            self._body(request.first, request.end),
        )
        self._transfer.receive(answer)
        points.passed("stored" if self._transfer.stored else "sent")
        self._save_progress()

    def _save_progress(self) -> None:
        # The end is saved with the status, in one commit; only what lies on the way is worth one of its own.
        if 0 < self._transfer.offset < self._job.identity.size:
            self._ties.save_progress(self._transfer.offset)
            points.passed("progress saved")

    def _in_time(self) -> Session:
        assert self._session
        if self._tools.wall() >= self._session.expires_at:
            raise NewUrl(Code.EXPIRED, "the upload was not complete when its URL expired")
        return self._session

    def _body(self, first: int, end: int) -> Iterator[bytes]:
        tools = self._tools
        for block in source.blocks(self._fd, first, end):
            if wait_s := tools.bandwidth.reserve(len(block), tools.monotonic()):
                tools.pause(wait_s)
            if tools.stopping():
                raise Stopped
            _insist_on_version(self._fd, self._job)  # as it was when this block was read, or it does not leave
            yield block
            points.passed("sending")
            first += len(block)
            self._ties.sending(first)

    def _verify(self, stored: Stored) -> str:
        """What proves that the server has this version. Raises `Superseded` or `NewUrl` when it has not."""
        job = self._job
        proof, equal = _proof(stored, job, self._fd)
        if not equal:
            _insist_on_version(self._fd, job)
            self._insist_on_content()
            raise NewUrl(Code.CORRUPT, f"the server's {proof} of the stored object is not the file's: starting over")
        if proof not in ("crc32c", "md5"):
            # Nothing the server said covers the bytes: then the file has to have held still.
            _insist_on_version(self._fd, job)
        if proof != "crc32c":
            self._insist_on_content()
        return proof

    def _insist_on_content(self) -> None:
        """Where no inode tells that it is the file that was found."""
        if not self._found_here and source.digest(self._fd, self._job.identity.size) != self._job.digest:
            raise Superseded(Code.CHANGED, "the file is not the one that another host has found")


def _proof(stored: Stored, job: Job, fd: int) -> tuple[str, bool]:
    if stored.size is not None and stored.size != job.identity.size:
        return "size", False
    if stored.crc32c is not None:
        return "crc32c", stored.crc32c == job.digest.crc32c
    if stored.md5 is not None:
        # The file is read again, and may have changed since: an equal MD5 of other bytes must not prove these.
        equal = stored.md5 == source.md5(fd, job.identity.size)
        return "md5", equal and source.identity(os.fstat(fd)) == job.identity
    return ("size", True) if stored.size is not None else ("nothing", True)


def _name(path: str) -> str:
    """The file's name as JSON can carry it."""
    return os.path.basename(path).encode("utf-8", "backslashreplace").decode()
