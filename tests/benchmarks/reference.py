"""What layerwatch is held against: the same work done by the plainest means. Run as processes of their own, so that
each has its own interpreter lock, as the daemon has.

`python -m tests.benchmarks.reference raw THREADS URL FOLDER`: a three-step httpx client and nothing else in it.
`python -m tests.benchmarks.reference onepass THREADS URL FOLDER`: the same, with a SHA-256 of what is streamed.
Prints JSON: the seconds of processor time, without start-up and imports.
"""

import hashlib
import json
import os
import queue
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

BLOCK = 256 * 1024


def blocks(path: str, hashed: bool) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            if hashed:
                digest.update(block)
            yield block


def upload(client: httpx.Client, base: str, path: str, *, hashed: bool) -> None:
    """The three steps."""
    size = os.stat(path).st_size
    asked = {"content_type": "image/png", "file_size_bytes": size, "file_name": os.path.basename(path)}
    grant = client.post(f"{base}/v1/workspaces/w/files/upload-url", json=asked).json()
    headers = {"Content-Type": "image/png", "x-goog-resumable": "start", "Content-Length": "0"}
    session = client.post(grant["upload_url"], headers=headers).headers["location"]
    headers = {
        "Content-Type": "image/png",
        "Content-Range": f"bytes 0-{size - 1}/{size}",
        "Content-Length": str(size),
    }
    client.put(session, headers=headers, content=blocks(path, hashed)).raise_for_status()


def work(paths: "queue.SimpleQueue[str]", base: str, hashed: bool) -> None:
    with httpx.Client(timeout=60) as client:
        while True:
            try:
                path = paths.get_nowait()
            except queue.Empty:
                return
            upload(client, base, path, hashed=hashed)


def main() -> None:
    how, threads, base, folder = sys.argv[1:]
    paths: queue.SimpleQueue[str] = queue.SimpleQueue()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            paths.put(str(path))
    before = resource.getrusage(resource.RUSAGE_SELF)
    workers = [threading.Thread(target=work, args=(paths, base, how == "onepass")) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}))


if __name__ == "__main__":
    main()
