"""The storage: starts, sessions and finished objects, answered as the real one does.

A client's mistake is both answered (as the real storage would) and noted as a violation. Never repairs a request, never
accepts more than the protocol allows, and never looks at Layer's token but to refuse it.
"""

import os
import secrets
from urllib.parse import parse_qsl

from layerwatch.sandbox.books import Books, Rule
from layerwatch.sandbox.judge import Judge, Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.receive import GONE, QUERY, RANGE, Receiver
from layerwatch.sandbox.session import QUANTUM, Session, State, StoredObject, Upload
from layerwatch.sandbox.signed import SignedUrls
from layerwatch.sandbox.wire import Hangup, Request, Response, as_xml_error


class Storage:
    """Issues upload URLs (for the API) and answers everything under `/storage/`."""

    def __init__(self, books: Books, luck: Luck, folder: str, *, md5: bool) -> None:
        self._books, self._luck, self._folder, self._md5 = books, luck, folder, md5
        self._judge = Judge(books, luck)
        self._urls = SignedUrls(self._judge)
        self._sessions: dict[str, Session] = {}
        self._objects: dict[str, StoredObject] = {}
        self._receiver = Receiver(books, luck, self._judge, self._keep, folder)

    def issue(self, upload: Upload) -> str:
        """Sign an upload URL, good for `upload.life_s`; its path and query, without the origin."""
        return self._urls.issue(upload)

    def find(self, file_id: str) -> StoredObject | None:
        """The finished object of `file_id`, if there is one."""
        return self._objects.get(file_id)

    @property
    def objects(self) -> list[StoredObject]:
        """All finished objects, in the order in which they were finished."""
        return list(self._objects.values())

    def forget(self) -> None:
        """Drop all finished objects, with their files."""
        while self._objects:
            os.unlink(self._objects.popitem()[1].path)

    def answer(self, request: Request) -> Response:
        """Answer one request under `/storage/`. Hangup: close the connection instead."""
        try:
            if "authorization" in request.headers:
                self._judge.breach(Rule.TOKEN_TO_STORAGE, "an Authorization header went to storage", 400)
            upload_id = dict(parse_qsl(request.query)).get("upload_id")
            return self._start(request) if upload_id is None else self._continue(upload_id, request)
        except Refused as refused:
            return refused.response

    def _keep(self, stored: StoredObject) -> None:
        self._books.count("overwritten" if self._objects.pop(stored.file_id, None) else "finished")
        self._objects[stored.file_id] = stored

    def _start(self, request: Request) -> Response:
        self._books.count("start")
        upload = self._urls.verify(request)
        self._judge.maybe_error()
        if self._luck.hits("denied"):
            raise Refused(as_xml_error(403, "AccessDenied", "a fault on request"))
        if self._luck.hits("no_location"):
            return Response(201)
        upload_id = "ABg5-" + secrets.token_urlsafe(64)
        self._sessions[upload_id] = self._open(upload)
        status = 200 if self._luck.faults.other_codes else 201
        return Response(status, (("Location", f"{request.origin}{request.path}?upload_id={upload_id}"),))

    def _open(self, upload: Upload) -> Session:
        dies_at = None
        if self._luck.hits("dead_sessions"):
            dies_at = QUANTUM * self._luck.between(0, (upload.size_bytes - 1) // QUANTUM)
        part = os.path.join(self._folder, f"{upload.file_id}.{secrets.token_hex(4)}.part")
        return Session(upload, part, dies_at=dies_at, md5=self._md5)

    def _continue(self, upload_id: str, request: Request) -> Response:
        session = self._sessions.get(upload_id)
        if session is None:
            raise Refused(as_xml_error(404, "NoSuchUpload", "The session is not known."))
        if request.method == "DELETE":
            return self._cancel(session)
        if request.method != "PUT":
            self._judge.breach(Rule.BAD_METHOD, f"{request.method} on a session", 405, "MethodNotAllowed")
        turn = self._take_turn(session, request)
        try:
            return self._receiver.put(session, request, turn)
        except (Refused, Hangup):
            with session.lock:
                session.suspect = session.suspect or session.turn == turn
            raise

    def _take_turn(self, session: Session, request: Request) -> int:
        """Make this request the one that counts: an older one that still reads its body stops storing."""
        content_range = request.headers.get("content-range", "")
        is_query = QUERY.fullmatch(content_range) is not None
        given = RANGE.fullmatch(content_range)
        end = int(given[2]) + 1 if given else 0 if content_range else request.length or 0
        self._books.count("query" if is_query else "put")
        with session.lock:
            if (session.suspect or session.receiving) and not is_query:
                self._books.violate(Rule.BLIND_RETRY, "after a failure, bytes were sent without a status query")
            session.sent = max(session.sent, end)
            session.turn += 1
            session.receiving = False
            return session.turn

    def _cancel(self, session: Session) -> Response:
        self._books.count("delete")
        with session.lock:
            session.turn += 1
            if session.state is State.OPEN:
                session.discard(State.CANCELLED)
            return GONE.get(session.state) or as_xml_error(400, "InvalidArgument", "The upload is finished.")
