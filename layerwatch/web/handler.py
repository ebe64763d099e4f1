"""One connection: what is read from it, and how answers go out. What they say is `routes`' business.

Whoever is slow is not waited for. Nothing is logged but a fault of our own.
"""

import http.server
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from layerwatch.errors import JobError
from layerwatch.web import guard
from layerwatch.web.answer import TEXT, Answer
from layerwatch.web.connections import end
from layerwatch.web.media import Picture
from layerwatch.web.routes import respond
from layerwatch.web.sight import Sight

if TYPE_CHECKING:
    from layerwatch.web.server import Http

PATIENCE_S = 5.0  # with a client that does not send, or does not take, what it should; and between two requests
PICTURE_S = 60.0  # for all of it
MOST_LINE_BYTES = 16_384
METHODS = "GET, HEAD"
_FOR_ALL = {
    "Server": "layerwatch",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
FAULT = Answer(500, TEXT, b"a fault of layerwatch's own: its log tells more\n")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection, with one request after the other."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: "Http"

    def __init__(self, *arguments: Any, sight: Sight) -> None:
        self._sight = sight
        super().__init__(*arguments)

    def handle_one_request(self) -> None:
        """Wait for a request, and answer it."""
        self.close_connection = True
        self.command = ""
        self.server.connections.waits(self.connection)
        try:
            self._read_and_respond()
            self.wfile.flush()
        except (TimeoutError, ConnectionError):
            end(self.connection)  # or what it has not taken would be tried once more when the connection is closed

    def _read_and_respond(self) -> None:
        self.raw_requestline = self.rfile.readline(MOST_LINE_BYTES + 1)
        if len(self.raw_requestline) > MOST_LINE_BYTES:
            self.send_error(414)
        elif self.raw_requestline and self.parse_request():
            self.server.connections.works(self.connection)
            self._respond()

    def _respond(self) -> None:
        if self.command not in ("GET", "HEAD"):
            self.send_error(405)
            return
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body that nobody will read
        token, names = self.server.admitted
        answer = guard.refusal(self.headers, self.request_version, token=token, names=names)
        self._send(answer or self._routed())

    def _routed(self) -> Answer | Picture:
        try:
            return respond(self._sight, self.path)
        except Exception as error:  # noqa: BLE001  whatever it is: it is for the log, and not for whoever asked
            self.server.tell_fault(self.path, error)
            return FAULT

    # --- answers ------------------------------------------------------------------------------------------------------

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """Where the request was none; the connection ends with it, for where the next one begins is not known."""
        self.close_connection = True
        said = HTTPStatus(code).phrase.lower()
        headers = {"Allow": METHODS} if code == 405 else {}
        self._send(Answer(code, TEXT, f"{said}\n".encode(), headers))

    def _send(self, answer: Answer | Picture) -> None:
        if isinstance(answer, Picture):
            with answer:
                self._send_picture(answer)
            return
        answer = self._unless_known(answer)
        self._write_head(answer, len(answer.body))
        if self._has_body(answer):
            self.wfile.write(answer.body)

    def _send_picture(self, picture: Picture) -> None:
        answer = self._unless_known(picture.answer)
        self._write_head(answer, picture.size)
        if not self._has_body(answer):
            return
        clock = self._sight.monotonic
        end = clock() + PICTURE_S
        try:
            for block in picture.blocks():
                if clock() > end:
                    raise TimeoutError  # a few that take their time would keep everybody else away
                self.wfile.write(block)
        except JobError:
            self.close_connection = True  # it changed under our hands: who asked sees that the rest is missing

    def _has_body(self, answer: Answer) -> bool:
        return self.command != "HEAD" and answer.status != HTTPStatus.NOT_MODIFIED

    def _unless_known(self, answer: Answer) -> Answer:
        """304 instead, where the client has this very answer."""
        tag = answer.headers.get("ETag")
        known = self.headers.get("If-None-Match", "") if tag else ""
        if tag and tag in (each.strip().removeprefix("W/") for each in known.split(",")):
            return Answer(HTTPStatus.NOT_MODIFIED, answer.content_type, b"", answer.headers)
        return answer

    def _write_head(self, answer: Answer, size: int) -> None:
        self.wfile.write(head(answer, size, "close" if self.close_connection else "keep-alive"))


def head(answer: Answer, size: int, connection: str) -> bytes:
    """What comes before a body of that many bytes."""
    headers = {**_FOR_ALL, "Content-Type": answer.content_type, "Connection": connection, **answer.headers}
    if answer.status != HTTPStatus.NOT_MODIFIED:
        headers["Content-Length"] = str(size)
    lines = (f"HTTP/1.1 {int(answer.status)} {HTTPStatus(answer.status).phrase}", *map(": ".join, headers.items()))
    return "\r\n".join((*lines, "", "")).encode("latin-1")
