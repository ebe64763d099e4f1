"""What the API's POST bodies must look like: each check returns a value or ends the request with a JSON error.

Never looks at state but for the files that a body refers to.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar
from uuid import UUID

from layerwatch.sandbox.judge import Refused
from layerwatch.sandbox.session import StoredObject
from layerwatch.sandbox.storage import Storage
from layerwatch.sandbox.wire import Request, Response, as_json

T = TypeVar("T")
CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp", "video/mp4", "audio/mpeg", "audio/wav")
MAX_JSON_BYTES = 1024 * 1024
MAX_PROMPT_CHARS = 100_000
MAX_SESSION_NAME_CHARS = 255
MAX_GUIDANCE_FILES = 20
RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 16),
    "width": (1, 16384),
    "height": (1, 16384),
    "prompt_strength": (0, 1),
    "seed": (-1, 2**63 - 1),
}
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "file": (str, dict),  # a file_id, or an object that has one
}


def error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Response:
    """An error as the API answers it."""
    return as_json(status, {"error": {"code": code, "message": message}}, *headers)


def invalid(message: str) -> Refused:
    """422: the input is not valid."""
    return Refused(error(422, "VALIDATION_ERROR", message))


def found(value: T | None, what: str) -> T:
    """`value`; 404 if there is none."""
    if value is None:
        raise Refused(error(404, "NOT_FOUND", f"no such {what}"))
    return value


def read_object(request: Request) -> dict[str, Any]:
    """The request's body, which must be a JSON object of at most 1 MiB."""
    if request.chunked or request.length is None:
        raise Refused(error(411, "LENGTH_REQUIRED", "Content-Length is missing"))
    if request.length > MAX_JSON_BYTES:
        raise Refused(error(413, "PAYLOAD_TOO_LARGE", "the body is too large"))
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(error(415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json"))
    try:
        value = json.loads(request.body.read(request.length))
    except ValueError:
        raise Refused(error(400, "INVALID_JSON", "the body is not JSON")) from None
    if not isinstance(value, dict):
        raise invalid("the body must be an object")
    return value


def uuid(value: object, name: str) -> str:
    """`value`, which must be a UUID."""
    try:
        return str(UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise invalid(f"{name} must be a UUID") from None


def upload(body: dict[str, Any], limit_bytes: int) -> tuple[str, int, str | None]:
    """Content type, size in bytes and file name of an upload-url body."""
    content_type, size, name = body.get("content_type"), body.get("file_size_bytes"), body.get("file_name")
    if content_type not in CONTENT_TYPES:
        raise invalid(f"content_type must be one of {', '.join(CONTENT_TYPES)}")
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise invalid("file_size_bytes must be a positive integer")
    if not isinstance(name, str | None):
        raise invalid("file_name must be a string or null")
    if size > limit_bytes:
        raise Refused(error(413, "FILE_TOO_LARGE", f"file_size_bytes is over {limit_bytes}"))
    return content_type, size, name


def parameters(body: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an inference, flat or nested under "parameters", with the defaults filled in."""
    nested = body.get("parameters", {})
    if not isinstance(nested, dict):
        raise invalid("parameters must be an object")
    flat = {key: value for key, value in body.items() if key not in ("model_id", "parameters")}
    given = {key: value for key, value in (flat | nested).items() if value is not None}
    merged = {"batch_size": 4, "width": 256, "height": 256, "seed": -1} | given
    for name, (low, high) in RANGES.items():
        _check_range(name, merged.get(name), low, high)
    _check_text(merged, "prompt", MAX_PROMPT_CHARS)
    check_session(merged)
    guidance = merged.get("guidance_files", [])
    if not isinstance(guidance, list) or len(guidance) > MAX_GUIDANCE_FILES:
        raise invalid(f"guidance_files must be a list of at most {MAX_GUIDANCE_FILES}")
    return merged


def check_session(body: dict[str, Any]) -> None:
    """`session_name`, if given, must be a string of at most 255 characters."""
    _check_text(body, "session_name", MAX_SESSION_NAME_CHARS)


def inputs(body: dict[str, Any], schema: list[dict[str, Any]], storage: Storage) -> dict[str, Any]:
    """The inputs of a workflow run, which must match `schema`: all that are required, and none that it does not name.

    Inputs of type "file" are file_ids. An empty schema is that of a workflow that we do not know: all will do.
    """
    given = body.get("inputs", {})
    if not isinstance(given, dict):
        raise invalid("inputs must be an object")
    if schema and (unknown := given.keys() - {wanted["name"] for wanted in schema}):
        raise invalid(f"inputs.{min(unknown)} is not an input of this workflow")
    check_values(given, schema, storage, "inputs.")
    return {str(wanted["name"]): wanted["default"] for wanted in schema} | given


def check_values(given: dict[str, Any], schema: list[dict[str, Any]], storage: Storage, where: str = "") -> None:
    """What `schema` requires must be there, and all that it names must be of its type."""
    for wanted in schema:
        name, kind, value = f"{where}{wanted['name']}", wanted["type"], given.get(wanted["name"])
        if value is None:
            if wanted.get("required"):
                raise invalid(f"{name} is required")
            continue
        written_as = wanted.get("value_schema", {}).get("type", kind)
        if not isinstance(value, KINDS[written_as]) or (isinstance(value, bool) and kind != "boolean"):
            raise invalid(f"{name} must be a {written_as}")
        if kind == "file":
            check_file(value if isinstance(value, str) else next(_file_ids(value), None), storage)


def check_files(value: object, storage: Storage) -> None:
    """Every `file_id` (or `fileId`) anywhere in `value` must be one that can be used."""
    for file_id in _file_ids(value):
        check_file(file_id, storage)


def check_file(file_id: object, storage: Storage) -> StoredObject:
    """The finished object of `file_id`, which must have been in time and of its declared type."""
    stored = storage.find(file_id) if isinstance(file_id, str) else None
    if stored is None:
        raise Refused(error(422, "FILE_NOT_FOUND", f"file_id {file_id} is not an uploaded file"))
    if not stored.usable:
        why = (
            "its URL expired before the upload was complete" if stored.late else "its content type is not its real one"
        )
        raise Refused(error(400, "UPLOAD_FAILED", f"file_id {file_id} could not be stored: {why}"))
    return stored


def _file_ids(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from _file_ids(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("file_id", "fileId"):
                yield item
            else:
                yield from _file_ids(item)


def _check_range(name: str, value: object, low: float, high: float) -> None:
    kinds = (int, float) if name == "prompt_strength" else (int,)
    if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high):
        raise invalid(f"{name} must be from {low:g} to {high:g}")


def _check_text(body: dict[str, Any], name: str, limit: int) -> None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > limit):
        raise invalid(f"{name} must be a string of at most {limit} characters")
