"""The resumable protocol, row by row: what a right client gets, and what the storage answers it."""

import base64
import hashlib
import json
import socket
from dataclasses import replace
from urllib.parse import urlsplit

import google_crc32c
import httpx
import pytest

from layerwatch.sandbox import Sandbox

from .steps import QUANTUM, Steps, next_byte, picture


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def test_one_put_stores_the_file_and_says_its_hash(steps: Steps) -> None:
    data = picture(3 * QUANTUM + 5)
    uri = steps.session(len(data))
    final = steps.put(uri, data, 0, len(data))
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    assert final.status_code == 200
    assert final.headers["x-goog-hash"] == f"crc32c={crc32c(data)},md5={md5}"
    assert final.headers["x-goog-stored-content-length"] == str(len(data))
    (stored,) = steps.sandbox.objects
    with open(stored.path, "rb") as stream:
        assert stream.read() == data
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert (stored.size, stored.name, stored.content_type) == (len(data), "a.png", "image/png")
    assert (stored.type_matches, stored.late, stored.corrupt) == (True, False, False)
    assert not steps.sandbox.violations


def test_the_hash_comes_on_one_line_and_on_two_in_turn(steps: Steps) -> None:
    lines = []
    for seed in range(2):
        data = picture(100, seed)
        final = steps.put(steps.session(100), data, 0, 100)
        lines.append([value for name, value in final.headers.multi_items() if name == "x-goog-hash"])
    assert [len(values) for values in lines] == [1, 2]
    assert all(",".join(values).startswith("crc32c=") and "md5=" in ",".join(values) for values in lines)


def test_the_whole_object_without_a_content_range(steps: Steps) -> None:
    data = picture(1000)
    uri = steps.session(1000)
    assert steps.http.put(uri, content=data, headers={"content-type": "image/png"}).status_code == 200
    assert not steps.sandbox.violations


def test_chunks_are_answered_308_with_the_range_that_is_persisted(steps: Steps) -> None:
    data = picture(2 * QUANTUM + 7)
    uri = steps.session(len(data))
    assert "range" not in steps.query(uri, len(data)).headers
    first = steps.put(uri, data[: 2 * QUANTUM], 0, len(data))
    assert (first.status_code, first.reason_phrase) == (308, "Resume Incomplete")
    assert (first.headers["range"], first.headers["content-length"]) == (f"bytes=0-{2 * QUANTUM - 1}", "0")
    assert next_byte(steps.query(uri, len(data))) == 2 * QUANTUM
    assert steps.put(uri, data[2 * QUANTUM :], 2 * QUANTUM, len(data)).status_code == 200
    assert not steps.sandbox.violations


def test_a_query_of_a_finished_session_answers_as_the_final_put_did(steps: Steps) -> None:
    data = picture(1000)
    uri = steps.session(1000)
    final, again = steps.put(uri, data, 0, 1000), steps.query(uri, 1000)
    assert again.status_code == 200
    assert again.headers["x-goog-hash"] == final.headers["x-goog-hash"]
    assert not steps.sandbox.violations


def test_bytes_that_are_persisted_already_may_come_again(steps: Steps) -> None:
    data = picture(3 * QUANTUM)
    uri = steps.session(len(data))
    steps.put(uri, data[:QUANTUM], 0, len(data))
    assert steps.put(uri, data, 0, len(data)).status_code == 200
    assert steps.sandbox.objects[0].sha256 == hashlib.sha256(data).hexdigest()
    assert steps.sandbox.counters["bytes_resent"] == QUANTUM
    assert not steps.sandbox.violations


def test_a_chunk_off_the_grid_is_kept_up_to_the_grid(steps: Steps) -> None:
    data = picture(4 * QUANTUM)
    uri = steps.session(len(data))
    steps.put(uri, data[:QUANTUM], 0, len(data))
    answer = steps.put(uri, data[100 : 100 + 2 * QUANTUM], 100, len(data))
    assert next_byte(answer) == 2 * QUANTUM


def test_an_expired_upload_url(steps: Steps) -> None:
    steps.sandbox.faults = replace(steps.sandbox.faults, url_life_s=0.0)
    refused = steps.start(steps.ticket(10))
    assert refused.status_code == 400
    assert "<Code>ExpiredToken</Code>" in refused.text
    assert not steps.sandbox.violations


def test_a_start_can_be_repeated_and_each_session_is_its_own(steps: Steps) -> None:
    ticket, data = steps.ticket(1000), picture(1000)
    first, second = steps.start(ticket).headers["location"], steps.start(ticket).headers["location"]
    assert first != second
    assert "upload_id=" in first
    assert steps.put(second, data, 0, 1000).status_code == 200
    assert steps.query(first, 1000).status_code == 308
    assert not steps.sandbox.violations


def test_an_unknown_session_is_404(steps: Steps) -> None:
    uri = steps.session(10)
    assert steps.query(uri + "x", 10).status_code == 404


def test_a_cancelled_session_is_499_for_good(steps: Steps) -> None:
    data = picture(2 * QUANTUM)
    uri = steps.session(len(data))
    steps.put(uri, data[:QUANTUM], 0, len(data))
    cancelled = steps.http.delete(uri)
    assert (cancelled.status_code, steps.query(uri, len(data)).status_code) == (499, 499)
    assert not steps.sandbox.objects


@pytest.mark.parametrize(
    ("content_type", "first"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("image/jpeg", b"\xff\xd8\xff\xe0"),
        ("image/webp", b"RIFF\0\0\0\0WEBP"),
        ("video/mp4", b"\0\0\0\x18ftypmp42"),
        ("audio/mpeg", b"ID3\x04"),
        ("audio/mpeg", b"\xff\xfb\x90\x00"),
        ("audio/wav", b"RIFF\0\0\0\0WAVE"),
    ],
)
def test_the_real_type_is_looked_at(steps: Steps, content_type: str, first: bytes) -> None:
    steps.upload(first.ljust(32, b"."), content_type)
    steps.upload(b"GIF89a".ljust(32, b"."), content_type)
    assert [stored.type_matches for stored in steps.sandbox.objects] == [True, False]


def test_a_newer_request_ends_an_older_one_on_the_same_session(sandbox: Sandbox, steps: Steps) -> None:
    data = picture(4 * QUANTUM)
    uri = steps.session(len(data))
    place = urlsplit(uri)
    head = (
        f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: image/png\r\n"
        f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}\r\nContent-Length: {len(data)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((sandbox.host, sandbox.port)) as older:
        older.sendall(head.encode())
        assert older.recv(100).startswith(b"HTTP/1.1 100 Continue")  # it reads the body from now on
        assert steps.query(uri, len(data)).status_code == 308
        older.sendall(data)
        assert older.recv(100) == b""
    assert steps.put(uri, data, 0, len(data)).status_code == 200
    assert not sandbox.violations


def test_a_client_that_leaves_in_the_middle_leaves_whole_quanta_behind(sandbox: Sandbox, steps: Steps) -> None:
    data = picture(3 * QUANTUM)
    uri = steps.session(len(data))
    place = urlsplit(uri)
    head = (
        f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: image/png\r\n"
        f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection((sandbox.host, sandbox.port)) as leaving:
        leaving.sendall(head.encode() + data[: 2 * QUANTUM + 999])
        leaving.shutdown(socket.SHUT_WR)
        assert leaving.recv(100) == b""  # the server has seen the end
    assert next_byte(steps.query(uri, len(data))) == 2 * QUANTUM


def test_the_upload_url_looks_like_the_real_one(steps: Steps) -> None:
    url = httpx.URL(steps.ticket(10)["upload_url"])
    assert url.path.startswith("/storage/")
    assert url.params["X-Goog-Expires"] == "900"
    assert url.params["X-Goog-SignedHeaders"] == "content-type;host;x-goog-resumable"
    assert len(bytes.fromhex(url.params["X-Goog-Signature"])) == 256


def test_what_the_sandbox_shows_holds_no_secret(steps: Steps) -> None:
    ticket = steps.ticket(10)
    uri = steps.start(ticket).headers["location"]
    steps.put(uri, picture(10), 5, 10)
    shown = json.dumps(steps.http.get(steps.sandbox.base_url.removesuffix("/api") + "/sandbox").json())
    for secret in (httpx.URL(ticket["upload_url"]).params["X-Goog-Signature"], httpx.URL(uri).params["upload_id"]):
        assert secret not in shown
