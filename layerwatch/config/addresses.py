"""Where the API and webhooks are reached, and where the status page listens. Pure: nothing is looked up."""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from layerwatch.config.faults import Fault


def listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    plain = host.removeprefix("[").removesuffix("]")
    good = re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 65_535 and colon and plain
    if not good or (":" in plain and plain == host) or re.search(r"[\s/]", host):
        raise Fault("is not host:port", 'write for example "127.0.0.1:9753" or "[::1]:9753"')
    return value


def host_name(value: str) -> str:
    """As it stands in the address line of a browser."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise Fault("is not the name of a machine", 'write for example "render-3.studio.lan", without http:// and port')
    return value.lower()


def base_url(value: str) -> str:
    fix = 'write for example "https://api.app.layer.ai/api"'
    parts = _http(value, "the token", fix)
    if parts.username is not None or parts.query or parts.fragment:
        raise Fault("must have no user, query or fragment: the token has its own key", fix)
    return value.rstrip("/")


def database(value: object) -> object:
    """A PostgreSQL URL, with or without a password."""
    fix = 'write for example "postgresql://layerwatch@db.example.org/layerwatch", the password in ~/.pgpass'
    if not isinstance(value, str):
        raise Fault("must be text", fix)
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):
        raise Fault("must begin with postgresql://", fix)
    if not _DATABASE.fullmatch(value):
        raise Fault("is not a usable URL", f"in user and password write %40 for @, %2F for / and so on; {fix}")
    return value


# No mark that has a meaning in a URL may stand in a password as it is: what is no password by its place would be shown.
_PART = r"(?:[^/?#@:%\s]|%(?!00)[0-9A-Fa-f]{2})"
_SERVER = rf"(?:\[[0-9A-Fa-f:.]+\]|{_PART}*)(?::[0-9]{{1,5}})?"
_DATABASE = re.compile(
    rf"postgres(?:ql)?://(?:{_PART}+(?::{_PART}*)?@)?{_SERVER}(?:,{_SERVER})*(?:/{_PART}*)?(?:\?(?:[^#@%\s]|%(?!00)[0-9A-Fa-f]{{2}})*)?"
)


def without_password(url: str) -> str:
    """A database's URL as anybody may see it: server and database alone."""
    if not _DATABASE.fullmatch(url):
        return "postgresql://..."
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def passwords(url: str) -> Iterator[str]:
    """What of a database's URL is secret, as it is written and as it is meant. Not what tells nothing: a password that
    stands in the rest of the URL, or is shorter than eight characters, would be taken out of every other text as well.
    """
    parts = urlsplit(url)
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    named = (value for key, value in parse_qsl(parts.query) if "password" in key.lower())
    rest = f"layerwatch {parts.netloc.partition(':')[0]} {without_password(url)}".lower()
    for each in {written, unquote(written), *named}:
        if len(each) >= 8 and each.lower() not in rest:
            yield each


def webhook(value: str) -> str:
    """As it was given: a query may be what tells the receiver who is calling."""
    fix = 'write for example "https://hooks.example.org/layerwatch"'
    parts = _http(value, "the facts about your files", fix)
    if parts.username is not None or parts.fragment:
        raise Fault("must have no user and no fragment: calls are signed with secret_file", fix)
    return value


def _http(value: str, load: str, fix: str) -> SplitResult:
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"}:
        raise Fault("is not an http(s) URL", fix)
    if parts.scheme == "http" and not loopback(parts.hostname or ""):
        raise Fault(f"plain http to another machine: {load} would travel in the clear", "write https://")
    return parts


def _split(value: str) -> SplitResult | None:
    try:
        parts = urlsplit(value)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and re.fullmatch(r"[!-~]+", value) else None


def loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
