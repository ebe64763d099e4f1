"""The API's side of generations: models, workflows, estimates, the POSTs that cost, and how what they started stands.

Answers have the field names of Layer's reference, but for the faults that change them. Nothing is started for a body
that does not match what the model or workflow takes.
"""

from collections.abc import Callable
from math import ceil
from typing import Any, Literal
from urllib.parse import parse_qs

from layerwatch.sandbox import answers, bodies, catalogue
from layerwatch.sandbox.bodies import error, found
from layerwatch.sandbox.books import Books
from layerwatch.sandbox.judge import Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Hangup, Request, Response, as_json
from layerwatch.sandbox.works import Generation, Works

Route = tuple[str, Callable[[Request, list[str]], Response]]
REFUSALS = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    500: "INTERNAL_SERVER_ERROR",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
    504: "GATEWAY_TIMEOUT",
}


class Generations:
    """Answers the endpoints that `routes` names."""

    def __init__(self, books: Books, luck: Luck, storage: Storage, works: Works) -> None:
        self._books, self._luck, self._storage, self._works = books, luck, storage, works

    def routes(self) -> dict[str, Route]:
        """By method and path: the name to count it under, and who answers."""
        return {
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

    # --- inferences ---------------------------------------------------------------------------------------------------

    def _models(self, request: Request, _parts: list[str]) -> Response:
        return as_json(200, answers.page("models", catalogue.MODELS, parse_qs(request.query)))

    def _model(self, _request: Request, parts: list[str]) -> Response:
        return as_json(200, found(catalogue.model(parts[3]), "model"))

    def _wanted_inference(self, request: Request) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The model, the body as sent, and the parameters with defaults filled in."""
        body = bodies.read_object(request)
        model = found(catalogue.model(bodies.uuid(body.get("model_id"), "model_id")), "model")
        parameters = bodies.parameters(body)
        bodies.check_values(parameters, model["inputs"], self._storage)
        bodies.check_files(body, self._storage)
        return model, body, parameters

    def _infer(self, request: Request, _parts: list[str]) -> Response:
        self._maybe_refuse(request)
        model, body, parameters = self._wanted_inference(request)
        outputs, price = parameters["batch_size"], self._inference_price(model, parameters)
        return self._paid("inference", model["model_id"], body, parameters, price, outputs, model["modality"])

    def _infer_estimate(self, request: Request, _parts: list[str]) -> Response:
        self._insist_on_estimates()
        model, _, parameters = self._wanted_inference(request)
        return self._estimate(self._inference_price(model, parameters), parameters["batch_size"])

    def _inference_price(self, model: dict[str, Any], parameters: dict[str, Any]) -> float:
        return self._luck.faults.price or model["price_creative_units_per_output"] * parameters["batch_size"]

    def _inference(self, request: Request, parts: list[str]) -> Response:
        return self._show(found(self._works.find("inference", parts[3]), "inference"), request)

    # --- workflows ----------------------------------------------------------------------------------------------------

    def _workflows(self, request: Request, _parts: list[str]) -> Response:
        query = parse_qs(request.query)
        wanted = query.get("search", [""])[0].lower()
        fitting = [entry for entry in catalogue.WORKFLOWS if wanted in entry["name"].lower()]
        return as_json(200, answers.page("workflows", fitting, query))

    def _wanted_run(self, request: Request, workflow_id: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The workflow, the body as sent, and the inputs with defaults filled in."""
        workflow = found(catalogue.workflow(bodies.uuid(workflow_id, "workflow_id")), "workflow")
        body = bodies.read_object(request)
        bodies.check_session(body)
        inputs = bodies.inputs(body, workflow["inputs"], self._storage)
        bodies.check_files(body, self._storage)
        return workflow, body, inputs

    def _run(self, request: Request, parts: list[str]) -> Response:
        self._maybe_refuse(request)
        workflow, body, inputs = self._wanted_run(request, parts[3])
        outputs, price = len(workflow["outputs"]), self._run_price(workflow)
        return self._paid("run", parts[3], body, inputs, price, outputs, workflow["modality"])

    def _run_estimate(self, request: Request, parts: list[str]) -> Response:
        self._insist_on_estimates()
        workflow, _, _ = self._wanted_run(request, parts[3])
        return self._estimate(self._run_price(workflow), len(workflow["outputs"]))

    def _run_price(self, workflow: dict[str, Any]) -> float:
        price: float = self._luck.faults.price or workflow["price_creative_units"]
        return price

    def _run_poll(self, request: Request, parts: list[str]) -> Response:
        run = self._works.find("run", parts[5])
        return self._show(found(run if run and run.target == parts[3] else None, "run"), request)

    # --- both ---------------------------------------------------------------------------------------------------------

    def _maybe_refuse(self, request: Request) -> None:
        """End a POST that costs before it starts anything, as the faults say."""
        faults = self._luck.faults
        if status := faults.refuse_posts:
            self._books.count("fault_refuse_posts")
            wait_s = faults.retry_after or (1 if status == 429 else None)
            headers = [("Retry-After", str(ceil(wait_s)))] if wait_s and status in (429, 503) else []
            raise Refused(error(status, REFUSALS[status], "a fault on request", *headers))
        if self._luck.hits("broken_posts"):
            request.body.drain()  # a close before the body was taken would be a reset, if the body came in time
            raise Hangup

    def _paid(
        self,
        kind: Literal["inference", "run"],
        target: str,
        body: dict[str, Any],
        parameters: dict[str, Any],
        price: float,
        outputs: int,
        modality: str,
    ) -> Response:
        """Start it, and say so; the answer may get lost."""
        made = self._works.start(kind, target, body, parameters, price=price, outputs=outputs, modality=modality)
        if self._luck.hits("lost_posts"):
            raise Hangup
        return as_json(201, answers.generation(made, "", self._luck.faults))

    def _insist_on_estimates(self) -> None:
        if self._luck.faults.no_estimate:
            raise Refused(error(404, "NOT_FOUND", "no such endpoint"))

    def _estimate(self, price: float, outputs: int) -> Response:
        return as_json(200, answers.estimate(price, self._works.look()[0]) | {"expected_output_count": outputs})

    def _show(self, generation: Generation, request: Request) -> Response:
        return as_json(200, answers.generation(generation, request.origin, self._luck.faults))
