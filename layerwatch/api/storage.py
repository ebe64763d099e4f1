"""The storage behind the signed upload URLs. Carries no token, and never decides what an answer means."""

import ssl
from collections.abc import Iterator

from layerwatch.api.wire import Wire
from layerwatch.resumable import Answer

MAX_TEXT_CHARS = 2000


class Storage:
    """The storage behind the signed URLs. Says what it answered; `resumable` decides what that means."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._wire = Wire(tls, {})

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
        reply = self._wire.send(method, url, headers=headers, content=body)
        return Answer(reply.status, reply.headers, reply.body.decode(errors="replace")[:MAX_TEXT_CHARS])
