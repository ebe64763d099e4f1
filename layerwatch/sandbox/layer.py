"""The Layer API: who may ask for what, workspaces and upload URLs; the rest is in `generations`.

Answers have the field names of Layer's reference. Never touches the bytes of an upload: that is the storage's.
"""

import hmac
import time
from urllib.parse import parse_qs
from uuid import uuid4

from layerwatch.sandbox import answers, bodies
from layerwatch.sandbox.bodies import error
from layerwatch.sandbox.books import Books
from layerwatch.sandbox.generations import Generations, Route
from layerwatch.sandbox.judge import ERRORS, Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.meter import Meter
from layerwatch.sandbox.session import Upload
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Request, Response, as_json
from layerwatch.sandbox.works import NotEnough, Works

_WORDS = {"workspaces", "files", "upload-url", "models", "inferences", "estimate", "workflows", "runs"}
_HTML = Response(200, (("Content-Type", "text/html; charset=utf-8"),), b"<!doctype html><title>Layer</title>")


class Layer:
    """Answers everything under `/api/`. `token` and `max_file_size_bytes` may be changed at any time."""

    def __init__(
        self, books: Books, luck: Luck, storage: Storage, works: Works, *, token: str, workspace_id: str, limit: int
    ) -> None:
        self._books, self._luck, self._storage, self._works = books, luck, storage, works
        self.token, self.workspace_id, self.max_file_size_bytes = token, workspace_id, limit
        self._meter = Meter()
        self._routes: dict[str, Route] = {
            "GET workspaces": ("workspaces", self._workspaces),
            "GET workspaces/*": ("workspace", self._workspace),
            "POST workspaces/*/files/upload-url": ("upload_url", self._upload_url),
        } | Generations(books, luck, storage, works).routes()

    def answer(self, request: Request) -> Response:
        """Answer one request under `/api/`. Hangup: close the connection instead."""
        if self._luck.faults.html:
            return _HTML
        try:
            return self._dispatch(request)
        except Refused as refused:
            return refused.response
        except NotEnough:
            return error(402, "PAYMENT_REQUIRED", "not enough Creative Units")

    def _dispatch(self, request: Request) -> Response:
        prefix, _, path = request.path.partition("/v1/")
        parts = path.split("/") if prefix == "/api" else []
        shape = "/".join(part if part in _WORDS else "*" for part in parts)
        kind, handle = self._routes.get(f"{request.method} {shape}", ("unknown", self._unknown))
        self._books.count(kind)
        self._admit(request)
        if len(parts) > 1 and parts[1] != self.workspace_id:
            raise Refused(error(403, "FORBIDDEN", "the token is not for this workspace"))
        return handle(request, parts)

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise Refused(error(401, "UNAUTHORIZED", "the token is missing or wrong"))
        limit = self._luck.faults.rate_limit
        if limit and (after := self._meter.refusal(limit)):
            self._books.count("rate_limited")
            raise Refused(error(429, "RATE_LIMITED", "too many requests", ("Retry-After", after)))
        if self._luck.hits("errors"):
            status, code = ERRORS[self._luck.between(0, 1)]
            raise Refused(error(status, code, "a fault on request"))

    def _unknown(self, request: Request, parts: list[str]) -> Response:
        shape = "/".join(part if part in _WORDS else "*" for part in parts)
        methods = {route.split()[0] for route in self._routes if route.split()[1] == shape}
        if methods:
            return error(405, "METHOD_NOT_ALLOWED", f"{request.method} is not allowed", ("Allow", ", ".join(methods)))
        return error(404, "NOT_FOUND", "no such endpoint")

    # --- workspace, upload --------------------------------------------------------------------------------------------

    def _workspaces(self, request: Request, _parts: list[str]) -> Response:
        everything = [answers.workspace(self.workspace_id, self._works.look()[0])]
        return as_json(200, answers.page("workspaces", everything, parse_qs(request.query)))

    def _workspace(self, _request: Request, _parts: list[str]) -> Response:
        return as_json(200, answers.workspace(self.workspace_id, self._works.look()[0]))

    def _upload_url(self, request: Request, _parts: list[str]) -> Response:
        content_type, size, name = bodies.upload(bodies.read_object(request), self.max_file_size_bytes)
        life_s = self._luck.faults.url_life_s
        upload = Upload(str(uuid4()), name, content_type, size, time.time(), life_s)
        url = request.origin + self._storage.issue(upload)
        return as_json(200, {"file_id": upload.file_id, "upload_url": url, "content_type": content_type})
