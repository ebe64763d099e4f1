"""Which path is answered by what. Every answer that needs the ledger opens its own, and closes it."""

import hashlib
import os
import re
from collections.abc import Callable
from functools import cache

from layerwatch.errors import LedgerTrouble, UserError
from layerwatch.ledger import Ledger
from layerwatch.web import health, media, metrics, page
from layerwatch.web.answer import TEXT, Answer
from layerwatch.web.media import Picture
from layerwatch.web.page import BadQuestion
from layerwatch.web.sight import Sight

STATIC = {
    "/static/page.css": "text/css; charset=utf-8",
    "/static/page.js": "text/javascript; charset=utf-8",
    "/static/icon.svg": "image/svg+xml",
}
_HERE = os.path.dirname(os.path.abspath(__file__))
_FILE = re.compile(r"/media/file/([1-9][0-9]{0,17})", re.ASCII)
_RESULT = re.compile(r"/media/result/([1-9][0-9]{0,17})/([1-9][0-9]{0,8})", re.ASCII)


def respond(sight: Sight, target: str) -> Answer | Picture:
    """What is answered to a request for `target`, as it stands in the request's first line."""
    path, _, query = target.partition("?")
    match path:
        case "/":
            return _page(sight, query)
        case "/healthz":
            return _with_ledger(sight, lambda ledger, _: health.answer(sight, ledger))
        case "/metrics":
            return _with_ledger(sight, lambda ledger, _: metrics.answer(sight, ledger))
        case "/favicon.ico":
            return _static("/static/icon.svg")
    return _static(path) if path in STATIC else _picture(sight, path) or _not_found()


def _page(sight: Sight, query: str) -> Answer:
    try:
        return _with_ledger(sight, lambda ledger, trouble: page.answer(sight, ledger, query, trouble))
    except BadQuestion as error:
        return Answer(400, TEXT, f"{error}\n".encode())


def _with_ledger(sight: Sight, answer: Callable[[Ledger | None, str], Answer]) -> Answer:
    """What `answer` says with the ledger; where that is of no use, what it says without, and for this reason."""
    try:
        with _open(sight) as ledger:
            return answer(ledger, "")
    except (LedgerTrouble, UserError) as error:
        return answer(None, str(error))


def _picture(sight: Sight, path: str) -> Picture | None:
    file, result = _FILE.fullmatch(path), _RESULT.fullmatch(path)
    if file is None and result is None:
        return None
    try:
        with _open(sight) as ledger:
            roots = media.roots(sight)
            if file:
                return media.picture(media.place_of_file(roots, ledger, int(file[1])))
            assert result
            return media.picture(media.place_of_result(roots, ledger, int(result[1]), int(result[2])))
    except (LedgerTrouble, UserError):
        return None


def _open(sight: Sight) -> Ledger:
    ours = sight.settings().ledger
    return Ledger(ours.place, create=False, names=ours.names)


def _not_found() -> Answer:
    return Answer(404, TEXT, b"there is nothing here\n")


@cache
def _static(path: str) -> Answer:
    with open(_HERE + path, "rb") as stream:
        body = stream.read()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Answer(200, STATIC[path], body, {"ETag": tag, "Cache-Control": "no-cache"})
