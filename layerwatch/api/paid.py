"""The paid POST: sent once, over a connection of its own, and never again by itself.

A connection that was kept alive may have been closed by the server meanwhile, which looks just like an answer that was
lost. What is not proven to have come to nothing is `Lost`: only a person may send it again.
"""

import ssl
from collections.abc import Mapping

import h11
import httpx

from layerwatch import faults
from layerwatch.api.wire import Reply, host, new_client, read, words

# Raised before the first byte of the request leaves; a proxy that refuses to connect through has not seen it either.
NOTHING_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
BROKE = (httpx.HTTPError, httpx.StreamError, h11.ProtocolError, OSError)


def post_once(url: str, content: bytes, tls: ssl.SSLContext, headers: Mapping[str, str], read_s: float) -> Reply:
    """POST JSON. Raises `ApiDown` if nothing was sent, `Lost` if something may have been."""
    with new_client(tls, headers, read_s=read_s, keep_alive=False) as client:
        more = {"Content-Type": "application/json", "Connection": "close"}
        try:
            request = client.build_request("POST", url, content=content, headers=more)
        except httpx.InvalidURL as error:
            raise faults.UNREACHABLE.error(f"cannot connect to {host(url)}: {words(error)}") from None
        return _sent(client, request)


def _sent(client: httpx.Client, request: httpx.Request) -> Reply:
    where = host(str(request.url))
    try:
        response = client.send(request, stream=True)
    except NOTHING_LEFT as error:
        raise faults.UNREACHABLE.error(f"cannot connect to {where}: {words(error)}") from None
    except BROKE as error:
        raise faults.SUBMIT_BROKEN.error(f"the connection to {where} broke: {words(error)}") from None
    try:
        return Reply(response.status_code, dict(response.headers), _body(response, where))
    finally:
        response.close()


def _body(response: httpx.Response, where: str) -> bytes:
    try:
        return read(response)
    except BROKE as error:
        if response.is_success:
            raise faults.SUBMIT_BROKEN.error(f"the answer of {where} broke off: {words(error)}") from None
        return b""  # the status has said already what became of it
