"""The three steps of an upload, one call each, every header open to being wrong; and one client that never is."""

from collections.abc import Mapping
from typing import Any

import httpx

from layerwatch.sandbox import Sandbox

QUANTUM = 256 * 1024


def picture(size: int, seed: int = 0) -> bytes:
    """`size` bytes that begin like a PNG; another seed, other bytes."""
    signature = b"\x89PNG\r\n\x1a\n"
    step = 97 + 2 * seed
    body = bytes(index * step % 251 for index in range(min(size, 4096)))
    return (signature + body * (size // max(len(body), 1) + 1))[:size]


class Steps:
    """A client for one sandbox, over real HTTP."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(trust_env=False, timeout=20, verify=False)  # no TLS here: loading CAs is slow
        self.workspace = f"/v1/workspaces/{sandbox.workspace_id}"

    def api(self, method: str, path: str, json: Any = None, token: str | None = None) -> httpx.Response:
        """A request to the API; `path` below the workspace."""
        headers = {"Authorization": f"Bearer {token or self.sandbox.token}"}
        return self.http.request(method, self.sandbox.base_url + self.workspace + path, json=json, headers=headers)

    def ticket(self, size: int, content_type: str = "image/png") -> dict[str, str]:
        """An upload URL's answer."""
        body = {"content_type": content_type, "file_size_bytes": size, "file_name": "a.png"}
        answer: dict[str, str] = self.api("POST", "/files/upload-url", body).raise_for_status().json()
        return answer

    def start(self, ticket: Mapping[str, str], method: str = "POST", **headers: str) -> httpx.Response:
        """The start; `headers` in snake_case replace or add."""
        right = {"x-goog-resumable": "start", "content-type": ticket["content_type"], "content-length": "0"}
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, ticket["upload_url"], headers=right | changed)

    def session(self, size: int, content_type: str = "image/png") -> str:
        """A session URI for a file of `size` bytes."""
        return self.start(self.ticket(size, content_type)).headers["location"]

    def put(
        self, uri: str, data: bytes, start: int, size: int, content_type: str = "image/png", **headers: str
    ) -> httpx.Response:
        """Bytes of an object of `size` from `start` on."""
        right = {"content-type": content_type, "content-range": f"bytes {start}-{start + len(data) - 1}/{size}"}
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.put(uri, content=data, headers=right | changed)

    def query(self, uri: str, size: int) -> httpx.Response:
        """How much is persisted?"""
        return self.http.put(uri, headers={"content-range": f"bytes */{size}", "content-length": "0"})

    def rules(self) -> list[str]:
        """The rules broken so far."""
        return [str(violation.rule) for violation in self.sandbox.violations]

    def upload(self, data: bytes, content_type: str = "image/png") -> str:
        """Upload without a fault in sight; the file_id."""
        ticket = self.ticket(len(data), content_type)
        uri = self.start(ticket).headers["location"]
        assert self.put(uri, data, 0, len(data), content_type).status_code == 200
        return ticket["file_id"]


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and error code of an API's refusal."""
    return answer.status_code, answer.json()["error"]["code"]


def next_byte(answer: httpx.Response) -> int:
    """The byte to go on at after a 308."""
    return int(answer.headers["range"].removeprefix("bytes=0-")) + 1 if "range" in answer.headers else 0


class Patient:
    """Uploads by the book whatever goes wrong: after a failure a query, for a session that is gone a new URL."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def upload(self, data: bytes, chunk: int) -> str:
        """The file_id, once the bytes are stored and the hash, if there was one, is right."""
        while True:
            ticket = self._patiently_ticket(len(data))
            started = self._try(lambda ticket=ticket: self.steps.start(ticket))
            if started and "location" in started.headers and self._send(started.headers["location"], data, chunk):
                stored = next(kept for kept in self.steps.sandbox.objects if kept.file_id == ticket["file_id"])
                if not stored.corrupt:
                    return ticket["file_id"]

    def _patiently_ticket(self, size: int) -> dict[str, str]:
        while True:
            try:
                return self.steps.ticket(size)
            except httpx.HTTPStatusError:
                continue

    def _try(self, call: Any) -> httpx.Response | None:
        try:
            answer: httpx.Response = call()
        except httpx.TransportError:
            return None
        return None if answer.status_code >= 500 else answer

    def _send(self, uri: str, data: bytes, chunk: int) -> bool:
        position = 0
        while True:
            piece = data[position : position + chunk]
            answer = self._try(lambda piece=piece, at=position: self.steps.put(uri, piece, at, len(data)))
            while answer is None or (answer.status_code == 308 and "range" not in answer.headers):
                answer = self._try(lambda: self.steps.query(uri, len(data)))
                if answer and answer.status_code == 308:
                    break
            if answer.status_code != 308:
                return answer.is_success
            sent, position = position + len(piece), next_byte(answer)
            if position > sent:
                return False
