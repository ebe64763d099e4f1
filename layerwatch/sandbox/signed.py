"""Signed upload URLs: issue one, and judge whether a start is what was signed.

The signature is a random secret that is remembered, not computed: only the comparison has to be as strict as the real
one. Never opens a session.
"""

import secrets
import time
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qsl

from layerwatch.sandbox.books import Rule
from layerwatch.sandbox.judge import Judge, Refused
from layerwatch.sandbox.session import Upload
from layerwatch.sandbox.wire import Request, as_xml_error

BUCKET = "layer-sandbox-uploads"


@dataclass(frozen=True, slots=True)
class _Ticket:
    upload: Upload
    query: str


class SignedUrls:
    """The upload URLs issued so far."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._tickets: dict[str, _Ticket] = {}

    def issue(self, upload: Upload) -> str:
        """Sign an upload URL, good for `upload.life_s`; its path and query, without the origin."""
        path = f"/storage/{BUCKET}/{upload.file_id}"
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(upload.issued_at))
        # Written out, because quoting it anew each time would cost more than all the rest of issuing a URL.
        query = (
            "X-Goog-Algorithm=GOOG4-RSA-SHA256"
            f"&X-Goog-Credential=sandbox%40layerwatch.invalid%2F{stamp[:8]}%2Fauto%2Fstorage%2Fgoog4_request"
            f"&X-Goog-Date={stamp}&X-Goog-Expires={round(upload.life_s)}"
            f"&X-Goog-SignedHeaders=content-type%3Bhost%3Bx-goog-resumable&X-Goog-Signature={secrets.token_hex(256)}"
        )
        self._tickets[path] = _Ticket(upload, query)
        return f"{path}?{query}"

    def verify(self, request: Request) -> Upload:
        """The upload that `request` may start. Refused if it is not what was signed, has a body, or comes too late."""
        ticket = self._tickets.get(request.path)
        if ticket is None or _parameters(request.query) != _parameters(ticket.query):
            self._mismatch("the URL is not as it was signed")
        if request.method != "POST":
            self._mismatch(f"signed for POST, not {request.method}")
        if request.headers.get("content-type") != ticket.upload.content_type:
            self._mismatch("the Content-Type is not the signed one")
        google = {name: value for name, value in request.headers.items() if name.startswith("x-goog-")}
        if google != {"x-goog-resumable": "start"}:
            self._mismatch("of x-goog headers, exactly x-goog-resumable: start is signed")
        if request.chunked or request.length != 0:
            status = 411 if request.length is None else 400
            self._judge.breach(Rule.START_BODY, "the start must have Content-Length: 0", status)
        if time.time() > ticket.upload.deadline:
            raise Refused(as_xml_error(400, "ExpiredToken", "The provided token has expired."))
        return ticket.upload

    def _mismatch(self, detail: str) -> NoReturn:
        self._judge.breach(Rule.SIGNATURE, detail, 403, "SignatureDoesNotMatch")


def _parameters(query: str) -> list[tuple[str, str]]:
    """What is signed of a query: its parameters, decoded; their order is not."""
    return sorted(parse_qsl(query, keep_blank_values=True))
