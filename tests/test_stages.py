"""An attempt to upload a file that does not hold still: whatever leaves is of the version that was queued."""

import base64
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c
import pytest

from layerwatch import source
from layerwatch.api import Layer, Storage
from layerwatch.errors import Code, Superseded
from layerwatch.ledger import Job
from layerwatch.pacing import Bandwidth
from layerwatch.source import BLOCK
from layerwatch.stages import Ties, Tools, Uploaded, upload
from tests.api.servers import KeepingServer

MIB = 1024 * 1024
TLS = ssl.create_default_context()
OLD = b"\x01" * (3 * BLOCK)


def crc32c(body: bytes) -> str:
    return base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", "")).encode() + body


@dataclass
class World:
    """A file in a folder, and a server that is Layer and the storage in one."""

    root: Path
    path: Path
    tools: Tools
    server: KeepingServer
    job: Job

    def upload(
        self, *, saved: Callable[[], None] = lambda: None, sending: Callable[[], None] = lambda: None
    ) -> Uploaded:
        ties = Ties(save_session=lambda _: saved(), save_progress=lambda _: None, sending=lambda _: sending())
        return upload(self.job, str(self.root), self.tools, ties)

    def rewrite(self) -> None:
        """The same size; the time is set, so that it differs on whatever clock."""
        self.path.write_bytes(b"\x02" * len(OLD))
        os.utime(self.path, ns=(1, 1))

    def bodies(self, requests: int) -> list[bytes]:
        """What was PUT, once so many requests have come."""
        deadline = time.monotonic() + 10
        while len(self.server.requests) < requests:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return [request.partition(b"\r\n\r\n")[2] for _, request in self.server.requests if request.startswith(b"PUT")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    def answering(peer: socket.socket, request: bytes) -> None:
        if request.startswith(b"PUT"):
            body = request.partition(b"\r\n\r\n")[2]
            peer.sendall(answer("200 OK", f"x-goog-hash: crc32c={crc32c(body)}"))
        elif request.startswith(b"POST /start"):
            peer.sendall(answer("201 Created", f"Location: {url}/session"))
        else:
            peer.sendall(answer("200 OK", body=json.dumps({"file_id": "f", "upload_url": f"{url}/start"}).encode()))

    root = tmp_path.resolve()
    path = root / "a.png"
    path.write_bytes(OLD)
    with path.open("rb") as file:
        digest = source.digest(file.fileno(), len(OLD))
    assert digest
    identity = source.identity(path.stat())
    job = Job(1, "claim", "drop", str(path), identity, digest, "image/png", 0, 0, None, None, None)
    with KeepingServer(answering) as server:
        url = f"http://127.0.0.1:{server.origin.port}"
        layer, storage = Layer(url, "token", "w", TLS), Storage(TLS)
        tools = Tools(
            layer=layer,
            storage=storage,
            bandwidth=Bandwidth(None, threading.Lock()),
            chunk_size=8 * MIB,
            wall=lambda: 1_800_000_000.0,
            monotonic=lambda: 0.0,
            stopping=lambda: False,
            pause=lambda _: None,
        )
        yield World(root, path, tools, server, job)
        layer.close()
        storage.close()


def test_a_file_that_holds_still_is_sent_as_it_is(world: World) -> None:
    assert world.upload() == Uploaded("f", "crc32c")
    assert world.bodies(3) == [OLD]


def test_of_another_version_not_even_leave_is_asked(world: World) -> None:
    world.rewrite()
    with pytest.raises(Superseded) as caught:
        world.upload()
    assert caught.value.code is Code.CHANGED
    assert world.server.requests == []


def test_changed_after_its_session_was_saved_nothing_of_it_leaves(world: World) -> None:
    with pytest.raises(Superseded) as caught:
        world.upload(saved=world.rewrite)
    assert caught.value.code is Code.CHANGED
    assert world.bodies(2) == []


def test_changed_between_two_blocks_only_the_first_has_left(world: World) -> None:
    with pytest.raises(Superseded) as caught:
        world.upload(sending=world.rewrite)
    assert caught.value.code is Code.CHANGED
    assert world.bodies(3) == [OLD[:BLOCK]]


def of_another_host(world: World, content: bytes) -> None:
    """The same path, size and time by another inode, as a host sees a share where that tells nothing."""
    times = world.path.stat()
    beside = world.path.with_name("beside")
    beside.write_bytes(content)
    os.utime(beside, ns=(times.st_atime_ns, times.st_mtime_ns))
    beside.rename(world.path)


def test_what_another_host_has_found_may_have_another_inode_here(world: World) -> None:
    of_another_host(world, OLD)
    with pytest.raises(Superseded):
        world.upload()
    world.tools = replace(world.tools, shared=True)
    assert world.upload() == Uploaded("f", "crc32c")


def test_but_not_another_content_or_time(world: World) -> None:
    world.tools = replace(world.tools, shared=True)
    of_another_host(world, b"\x02" * len(OLD))
    with pytest.raises(Superseded) as refused:
        world.upload()
    assert refused.value.code is Code.CHANGED
    assert "another host" in refused.value.message
    world.rewrite()
    world.server.requests.clear()
    with pytest.raises(Superseded):
        world.upload()
    assert not world.server.requests
