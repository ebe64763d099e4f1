"""The Layer API: workspaces, upload URLs, models, inferences, workflows and their runs.

Answers have the field names of Layer's reference. Never touches the bytes of an upload: that is the storage's.
"""

import hmac
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs
from uuid import uuid4

from layerwatch.sandbox import answers, bodies, catalogue
from layerwatch.sandbox.bodies import error
from layerwatch.sandbox.books import Books
from layerwatch.sandbox.faults import Luck
from layerwatch.sandbox.judge import ERRORS, Refused
from layerwatch.sandbox.meter import Meter
from layerwatch.sandbox.session import Upload
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Hangup, Request, Response, as_json
from layerwatch.sandbox.works import Generation, NotEnough, Works

T = TypeVar("T")
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
        self._routes: dict[str, tuple[str, Callable[[Request, list[str]], Response]]] = {
            "GET workspaces": ("workspaces", self._workspaces),
            "GET workspaces/*": ("workspace", self._workspace),
            "POST workspaces/*/files/upload-url": ("upload_url", self._upload_url),
            "GET workspaces/*/models": ("models", self._models),
            "GET workspaces/*/models/*": ("model", self._model),
            "POST workspaces/*/inferences": ("inference", self._infer),
            "POST workspaces/*/inferences/estimate": ("inference_estimate", self._infer_estimate),
            "GET workspaces/*/inferences/*": ("inference_poll", self._inference),
            "GET workspaces/*/workflows": ("workflows", self._workflows),
            "POST workspaces/*/workflows/*/runs": ("run", self._run),
            "POST workspaces/*/workflows/*/runs/estimate": ("run_estimate", self._run_estimate),
            "GET workspaces/*/workflows/*/runs/*": ("run_poll", self._run_poll),
        }

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

    # --- inferences ---------------------------------------------------------------------------------------------------

    def _models(self, request: Request, _parts: list[str]) -> Response:
        return as_json(200, answers.page("models", catalogue.MODELS, parse_qs(request.query)))

    def _model(self, _request: Request, parts: list[str]) -> Response:
        return as_json(200, _found(catalogue.model(parts[3]), "model"))

    def _priced(self, request: Request) -> tuple[dict[str, Any], dict[str, Any], float]:
        body = bodies.read_object(request)
        model = _found(catalogue.model(bodies.uuid(body.get("model_id"), "model_id")), "model")
        parameters = bodies.parameters(body)
        bodies.check_files(body, self._storage)
        return body, parameters, model["price_creative_units_per_output"] * parameters["batch_size"]

    def _infer(self, request: Request, _parts: list[str]) -> Response:
        body, parameters, price = self._priced(request)
        outputs = parameters["batch_size"]
        return self._paid(
            self._works.start("inference", body["model_id"], body, parameters, price=price, outputs=outputs)
        )

    def _infer_estimate(self, request: Request, _parts: list[str]) -> Response:
        return as_json(200, answers.estimate(self._priced(request)[2], self._works.look()[0]))

    def _inference(self, request: Request, parts: list[str]) -> Response:
        return self._show(_found(self._works.find("inference", parts[3]), "inference"), request)

    # --- workflows ----------------------------------------------------------------------------------------------------

    def _workflows(self, request: Request, _parts: list[str]) -> Response:
        query = parse_qs(request.query)
        wanted = query.get("search", [""])[0].lower()
        found = [entry for entry in catalogue.WORKFLOWS if wanted in entry["name"].lower()]
        return as_json(200, answers.page("workflows", found, query))

    def _wanted(self, request: Request, workflow_id: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The workflow, the body as sent, and the inputs with defaults filled in."""
        workflow = _found(catalogue.workflow(bodies.uuid(workflow_id, "workflow_id")), "workflow")
        body = bodies.read_object(request)
        bodies.check_session(body)
        inputs = bodies.inputs(body, workflow["inputs"], self._storage)
        bodies.check_files(body, self._storage)
        return workflow, body, inputs

    def _run(self, request: Request, parts: list[str]) -> Response:
        workflow, body, inputs = self._wanted(request, parts[3])
        outputs, price = len(workflow["outputs"]), workflow["price_creative_units"]
        return self._paid(self._works.start("run", parts[3], body, inputs, price=price, outputs=outputs))

    def _run_estimate(self, request: Request, parts: list[str]) -> Response:
        workflow = self._wanted(request, parts[3])[0]
        estimate = answers.estimate(workflow["price_creative_units"], self._works.look()[0])
        return as_json(200, estimate | {"expected_output_count": len(workflow["outputs"])})

    def _run_poll(self, request: Request, parts: list[str]) -> Response:
        run = self._works.find("run", parts[5])
        return self._show(_found(run if run and run.target == parts[3] else None, "run"), request)

    def _paid(self, generation: Generation) -> Response:
        """The answer to a POST that costs; it may get lost."""
        if self._luck.hits("lost_posts"):
            raise Hangup
        return as_json(201, answers.generation(generation, "", upper=self._luck.faults.upper_status))

    def _show(self, generation: Generation, request: Request) -> Response:
        return as_json(200, answers.generation(generation, request.origin, upper=self._luck.faults.upper_status))


def _found(value: T | None, what: str) -> T:
    if value is None:
        raise Refused(error(404, "NOT_FOUND", f"no such {what}"))
    return value
