"""What layerwatch is held against: the same work done by the plainest means. Run as processes of their own, so that
each has its own interpreter lock, as the daemon has.

`python -m tests.benchmarks.reference raw THREADS URL FOLDER`: a three-step httpx client and nothing else in it.
`python -m tests.benchmarks.reference onepass THREADS URL FOLDER`: the same, with a SHA-256 of what is streamed.
`python -m tests.benchmarks.reference twopass THREADS URL FOLDER`: the same, with the SHA-256 known before a byte is
sent, as it has to be where nothing is sent that is there already.
`python -m tests.benchmarks.reference socket THREADS URL FOLDER`: the three steps by a bare socket, as little as can be
done at all: what the machine allows.
Prints JSON: the seconds of processor time, without start-up and imports.
"""

import hashlib
import json
import os
import queue
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

BLOCK = 256 * 1024
ENOUGH = 65_536  # for any answer of the sink's, which are sent in one piece
PASSES = {"raw": 0, "onepass": 1, "twopass": 2}
HEAD = b"%s %s HTTP/1.1\r\nHost: sink\r\n%sContent-Length: %d\r\n\r\n"


def blocks(path: str, hashed: bool) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            if hashed:
                digest.update(block)
            yield block


def upload(client: httpx.Client, base: str, path: str, passes: int) -> None:
    """The three steps; `passes` as in `PASSES`."""
    size = os.stat(path).st_size
    asked = {"content_type": "image/png", "file_size_bytes": size, "file_name": os.path.basename(path)}
    grant = client.post(f"{base}/v1/workspaces/w/files/upload-url", json=asked).json()
    if passes > 1:  # here, and not before: the server's clock runs from the first request on
        for _ in blocks(path, hashed=True):
            pass
    headers = {"Content-Type": "image/png", "x-goog-resumable": "start", "Content-Length": "0"}
    session = client.post(grant["upload_url"], headers=headers).headers["location"]
    headers = {
        "Content-Type": "image/png",
        "Content-Range": f"bytes 0-{size - 1}/{size}",
        "Content-Length": str(size),
    }
    client.put(session, headers=headers, content=blocks(path, passes == 1)).raise_for_status()


def work(paths: "queue.SimpleQueue[str]", base: str, passes: int) -> None:
    with httpx.Client(timeout=60) as client:
        while path := taken(paths):
            upload(client, base, path, passes)


def taken(paths: "queue.SimpleQueue[str]") -> str:
    """The next one; empty when there is none."""
    try:
        return paths.get_nowait()
    except queue.Empty:
        return ""


def work_by_socket(paths: "queue.SimpleQueue[str]", base: str) -> None:
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while path := taken(paths):
            content = Path(path).read_bytes()
            asked = b'{"file_name": "%s"}' % os.path.basename(path).encode()
            line.sendall(HEAD % (b"POST", b"/v1/workspaces/w/files/upload-url", b"", len(asked)) + asked)
            url = json.loads(line.recv(ENOUGH).partition(b"\r\n\r\n")[2])["upload_url"].removeprefix(base).encode()
            line.sendall(HEAD % (b"POST", url, b"", 0))
            session = line.recv(ENOUGH).partition(b"Location: ")[2].partition(b"\r")[0].removeprefix(base.encode())
            whole = b"Content-Range: bytes 0-%d/%d\r\n" % (len(content) - 1, len(content))
            line.sendall(HEAD % (b"PUT", session, whole, len(content)) + content)
            assert line.recv(ENOUGH).startswith(b"HTTP/1.1 200")


def main() -> None:
    how, threads, base, folder = sys.argv[1:]
    paths: queue.SimpleQueue[str] = queue.SimpleQueue()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            paths.put(str(path))
    before = resource.getrusage(resource.RUSAGE_SELF)
    target = partial(work_by_socket, paths, base) if how == "socket" else partial(work, paths, base, PASSES[how])
    workers = [threading.Thread(target=target) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}))


if __name__ == "__main__":
    main()
