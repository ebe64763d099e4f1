"""Who may ask, and under which name. Pure.

A page of somebody else's site can have its own name lead to this machine (DNS rebinding), and a browser would then take
our answers for that site's: so only names that are known to be ours are answered to.
"""

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Collection
from email.message import Message

from layerwatch.notices import name_text
from layerwatch.web.answer import TEXT, Answer

_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="layerwatch", charset="UTF-8"'}
_SHOWN = 100  # characters of a name that is refused


def refusal(headers: Message, version: str, *, token: str | None, names: Collection[str]) -> Answer | None:
    """Why this request gets no other answer; None where there is nothing against it. `version` is HTTP's, `names` are
    ours, in lower case."""
    hosts = headers.get_all("Host", [])
    # The health checks of load balancers speak HTTP/1.0 without any Host. No browser does.
    about_host = None if version == "HTTP/1.0" and not hosts else _about_host(hosts, names)
    return about_host or _about_token(headers.get("Authorization"), token)


def _about_host(given: list[str], names: Collection[str]) -> Answer | None:
    if len(given) != 1:
        return _answer(400, "the request has no Host, or several")
    found = _HOST.fullmatch(given[0].strip())
    host = found[1].lower().removesuffix(".") if found else ""
    if host in names or _is_address(host):
        return None
    return _answer(
        421,
        f"layerwatch is not known as {name_text(given[0][:_SHOWN])}: ask under this machine's own name or address,"
        " or add that name to `hosts` under [http] in the configuration (http.hosts)",
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _about_token(given: str | None, token: str | None) -> Answer | None:
    if token is None or hmac.compare_digest(_offered(given or ""), token.encode()):
        return None
    about = "this page is for those who know its token: as the password, with any user name, or as a bearer token"
    return _answer(401, about, _CHALLENGE)


def _offered(given: str) -> bytes:
    """What the header `Authorization` offers as the token; empty where that is nothing."""
    scheme, _, credentials = given.partition(" ")
    raw = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "bearer":
        return raw
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(raw, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, TEXT, f"{text}\n".encode(), headers or {})
