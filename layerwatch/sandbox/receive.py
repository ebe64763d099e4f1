"""What a PUT on a session does: a status query, a chunk, or the whole object; and which fault strikes it.

The request's headers are judged before a byte is read. Never advances a session past what is on disk, and never answers
"stored" for less than the whole object.
"""

import itertools
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from layerwatch.sandbox.books import Books, Rule
from layerwatch.sandbox.judge import Judge, Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.session import BLOCK_BYTES, QUANTUM, Session, State, StoredObject
from layerwatch.sandbox.wire import Hangup, Request, Response, as_xml_error

RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII)
QUERY = re.compile(r"bytes \*/(\d{1,15})", re.ASCII)
GONE = {
    State.DEAD: as_xml_error(410, "Gone", "The session is gone."),
    State.CANCELLED: as_xml_error(499, "ClientClosedRequest", "The upload was cancelled."),
}


@dataclass(frozen=True, slots=True)
class _Span:
    """The bytes that a PUT brings, from `start` on; of them, up to `stop` are taken, and then `fate` strikes."""

    start: int
    stop: int
    fate: Literal["none", "drop", "dead", "partial"] = "none"


class Receiver:
    """Answers PUTs. `keep` is called with each finished object, whose file lies in `folder`."""

    def __init__(
        self, books: Books, luck: Luck, judge: Judge, keep: Callable[[StoredObject], None], folder: str
    ) -> None:
        self._books, self._luck, self._judge, self._keep, self._folder = books, luck, judge, keep, folder
        self._finished = itertools.count()

    def put(self, session: Session, request: Request, turn: int) -> Response:
        """Answer one PUT; `turn` is its turn on the session. Refused or Hangup: it failed, a query must follow."""
        if request.chunked or request.length is None:
            self._judge.breach(Rule.CHUNKED_TRANSFER, "a PUT without Content-Length", 411, "MissingContentLength")
        self._judge.maybe_error()
        if session.state in GONE:
            raise Refused(GONE[session.state])
        content_range = request.headers.get("content-range")
        if content_range and (query := QUERY.fullmatch(content_range)):
            return self._query(session, request.length, int(query[1]))
        self._check_type(session, request)
        start, end = self._range(session, request.length, content_range)
        if session.state is State.FINISHED:
            self._books.violate(Rule.PUT_AFTER_FINAL, "bytes for a finished session")
            return self._final(session)
        return self._receive(session, request, self._span(session, start, end), turn)

    # --- what the headers say -----------------------------------------------------------------------------------------

    def _query(self, session: Session, length: int, size: int) -> Response:
        if length:
            self._judge.breach(Rule.QUERY_WITH_BODY, f"a status query with {length} bytes", 400)
        self._check_size(session, size)
        with session.lock:
            session.suspect = False
            return self._final(session) if session.state is State.FINISHED else self._progress(session)

    def _check_type(self, session: Session, request: Request) -> None:
        given, signed = request.headers.get("content-type"), session.upload.content_type
        if given != signed:
            self._judge.breach(Rule.CONTENT_TYPE, f"Content-Type {given!r}, not {signed}", 400)

    def _check_size(self, session: Session, size: int) -> None:
        announced = session.upload.size_bytes
        if size != announced:
            self._judge.breach(Rule.SIZE_MISMATCH, f"{size} bytes in all, but {announced} were announced", 400)

    def _range(self, session: Session, length: int, content_range: str | None) -> tuple[int, int]:
        """Where the bytes go: first byte, and the one after the last."""
        if content_range is None:
            self._check_size(session, length)
            return 0, length
        given = RANGE.fullmatch(content_range)
        if not given or not int(given[1]) <= int(given[2]) < int(given[3]):
            self._judge.breach(Rule.BAD_CONTENT_RANGE, f"Content-Range: {content_range}", 400)
        start, end, size = int(given[1]), int(given[2]) + 1, int(given[3])
        self._check_size(session, size)
        if length != end - start:
            self._judge.breach(Rule.LENGTH_MISMATCH, f"a body of {length} bytes for a range of {end - start}", 400)
        if end < size and length % QUANTUM:
            self._judge.breach(Rule.UNALIGNED_CHUNK, f"a chunk of {length} bytes, not a multiple of 256 KiB", 400)
        return start, end

    def _span(self, session: Session, start: int, end: int) -> _Span:
        persisted = session.persisted
        if start > persisted:
            detail = f"from byte {start}, but {persisted} are persisted"
            self._judge.breach(Rule.WRONG_OFFSET, detail, 503, "ServiceUnavailable")
        if self._luck.hits("drop"):
            return _Span(start, self._luck.between(start, end - 1), "drop")
        if session.dies_at is not None and session.dies_at < end:
            return _Span(start, max(session.dies_at, start), "dead")
        if self._luck.hits("partial"):
            steps = self._luck.between(persisted // QUANTUM, max(persisted, end - 1) // QUANTUM)
            # After a lazy answer this request may bring less than is persisted already.
            return _Span(start, min(steps * QUANTUM, end), "partial")
        return _Span(start, end)

    # --- the bytes ----------------------------------------------------------------------------------------------------

    def _receive(self, session: Session, request: Request, span: _Span, turn: int) -> Response:
        with session.lock:
            session.receiving = session.turn == turn
        position = span.start
        while position < span.stop and not request.body.broken:
            block = request.body.read(min(BLOCK_BYTES - position % BLOCK_BYTES, span.stop - position))
            self._store(session, position, block, turn)
            position += len(block)
        if request.body.broken:
            raise Hangup
        with session.lock:
            if session.turn != turn:
                raise Hangup
            session.receiving = False
            return self._conclude(session, span)

    def _store(self, session: Session, position: int, block: bytes, turn: int) -> None:
        with session.lock:
            if session.turn != turn:
                raise Hangup
            before = session.persisted
            same = session.write(position, block)
        self._books.count("bytes_persisted", session.persisted - before)
        if before > position:
            self._books.count("bytes_resent", min(before - position, len(block)))
        if not same:
            self._books.violate(Rule.MIXED_BYTES, f"other bytes than those persisted, from byte {position} on")

    def _conclude(self, session: Session, span: _Span) -> Response:
        """The answer to bytes that have come; called with the session's lock held."""
        if span.fate == "drop":
            raise Hangup
        if span.fate == "dead":
            session.discard(State.DEAD)
            raise Refused(GONE[State.DEAD])
        if session.persisted == session.upload.size_bytes:
            return self._finish(session)
        answer = self._progress(session)
        session.suspect = not answer.headers
        return answer

    def _progress(self, session: Session) -> Response:
        """A 308 with what is persisted; without, if that is nothing or the answer is a lazy one."""
        if not session.persisted or self._luck.hits("lazy"):
            return Response(308)
        told = session.sent + QUANTUM if self._luck.hits("boast") else session.persisted
        return Response(308, (("Range", f"bytes=0-{told - 1}"),))

    def _finish(self, session: Session) -> Response:
        upload = session.upload
        late = time.time() > upload.deadline
        if late:
            self._books.violate(Rule.FINISHED_AFTER_DEADLINE, f"the upload URL lived {upload.life_s:g} s")
        spoil = self._luck.between(0, upload.size_bytes - 1) if self._luck.hits("corrupt") else None
        self._keep(session.finish(os.path.join(self._folder, upload.file_id), late=late, corrupt_at=spoil))
        session.hash_form = next(self._finished) % 2
        if self._luck.hits("no_hash"):
            session.hash_form = 2 + self._luck.between(0, 1)
        if self._luck.hits("lost_answers"):
            raise Hangup
        return self._final(session)

    def _final(self, session: Session) -> Response:
        stored = session.stored
        assert stored
        hashes = [f"crc32c={stored.crc32c}", *([f"md5={stored.md5}"] if stored.md5 else [])]
        size = ("x-goog-stored-content-length", str(stored.size))
        one_line = (("x-goog-hash", ",".join(hashes)), size)
        two_lines = (*(("x-goog-hash", text) for text in hashes), size)
        status = 201 if self._luck.faults.other_codes else 200
        return Response(status, (one_line, two_lines, (size,), ())[session.hash_form])
