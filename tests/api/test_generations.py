"""Prices, models, workflows, and following a generation through, against the sandbox and against made-up answers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from layerwatch.api import Accepted, Estimate, Layer, Progress, Remote
from layerwatch.errors import ApiDown, Code, Final, JobError, NotTheApi, TryAgain
from layerwatch.sandbox import Faults, Sandbox, catalogue
from tests.api.conftest import Connect
from tests.api.servers import RawServer, saying, text
from tests.sandbox.steps import Steps, picture

MODEL = catalogue.MODELS[0]["model_id"]
RELIGHT = catalogue.WORKFLOWS[1]["workflow_id"]
BODY = {"prompt": "oil", "batch_size": 2}


@contextmanager
def answering(connect: Connect, status: int, value: Any, *headers: str) -> Iterator[Layer]:
    with RawServer(saying(status, value, *headers)) as server:
        yield connect(server.url)


def ended(layer: Layer, accepted: Accepted) -> Remote:
    while (found := layer.follow("inference", MODEL, accepted.remote_id)).progress is Progress.RUNNING:
        pass
    return found


# --- estimates --------------------------------------------------------------------------------------------------------


def test_an_estimate(sandbox: Sandbox, layer: Layer) -> None:
    assert layer.estimate("inference", MODEL, BODY) == Estimate(5.0, 1000.0, sufficient=True)
    sandbox.balance = 4.0
    assert layer.estimate("inference", MODEL, BODY) == Estimate(5.0, 4.0, sufficient=False)
    assert not sandbox.generations


def test_an_estimate_of_a_run(sandbox: Sandbox, layer: Layer) -> None:
    steps = Steps(sandbox)
    with steps.http:
        inputs = {"inputs": {"image": steps.upload(picture(500))}}
    assert layer.estimate("workflow", RELIGHT, inputs).price == 6.0
    sandbox.faults = Faults(price=10.0)
    assert layer.estimate("workflow", RELIGHT, inputs).price == 10.0
    assert layer.submit("workflow", RELIGHT, inputs).price == 10.0


def test_an_api_without_estimates(sandbox: Sandbox, layer: Layer, connect: Connect) -> None:
    sandbox.faults = Faults(no_estimate=True)
    assert layer.estimate("inference", MODEL, BODY) == Estimate(None, None, None)
    with answering(connect, 405, b"") as other:
        assert other.estimate("inference", MODEL, BODY) == Estimate(None, None, None)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Final, "X"),
        (401, ApiDown, Code.UNAUTHORIZED),
        (403, Final, "X"),
        (408, TryAgain, Code.SERVER),
        (422, Final, "X"),
        (429, ApiDown, Code.RATE_LIMITED),
        (500, TryAgain, Code.SERVER),
        (503, ApiDown, Code.SERVER),
    ],
)
def test_an_estimate_that_is_refused(connect: Connect, status: int, kind: type[JobError], code: str) -> None:
    with (
        answering(connect, status, {"error": {"code": "X", "message": "no"}}) as layer,
        pytest.raises(JobError) as raised,
    ):
        layer.estimate("inference", MODEL, BODY)
    assert (type(raised.value), raised.value.code) == (kind, code)


def test_an_estimate_that_says_there_is_nothing_to_pay_with(connect: Connect) -> None:
    with answering(connect, 402, {"error": {"code": "PAYMENT_REQUIRED"}}) as layer:
        assert layer.estimate("inference", MODEL, BODY) == Estimate(None, None, sufficient=False)


# --- models and workflows ---------------------------------------------------------------------------------------------


def test_a_model(layer: Layer) -> None:
    model = layer.model(MODEL)
    assert model
    assert [entry["name"] for entry in model["inputs"]] == ["prompt", "guidance_files"]
    assert layer.model(catalogue.UNKNOWN_ID) is None
    with pytest.raises(Final, match="cannot be a model_id"):
        layer.model("../workflows")


def test_a_model_in_an_envelope(connect: Connect) -> None:
    with answering(connect, 200, {"model": {"model_id": MODEL, "inputs": []}}) as layer:
        assert layer.model(MODEL) == {"model_id": MODEL, "inputs": []}


def test_a_model_that_a_strange_page_does_not_know(connect: Connect) -> None:
    with answering(connect, 404, b"<h1>Not found</h1>") as layer, pytest.raises(NotTheApi):
        layer.model(MODEL)


def test_a_workflow(layer: Layer) -> None:
    workflow = layer.workflow(RELIGHT.upper())
    assert workflow
    assert workflow["inputs"][0]["required"]
    assert layer.workflow(catalogue.UNKNOWN_ID) is None


def test_a_workflow_on_a_later_page(connect: Connect) -> None:
    def page(peer: socket.socket, request: bytes) -> None:
        cursor = int(request.partition(b"cursor=")[2].partition(b" ")[0].partition(b"&")[0] or 0)
        entries = [{"workflow_id": f"w{cursor}", "inputs": []}]
        more = {"has_more_results": cursor < 3, "next_cursor": str(cursor + 1) if cursor < 3 else None}
        saying(200, {"workflows": entries, "pagination": more})(peer, request)

    with RawServer(page) as server:
        layer = connect(server.url)
        assert layer.workflow("w3") == {"workflow_id": "w3", "inputs": []}
        assert len(server.requests) == 4
        assert layer.workflow("w9") is None


def test_a_list_without_an_end_is_not_read_for_ever(connect: Connect) -> None:
    body = {"workflows": "none", "pagination": {"has_more_results": True, "next_cursor": "c1"}}
    with answering(connect, 200, body) as layer, pytest.raises(TryAgain, match="has no end"):
        layer.workflow(RELIGHT)


# --- following --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    "look", [{}, {"bare": True}, {"renamed": True}, {"bare": True, "renamed": True}], ids=lambda look: "+".join(look)
)
def test_a_generation_to_its_end(sandbox: Sandbox, layer: Layer, upper: bool, look: dict[str, Any]) -> None:
    sandbox.faults = Faults(slow_s=0.1, upper_status=upper, asset_name="../../evil.png", **look)
    accepted = layer.submit("inference", MODEL, BODY)
    first = layer.follow("inference", MODEL, accepted.remote_id)
    assert (first.progress, first.assets) == (Progress.RUNNING, ())
    assert first.word == ("IN_PROGRESS" if upper else "in_progress")
    done = ended(layer, accepted)
    assert (done.progress, len(done.assets)) == (Progress.COMPLETE, 2)
    assert {asset.name for asset in done.assets} == {"../../evil.png"}
    assert done.price == (None if "bare" in look else 5.0)
    assert (done.completed_at is None) == ("bare" in look)
    assert done.assets[0].content_type == (None if "bare" in look else "image/png")


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("renamed", [False, True])
def test_a_run_that_fails_with_the_apis_code(sandbox: Sandbox, layer: Layer, upper: bool, renamed: bool) -> None:
    mine = "12345678-0000-4000-8000-000000000000"
    sandbox.faults = Faults(failures=1.0, fail_code="IMAGE_TOO_SMALL", slow_s=0, upper_status=upper, renamed=renamed)
    accepted = layer.submit("workflow", mine, {})
    failed = layer.follow("workflow", mine, accepted.remote_id)
    assert (failed.progress, failed.error_code, failed.price) == (Progress.FAILED, "IMAGE_TOO_SMALL", 0.0)
    assert failed.error == "An input image is too small for this model."


@pytest.mark.parametrize("upper", [False, True])
def test_a_generation_that_is_cancelled(sandbox: Sandbox, layer: Layer, upper: bool) -> None:
    sandbox.faults = Faults(cancels=1.0, slow_s=0, upper_status=upper)
    accepted = layer.submit("inference", MODEL, BODY)
    found = layer.follow("inference", MODEL, accepted.remote_id)
    assert (found.progress, found.error_code, found.price) == (Progress.CANCELLED, None, 0.0)
    assert sandbox.balance.available == 1000.0


def test_a_generation_that_layer_does_not_know(layer: Layer, connect: Connect) -> None:
    with pytest.raises(Final, match="does not know this generation") as raised:
        layer.follow("inference", MODEL, "5e0d8a3c-0000-4000-8000-000000000000")
    assert raised.value.code == "not_found"
    with RawServer(lambda peer, _: peer.sendall(text(404, b""))) as server, pytest.raises(Final):
        connect(server.url).follow("inference", MODEL, "a")


@pytest.mark.parametrize("remote_id", ["a/b", "..", "", "a?b", "a b"])
def test_an_id_that_is_none_is_not_asked_for(sandbox: Sandbox, layer: Layer, remote_id: str) -> None:
    with pytest.raises(Final, match="cannot be a generation id"):
        layer.follow("inference", MODEL, remote_id)
    assert sandbox.counters["connections"] == 0


@pytest.mark.parametrize(
    ("status", "value", "kind", "code"),
    [
        (200, b"<html>", NotTheApi, Code.SERVER),
        (200, [], TryAgain, Code.SERVER),
        (400, {"error": {"code": "BAD_ID"}}, Final, "BAD_ID"),
        (401, {}, ApiDown, Code.UNAUTHORIZED),
        (402, {}, TryAgain, Code.REJECTED),
        (403, {}, TryAgain, Code.FORBIDDEN),
        (404, b"<html>", TryAgain, Code.SERVER),
        (429, {}, ApiDown, Code.RATE_LIMITED),
        (500, {}, TryAgain, Code.SERVER),
        (502, b"<html>", ApiDown, Code.SERVER),
    ],
)
def test_a_state_that_is_not_told(connect: Connect, status: int, value: Any, kind: type[JobError], code: str) -> None:
    with answering(connect, status, value, "Retry-After: 4") as layer, pytest.raises(JobError) as raised:
        layer.follow("inference", MODEL, "a")
    assert (type(raised.value), raised.value.code) == (kind, code)
    if isinstance(raised.value, TryAgain):
        assert raised.value.after_s == 4.0
