"""Each rule of the protocol: a client that breaks it is refused as by the real storage, and counted."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from layerwatch.sandbox import Rule
from layerwatch.sandbox.faults import change

from .steps import QUANTUM, Steps, picture

SIZE = 3 * QUANTUM
DATA = picture(SIZE)


def drip() -> Iterator[bytes]:
    yield DATA[:100]
    yield DATA[100:200]


@pytest.mark.parametrize(
    "wrong",
    [
        {"content_type": "image/jpeg"},
        {"x_goog_resumable": "begin"},
        {"x_goog_meta_shot": "12"},
        {"x_goog_if_generation_match": "0"},
    ],
)
def test_a_start_with_other_headers_than_signed(steps: Steps, wrong: dict[str, str]) -> None:
    refused = steps.start(steps.ticket(SIZE), **wrong)
    assert refused.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in refused.text
    assert steps.rules() == [Rule.SIGNATURE]


def test_a_start_without_x_goog_resumable(steps: Steps) -> None:
    ticket = steps.ticket(SIZE)
    assert steps.http.post(ticket["upload_url"], headers={"content-type": "image/png"}).status_code == 403
    assert steps.rules() == [Rule.SIGNATURE]


@pytest.mark.parametrize("addition", ["&uploadType=resumable", "&name=a.png", "0"])
def test_a_start_with_another_url_than_signed(steps: Steps, addition: str) -> None:
    ticket = steps.ticket(SIZE)
    assert steps.start(ticket | {"upload_url": ticket["upload_url"] + addition}).status_code == 403
    assert steps.rules() == [Rule.SIGNATURE]


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_an_upload_url_is_signed_for_post_only(steps: Steps, method: str) -> None:
    assert steps.start(steps.ticket(SIZE), method).status_code == 403
    assert steps.rules() == [Rule.SIGNATURE]


def test_a_start_with_a_body(steps: Steps) -> None:
    ticket = steps.ticket(SIZE)
    headers = {"x-goog-resumable": "start", "content-type": "image/png"}
    assert steps.http.post(ticket["upload_url"], headers=headers, content=b"{}").status_code == 400
    assert steps.http.post(ticket["upload_url"], headers=headers, content=drip()).status_code == 411
    assert steps.rules() == [Rule.START_BODY] * 2


def test_the_token_sent_to_storage(steps: Steps) -> None:
    ticket = steps.ticket(SIZE)
    assert steps.start(ticket, authorization="Bearer sandbox-token").status_code == 400
    uri = steps.start(ticket).headers["location"]
    assert steps.put(uri, DATA, 0, SIZE, authorization="Bearer sandbox-token").status_code == 400
    assert steps.rules() == [Rule.TOKEN_TO_STORAGE] * 2
    assert not steps.sandbox.objects


def test_a_chunked_transfer(steps: Steps) -> None:
    uri = steps.session(SIZE)
    headers = {"content-type": "image/png", "content-range": f"bytes 0-199/{SIZE}"}
    assert steps.http.put(uri, content=drip(), headers=headers).status_code == 411
    assert steps.rules() == [Rule.CHUNKED_TRANSFER]


@pytest.mark.parametrize(
    ("rule", "start", "data", "headers"),
    [
        (Rule.CONTENT_TYPE, 0, DATA, {"content_type": "image/jpeg"}),
        (Rule.CONTENT_TYPE, 0, DATA, {"content_type": ""}),
        (Rule.BAD_CONTENT_RANGE, 0, DATA, {"content_range": f"bytes 0-{SIZE}/{SIZE}"}),
        (Rule.BAD_CONTENT_RANGE, 0, DATA, {"content_range": f"bytes 9-3/{SIZE}"}),
        (Rule.BAD_CONTENT_RANGE, 0, DATA, {"content_range": f"bytes 0-{SIZE - 1}/*"}),
        (Rule.BAD_CONTENT_RANGE, 0, b"", {"content_range": "bytes */*"}),
        (Rule.BAD_CONTENT_RANGE, 0, b"", {"content_range": "bytes 0-0/0"}),
        (Rule.QUERY_WITH_BODY, 0, DATA, {"content_range": f"bytes */{SIZE}"}),
        (Rule.SIZE_MISMATCH, 0, DATA[:-1], {"content_range": f"bytes 0-{SIZE - 2}/{SIZE - 1}"}),
        (Rule.SIZE_MISMATCH, 0, b"", {"content_range": "bytes */0"}),
        (Rule.LENGTH_MISMATCH, 0, DATA[:-1], {"content_range": f"bytes 0-{SIZE - 1}/{SIZE}"}),
        (Rule.LENGTH_MISMATCH, 0, b"", {"content_range": f"bytes 0-{SIZE - 1}/{SIZE}"}),
        (Rule.UNALIGNED_CHUNK, 0, DATA[: QUANTUM + 1], {}),
        (Rule.WRONG_OFFSET, QUANTUM, DATA[QUANTUM:], {}),
    ],
)
def test_a_wrong_put(steps: Steps, rule: Rule, start: int, data: bytes, headers: dict[str, str]) -> None:
    uri = steps.session(SIZE)
    refused = steps.put(uri, data, start, SIZE, **headers)
    assert refused.status_code == (503 if rule is Rule.WRONG_OFFSET else 400)
    assert steps.rules() == [rule]
    assert "range" not in steps.query(uri, SIZE).headers
    assert steps.put(uri, DATA, 0, SIZE).status_code == 200


def test_a_whole_object_of_another_size_than_announced(steps: Steps) -> None:
    uri = steps.session(SIZE)
    assert steps.http.put(uri, content=DATA[:-1], headers={"content-type": "image/png"}).status_code == 400
    assert steps.rules() == [Rule.SIZE_MISMATCH]


def test_other_bytes_for_a_range_that_is_persisted(steps: Steps) -> None:
    uri = steps.session(SIZE)
    steps.put(uri, DATA[:QUANTUM], 0, SIZE)
    assert steps.put(uri, picture(SIZE, seed=1), 0, SIZE).status_code == 200
    assert steps.rules() == [Rule.MIXED_BYTES]


def test_bytes_for_a_finished_session(steps: Steps) -> None:
    uri = steps.session(SIZE)
    steps.put(uri, DATA, 0, SIZE)
    assert steps.put(uri, DATA, 0, SIZE).status_code == 200
    assert steps.rules() == [Rule.PUT_AFTER_FINAL]
    assert len(steps.sandbox.objects) == 1


def test_another_method_on_a_session(steps: Steps) -> None:
    assert steps.http.get(steps.session(SIZE)).status_code == 405
    assert steps.rules() == [Rule.BAD_METHOD]


def test_an_upload_finished_after_its_deadline_is_of_no_use(steps: Steps) -> None:
    calm = steps.sandbox.faults
    steps.sandbox.faults = replace(calm, url_life_s=1.0)
    ticket = steps.ticket(SIZE)
    uri = steps.start(ticket).headers["location"]
    steps.sandbox.faults = replace(calm, latency_s=1.1)
    assert steps.query(uri, SIZE).status_code == 308
    steps.sandbox.faults = calm
    assert steps.put(uri, DATA, 0, SIZE).status_code == 200
    assert steps.rules() == [Rule.FINISHED_AFTER_DEADLINE]
    assert steps.sandbox.objects[0].late
    body = {"model_id": "10000000-0000-4000-8000-000000000002", "guidance_files": [{"file_id": ticket["file_id"]}]}
    refused = steps.api("POST", "/inferences", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "UPLOAD_FAILED")


@pytest.mark.parametrize(
    ("fault", "is_answered"),
    [("errors", True), ("drop", False), ("lost_answers", False), ("lazy", True), ("dead_sessions", True)],
)
def test_bytes_after_a_failure_without_a_query(steps: Steps, fault: str, is_answered: bool) -> None:
    calm = steps.sandbox.faults
    struck = change(calm, {fault: 1.0})
    # A session's fate is decided at its start; all else when the bytes come.
    steps.sandbox.faults = struck if fault == "dead_sessions" else calm
    uri = steps.session(SIZE)
    steps.sandbox.faults = struck
    piece = DATA if fault in ("lost_answers", "dead_sessions") else DATA[:QUANTUM]
    if is_answered:
        assert steps.put(uri, piece, 0, SIZE).status_code in (308, 410, 500, 503)
    else:
        with pytest.raises(httpx.TransportError):
            steps.put(uri, piece, 0, SIZE)
    assert steps.rules() == []
    steps.sandbox.faults = calm
    steps.put(uri, DATA, 0, SIZE)
    assert steps.rules()[0] == Rule.BLIND_RETRY


def test_a_query_clears_the_way(steps: Steps) -> None:
    calm = steps.sandbox.faults
    uri = steps.session(SIZE)
    steps.sandbox.faults = replace(calm, errors=1.0)
    assert steps.put(uri, DATA, 0, SIZE).status_code in (500, 503)
    assert steps.query(uri, SIZE).status_code in (500, 503)  # this query failed too: it does not count
    steps.sandbox.faults = calm
    assert steps.query(uri, SIZE).status_code == 308
    assert steps.put(uri, DATA, 0, SIZE).status_code == 200
    assert steps.rules() == []
