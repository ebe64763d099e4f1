"""What a run would do now, as facts. Sizes in bytes, prices in Creative Units, times as the ledger writes them."""

from dataclasses import dataclass

from layerwatch.ledger import FolderState, NeedRow


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that would be sent; `left` is what the storage does not hold of it yet."""

    path: str
    size: int
    left: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Reused:
    """A file that would get the `file_id` of the same bytes; None where those are sent in the same run."""

    path: str
    size: int
    file_id: str | None


@dataclass(frozen=True, slots=True)
class NotYet:
    """A file that lies there and would not be taken yet."""

    path: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that would not be uploaded, and why."""

    path: str
    error_code: str
    error: str


@dataclass(frozen=True, slots=True)
class FolderOutlook:
    """One drop folder. `skipped` are those that the ledger does not know yet, `lost` those that it has queued and that
    are not there, or not the same, any more; `left` counts what is queued and would wait, since the folder is away."""

    name: str
    path: str
    state: FolderState | None
    detail: str
    uploads: tuple[Upload, ...]
    reused: tuple[Reused, ...]
    waiting: tuple[NotYet, ...]
    skipped: tuple[Refused, ...]
    lost: tuple[Refused, ...]
    left: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A generation, and what would become of it. `generation` is None for one that the run would make. `about`: the
    price was asked for with another file, or none, in the place of one that is not uploaded yet. `known`: it is what
    it would be already. `until`: when it is looked at again by itself, or no longer waited for."""

    generation: int | None
    folder: str
    rule: str
    kind: str
    path: str
    price: float | None
    about: bool = False
    known: bool = False
    error_code: str | None = None
    error: str | None = None
    until: str | None = None
    needs: tuple[NeedRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Money:
    """The day's budget (UTC), and what the workspace has, where Layer told it."""

    day: str
    spent: float
    would_spend: float
    daily: float | None
    available: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """All of it. `running` counts generations that Layer works on, or is being asked for, already."""

    folders: tuple[FolderOutlook, ...]
    fire: tuple[Foreseen, ...]
    held: tuple[Foreseen, ...]
    waiting: tuple[Foreseen, ...]
    failing: tuple[Foreseen, ...]
    unknown: tuple[Foreseen, ...]
    running: int
    money: Money
    warnings: tuple[str, ...]
