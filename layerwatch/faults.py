"""What every fault means, in one table: HTTP statuses of Layer and of the storage, broken connections, the file system.

    AGAIN      a passing fault of this file or request: after the usual back-off, or as `Retry-After` says
    EVERYBODY  not this file's fault: all wait, one probes, and nobody's attempts are counted
    NEW_URL    the upload session is of no use: from byte 0, through a new upload URL
    FINAL      a person has to look; `retry` starts over
    GONE       this version of the file is no more: nothing to do

Pure: no request is made and no file is touched here. `states.judge` decides what becomes of the file.
"""

import errno
from dataclasses import dataclass
from enum import Enum

from layerwatch.errors import ApiDown, Code, Final, JobError, NewUrl, NotTheApi, Superseded, TryAgain


class Then(Enum):
    """What to do about a fault; the value is the error that says so."""

    AGAIN = TryAgain
    EVERYBODY = ApiDown
    NOT_THE_API = NotTheApi
    NEW_URL = NewUrl
    FINAL = Final
    GONE = Superseded


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what to do, the `error_code`, and what to add to what was said."""

    then: Then
    code: Code
    why: str = ""

    def error(self, said: str, after_s: float | None = None) -> JobError:
        """The error to raise; `said` is what happened, without secrets, `after_s` what the server asked for."""
        message = f"{said}: {self.why}" if self.why else said
        kind: type[JobError] = self.then.value
        return kind(self.code, message, after_s) if issubclass(kind, TryAgain) else kind(self.code, message)


# Layer's API, by status. `None` stands for an answer that is not JSON: some other server's page.
LAYER: dict[int | None, Fault] = {
    None: Fault(Then.NOT_THE_API, Code.SERVER, "is base_url Layer's API?"),
    400: Fault(Then.FINAL, Code.REJECTED),
    401: Fault(Then.EVERYBODY, Code.UNAUTHORIZED, "it does not take the token"),
    402: Fault(Then.EVERYBODY, Code.REJECTED, "the workspace has to pay first"),
    403: Fault(Then.EVERYBODY, Code.FORBIDDEN, "the token is not good for this workspace"),
    404: Fault(Then.NOT_THE_API, Code.REJECTED, "it does not know the workspace; see base_url and workspace_id"),
    405: Fault(Then.FINAL, Code.REJECTED),
    408: Fault(Then.AGAIN, Code.SERVER),
    409: Fault(Then.FINAL, Code.REJECTED),
    410: Fault(Then.FINAL, Code.REJECTED),
    411: Fault(Then.FINAL, Code.REJECTED),
    413: Fault(Then.FINAL, Code.TOO_LARGE),
    415: Fault(Then.FINAL, Code.REJECTED),
    422: Fault(Then.FINAL, Code.REJECTED),
    429: Fault(Then.EVERYBODY, Code.RATE_LIMITED),
    502: Fault(Then.EVERYBODY, Code.SERVER),  # the gateway is there and nobody behind it: no file is to blame
    503: Fault(Then.EVERYBODY, Code.SERVER),
    504: Fault(Then.EVERYBODY, Code.SERVER),
}
# What a page of some other server answers with; the rest, a proxy in front of the right one may say without JSON.
NEEDS_JSON = frozenset((401, 403, 404, 405))
LAYER_OTHER = Fault(Then.AGAIN, Code.SERVER)

# The storage, by status and the <Code> of its answer, then by status alone.
STORAGE: dict[tuple[int, str], Fault] = {
    (400, "ExpiredToken"): Fault(Then.NEW_URL, Code.EXPIRED, "the upload URL had expired"),
    (400, ""): Fault(Then.FINAL, Code.REJECTED),
    (401, ""): Fault(Then.NEW_URL, Code.FORBIDDEN, "trying once more with a new upload URL"),
    (403, ""): Fault(Then.NEW_URL, Code.FORBIDDEN, "trying once more with a new upload URL"),
    (404, ""): Fault(Then.NEW_URL, Code.EXPIRED, "the upload session is gone"),
    (408, ""): Fault(Then.AGAIN, Code.SERVER),
    (410, ""): Fault(Then.NEW_URL, Code.EXPIRED, "the upload session is gone"),
    (429, ""): Fault(Then.AGAIN, Code.RATE_LIMITED),
    (499, ""): Fault(Then.NEW_URL, Code.EXPIRED, "the upload session was cancelled"),
}
STORAGE_REFUSES_AGAIN = Fault(Then.FINAL, Code.FORBIDDEN)  # 401 or 403, with a new URL too
STORAGE_5XX = Fault(Then.AGAIN, Code.SERVER)
STORAGE_OTHER = Fault(Then.FINAL, Code.REJECTED)

# On the way.
UNREACHABLE = Fault(Then.EVERYBODY, Code.NETWORK)
BROKEN = Fault(Then.AGAIN, Code.NETWORK)
BODY_CHANGED = Fault(Then.GONE, Code.CHANGED, "the file changed while it was sent")

# Opening and reading a source file, by errno.
DISK: dict[int, Fault] = {
    errno.ENOENT: Fault(Then.GONE, Code.VANISHED),
    errno.ENOTDIR: Fault(Then.GONE, Code.VANISHED),
    errno.ELOOP: Fault(Then.GONE, Code.UNSUPPORTED_TYPE, "a link or a device, not a regular file"),
    errno.ENXIO: Fault(Then.GONE, Code.UNSUPPORTED_TYPE, "a link or a device, not a regular file"),
}
DISK_OTHER = Fault(Then.AGAIN, Code.UNREADABLE)  # permissions, I/O errors, a stale share


def layer(status: int, *, is_json: bool) -> Fault:
    """What an answer of Layer's API that is not what was asked for means."""
    if not is_json and (status < 400 or status in NEEDS_JSON):
        return LAYER[None]
    return LAYER.get(status, LAYER_OTHER)


def storage(status: int, word: str, *, refused_before: bool) -> Fault:
    """What an answer of the storage that is no progress means; `word` is its <Code>."""
    if status in (401, 403) and refused_before:
        return STORAGE_REFUSES_AGAIN
    known = STORAGE.get((status, word)) or STORAGE.get((status, ""))
    return known or (STORAGE_5XX if status >= 500 else STORAGE_OTHER)


def disk(number: int | None) -> Fault:
    """What it means that a source file could not be opened or read."""
    return DISK.get(number or 0, DISK_OTHER)
