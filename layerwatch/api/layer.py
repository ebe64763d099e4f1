"""The Layer API, for one workspace. Never touches the bytes of an upload or of a result: those are the storage's."""

import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from layerwatch import faults
from layerwatch.api import answers
from layerwatch.api.answers import Accepted, Estimate, Kind, Remote
from layerwatch.api.paid import post_once
from layerwatch.api.refusals import estimate_refusal, follow_refusal, is_unknown, refusal, said, submit_refusal
from layerwatch.api.wire import READ_S, Reply, Wire
from layerwatch.errors import Code, Final, JobError, TryAgain
from layerwatch.resumable import LIFE_S

PAGE_LIMIT = 100  # the API's own
MAX_PAGES = 1000
_EXPIRES = re.compile(r"[?&]X-Goog-Expires=(\d{1,18})(?![^&#])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workspace:
    """`GET /v1/workspaces/{id}`; the balance is in Creative Units, where the API tells it. `server_time` is when it
    answered, in whole unix seconds by its own clock, if it says so."""

    workspace_id: str
    name: str
    available: float | None
    server_time: float | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to upload one file. `url` is a secret that lives `life_s` seconds from its issue."""

    file_id: str
    url: str
    content_type: str
    life_s: float


class Layer:
    """The Layer API, for one workspace. Every call raises `JobError`s; `ApiDown` where it is nobody's file's fault.

    `read_s` is how long an answer may keep us waiting.
    """

    def __init__(
        self, base_url: str, token: str, workspace_id: str, tls: ssl.SSLContext, *, read_s: float = READ_S
    ) -> None:
        self.workspace_id = workspace_id
        self._root = f"{base_url}/v1/workspaces/{workspace_id}"
        self._tls, self._read_s = tls, read_s
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._wire = Wire(tls, self._headers, read_s=read_s)

    def close(self) -> None:
        self._wire.close()

    # --- the workspace, uploads ---------------------------------------------------------------------------------------

    def workspace(self) -> Workspace:
        """The workspace itself: tells whether the token is good, and good for it."""
        reply = self._wire.send("GET", self._root)
        body = _object(reply)
        available = body.get("available_creative_units")
        return Workspace(
            workspace_id=str(body.get("workspace_id") or self.workspace_id),
            name=str(body.get("name") or body.get("slug") or ""),
            available=float(available) if isinstance(available, int | float) else None,
            server_time=_server_time(reply.headers),
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

    # --- models and workflows -----------------------------------------------------------------------------------------

    def model(self, model_id: str) -> dict[str, Any] | None:
        """What the API tells of a model, with the names of its inputs; None if there is no such model."""
        reply = self._wire.send("GET", f"{self._root}/models/{_part(model_id, 'model_id')}")
        if is_unknown(reply):
            return None
        body = _object(reply)
        inner = body.get("model")
        return inner if isinstance(inner, dict) and "model_id" not in body else body

    def workflow(self, workflow_id: str) -> dict[str, Any] | None:
        """What the list of workflows tells of one, with its inputs; None if it is not in there."""
        query = {"limit": str(PAGE_LIMIT)}
        for _ in range(MAX_PAGES):
            body = self._call("GET", "/workflows", params=query)
            if found := _entry(body.get("workflows"), workflow_id):
                return found
            cursor = _next_cursor(body)
            if cursor is None:
                return None
            if cursor == query.get("cursor"):
                break
            query["cursor"] = cursor
        raise TryAgain(Code.SERVER, "the API's list of workflows has no end")

    # --- generations --------------------------------------------------------------------------------------------------

    def estimate(self, kind: str, target_id: str, body: Mapping[str, Any]) -> Estimate:
        """What a generation would cost; all None where the API has no estimates."""
        url, content = self._posts(kind, target_id) + "/estimate", _content(kind, target_id, body)
        reply = self._wire.send("POST", url, content=content, headers={"Content-Type": "application/json"})
        if reply.status in faults.NO_ESTIMATES:
            return Estimate(None, None, None)
        if reply.status == 402:
            return Estimate(None, None, sufficient=False)
        return answers.estimate(_object(reply, estimate_refusal))

    def submit(self, kind: str, target_id: str, body: Mapping[str, Any]) -> Accepted:
        """Start a generation. THE PAID POST: raises `Lost` where it may have been started without our knowing."""
        url, content = self._posts(kind, target_id), _content(kind, target_id, body)
        reply = post_once(url, content, self._tls, self._headers, self._read_s)
        if not reply.ok:
            raise submit_refusal(reply)
        if accepted := answers.accepted(Kind(kind), reply.json()):
            return accepted
        raise faults.SUBMIT_UNCLEAR.error(said(reply))

    def follow(self, kind: str, target_id: str, remote_id: str) -> Remote:
        """How a generation stands."""
        reply = self._wire.send("GET", f"{self._posts(kind, target_id)}/{_part(remote_id, 'generation id')}")
        if is_unknown(reply):
            raise faults.FOLLOW_UNKNOWN.error(said(reply) if reply.body else f"the API answered {reply.status}")
        return answers.remote(Kind(kind), _object(reply, follow_refusal))

    # --- how it is asked ----------------------------------------------------------------------------------------------

    def _posts(self, kind: str, target_id: str) -> str:
        if Kind(kind) is Kind.INFERENCE:
            return f"{self._root}/inferences"
        return f"{self._root}/workflows/{_part(target_id, 'workflow_id')}/runs"

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return _object(self._wire.send(method, self._root + path, **request))


def _object(reply: Reply, refused: Callable[[Reply], JobError] = refusal) -> dict[str, Any]:
    body = reply.json()
    if reply.ok and isinstance(body, dict):
        return body
    raise refused(reply)


def _part(text: str, what: str) -> str:
    """An id as a part of a path. Refused if it is none: users type them, and a slash would lead elsewhere."""
    if not answers.usable_id(text):
        raise Final(Code.REJECTED, f"{text[:60]!r} cannot be a {what}")
    return quote(text, safe="")


def _content(kind: str, target_id: str, body: Mapping[str, Any]) -> bytes:
    """The body to send. Made before anything is sent: what cannot be sent at all was not lost."""
    named = {"model_id": target_id} if Kind(kind) is Kind.INFERENCE else {}
    try:
        return json.dumps({**named, **body}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Final(Code.REJECTED, f"the parameters cannot be written as JSON: {error}") from None


def _entry(listed: object, workflow_id: str) -> dict[str, Any] | None:
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    wanted = workflow_id.lower()
    return next((entry for entry in entries if str(entry.get("workflow_id", entry.get("id"))).lower() == wanted), None)


def _next_cursor(body: Mapping[str, Any]) -> str | None:
    pagination = body.get("pagination")
    if not isinstance(pagination, dict) or pagination.get("has_more_results") is False:
        return None
    cursor = pagination.get("next_cursor")
    return cursor if isinstance(cursor, str) and cursor else None


def _server_time(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _life_s(url: str) -> float:
    """How long the signed URL says that it lives, at most the 15 minutes that Layer allows."""
    stated = _EXPIRES.search(url)
    return float(min(int(stated[1]), LIFE_S)) if stated else float(LIFE_S)
