"""A connection that is kept, on the wire: when another request may follow on it, and when none must."""

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h11
import httpx
import pytest

from layerwatch.api import connection
from layerwatch.api.connection import Connection, Origin
from layerwatch.api.exchange import MOST_IDLE, Address, Exchange
from tests.api.servers import KeepingServer

WAITS_S = {"connect": 5.0, "read": 5.0, "write": 5.0}
MOST = 16 * 1024 * 1024, 64 * 1024
PLAIN = ssl.create_default_context()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nlate"
MIB = 1024 * 1024
New = Callable[..., Exchange]


@pytest.fixture
def new() -> Iterator[New]:
    """Makes an exchange, and closes it after the test."""
    made: list[Exchange] = []

    def exchange(tls: ssl.SSLContext = PLAIN, idle_s: float = 60.0, **waits_s: float) -> Exchange:
        made.append(Exchange(tls, WAITS_S | waits_s, idle_s))
        return made[-1]

    yield exchange
    for each in made:
        each.close()


def get(exchange: Exchange, server: KeepingServer, target: str = "/") -> tuple[int, bytes]:
    status, _, body = exchange.send("GET", Address(server.origin, "test", target), {}, MOST)
    return status, body


def put(exchange: Exchange, server: KeepingServer, parts: list[bytes]) -> tuple[int, bytes]:
    headers = {"Content-Length": str(sum(map(len, parts)))}
    status, _, body = exchange.send("PUT", Address(server.origin, "test", "/"), headers, MOST, iter(parts))
    return status, body


def saying(*answers: bytes) -> Callable[[socket.socket, bytes], None]:
    """Answers in turn, the last one for ever."""
    left = list(answers)
    return lambda peer, _: peer.sendall(left.pop(0) if len(left) > 1 else left[0])


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


# --- which connection -------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(new: New) -> None:
    with KeepingServer(saying(OK)) as server:
        exchange = new()
        assert [get(exchange, server, f"/{number}") for number in range(5)] == [(200, b"ok")] * 5
        exchange.close()
    assert server.connections == [1] * 5


def test_one_that_the_server_has_closed_is_replaced_before_anything_is_sent(new: New) -> None:
    def once(peer: socket.socket, _: bytes) -> None:
        peer.sendall(OK)
        peer.shutdown(socket.SHUT_RDWR)

    with KeepingServer(once) as server:
        exchange = new()
        for number in range(1, 4):
            assert get(exchange, server) == (200, b"ok")
            until(lambda number=number: number in server.gone, "the end of the connection")  # type: ignore[misc]
    assert server.connections == [1, 2, 3]


def test_one_on_which_the_server_spoke_unasked_is_not_used_again(new: New) -> None:
    peers: list[socket.socket] = []

    def answer(peer: socket.socket, _: bytes) -> None:
        peers.append(peer)
        peer.sendall(OK)

    with KeepingServer(answer) as server:
        exchange = new()
        assert get(exchange, server) == (200, b"ok")
        peers[0].sendall(LATE)
        assert get(exchange, server) == (200, b"ok")
        exchange.close()
    assert server.connections == [1, 2]


def test_what_comes_in_one_piece_with_an_answer_is_nobodys_answer(new: New) -> None:
    with KeepingServer(saying(OK + LATE, OK)) as server:
        exchange = new()
        assert [get(exchange, server), get(exchange, server)] == [(200, b"ok")] * 2
        exchange.close()
    assert server.connections == [1, 2]


def test_one_that_was_silent_for_too_long_is_not_used_again(new: New) -> None:
    with KeepingServer(saying(OK)) as server:
        impatient, patient = new(idle_s=0.2), new(idle_s=60.0)
        for exchange in (impatient, patient, impatient, patient):
            assert get(exchange, server) == (200, b"ok")
            time.sleep(0.3)
        impatient.close()
        patient.close()
    assert server.connections == [1, 2, 3, 2]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.0 200 OK\r\n\r\nok"]
)
def test_one_that_the_server_wants_closed_is_closed(new: New, answer: bytes) -> None:
    def say(peer: socket.socket, _: bytes) -> None:
        peer.sendall(answer)
        peer.shutdown(socket.SHUT_WR)

    with KeepingServer(say) as server:
        exchange = new()
        assert [get(exchange, server), get(exchange, server)] == [(200, b"ok")] * 2
    assert server.connections == [1, 2]


def test_an_answer_that_is_not_read_to_its_end_leaves_nothing_for_the_next(new: New) -> None:
    long = b"HTTP/1.1 500 No\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
    with KeepingServer(saying(long, OK)) as server:
        exchange = new()
        assert get(exchange, server) == (500, b"x" * MOST[1])
        assert get(exchange, server) == (200, b"ok")
        exchange.close()
    assert server.connections == [1, 2]


def test_only_the_servers_last_spoken_to_are_kept(new: New) -> None:
    servers = [KeepingServer(saying(OK)) for _ in range(MOST_IDLE + 1)]
    exchange = new()
    try:
        for server in servers:
            server.__enter__()
            get(exchange, server)
        until(lambda: servers[0].gone == {1}, "the end of the oldest")
        assert [server.gone for server in servers[1:]] == [set()] * MOST_IDLE
    finally:
        exchange.close()
        for server in servers:
            server.__exit__(None, None, None)


# --- one request ------------------------------------------------------------------------------------------------------


def test_informational_answers_are_no_answers(new: New) -> None:
    with KeepingServer(
        saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    ) as server:
        exchange = new()
        assert get(exchange, server) == (200, b"ok")
        exchange.close()


def test_who_refuses_before_all_is_sent_is_heard(new: New) -> None:
    """The rest is not read: the connection breaks under whoever still sends."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(Origin("http", *listener.getsockname()), "test", "/")

        def parts() -> Iterator[bytes]:
            yield b"x"
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(1000).startswith(b"PUT / HTTP/1.1")
                peer.sendall(refusal)
            for _ in range(64):
                yield b"x" * MIB

        exchange = new()
        status, _, body = exchange.send("PUT", address, {"Content-Length": str(64 * MIB + 1)}, MOST, parts())
    assert (status, body) == (403, b"no")


def test_the_first_bytes_of_a_body_leave_with_the_head(new: New) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(Origin("http", *listener.getsockname()), "test", "/")

        def parts() -> Iterator[bytes]:
            listener.settimeout(0.0)
            with pytest.raises(BlockingIOError):  # nobody has connected before there is something to send
                listener.accept()
            yield b"first"
            listener.settimeout(5.0)
            peer, _ = listener.accept()
            with peer:
                seen.append(peer.recv(1000))
                yield b"rest"
                seen.append(peer.recv(1000))
                peer.sendall(OK)

        new().send("PUT", address, {"Content-Length": "9"}, MOST, parts())
    assert seen[0].endswith(b"\r\n\r\nfirst")
    assert seen[1] == b"rest"


def test_who_takes_nothing_is_not_waited_for(new: New) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(Origin("http", *listener.getsockname()), "test", "/")
        parts = iter([b"x" * MIB] * 64)
        with pytest.raises(httpx.WriteTimeout):
            new(write=0.2).send("PUT", address, {"Content-Length": str(64 * MIB)}, MOST, parts)


def test_who_says_nothing_is_not_waited_for(new: New) -> None:
    def nothing(peer: socket.socket, _: bytes) -> None:
        select.select([peer], [], [], 5)

    with KeepingServer(nothing) as server, pytest.raises(httpx.ReadTimeout):
        get(new(read=0.2), server)


def test_a_header_that_cannot_be_sent_never_reaches_the_wire(new: New) -> None:
    with KeepingServer(saying(OK)) as server:
        with pytest.raises(httpx.LocalProtocolError):
            new().send("GET", Address(server.origin, "test", "/"), {"X-Name": "a\r\nX-More: b"}, MOST)
        assert server.requests == []


# --- encrypted --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody but the tests trusts, and its key."""
    place = tmp_path_factory.mktemp("tls")
    found = place / "certificate.pem", place / "key.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(found[1]))
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    subprocess.run(["openssl", "req", "-x509", *key, *names, "-out", str(found[0])], check=True, capture_output=True)
    return found


@pytest.fixture
def ours(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@pytest.fixture
def theirs(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_encrypted_requests_share_a_connection_and_large_ones_arrive_whole(
    new: New, ours: ssl.SSLContext, theirs: ssl.SSLContext
) -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n" + b"y" * 3 * MIB
    parts = [bytes([number]) * (MIB - number) for number in range(8)]

    def slowly(peer: socket.socket, _: bytes) -> None:
        time.sleep(0.05)  # so that the next large request finds nobody who takes it
        peer.sendall(large)

    with KeepingServer(slowly, tls=theirs) as server:
        exchange = new(ours)
        for _ in range(3):
            assert put(exchange, server, parts) == (200, b"y" * 3 * MIB)
        exchange.close()
    assert server.connections == [1, 1, 1]
    assert {request.partition(b"\r\n\r\n")[2] for _, request in server.requests} == {b"".join(parts)}


def test_what_tls_holds_already_is_read_without_waiting_for_more(
    new: New, ours: ssl.SSLContext, theirs: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READ_BYTES", 10)  # of one record
    with KeepingServer(saying(OK), tls=theirs) as server:
        exchange = new(ours)
        assert get(exchange, server) == (200, b"ok")
        exchange.close()


def test_an_encrypted_connection_that_was_closed_is_replaced(
    new: New, ours: ssl.SSLContext, theirs: ssl.SSLContext
) -> None:
    def once(peer: socket.socket, _: bytes) -> None:
        peer.sendall(OK)
        peer.shutdown(socket.SHUT_RDWR)

    with KeepingServer(once, tls=theirs) as server:
        exchange = new(ours)
        assert get(exchange, server) == (200, b"ok")
        until(lambda: server.gone == {1}, "the end of the connection")
        assert get(exchange, server) == (200, b"ok")
    assert server.connections == [1, 2]


def test_who_takes_nothing_of_what_is_encrypted_is_not_waited_for(
    new: New, ours: ssl.SSLContext, theirs: ssl.SSLContext
) -> None:
    given_up = threading.Event()

    def deaf() -> None:
        peer, _ = listener.accept()
        with theirs.wrap_socket(peer, server_side=True):
            given_up.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=deaf)
        thread.start()
        address = Address(Origin("https", *listener.getsockname()), "test", "/")
        try:
            with pytest.raises(httpx.WriteTimeout):
                new(ours, write=0.2).send(
                    "PUT", address, {"Content-Length": str(64 * MIB)}, MOST, iter([b"x" * MIB] * 64)
                )
        finally:
            given_up.set()
            thread.join()


def test_nothing_is_sent_to_a_server_that_nobody_vouches_for(new: New, theirs: ssl.SSLContext) -> None:
    with KeepingServer(saying(OK), tls=theirs) as server:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            get(new(), server)
        assert server.requests == []


def test_a_connection_is_at_rest_behind_a_whole_answer_and_not_after_a_fault() -> None:
    with KeepingServer(saying(OK)) as server:
        made = Connection(server.origin, PLAIN, WAITS_S)
        request = h11.Request(method="GET", target="/", headers=[("Host", "test")])
        made.ask(request, b"", iter(()), MOST)
        assert made.at_rest
        with pytest.raises(h11.LocalProtocolError):
            made.ask(request, b"a body that was not announced", iter(()), MOST)
        assert not made.at_rest
        made.close()
