"""The server over real connections: well-behaved clients, and others."""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from layerwatch.ledger import Ledger
from layerwatch.web import handler
from layerwatch.web.server import MOST_CONNECTIONS, Server
from tests.cli.conftest import Place
from tests.web.conftest import Site, client_of, serving
from tests.web.wire import connected, exchange, get, rest, status

FOR_ALL = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src"
    " 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "server": "layerwatch",
}


@pytest.fixture
def server(site: Site, ledger: Ledger) -> Iterator[Server]:
    with serving(site) as server:
        yield server


MANY = 4000  # answers, more than the kernel holds for one who does not take them


# --- what is answered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/healthz", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/static/page.css", "text/css; charset=utf-8"),
        ("/static/page.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ],
)
def test_every_path_is_answered_with_its_type_and_head_as_get_without_the_body(
    client: httpx.Client, path: str, content_type: str
) -> None:
    answer, head = client.get(path), client.head(path)
    assert answer.status_code == head.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert int(answer.headers["content-length"]) == len(answer.content) > 0
    assert head.content == b""
    assert head.headers.keys() == answer.headers.keys()
    assert FOR_ALL.items() <= dict(answer.headers).items()
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/x", "/static/", "/static/../page.py", "/static/%2e%2e/page.py", "/healthz/"])
def test_there_is_nothing_else(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_static_files_may_be_kept_as_long_as_they_are_the_same_and_the_page_not_at_all(client: httpx.Client) -> None:
    style = client.get("/static/page.css")
    known = client.get("/static/page.css", headers={"If-None-Match": f'"x", {style.headers["etag"]}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", style.headers["etag"])
    assert client.get("/static/page.css", headers={"If-None-Match": '"x"'}).status_code == 200
    assert client.get("/").headers["cache-control"] == "no-store"


def test_the_page_holds_nothing_inline_that_its_policy_forbids(client: httpx.Client) -> None:
    text = client.get("/").text
    assert "style=" not in text
    assert "<style" not in text
    assert "<script src=" in text
    assert text.count("<script") == 1
    assert "onerror" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"])
def test_there_is_nothing_but_reading(server: Server, method: str) -> None:
    answer = exchange(server, f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert status(answer) == 405
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


# --- requests that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
        (b"GET / HTTP/9\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nGET /", 200),
    ],
)
def test_a_request_that_is_none_is_answered_and_ends_the_connection(server: Server, request_: bytes, code: int) -> None:
    with connected(server) as connection:
        connection.sendall(request_)
        if code == 404:
            connection.shutdown(socket.SHUT_WR)
        answer = rest(connection)
    assert status(answer) == code
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Traceback" not in answer


def test_requests_follow_each_other_on_one_connection(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(get() + get("/x") + get("/healthz", "Connection: close"))
        answers = rest(connection)
    assert [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]] == [200, 404, 200]


def test_what_was_asked_for_is_answered_though_the_client_has_ended_its_side(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(get())
        connection.shutdown(socket.SHUT_WR)
        assert status(rest(connection)) == 200


# --- slow clients, and too many ---------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.Handler, "timeout", 0.2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"])
def test_who_does_not_send_is_not_waited_for(server: Server, begun: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(begun)
        assert rest(connection) == b""


@pytest.mark.usefixtures("impatient")
def test_who_does_not_take_the_answer_is_not_waited_for(server: Server) -> None:
    with connected(server, receive_buffer=4096) as connection:
        connection.sendall(get() * MANY)
        with client_of(server) as client:
            _until_only_one(client)
            whole = len(client.get("/static/page.css").content)
        assert len(rest(connection)) < MANY * whole


def _until_only_one(client: httpx.Client) -> None:
    """Until the server has no thread for any other connection, which had been made before."""
    waited = threading.Event()
    assert client.get("/static/icon.svg").status_code == 200
    while sum("process_request_thread" in thread.name for thread in threading.enumerate()) > 1:
        assert client.get("/static/icon.svg").status_code == 200
        waited.wait(0.05)


def test_those_who_only_wait_make_room_for_others(server: Server) -> None:
    connections = [socket.create_connection(server.address, 60) for _ in range(MOST_CONNECTIONS + 8)]
    try:
        connections[0].sendall(b"GET / HT")
        with client_of(server) as client:
            assert client.get("/healthz").status_code == 200
        assert [connection.recv(1) for connection in connections[1:8]] == [b""] * 7  # who had waited longest
        connections[-1].sendall(get("/healthz"))
        assert connections[-1].recv(15) == b"HTTP/1.1 200 OK"
    finally:
        for connection in connections:
            connection.close()


def test_beyond_a_number_of_answers_at_once_it_says_that_it_is_busy(site: Site, ledger: Ledger) -> None:
    """Each of these answers waits until the test lets it go."""
    begun, gate = threading.Semaphore(0), threading.Event()

    class Slow(Site):
        def settings(self):  # type: ignore[no-untyped-def]
            begun.release()
            gate.wait(60)
            return super().settings()

    with serving(Slow(site.place)) as server:
        asking = [socket.create_connection(server.address, 60) for _ in range(MOST_CONNECTIONS)]
        try:
            for connection in asking:
                connection.sendall(get("/healthz", "Connection: close"))
                assert begun.acquire(timeout=60)
            refused = exchange(server, get("/healthz"))
            assert status(refused) == 503
            assert b"\r\nRetry-After: 1\r\n" in refused
            assert status(exchange(server, get("/healthz"))) == 503
            gate.set()
            assert {status(rest(connection)) for connection in asking} == {200}
            assert status(exchange(server, get("/healthz", "Connection: close"))) == 200
        finally:
            gate.set()
            for connection in asking:
                connection.close()


# --- its own faults ---------------------------------------------------------------------------------------------------


def test_a_fault_of_our_own_is_told_once_in_the_log_and_not_to_who_asks(
    site: Site, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> list[str]:
        raise RuntimeError("SECRET inside")

    site.sight = lambda: replace(Site(site.place).sight(), late=broken)  # type: ignore[method-assign]
    with serving(site) as server, client_of(server) as client:
        answers = [client.get("/"), client.get("/healthz"), client.get("/")]
        assert client.get("/static/page.css").status_code == 200
    assert [answer.status_code for answer in answers] == [500, 500, 500]
    assert "SECRET" not in "".join(answer.text for answer in answers)
    assert len(caplog.records) == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("layerwatch", logging.ERROR)
    assert record.getMessage() == "/ could not be answered"
    assert record.exc_info


def test_broken_connections_and_odd_requests_are_no_ones_fault(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        with connected(server) as connection:
            connection.sendall(get("/") * 20)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends with a reset
    assert status(exchange(server, get("/x", "Connection: close"))) == 404
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


# --- beginning and end ------------------------------------------------------------------------------------------------


def test_an_address_that_is_taken_is_an_oserror(server: Server, site: Site) -> None:
    with pytest.raises(OSError, match="in use"):
        Server(site.sight(), server.address, None, ())


def test_a_name_that_leads_nowhere_is_an_oserror(site: Site) -> None:
    with pytest.raises(OSError, match=r"\w"):
        Server(site.sight(), ("no-such-host.invalid", 0), None, ())


def test_it_listens_on_ipv6_too(site: Site, ledger: Ledger) -> None:
    with serving(site, host="::1") as server, client_of(server) as client:
        assert server.address[0] == "::1"
        assert client.get("/healthz").status_code == 200


def test_closing_ends_what_is_open_and_leaves_the_address_free(site: Site, ledger: Ledger) -> None:
    with serving(site) as server, connected(server) as idle, connected(server) as half:
        half.sendall(b"GET / HT")
        assert status(exchange(server, get("/healthz", "Connection: close"))) == 200
        server.close()
        assert rest(idle) == rest(half) == b""
        server.close()
    again = Server(site.sight(), server.address, None, ())
    again.close()  # without ever having served


def test_a_server_that_was_closed_before_it_served_ends_at_once(site: Site) -> None:
    server = Server(site.sight(), ("127.0.0.1", 0), None, ())
    server.close()
    server.serve()


def test_no_descriptor_is_left_behind(server: Server) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    assert status(exchange(server, get("/", "Connection: close"))) == 200
    before = descriptors()
    for path in ("/", "/healthz", "/metrics", "/x", "/media/file/1"):
        for _ in range(5):
            exchange(server, get(path, "Connection: close"))
    assert descriptors() <= before + 2


# --- a ledger that is of no use ---------------------------------------------------------------------------------------


def test_without_a_ledger_the_page_tells_what_the_daemon_knows_by_itself(site: Site, place: Place) -> None:
    with serving(site) as server, client_of(server) as client:
        page, health, metrics = client.get("/"), client.get("/healthz"), client.get("/metrics")
        assert client.get("/media/file/1").status_code == 404
    assert (page.status_code, health.status_code, metrics.status_code) == (503, 503, 200)
    assert "The ledger cannot be read." in page.text
    assert "there is no ledger yet" in page.text
    assert str(place.home / "concepts") in page.text
    assert not json.loads(health.text)["healthy"]
    assert "layerwatch_ledger_readable 0.0" in metrics.text
    assert not os.path.exists(place.path)
