"""Result files: streamed, whole or not at all, never with a token, never from an encrypted place to a plain one."""

import hashlib
import re
import ssl
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from layerwatch.api import Assets, Layer, Progress
from layerwatch.errors import ApiDown, Code, Final, JobError, NewUrl, TryAgain
from layerwatch.sandbox import Faults, Sandbox, catalogue
from tests.api.conftest import Connect
from tests.api.servers import RawServer, saying, silent, text, unused_port, waiting

MODEL = catalogue.MODELS[0]["model_id"]
BLOCK = 256 * 1024
BODY = {"prompt": "oil", "batch_size": 1}


def result(sandbox: Sandbox, layer: Layer, model: str = MODEL, **faults: object) -> str:
    """The URL of a result; `faults` are those to fetch it under."""
    sandbox.faults = Faults(slow_s=0)
    accepted = layer.submit("inference", model, BODY)
    done = layer.follow("inference", model, accepted.remote_id)
    assert done.progress is Progress.COMPLETE
    sandbox.faults = Faults(**faults)  # type: ignore[arg-type]
    return done.assets[0].url


def fetched(assets: Assets, url: str) -> bytes:
    with assets.open(url) as (_, length, blocks):
        parts = list(blocks)
    data = b"".join(parts)
    assert all(0 < len(part) <= BLOCK for part in parts)
    assert length in (None, len(data))
    return data


def failing(assets: Assets, url: str) -> JobError:
    with pytest.raises(JobError) as raised:
        fetched(assets, url)
    return raised.value


# --- what is fetched --------------------------------------------------------------------------------------------------


def test_a_result(sandbox: Sandbox, layer: Layer, assets: Assets) -> None:
    with assets.open(result(sandbox, layer)) as download:
        data = b"".join(download.blocks)
        assert (download.content_type, download.length) == ("image/png", len(data))
    assert data.startswith(b"\x89PNG")
    assert not sandbox.violations


@pytest.mark.parametrize(("number", "content_type"), [(2, "video/mp4"), (3, "audio/wav")])
def test_a_result_is_of_the_kind_that_the_model_makes(
    sandbox: Sandbox, layer: Layer, assets: Assets, number: int, content_type: str
) -> None:
    with assets.open(result(sandbox, layer, catalogue.MODELS[number]["model_id"])) as download:
        assert download.content_type == content_type
        assert b"".join(download.blocks)


def test_behind_a_redirect(sandbox: Sandbox, layer: Layer, assets: Assets) -> None:
    url = result(sandbox, layer, asset_redirect=True)
    assert fetched(assets, url).startswith(b"\x89PNG")
    assert sandbox.counters["asset"] == 2
    assert not sandbox.violations


@pytest.mark.parametrize("size", [1, 50, 400, 1000, BLOCK, BLOCK + 5, 3 * BLOCK + 400, 5_000_003])
def test_a_result_of_any_size(sandbox: Sandbox, layer: Layer, assets: Assets, tmp_path: Path, size: int) -> None:
    data = fetched(assets, result(sandbox, layer, asset_bytes=size, asset_name='../"ä.png'))
    assert len(data) == size
    if size > 1000:
        (tmp_path / "a.png").write_bytes(data)
        with (tmp_path / "a.png").open("rb") as stream:
            assert stream.read(8) == b"\x89PNG\r\n\x1a\n"
        assert chunks_are_right(data)


def chunks_are_right(data: bytes) -> bool:
    """Every chunk of the PNG has its checksum, and the last is its end."""
    at, name = 8, b""
    while name != b"IEND":
        length = int.from_bytes(data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 4 : at + 8 + length]
        if int.from_bytes(data[at + 8 + length : at + 12 + length]) != zlib.crc32(body):
            return False
        at += 12 + length
    return True


CHILD = """
import resource, sys
from layerwatch.api import Assets, tls_context

assets, total = Assets(tls_context()), 0
with assets.open(sys.argv[1]) as (_, length, blocks):
    first = next(blocks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = len(first) + sum(map(len, blocks))
assert total == length
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_result_is_never_in_memory(sandbox: Sandbox, layer: Layer) -> None:
    url = result(sandbox, layer, asset_bytes=200e6)
    done = subprocess.run([sys.executable, "-c", CHILD, url], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    total, grown_kib = map(int, done.stdout.split())
    assert total == 200_000_000
    assert grown_kib < 8 * 1024


def full(_: bytes) -> None:
    raise OSError("disk full")


def test_what_the_reader_raises_comes_through_and_the_next_file_is_fetched(
    sandbox: Sandbox, layer: Layer, assets: Assets
) -> None:
    url = result(sandbox, layer, asset_bytes=5e6)
    with pytest.raises(OSError, match="disk full"), assets.open(url) as download:
        full(next(download.blocks))
    with assets.open(url) as download:
        next(download.blocks)  # and no more of it is wanted
    assert len(fetched(assets, url)) == 5_000_000


def test_compressed_files_are_what_they_are_when_unpacked(assets: Assets) -> None:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"a result") + packer.flush()
    with RawServer(lambda peer, _: peer.sendall(text(200, packed, "Content-Encoding: gzip"))) as server:
        with assets.open(server.url) as download:
            assert (download.length, b"".join(download.blocks)) == (None, b"a result")
        assert b"accept-encoding: identity" in server.requests[0].lower()
    with RawServer(lambda peer, _: peer.sendall(text(200, packed, "Content-Encoding: br"))) as server:
        assert isinstance(failing(assets, server.url), Final)


def test_no_token_is_sent(assets: Assets, connect: Connect) -> None:
    with RawServer(saying(200, {})) as server:
        fetched(assets, server.url)
        assert b"authorization" not in server.requests[0].lower()


# --- what is not ------------------------------------------------------------------------------------------------------


def test_a_url_that_is_not_found_asks_for_a_fresh_one(sandbox: Sandbox, layer: Layer, assets: Assets) -> None:
    url = result(sandbox, layer, asset_404=1.0)
    error = failing(assets, url)
    assert (type(error), error.code) == (NewUrl, Code.EXPIRED)
    sandbox.faults = Faults()
    assert isinstance(failing(assets, url + "0"), NewUrl), "403: not as it was signed"
    fetched(assets, url)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (202, b"", TryAgain),
        (204, b"", TryAgain),
        (400, b"<Error><Code>ExpiredToken</Code></Error>", NewUrl),
        (400, b"<Error><Code>InvalidArgument</Code></Error>", Final),
        (401, b"", NewUrl),
        (403, b"", NewUrl),
        (404, b"", NewUrl),
        (405, b"", Final),
        (408, b"", TryAgain),
        (410, b"", NewUrl),
        (429, b"", TryAgain),
        (451, b"", Final),
        (302, b"", Final),  # without saying where to
        (500, b"", TryAgain),
        (503, b"", TryAgain),
    ],
)
def test_what_an_answer_without_the_file_means(assets: Assets, status: int, body: bytes, kind: type[JobError]) -> None:
    with RawServer(lambda peer, _: peer.sendall(text(status, body, "Retry-After: 9"))) as server:
        error = failing(assets, server.url + "/a.png?sig=secret")
    assert type(error) is kind
    assert "secret" not in error.message
    if isinstance(error, TryAgain):
        assert error.after_s == 9.0


@pytest.mark.parametrize("size", [None, 5e6])
def test_a_file_that_breaks_off(sandbox: Sandbox, layer: Layer, assets: Assets, size: float | None) -> None:
    error = failing(assets, result(sandbox, layer, asset_short=1.0, asset_bytes=size))
    assert (type(error), error.code) == (TryAgain, Code.NETWORK)
    assert sandbox.counters["fault_asset_short"] == 1


def test_nobody_there_does_not_stop_everybody(assets: Assets) -> None:
    error = failing(assets, f"http://127.0.0.1:{unused_port()}/a.png")
    assert (type(error), error.code) == (TryAgain, Code.NETWORK)
    assert not isinstance(error, ApiDown)


def test_a_server_that_says_nothing(tls: ssl.SSLContext) -> None:
    assets = Assets(tls, read_s=0.2)
    for behave in (silent, waiting):
        with RawServer(behave) as server:
            assert type(failing(assets, server.url)) is TryAgain
    assets.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.invalid/b", "", "data:text/plain,x"])
def test_only_http(assets: Assets, url: str) -> None:
    assert isinstance(failing(assets, url), Final)


# --- redirects --------------------------------------------------------------------------------------------------------


def sent_to(location: str, status: int = 302) -> RawServer:
    return RawServer(lambda peer, _: peer.sendall(text(status, b"", f"Location: {location}")))


def test_a_circle_is_left_after_five(assets: Assets) -> None:
    with sent_to("/again") as server:
        assert "more than 5 times" in failing(assets, server.url).message
        assert len(server.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_is_followed(sandbox: Sandbox, layer: Layer, assets: Assets, status: int) -> None:
    with sent_to(result(sandbox, layer), status) as server:
        assert hashlib.sha256(fetched(assets, server.url)).digest()


@pytest.mark.parametrize("location", ["ftp://a.invalid/b", "file:///etc/passwd"])
def test_a_redirect_to_what_is_not_http(assets: Assets, location: str) -> None:
    with sent_to(location) as server:
        assert isinstance(failing(assets, server.url), Final)


def test_a_redirect_to_nonsense_is_refused(assets: Assets) -> None:
    with sent_to("http://[::1") as server:
        assert isinstance(failing(assets, server.url), Final | TryAgain)


def test_from_encrypted_to_plain_is_refused(tmp_path: Path) -> None:
    from layerwatch.api.assets import _redirected
    from layerwatch.api.wire import Reply

    def target(url: str, location: str) -> str:
        return _redirected(url, Reply(302, {"location": location}, b""))

    with pytest.raises(Final, match=re.escape("redirects to b.invalid without encryption")):
        target("https://a.invalid/x?sig=1", "http://b.invalid/y")
    with pytest.raises(Final):
        target("https://127.0.0.1/x", "http://b.invalid/y")
    with pytest.raises(Final):
        target("https://a.invalid/x", "http://localhost/y")
    assert target("https://127.0.0.1:1/x", "http://localhost:2/y") == "http://localhost:2/y"
    assert target("https://a.invalid/x/y", "z?s=1") == "https://a.invalid/x/z?s=1"
    assert target("http://a.invalid/x", "https://b.invalid/y") == "https://b.invalid/y"
