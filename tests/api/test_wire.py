"""One request and its answer as they are on the wire, by the short way and by httpx: the same to whoever asks."""

import gzip
import json
import ssl
from collections.abc import Callable, Iterator

import pytest

from layerwatch.api.wire import MAX_ERROR_BYTES, Reply, Wire
from layerwatch.errors import ApiDown, Code, Superseded, TryAgain
from tests.api.servers import Behaviour, RawServer, waiting

TLS = ssl.create_default_context()
Ask = Callable[..., Reply]


@pytest.fixture(params=["directly", "by httpx"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    made = Wire(TLS, {"Authorization": "Bearer t"}, read_s=2)
    made._directly = request.param == "directly"
    yield made
    made.close()


def answering(status: int, body: bytes, *headers: str) -> Behaviour:
    lines = (f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", "")
    return lambda peer, _: peer.sendall("\r\n".join(lines).encode("latin-1") + body)


def asked(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    return line, {name.lower(): value for name, _, value in (each.partition(": ") for each in headers)}, body


def test_a_json_request_is_whole_on_the_wire(wire: Wire) -> None:
    with RawServer(answering(200, b'{"a": 1}', "X-Seen: yes")) as server:
        port = server.port
        reply = wire.send("POST", f"{server.url}/path?x=%20y&z", json={"name": "Zoë", "n": None})
    line, headers, body = asked(server.requests[0])
    assert line == "POST /path?x=%20y&z HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{port}"
    assert headers["authorization"] == "Bearer t"
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert int(headers["content-length"]) == len(body)
    assert json.loads(body) == {"name": "Zoë", "n": None}
    assert (reply.status, reply.json(), reply.headers["x-seen"]) == (200, {"a": 1}, "yes")


def test_a_body_that_comes_in_pieces_is_as_long_as_was_said(wire: Wire) -> None:
    with RawServer(answering(200, b"")) as server:
        headers = {"Content-Length": "6", "Content-Range": "bytes 0-5/6"}
        wire.send("PUT", f"{server.url}/s", headers=headers, content=iter([b"abc", b"def"]))
    _, headers, body = asked(server.requests[0])
    assert (headers["content-length"], body) == ("6", b"abcdef")
    assert "transfer-encoding" not in headers


@pytest.mark.parametrize("body", [[b"abc"], [b"abcdefgh"]])
def test_a_body_of_another_length_is_the_files_fault(wire: Wire, body: list[bytes]) -> None:
    with RawServer(answering(200, b"")) as server, pytest.raises(Superseded) as caught:
        wire.send("PUT", f"{server.url}/s", headers={"Content-Length": "6"}, content=iter(body))
    assert caught.value.code == Code.CHANGED


def test_what_the_body_raises_comes_through_and_the_connection_is_not_used_again(wire: Wire) -> None:
    def broken() -> Iterator[bytes]:
        yield b"abc"
        raise KeyError

    with RawServer(answering(200, b"later")) as server:
        with pytest.raises(KeyError):
            wire.send("PUT", f"{server.url}/s", headers={"Content-Length": "6"}, content=broken())
        assert wire.send("GET", f"{server.url}/t").body == b"later"


def test_an_answer_that_was_packed_all_the_same_is_unpacked(wire: Wire) -> None:
    with RawServer(answering(200, gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip")) as server:
        assert wire.send("GET", f"{server.url}/").json() == {"a": 1}


def test_repeated_headers_are_joined_and_names_are_in_lower_case(wire: Wire) -> None:
    with RawServer(answering(200, b"", "X-Goog-Hash: crc32c=AAAAAA==", "x-goog-hash: md5=BBBB")) as server:
        assert wire.send("GET", f"{server.url}/").headers["x-goog-hash"] == "crc32c=AAAAAA==, md5=BBBB"


def test_an_error_is_read_no_further_than_it_can_be_of_use(wire: Wire) -> None:
    with RawServer(answering(500, b"x" * (MAX_ERROR_BYTES + 100_000))) as server:
        assert len(wire.send("GET", f"{server.url}/").body) == MAX_ERROR_BYTES


def test_a_redirect_is_an_answer_like_any_other(wire: Wire) -> None:
    with RawServer(answering(302, b"", "Location: http://127.0.0.1:1/")) as server:
        assert wire.send("GET", f"{server.url}/").status == 302
    assert len(server.requests) == 1


def test_nobody_there_is_everybodys_trouble_and_a_break_is_not(wire: Wire) -> None:
    with pytest.raises(ApiDown):
        wire.send("GET", "http://127.0.0.1:1/")
    with RawServer(lambda peer, _: peer.close()) as server, pytest.raises(TryAgain) as caught:
        wire.send("GET", f"{server.url}/secret?upload_id=abc")
    assert caught.value.code == Code.NETWORK
    assert "abc" not in caught.value.message


def test_who_does_not_answer_is_not_waited_for(wire: Wire) -> None:
    with RawServer(waiting) as server, pytest.raises(TryAgain) as caught:
        wire.send("GET", f"{server.url}/")
    assert caught.value.code == Code.NETWORK


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999/", "http://a b/", "nonsense"])
def test_what_is_no_url_is_told_and_nothing_else_happens(wire: Wire, url: str) -> None:
    with pytest.raises(TryAgain):
        wire.send("GET", url)
