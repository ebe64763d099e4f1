"""A webhook of the user's: one POST, and whether it was taken.

Carries no token of Layer's. Never a URL in a message: many a webhook's URL is its secret.
"""

import ssl
from collections.abc import Mapping

import httpx

from layerwatch import faults
from layerwatch.api.wire import Wire, host
from layerwatch.resumable import retry_after_s


class Webhook:
    """POSTs to whatever URL; one per thread."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._wire = Wire(tls, {}, away=faults.BROKEN)

    def close(self) -> None:
        self._wire.close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
        """The status, one of success. Raises `TryAgain` or `Final`; `timeout_s` is for each of the request's phases."""
        timeout = httpx.Timeout(timeout_s)
        with self._wire.stream("POST", url, content=body, headers=dict(headers), timeout=timeout) as response:
            status, wait_s = response.status_code, retry_after_s(response.headers)
        if 200 <= status < 300:
            return status
        raise faults.webhook(status).error(f"{host(url)} answered {status}", wait_s)
