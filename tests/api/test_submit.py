"""The paid POST: what is taken for started, what for not started, and what for lost. Every row of the table."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from layerwatch.api import Layer, Storage
from layerwatch.errors import ApiDown, Code, Final, JobError, Lost, Unpaid
from layerwatch.sandbox import Faults, Sandbox, catalogue
from tests.api.conftest import Connect
from tests.api.servers import Behaviour, RawServer, saying, silent, text, unused_port, waiting
from tests.sandbox.steps import Steps, picture

MODEL = catalogue.MODELS[0]["model_id"]
RELIGHT = catalogue.WORKFLOWS[1]["workflow_id"]
BODY = {"prompt": "oil", "batch_size": 1}
SECRET = "https://bucket.invalid/a.png?X-Goog-Signature=abcdef"


def failing(layer: Layer, body: Any = BODY) -> JobError:
    with pytest.raises(JobError) as raised:
        layer.submit("inference", MODEL, body)
    return raised.value


def told(connect: Connect, behave: Behaviour, **options: Any) -> JobError:
    """What a submit to a server that does this raises; the request came exactly once."""
    with RawServer(behave, **options) as server:
        error = failing(connect(server.url, read_s=0.3 if behave is waiting else 10.0))
        assert len(server.requests) == (1 if options.get("read", True) else 0)
    return error


# --- started ----------------------------------------------------------------------------------------------------------


def test_an_inference_that_is_started(sandbox: Sandbox, layer: Layer) -> None:
    accepted = layer.submit("inference", MODEL, BODY | {"session_name": "shot 12"})
    (made,) = sandbox.generations
    assert (accepted.remote_id, accepted.price, accepted.session_id) == (made.id, 2.5, made.session_id)
    assert made.body == {"model_id": MODEL, **BODY, "session_name": "shot 12"}
    assert accepted.poll_after_s is not None
    assert 0 < accepted.poll_after_s <= 5


def test_a_workflow_run_that_is_started(sandbox: Sandbox, layer: Layer) -> None:
    steps = Steps(sandbox)
    with steps.http:
        body = {"inputs": {"image": steps.upload(picture(500))}}
    accepted = layer.submit("workflow", RELIGHT, body)
    (made,) = sandbox.generations
    assert (accepted.remote_id, accepted.price, made.body) == (made.id, 6.0, body)


@pytest.mark.parametrize("faults", [Faults(bare=True), Faults(renamed=True), Faults(bare=True, renamed=True)])
def test_an_answer_with_missing_or_other_names(sandbox: Sandbox, layer: Layer, faults: Faults) -> None:
    sandbox.faults = faults
    accepted = layer.submit("inference", MODEL, BODY)
    assert accepted.remote_id == sandbox.generations[0].id
    assert (accepted.price is None) == (accepted.poll_after_s is None) == faults.bare


def test_each_submit_has_a_connection_of_its_own(sandbox: Sandbox, layer: Layer) -> None:
    layer.workspace()
    layer.workspace()
    assert sandbox.counters["connections"] == 1
    for _ in range(3):
        layer.submit("inference", MODEL, BODY)
    assert sandbox.counters["connections"] == 4


# --- by status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Final, "BAD_REQUEST"),
        (401, ApiDown, Code.UNAUTHORIZED),
        (402, Unpaid, "PAYMENT_REQUIRED"),
        (403, Final, "FORBIDDEN"),
        (404, Final, "NOT_FOUND"),
        (409, Final, "CONFLICT"),
        (422, Final, "VALIDATION_ERROR"),
        (429, ApiDown, Code.RATE_LIMITED),
        (500, Lost, Code.SERVER),
        (502, Lost, Code.SERVER),
        (503, Lost, Code.SERVER),
        (504, Lost, Code.SERVER),
    ],
)
def test_what_a_refusal_means(sandbox: Sandbox, layer: Layer, status: int, kind: type[JobError], code: str) -> None:
    sandbox.faults = Faults(refuse_posts=status)
    error = failing(layer)
    assert (type(error), error.code) == (kind, code)
    assert str(status) in error.message
    assert not sandbox.generations


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_has_started_nothing(sandbox: Sandbox, layer: Layer, status: int) -> None:
    sandbox.faults = Faults(refuse_posts=status, retry_after=7)
    error = failing(layer)
    assert isinstance(error, ApiDown)
    assert error.after_s == 7.0


def test_a_balance_that_does_not_cover_it(sandbox: Sandbox, layer: Layer) -> None:
    sandbox.balance = 1.0
    assert isinstance(failing(layer), Unpaid)
    sandbox.balance = 2.5
    layer.submit("inference", MODEL, BODY)


def test_a_body_that_does_not_fit_the_model(layer: Layer) -> None:
    error = failing(layer, {"batch_size": 1})
    assert (type(error), error.code) == (Final, "VALIDATION_ERROR")
    assert "prompt is required" in error.message


@pytest.mark.parametrize("status", [408, 410, 413, 415, 418, 451])
def test_every_other_4xx_is_final_and_without_a_code_of_the_apis_it_is_rejected(connect: Connect, status: int) -> None:
    error = told(connect, saying(status, {"message": "no"}))
    assert (type(error), error.code) == (Final, Code.REJECTED)


@pytest.mark.parametrize("code", ["x" * 65, "<b>", "two words", "", None, {"a": 1}, True])
def test_a_code_is_kept_only_if_it_can_be_counted_by(connect: Connect, code: Any) -> None:
    error = told(connect, saying(422, {"error": {"code": code, "message": "no"}}))
    assert error.code == Code.REJECTED


def test_a_code_may_be_a_number(connect: Connect) -> None:
    assert told(connect, saying(422, {"error": {"code": 1017, "message": "no"}})).code == "1017"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304, 505, 520, 599])
def test_every_other_status_is_lost(connect: Connect, status: int) -> None:
    assert isinstance(told(connect, saying(status, {}, "Location: /elsewhere")), Lost)


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Layer</title>",
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        None,
        "id",
        {},
        {"status": "pending"},
        {"inference_id": None},
        {"inference_id": ""},
        {"inference_id": {"a": 1}},
        {"inference_id": "../../workspaces"},
        {"inference_id": ".."},
        {"inference_id": "x" * 300},
        {"inference_id": True},
    ],
)
def test_a_success_without_an_id_to_ask_for_is_lost(connect: Connect, body: Any) -> None:
    assert isinstance(told(connect, saying(200, body)), Lost)


def test_html_is_lost_even_from_a_sandbox(sandbox: Sandbox, layer: Layer) -> None:
    sandbox.faults = Faults(html=True)
    error = failing(layer)
    assert isinstance(error, Lost)
    assert "text/html instead of JSON" in error.message


def test_a_page_that_refuses_has_refused(connect: Connect) -> None:
    assert isinstance(told(connect, saying(403, b"<h1>WAF</h1>")), Final)
    assert isinstance(told(connect, saying(429, b"<h1>WAF</h1>")), ApiDown)


# --- on the way -------------------------------------------------------------------------------------------------------


def sends(data: bytes) -> Behaviour:
    return lambda peer, _: peer.sendall(data)


def reset(peer: socket.socket, _: bytes) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    "behave",
    [
        silent,
        reset,
        waiting,
        sends(b"HTTP/1.1 201 Cre"),
        sends(b"HTTP/1.1 201 Created\r\nContent-Le"),
        sends(text(201, b'{"inference_id": "a"', length=500)),
        sends(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"inf"),
        sends(b"\x16\x03\x01 rubbish\r\n\r\n"),
        sends(text(201, b'{"inference_id": "a"}', "Content-Encoding: gzip")),
    ],
    ids=["closes", "resets", "says nothing", "half a line", "half a head", "half a body", "half a chunk", "rubbish",
         "undecodable"],
)  # fmt: skip
def test_what_breaks_once_the_request_has_left_is_lost(connect: Connect, behave: Behaviour) -> None:
    error = told(connect, behave)
    assert (type(error), error.code) == (Lost, Code.NETWORK)
    assert "may have been started" in error.message


def test_closed_before_it_was_read_is_lost_too(connect: Connect) -> None:
    assert isinstance(told(connect, silent, read=False), Lost)


def test_a_refusal_whose_body_breaks_off_is_a_refusal(connect: Connect) -> None:
    assert isinstance(told(connect, sends(text(422, b'{"error"', length=500))), Final)
    assert isinstance(told(connect, sends(text(500, b"oh", length=500))), Lost)


def test_lost_and_broken_posts_look_the_same_and_only_the_books_know(sandbox: Sandbox, layer: Layer) -> None:
    sandbox.faults = Faults(lost_posts=1.0)
    assert isinstance(failing(layer), Lost)
    sandbox.faults = Faults(broken_posts=1.0)
    assert isinstance(failing(layer), Lost)
    assert len(sandbox.generations) == 1
    assert (sandbox.counters["fault_lost_posts"], sandbox.counters["fault_broken_posts"]) == (1, 1)


def test_nobody_there_means_not_started(connect: Connect) -> None:
    error = failing(connect(f"http://127.0.0.1:{unused_port()}/api"))
    assert (type(error), error.code) == (ApiDown, Code.NETWORK)


@pytest.mark.parametrize("url", ["http://[::1", "http://a.b:99999/api", "ftp://127.0.0.1/api"])
def test_what_cannot_be_connected_to_at_all_was_not_lost(connect: Connect, url: str) -> None:
    assert isinstance(failing(connect(url)), ApiDown)


def test_no_tls_means_not_started(connect: Connect) -> None:
    with RawServer(silent) as server:
        assert isinstance(failing(connect(server.url.replace("http:", "https:"))), ApiDown)


def test_a_proxy_that_does_not_connect_means_not_started(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(saying(503, {})) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert isinstance(failing(connect("https://layer.invalid/api")), ApiDown)
        assert proxy.requests[0].startswith(b"CONNECT layer.invalid:443")


def cyclic() -> dict[str, Any]:
    body: dict[str, Any] = {}
    body["self"] = body
    return body


@pytest.mark.parametrize("body", [{"a": {1, 2}}, {"a": float("nan")}, {"a": b"x"}, cyclic()])
def test_what_cannot_be_written_as_json_was_never_sent(sandbox: Sandbox, layer: Layer, body: dict[str, Any]) -> None:
    assert isinstance(failing(layer, body), Final)
    assert sandbox.counters["connections"] == 0


def test_a_target_that_is_no_id_was_never_sent(sandbox: Sandbox, layer: Layer) -> None:
    with pytest.raises(Final, match="cannot be a workflow_id"):
        layer.submit("workflow", "../../x", {})
    assert sandbox.counters["connections"] == 0


# --- what is said -----------------------------------------------------------------------------------------------------


def test_no_secret_is_repeated(connect: Connect) -> None:
    body = {"error": {"code": "BAD", "message": f"cannot read {SECRET} as Bearer abc; or https://x.invalid/y?sig=zzz"}}
    for status in (422, 500):
        message = told(connect, saying(status, body)).message
        assert "cannot read" in message
        assert "abcdef" not in message
        assert "Bearer abc" not in message
        assert "zzz" not in message


def test_an_endless_refusal_is_read_in_part(connect: Connect) -> None:
    def pour(peer: socket.socket, _: bytes) -> None:
        peer.sendall(b"HTTP/1.1 422 No\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65536)

    error = told(connect, pour)
    assert (type(error), error.code) == (Final, Code.REJECTED)


def test_what_is_sent(connect: Connect) -> None:
    with RawServer(saying(201, {"id": 17})) as server:
        assert connect(server.url).submit("inference", MODEL, {"prompt": "\udcff é", "n": None}).remote_id == "17"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/workspaces/5a9db0c5-0000-4000-8000-000000000001/inferences HTTP/1.1")
    lines = head.lower().split(b"\r\n")
    assert {b"authorization: bearer sandbox-token", b"content-type: application/json", b"connection: close"} <= {*lines}
    assert json.loads(body) == {"model_id": MODEL, "prompt": "\udcff é", "n": None}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda answer: answer,
        lambda answer: {"data": answer},
        lambda answer: {"run": answer},
        lambda answer: {"data": {"inference": answer}, "status": "ok"},
    ],
)
@pytest.mark.parametrize("name", ["run_id", "workflow_run_id", "id"])
def test_the_id_wherever_it_is(connect: Connect, wrap: Callable[[object], object], name: str) -> None:
    with RawServer(saying(200, wrap({name: "abc-1", "polling_interval": "2.5", "price": 3}))) as server:
        accepted = connect(server.url).submit("workflow", RELIGHT, {"inputs": {}})
    assert (accepted.remote_id, accepted.poll_after_s, accepted.price) == ("abc-1", 2.5, 3.0)


def test_the_storage_is_as_it_was(sandbox: Sandbox, layer: Layer, tls: Any) -> None:
    storage = Storage(tls)
    grant = layer.upload_url("image/png", 10, "a.png")
    started = storage.start(grant.url, grant.content_type)
    assert (started.status, "location" in started.headers) == (201, True)
    sandbox.faults = replace(sandbox.faults, errors=1.0)
    assert storage.query(started.headers["location"], "bytes */10").status >= 500
    storage.close()
