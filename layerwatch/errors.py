"""What can go wrong, in three families: the user's to fix, try again, final.

The leaf that meets a fault raises one of these; `states` decides what it means for a file; `pipeline` records it; the
command line phrases it. Nothing here does anything.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """`files.error_code`, as promised to those who query the ledger."""

    UNSUPPORTED_TYPE = "unsupported_type"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    INCOMPLETE = "incomplete"
    VANISHED = "vanished"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "unauthorized"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RATE_LIMITED = "rate_limited"
    NETWORK = "network"
    SERVER = "server"
    CORRUPT = "corrupt"
    GENERATED = "generated"  # one of layerwatch's own results: taking it would go round in circles
    SIDECAR = "sidecar"  # a prompt or parameters for the file beside it, read by a rule and not uploaded
    EXISTING = "existing"  # was there before layerwatch first saw the folder, and `existing = false`
    INTERNAL = "internal"  # a fault of layerwatch itself; the traceback is in the file's history


class LayerwatchError(Exception):
    """The root of all three families."""


# --- the user's to fix ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One fault in what the user gave us: what (`where`), why, and what to do about it."""

    where: str
    reason: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" + (f"\n    fix: {self.fix}" if self.fix else "")


class UserError(LayerwatchError):
    """Something only a person can put right before layerwatch can go on. The command ends with `exit_code`."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class EnvironmentProblem(UserError):
    """The machine does not let us work now (a full disk, say); the configuration is fine."""

    exit_code = 1


class LedgerAway(EnvironmentProblem):
    """The server that has the ledger cannot be reached just now: it may be there again without anybody's doing."""


class AnotherInstance(UserError):
    """Another layerwatch holds this ledger."""

    exit_code = 3


class CredentialsRefused(UserError):
    """The API does not take the token, or not for this workspace."""

    exit_code = 4


# --- a file's or a request's fault ------------------------------------------------------------------------------------


class JobError(LayerwatchError):
    """Something went wrong with one job: `code` and a message fit for the ledger (no secrets).

    `code` is one of `Code`, or, for generations, the API's own.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TryAgain(JobError):
    """It may work later: after `after_s` seconds if the server said so, else after the usual back-off."""

    def __init__(self, code: str, message: str, after_s: float | None = None) -> None:
        super().__init__(code, message)
        self.after_s = after_s


class NewUrl(TryAgain):
    """The storage session is of no use any more: try again with a new upload URL, from byte 0."""


class ApiDown(TryAgain):
    """Not this file's fault: nothing will work until the API is reachable, has time, or takes our token again."""


class NotTheApi(ApiDown):
    """Somebody answers at base_url, and it is not Layer's API, or one that does not know our workspace."""


class FolderAway(TryAgain):
    """The drop folder itself is not there (an unmounted share): its files wait for it, none is given up."""


class Final(JobError):
    """It will not work by itself: a person has to look, and may `retry`. `detail` goes into the history (a
    traceback)."""

    def __init__(self, code: str, message: str, detail: str = "") -> None:
        super().__init__(code, message)
        self.detail = detail


class Unpaid(JobError):
    """The workspace has not enough Creative Units for a generation: nothing was started."""


class Lost(JobError):
    """The request for a paid generation may have reached the API, and its answer did not reach us. Only a person can
    tell whether it was started."""


class Superseded(JobError):
    """There is nothing to do any more: this version of the file is gone, or can never be taken."""


class LedgerTrouble(LayerwatchError):
    """The ledger cannot be written now (disk full, I/O error, locked for long). Nothing was recorded: try again."""


class Stopped(LayerwatchError):
    """layerwatch is asked to end: this job goes back as it is, and the next start goes on with it."""
