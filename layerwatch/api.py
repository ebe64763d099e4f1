"""Layer's API and its storage over HTTP: the only room that knows httpx.

Status codes and transport faults become our errors here. The Layer token goes to Layer and nowhere else; the storage
gets only what was signed. One `Layer` and one `Storage` per thread (a shared pool, once exhausted, may never
recover).
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import httpx

from layerwatch import __version__, faults
from layerwatch.errors import Code, JobError, TryAgain
from layerwatch.redact import redact
from layerwatch.resumable import LIFE_S, Answer, retry_after_s

TIMEOUT = httpx.Timeout(connect=10, read=60, write=30, pool=10)
MAX_FAULTS = 3


@dataclass(frozen=True, slots=True)
class Workspace:
    """`GET /v1/workspaces/{id}`; the balance is in Creative Units, where the API tells it."""

    workspace_id: str
    name: str
    available: float | None


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to upload one file. `url` is a secret that lives `life_s` seconds from its issue."""

    file_id: str
    url: str
    content_type: str
    life_s: float


def tls_context() -> ssl.SSLContext:
    """One for all threads: making it costs more than all the rest of a client."""
    return ssl.create_default_context()


class _Wire:
    """An httpx client that is thrown away when it seems to be poisoned, and whose faults are ours."""

    def __init__(self, tls: ssl.SSLContext, headers: Mapping[str, str]) -> None:
        self._tls = tls
        self._headers = {"User-Agent": f"layerwatch/{__version__}", **headers}
        self._client: httpx.Client | None = None
        self._faults = 0

    def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        """One request, its whole answer. Raises `ApiDown` when nobody is there, `TryAgain` when it broke on the way."""
        try:
            response = self._open().request(method, url, **request)
        except h11.LocalProtocolError as error:
            # Not an httpx error: the body was not as long as was announced.
            self.close()
            raise faults.BODY_CHANGED.error(str(error)) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._fault()
            raise faults.UNREACHABLE.error(f"cannot connect to {_host(url)}: {redact(str(error))}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._fault(poisoned=isinstance(error, httpx.PoolTimeout))
            said = redact(str(error)) or type(error).__name__
            raise faults.BROKEN.error(f"the connection to {_host(url)} broke: {said}") from None
        except BaseException:
            self.close()  # raised by the body, in the middle of the request: the connection is of no use any more
            raise
        self._faults = 0
        return response

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                verify=self._tls, headers=self._headers, timeout=TIMEOUT, follow_redirects=False
            )
        return self._client

    def _fault(self, *, poisoned: bool = False) -> None:
        self._faults += 1
        if poisoned or self._faults >= MAX_FAULTS:
            self.close()
            self._faults = 0


class Layer:
    """The Layer API, for one workspace. Every call raises `JobError`s; `ApiDown` where it is nobody's file's fault."""

    def __init__(self, base_url: str, token: str, workspace_id: str, tls: ssl.SSLContext) -> None:
        self.workspace_id = workspace_id
        self._root = f"{base_url}/v1/workspaces/{workspace_id}"
        self._wire = _Wire(tls, {"Authorization": f"Bearer {token}", "Accept": "application/json"})

    def close(self) -> None:
        self._wire.close()

    def workspace(self) -> Workspace:
        """The workspace itself: tells whether the token is good, and good for it."""
        body = self._call("GET", "")
        available = body.get("available_creative_units")
        return Workspace(
            workspace_id=str(body.get("workspace_id") or self.workspace_id),
            name=str(body.get("name") or body.get("slug") or ""),
            available=float(available) if isinstance(available, int | float) else None,
        )

    def upload_url(self, content_type: str, size_bytes: int, file_name: str | None) -> Grant:
        """Leave to upload a file of this type and size."""
        request = {"content_type": content_type, "file_size_bytes": size_bytes, "file_name": file_name}
        body = self._call("POST", "/files/upload-url", json=request)
        file_id, url = body.get("file_id"), body.get("upload_url")
        if not (
            isinstance(file_id, str) and isinstance(url, str) and file_id and url.startswith(("http://", "https://"))
        ):
            raise TryAgain(Code.SERVER, "the API granted an upload without saying where to or as which file")
        return Grant(file_id, url, str(body.get("content_type") or content_type), _life_s(url))

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._wire.send(method, self._root + path, **request)
        body = _json(response)
        if response.is_success and isinstance(body, dict):
            return body
        raise _refusal(response, body)


class Storage:
    """The storage behind the signed URLs. Says what it answered; `resumable` decides what that means."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._wire = _Wire(tls, {})

    def close(self) -> None:
        self._wire.close()

    def start(self, url: str, content_type: str) -> Answer:
        """Open a session: exactly the signed headers, nothing else that counts."""
        return self._send("POST", url, {"Content-Type": content_type, "x-goog-resumable": "start"}, 0, None)

    def query(self, uri: str, content_range: str) -> Answer:
        """Ask how much the session holds."""
        return self._send("PUT", uri, {"Content-Range": content_range}, 0, None)

    def put(self, uri: str, content_type: str, content_range: str, length: int, body: Iterator[bytes]) -> Answer:
        """Send `length` bytes, as they come out of `body`; what `body` raises comes through."""
        return self._send("PUT", uri, {"Content-Type": content_type, "Content-Range": content_range}, length, body)

    def _send(
        self, method: str, url: str, headers: dict[str, str], length: int, body: Iterator[bytes] | None
    ) -> Answer:
        headers["Content-Length"] = str(length)
        response = self._wire.send(method, url, headers=headers, content=body)
        return Answer(response.status_code, dict(response.headers), response.text[:2000])


# --- what an answer means ---------------------------------------------------------------------------------------------


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _refusal(response: httpx.Response, body: object) -> JobError:
    """The error that an answer of Layer's API is, where it is not what was asked for."""
    status, wait_s = response.status_code, retry_after_s(response.headers)
    said = f"the API answered {status}{_message(body)}"
    if body is None:
        said += f" with {response.headers.get('content-type', 'nothing').partition(';')[0]} instead of JSON"
    return faults.layer(status, is_json=body is not None).error(said, wait_s)


def _message(body: object) -> str:
    """What an error body says for itself: `{"error": {"code", "message"}}` or the same without the envelope."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error", body)
    if not isinstance(inner, dict):
        inner = {"message": inner}
    parts = [str(inner[key]) for key in ("code", "message", "detail") if inner.get(key)]
    return f" ({redact(': '.join(parts))[:300]})" if parts else ""


def _life_s(url: str) -> float:
    """How long the signed URL says that it lives, at most the 15 minutes that Layer allows."""
    stated = parse_qs(urlsplit(url).query).get("X-Goog-Expires", [""])[0]
    return float(min(int(stated), LIFE_S)) if stated.isdecimal() else float(LIFE_S)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return parts.hostname + (f":{parts.port}" if parts.port else "") if parts.hostname else "the server"
    except ValueError:
        return "the server"
