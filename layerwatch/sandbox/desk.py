"""The sandbox's own pages, outside the API and without a token.

`GET /sandbox`: what it holds; `GET /sandbox/objects/FILE_ID`: an object's bytes; `DELETE /sandbox/objects`: drop all;
`POST /sandbox/faults`: other faults.
Never shows a secret, and no fault ever strikes these pages.
"""

from dataclasses import asdict
from typing import Any

from layerwatch.sandbox.bodies import error, read_object
from layerwatch.sandbox.books import Books
from layerwatch.sandbox.faults import change
from layerwatch.sandbox.judge import Refused
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Request, Response, as_json
from layerwatch.sandbox.works import Generation, Works


def answer(request: Request, storage: Storage, works: Works, luck: Luck, books: Books) -> Response:
    """Answer one request under `/sandbox`."""
    parts = request.path.strip("/").split("/")
    try:
        if request.method == "POST" and parts == ["sandbox", "faults"]:
            return _set_faults(request, luck)
        if request.method == "GET" and parts == ["sandbox"]:
            return as_json(200, _everything(storage, works, luck, books))
        if request.method == "DELETE" and parts == ["sandbox", "objects"]:
            storage.forget()
            return Response(204)
        if request.method == "GET" and len(parts) == 3 and parts[1] == "objects":
            return _object(parts[2], storage)
    except Refused as refused:
        return refused.response
    return error(
        404,
        "NOT_FOUND",
        "there are GET /sandbox, GET /sandbox/objects/FILE_ID, DELETE /sandbox/objects, POST /sandbox/faults",
    )


def _set_faults(request: Request, luck: Luck) -> Response:
    changes = read_object(request)
    try:
        luck.faults = change(luck.faults, changes)
    except ValueError as refusal:
        return error(422, "INVALID_FAULTS", str(refusal))
    return as_json(200, asdict(luck.faults))


def _object(file_id: str, storage: Storage) -> Response:
    stored = storage.find(file_id)
    if stored is None:
        return error(404, "NOT_FOUND", "no such object")
    return Response(200, (("Content-Type", stored.content_type),), path=stored.path)


def _everything(storage: Storage, works: Works, luck: Luck, books: Books) -> dict[str, Any]:
    balance, generations = works.look()
    return {
        "objects": [asdict(stored) | {"sha256": stored.sha256} for stored in storage.objects],
        "generations": [_generation(made) for made in generations],
        "balance": {"total": balance.total, "reserved": balance.reserved, "available": balance.available},
        "counters": dict(sorted(books.counts.items())),
        "violations": [{"rule": broken.rule, "detail": broken.detail} for broken in books.violations],
        "faults": asdict(luck.faults),
    }


def _generation(made: Generation) -> dict[str, Any]:
    names = ("id", "kind", "target", "status", "body", "price", "charged", "created_at", "completed_at")
    return {name: getattr(made, name) for name in names}
