"""Who is answered, by the name they ask under and the token that they know."""

import base64
import os
import socket

import httpx
import pytest

from layerwatch.ledger import Ledger
from tests.web.conftest import Site, client_of, serving
from tests.web.wire import exchange, get, status

OWN = os.uname().nodename
TOKEN = "pässwörd with: colon"
PATHS = ("/", "/healthz", "/metrics", "/static/page.css", "/media/file/1", "/nothing", "/favicon.ico")


OURS = (
    "localhost", "LOCALHOST:9753", "127.0.0.1", "127.0.0.1:1", "192.168.7.9:80", "[::1]", "[::1]:9753", "[fe80::1]:80",
    OWN, OWN.upper(), OWN.partition(".")[0], f"{OWN}:9753", f"{OWN}.", "render-3.studio.lan", "Render-3.Studio.LAN:80",
)  # fmt: skip
OTHERS = (
    "evil.example", "evil.example:9753", "localhost.evil.example", f"{OWN}.evil.example", "127.0.0.1.evil.example",
    "render-3", "studio.lan", "localhost:80:80", "[::1", "[evil.example]", "0x7f.1", "", "user@localhost", "local host",
)  # fmt: skip


def test_names_that_are_ours_are_answered_to_and_no_others(site: Site, ledger: Ledger) -> None:
    with serving(site, hosts=("render-3.studio.lan",)) as server:
        found = {
            host: status(exchange(server, get("/healthz", f"Host: {host}", "Connection: close", host="")))
            for host in (*OURS, *OTHERS)
        }
    assert found == dict.fromkeys(OURS, 200) | dict.fromkeys(OTHERS, 421)


def test_the_answer_to_another_name_says_how_to_add_it_and_nothing_else(site: Site, ledger: Ledger) -> None:
    with serving(site) as server, client_of(server) as client:
        answer = client.get("/healthz", headers={"Host": "evil.example"})
    assert answer.text.startswith("layerwatch is not known as evil.example: ")
    assert "http.hosts" in answer.text
    assert "healthy" not in answer.text


def test_a_name_is_shown_without_what_it_does_to_a_terminal(site: Site, ledger: Ledger) -> None:
    with serving(site) as server:
        answer = exchange(server, get("/", "Host: evil\x1b[2J" + "x" * 4000, "Connection: close", host=""))
    assert status(answer) == 421
    assert b"\x1b" not in answer
    assert len(answer) < 2000


@pytest.mark.parametrize("hosts", [(), ("Host: localhost", "Host: evil.example")])
def test_no_name_or_several_are_a_bad_request(site: Site, ledger: Ledger, hosts: tuple[str, ...]) -> None:
    with serving(site) as server:
        assert status(exchange(server, get("/", *hosts, "Connection: close", host=""))) == 400


def test_health_checks_that_speak_http_1_0_need_no_name_but_a_wrong_one_is_wrong(site: Site, ledger: Ledger) -> None:
    with serving(site) as server:
        assert status(exchange(server, get("/healthz", version="1.0", host=""))) == 200
        assert status(exchange(server, get("/healthz", version="1.0", host="evil.example"))) == 421


def test_the_configured_name_is_ours(site: Site, ledger: Ledger) -> None:
    name = socket.getfqdn("127.0.0.1") or "localhost"
    with serving(site, host=name) as server:
        assert status(exchange(server, get(host=name) + get("/x", "Connection: close"))) == 200


# --- the token --------------------------------------------------------------------------------------------------------


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


WRONG = (
    "", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Token {TOKEN}", TOKEN, "Basic", "Basic !!!", "Basic eA==",
    basic("layer", ""), basic("layer", "wrong"), basic(TOKEN, ""), basic(TOKEN, "x"),
    "Basic " + base64.b64encode(TOKEN.encode()).decode(),
)  # fmt: skip


def test_without_the_token_nothing_is_answered(site: Site, ledger: Ledger) -> None:
    with serving(site, token=TOKEN) as server, client_of(server) as client:
        for path in PATHS:
            answers = [client.get(path), *(client.get(path, headers=[(b"Authorization", it.encode())]) for it in WRONG)]
            assert {answer.status_code for answer in answers} == {401}
            asked_for = {answer.headers["www-authenticate"] for answer in answers}
            assert asked_for == {'Basic realm="layerwatch", charset="UTF-8"'}
            assert len({answer.content for answer in answers}) == 1
            assert TOKEN not in answers[0].text


@pytest.mark.parametrize(
    "given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("layer", TOKEN), basic("", TOKEN), basic("ü", TOKEN)]
)
def test_with_it_everything_is(site: Site, ledger: Ledger, given: str) -> None:
    with serving(site, token=TOKEN) as server, client_of(server, headers={"Authorization": given.encode()}) as client:
        found = {path: client.get(path).status_code for path in PATHS}
    assert found == dict.fromkeys(PATHS, 200) | {"/media/file/1": 404, "/nothing": 404}


def test_the_name_counts_before_the_token_and_the_token_before_the_method(site: Site, ledger: Ledger) -> None:
    with serving(site, token=TOKEN) as server, client_of(server) as client:
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
        assert client.get("/").status_code == 401


def test_another_token_and_other_names_count_from_the_next_request_on(site: Site, ledger: Ledger) -> None:
    with serving(site, token="before", hosts=("old.lan",)) as server, client_of(server) as client:
        old, new = {"Authorization": "Bearer before"}, {"Authorization": "Bearer after"}
        assert client.get("/", headers=old | {"Host": "old.lan"}).status_code == 200
        server.admit("after", ("new.lan",))
        assert client.get("/", headers=old).status_code == 401
        assert client.get("/", headers=new | {"Host": "new.lan"}).status_code == 200
        assert client.get("/", headers=new | {"Host": "old.lan"}).status_code == 421
        server.admit(None, ())
        assert client.get("/").status_code == 200


def test_no_page_of_another_site_may_read_an_answer(client: httpx.Client) -> None:
    answer = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert [name for name in answer.headers if name.startswith("access-control")] == []
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
