"""Webhooks: what is taken, what is tried again, what is not, and that their URLs stay secret."""

import socket
import ssl
from collections.abc import Iterator

import pytest

from layerwatch.api import Webhook
from layerwatch.errors import ApiDown, Code, Final, JobError, TryAgain
from tests.api.servers import RawServer, saying, silent, text, unused_port, waiting


@pytest.fixture
def webhook(tls: ssl.SSLContext) -> Iterator[Webhook]:
    webhook = Webhook(tls)
    yield webhook
    webhook.close()


def failing(webhook: Webhook, url: str, timeout_s: float = 5.0) -> JobError:
    with pytest.raises(JobError) as raised:
        webhook.post(url + "/services/T0/secret-part", b"{}", {}, timeout_s)
    assert "secret-part" not in raised.value.message
    return raised.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_one_that_is_taken(webhook: Webhook, status: int) -> None:
    with RawServer(lambda peer, _: peer.sendall(text(status, b""))) as server:
        headers = {"Content-Type": "application/json", "X-Layerwatch-Signature": "sha256=abc"}
        assert webhook.post(server.url + "/hook?a=b", b'{"event": "uploaded"}', headers, 5.0) == status
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"x-layerwatch-signature: sha256=abc" in head.lower()
    assert b"authorization" not in head.lower()
    assert body == b'{"event": "uploaded"}'


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (302, Final, Code.REJECTED),
        (400, Final, Code.REJECTED),
        (401, Final, Code.REJECTED),
        (404, Final, Code.REJECTED),
        (408, TryAgain, Code.SERVER),
        (410, Final, Code.REJECTED),
        (429, TryAgain, Code.RATE_LIMITED),
        (500, TryAgain, Code.SERVER),
        (503, TryAgain, Code.SERVER),
    ],
)
def test_one_that_is_not(webhook: Webhook, status: int, kind: type[JobError], code: Code) -> None:
    with RawServer(saying(status, {}, "Retry-After: 3", "Location: /else")) as server:
        error = failing(webhook, server.url)
        assert len(server.requests) == 1
    assert (type(error), error.code) == (kind, code)
    assert getattr(error, "after_s", 3.0) == 3.0


def test_what_breaks_on_the_way_is_tried_again_and_stops_nobody_else(webhook: Webhook) -> None:
    errors = [failing(webhook, f"http://127.0.0.1:{unused_port()}"), failing(webhook, "ftp://a.invalid")]
    with RawServer(silent) as server:
        errors.append(failing(webhook, server.url))
    with RawServer(waiting) as server:
        errors.append(failing(webhook, server.url, timeout_s=0.2))
    assert {(type(error), error.code) for error in errors} == {(TryAgain, Code.NETWORK)}
    assert not any(isinstance(error, ApiDown) for error in errors)


def test_what_the_receiver_says_for_itself_is_not_waited_for(webhook: Webhook) -> None:
    def endless(peer: socket.socket, request: bytes) -> None:
        peer.sendall(text(200, b"o", length=10**9))
        waiting(peer, request)

    with RawServer(endless) as server:
        assert webhook.post(server.url, b"{}", {}, 5.0) == 200
