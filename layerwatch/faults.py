"""What every fault means, in one table: HTTP statuses of Layer, of the storage and of result files, of the paid POST,
broken connections, the file system.

    AGAIN      a passing fault of this file or request: after the usual back-off, or as `Retry-After` says
    EVERYBODY  not this file's fault: all wait, one probes, and nobody's attempts are counted
    NEW_URL    the upload session is of no use: from byte 0, through a new upload URL
    FINAL      a person has to look; `retry` starts over
    GONE       this version of the file is no more: nothing to do
    UNPAID     nothing was started, the workspace has not enough Creative Units
    LOST       a generation may have been started and paid: only a person can tell

Pure: no request is made and no file is touched here. `states.judge` decides what becomes of the file.
"""

import errno
from dataclasses import dataclass
from enum import Enum

from layerwatch.errors import ApiDown, Code, Final, JobError, Lost, NewUrl, NotTheApi, Superseded, TryAgain, Unpaid


class Then(Enum):
    """What to do about a fault; the value is the error that says so."""

    AGAIN = TryAgain
    EVERYBODY = ApiDown
    NOT_THE_API = NotTheApi
    NEW_URL = NewUrl
    FINAL = Final
    GONE = Superseded
    UNPAID = Unpaid
    LOST = Lost


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what to do, the `error_code`, and what to add to what was said."""

    then: Then
    code: str
    why: str = ""

    def error(self, said: str, after_s: float | None = None, own_code: str = "") -> JobError:
        """The error to raise; `said` is what happened, without secrets, `after_s` what the server asked for.

        `own_code` is the API's word for it: it replaces ours where the fault is one that a person will look at.
        """
        message = f"{said}: {self.why}" if self.why else said
        kind: type[JobError] = self.then.value
        if issubclass(kind, TryAgain):
            return kind(self.code, message, after_s)
        return kind(own_code if own_code and self.then in (Then.FINAL, Then.UNPAID) else self.code, message)


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

# The paid POST, by status. Back in the queue goes only what proves that nothing was started.
SUBMIT: dict[int, Fault] = {
    401: Fault(Then.EVERYBODY, Code.UNAUTHORIZED, "it does not take the token"),
    402: Fault(Then.UNPAID, Code.REJECTED, "the workspace has not enough Creative Units"),
    429: Fault(Then.EVERYBODY, Code.RATE_LIMITED),
}
SUBMIT_WAIT = Fault(Then.EVERYBODY, Code.SERVER)  # 503 with Retry-After: turned away at the door
SUBMIT_REFUSED = Fault(Then.FINAL, Code.REJECTED)  # any other 4xx
SUBMIT_UNCLEAR = Fault(Then.LOST, Code.SERVER, "it does not say whether the generation was started")  # all the rest
SUBMIT_BROKEN = Fault(Then.LOST, Code.NETWORK, "the generation may have been started")

# Asking for a price: the API may have no estimates.
NO_ESTIMATES = frozenset((404, 405))
ESTIMATE_AS_LAYER = frozenset((408, 429))

# Asking for a generation that is paid, where it differs from `LAYER`: it must not be given up for a server's trouble,
# and a wrong id must not stop everybody else.
FOLLOW: dict[int, Fault] = {
    402: Fault(Then.AGAIN, Code.REJECTED),
    403: Fault(Then.AGAIN, Code.FORBIDDEN),
    404: Fault(Then.AGAIN, Code.SERVER, "is base_url Layer's API?"),  # a page; the API's own is FOLLOW_UNKNOWN
}
FOLLOW_UNKNOWN = Fault(Then.FINAL, "not_found", "Layer does not know this generation (any longer)")

# Result files, by status and the <Code> of the answer, then by status alone. A fresh URL comes with the next answer
# about the generation.
ASSET: dict[tuple[int, str], Fault] = {
    (400, "ExpiredToken"): Fault(Then.NEW_URL, Code.EXPIRED, "asking for a fresh URL"),
    (401, ""): Fault(Then.NEW_URL, Code.FORBIDDEN, "asking for a fresh URL"),
    (403, ""): Fault(Then.NEW_URL, Code.EXPIRED, "asking for a fresh URL"),
    (404, ""): Fault(Then.NEW_URL, Code.EXPIRED, "asking for a fresh URL"),
    (408, ""): Fault(Then.AGAIN, Code.SERVER),
    (410, ""): Fault(Then.NEW_URL, Code.EXPIRED, "asking for a fresh URL"),
    (429, ""): Fault(Then.AGAIN, Code.RATE_LIMITED),
}
ASSET_AGAIN = Fault(Then.AGAIN, Code.SERVER)  # 5xx, or a success without the file: not ready yet
ASSET_OTHER = Fault(Then.FINAL, Code.REJECTED)
ASSET_ASTRAY = Fault(Then.FINAL, Code.REJECTED, "not followed")

# A webhook of the user's, by status.
WEBHOOK: dict[int, Fault] = {408: Fault(Then.AGAIN, Code.SERVER), 429: Fault(Then.AGAIN, Code.RATE_LIMITED)}
WEBHOOK_5XX = Fault(Then.AGAIN, Code.SERVER)
WEBHOOK_OTHER = Fault(Then.FINAL, Code.REJECTED)

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


def submit(status: int, *, says_when: bool) -> Fault:
    """What an answer to the paid POST that is no acceptance means; `says_when`: it has a Retry-After."""
    if status == 503 and says_when:
        return SUBMIT_WAIT
    return SUBMIT.get(status) or (SUBMIT_REFUSED if 400 <= status < 500 else SUBMIT_UNCLEAR)


def estimate(status: int, *, is_json: bool) -> Fault:
    """What an answer about a price that is none means: what the paid POST would, as far as that is a refusal."""
    if 400 <= status < 500 and status not in ESTIMATE_AS_LAYER:
        return SUBMIT.get(status, SUBMIT_REFUSED)
    return layer(status, is_json=is_json)


def follow(status: int, *, is_json: bool) -> Fault:
    """What an answer about a running generation that does not say how it stands means."""
    return FOLLOW.get(status) or layer(status, is_json=is_json)


def asset(status: int, word: str) -> Fault:
    """What an answer for a result file that is not the file means; `word` is its <Code>."""
    known = ASSET.get((status, word)) or ASSET.get((status, ""))
    return known or (ASSET_AGAIN if status >= 500 or status < 300 else ASSET_OTHER)


def webhook(status: int) -> Fault:
    """What an answer of a webhook that is no success means."""
    return WEBHOOK.get(status) or (WEBHOOK_5XX if status >= 500 else WEBHOOK_OTHER)


def storage(status: int, word: str, *, refused_before: bool) -> Fault:
    """What an answer of the storage that is no progress means; `word` is its <Code>."""
    if status in (401, 403) and refused_before:
        return STORAGE_REFUSES_AGAIN
    known = STORAGE.get((status, word)) or STORAGE.get((status, ""))
    return known or (STORAGE_5XX if status >= 500 else STORAGE_OTHER)


def disk(number: int | None) -> Fault:
    """What it means that a source file could not be opened or read."""
    return DISK.get(number or 0, DISK_OTHER)
