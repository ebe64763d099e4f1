"""Finish: takes a file that is uploaded, does what its folder wants done with the source, returns what came of it.

The second stage. Never writes the ledger. Never touches a file whose bytes the server has not confirmed by a hash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from layerwatch.aftermath import Confirmed, Done, Left, Outcome, Reason, delete, keep, move, write_receipt
from layerwatch.config import AfterUpload, Folder
from layerwatch.ledger import Finishing
from layerwatch.ledger.finishing import MOVED_TO

CONFIRMED_BY = ("crc32c", "md5")
MAY_PASS = (Reason.IN_USE, Reason.FAILED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What one folder wants done once its files are uploaded. `move_to`: absolute, or below the folder. `rules`: it
    has some, `tells`: a command or webhook is to know of each upload."""

    after_upload: AfterUpload = AfterUpload.KEEP
    move_to: str = ""
    receipt: bool = False
    rules: bool = False
    tells: bool = False

    @classmethod
    def of(cls, folder: Folder) -> Self:
        """As the folder is configured."""
        tells = folder.on_uploaded is not None
        return cls(folder.after_upload, folder.move_to, folder.receipt, bool(folder.rules), tells)

    @property
    def wanted(self) -> bool:
        """Something is to be done with the file itself."""
        return self.after_upload is not AfterUpload.KEEP or self.receipt


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of it: `code` is why the file was left alone, `may_pass`: it is worth another try, later."""

    detail: str
    code: str | None = None
    may_pass: bool = False


def finish(job: Finishing, root: str, policy: Policy) -> Finished:
    """Do with `job`, which lies below the folder's `root`, what `policy` wants."""
    if not job.path.startswith(f"{root.rstrip('/')}/"):
        return Finished("the folder is somewhere else now; the file was left where it is", "gone")
    if policy.after_upload is not AfterUpload.KEEP and job.verified not in CONFIRMED_BY:
        return Finished(
            f"kept: the server has not confirmed the bytes by a hash, only by {job.verified}", "unconfirmed"
        )
    file = Confirmed(
        id=job.id,
        folder=job.folder,
        root=root,
        path=job.path,
        identity=job.identity,
        digest=job.digest,
        content_type=job.content_type,
        file_id=job.file_id,
        workspace_id=job.workspace_id,
        uploaded_at=job.uploaded_at,
        called=job.called,
    )
    outcome = _ACTIONS[policy.after_upload](file, policy)
    if isinstance(outcome, Left) and outcome.reason is Reason.GONE and policy.after_upload is AfterUpload.DELETE:
        outcome = Done(None)  # by us, before an interruption, or by somebody else: it is no more
    if isinstance(outcome, Left):
        return _left(outcome)
    said = _said(outcome, policy)
    if not policy.receipt:
        return Finished(said)
    receipt = write_receipt(file, outcome.path or job.path)
    return Finished(f"{said}; receipt written") if isinstance(receipt, Done) else _left(receipt)


_ACTIONS: dict[AfterUpload, Callable[[Confirmed, Policy], Outcome]] = {
    AfterUpload.KEEP: lambda file, _: keep(file),
    AfterUpload.MOVE: lambda file, policy: move(file, policy.move_to),
    AfterUpload.DELETE: lambda file, _: delete(file),
}


def _said(outcome: Done, policy: Policy) -> str:
    match policy.after_upload:
        case AfterUpload.MOVE:
            return f"{MOVED_TO}{outcome.path}"
        case AfterUpload.DELETE:
            return "deleted"
    return "kept"


def _left(left: Left) -> Finished:
    return Finished(left.message, left.reason, left.reason in MAY_PASS)
