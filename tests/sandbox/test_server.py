"""The plumbing: connections, start and stop, the sandbox's own pages, what a log line may say."""

import hashlib
import os
import socket
import threading
import time
from dataclasses import replace

import httpx
import pytest

from layerwatch.sandbox import Faults, Sandbox

from .steps import QUANTUM, Steps, picture


def sandbox_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sandbox-")]


def root(sandbox: Sandbox) -> str:
    return sandbox.base_url.removesuffix("/api")


def test_a_connection_is_used_again_and_again(steps: Steps) -> None:
    steps.upload(picture(1000))
    steps.put(steps.session(QUANTUM), picture(QUANTUM), 0, QUANTUM, content_type="image/gif")
    steps.api("GET", "/nowhere")
    assert steps.sandbox.counters["connections"] == 1


def test_there_is_no_port_before_the_first_start() -> None:
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = Sandbox().base_url


def test_stop_ends_open_connections_and_threads_within_a_second(sandbox: Sandbox) -> None:
    sandbox.faults = Faults(latency_s=60.0)
    idle = socket.create_connection((sandbox.host, sandbox.port))
    waiting = socket.create_connection((sandbox.host, sandbox.port))
    with idle, waiting:
        waiting.sendall(b"GET /api/v1/workspaces HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.sendall(b"GET /sandbox HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        before = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - before < 1.0
        while idle.recv(65536):
            pass
    assert sandbox_threads() == []


def test_an_outage_is_a_stop_and_a_start_and_nothing_is_forgotten(sandbox: Sandbox) -> None:
    steps = Steps(sandbox)
    with steps.http:
        data = picture(2 * QUANTUM)
        uri = steps.session(len(data))
        steps.put(uri, data[:QUANTUM], 0, len(data))
        sandbox.stop()
        with pytest.raises(httpx.ConnectError):
            steps.query(uri, len(data))
        sandbox.start()
        assert steps.put(uri, data[QUANTUM:], QUANTUM, len(data)).status_code == 200
    assert len(sandbox.objects) == 1


def test_a_port_that_is_taken(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=sandbox.port).start()


def test_ipv6() -> None:
    with Sandbox(host="::1") as sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        assert httpx.get(root(sandbox) + "/sandbox", trust_env=False).status_code == 200


def test_the_temporary_directory_goes_with_the_sandbox_and_a_given_one_stays(tmp_path: os.PathLike[str]) -> None:
    paths = []
    for store in (None, os.path.join(tmp_path, "store")):
        with Sandbox(store=store) as sandbox:
            steps = Steps(sandbox)
            with steps.http:
                steps.upload(picture(10))
            paths.append(sandbox.objects[0].path)
            assert os.path.exists(paths[-1])
        assert os.path.exists(paths[-1])  # after stop its objects can still be looked at
        del sandbox, steps
    assert [os.path.exists(path) for path in paths] == [False, True]


def test_forget_drops_the_objects(steps: Steps) -> None:
    steps.upload(picture(10))
    path = steps.sandbox.objects[0].path
    assert steps.http.delete(root(steps.sandbox) + "/sandbox/objects").status_code == 204
    assert (steps.sandbox.objects, os.path.exists(path)) == ([], False)
    assert steps.http.get(root(steps.sandbox) + "/sandbox").json()["objects"] == []


def test_without_md5_the_hash_has_crc32c_alone() -> None:
    with Sandbox(md5=False) as sandbox:
        steps = Steps(sandbox)
        with steps.http:
            final = steps.put(steps.session(10), picture(10), 0, 10)
    assert final.headers["x-goog-hash"].startswith("crc32c=")
    assert "md5" not in final.headers["x-goog-hash"]


def test_what_it_holds(steps: Steps) -> None:
    data = picture(1000)
    file_id = steps.upload(data)
    steps.api("POST", "/inferences", {"model_id": "12345678-0000-4000-8000-000000000000"})
    steps.query(steps.session(10), 11)
    held = steps.http.get(root(steps.sandbox) + "/sandbox").json()
    (stored,) = held["objects"]
    assert (stored["file_id"], stored["size"], stored["name"]) == (file_id, 1000, "a.png")
    assert stored["sha256"] == hashlib.sha256(data).hexdigest()
    assert stored["crc32c"]
    assert held["generations"][0]["price"] == held["balance"]["reserved"] == 10.0
    assert held["generations"][0]["body"] == {"model_id": "12345678-0000-4000-8000-000000000000"}
    assert held["counters"]["bytes_received"] == held["counters"]["bytes_persisted"] == 1000
    assert [broken["rule"] for broken in held["violations"]] == ["size_mismatch"]
    assert steps.http.get(f"{root(steps.sandbox)}/sandbox/objects/{file_id}").content == data
    assert steps.http.get(f"{root(steps.sandbox)}/sandbox/objects/nothing").status_code == 404


def test_faults_can_be_changed_while_it_runs(steps: Steps) -> None:
    url = root(steps.sandbox) + "/sandbox/faults"
    assert steps.http.post(url, json={"errors": 1.0, "seed": 5}).json()["errors"] == 1.0
    assert steps.api("GET", "").status_code >= 500
    assert steps.http.post(url, json={"errors": 0.0}).status_code == 200
    assert steps.sandbox.faults == replace(Faults(), seed=5)
    assert steps.http.post(url, json={"asset_name": "../x.png", "refuse_posts": 402}).json()["refuse_posts"] == 402
    assert steps.sandbox.faults.asset_name == "../x.png"
    refused = steps.http.post(url, json={"eror": 1.0})
    assert (refused.status_code, "allowed are" in refused.json()["error"]["message"]) == (422, True)


@pytest.mark.parametrize(
    "rubbish",
    [b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"a" * 70_000],
)
def test_what_is_not_http_is_answered_400_and_closed(sandbox: Sandbox, rubbish: bytes) -> None:
    with socket.create_connection((sandbox.host, sandbox.port)) as peer:
        peer.sendall(rubbish)
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_refusal_reaches_a_client_that_is_still_sending(steps: Steps) -> None:
    large = picture(8 * 1024 * 1024)
    uri = steps.session(len(large))
    assert steps.put(uri, large, 0, len(large), content_type="image/gif").status_code == 400
    pieces = (large[at : at + QUANTUM] for at in range(0, len(large), QUANTUM))
    assert steps.http.put(uri, content=pieces, headers={"content-type": "image/png"}).status_code == 411


def test_the_log_has_a_line_per_request_and_no_secret() -> None:
    lines: list[str] = []
    with Sandbox(log=lines.append) as sandbox:
        steps = Steps(sandbox)
        with steps.http:
            ticket = steps.ticket(10)
            uri = steps.start(ticket).headers["location"]
            sandbox.faults = Faults(lost_answers=1.0)
            with pytest.raises(httpx.RemoteProtocolError):
                steps.put(uri, picture(10), 0, 10)
    assert len(lines) == 3
    assert "closed without an answer" in lines[2]
    assert not any("?" in line or "X-Goog" in line or "upload_id" in line for line in lines)
