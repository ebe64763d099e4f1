"""The storage's resumable upload as a state machine without I/O (Google Cloud Storage's XML API, through a signed URL).

Ask `next_request`, send it, hand the answer to `receive`; when the connection broke, throw the object away and begin
a new one with the saved session: it asks the server first how far it got. So every retry begins with a query, and no
byte is sent on a guess. A fault ends the attempt by an exception; waiting and trying again is the ledger's business.

Never here: the clock, the network, the file. Never in a message: the signed URL or the session URI, both are bearer
secrets.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from layerwatch import faults
from layerwatch.errors import Code, JobError, NewUrl, TryAgain

GRANULE = 256 * 1024
LIFE_S = 15 * 60  # Layer: the whole upload within 15 minutes of the URL's issue
MAX_STALLS = 3


@dataclass(frozen=True, slots=True)
class Start:
    """POST the signed URL with `x-goog-resumable: start`."""


@dataclass(frozen=True, slots=True)
class Query:
    """PUT nothing, with `Content-Range: bytes */size`: how far did it get?"""

    content_range: str


@dataclass(frozen=True, slots=True)
class Send:
    """PUT the bytes `first` up to, not including, `end`."""

    first: int
    end: int
    content_range: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the storage said. Header names are lower case; repeated headers are joined by commas, as HTTP allows."""

    status: int
    headers: Mapping[str, str]
    body: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """The object is stored; what the server says of it, where it says so."""

    crc32c: int | None
    md5: bytes | None
    size: int | None


class _Phase(Enum):
    START = auto()
    QUERY = auto()
    SEND = auto()
    DONE = auto()


class Transfer:
    """One attempt to get `size` bytes stored, in chunks of `chunk_size` bytes (a multiple of 256 KiB).

    `session` is the URI saved by an earlier attempt; without it a new one is started. `refused_before`: the last
    attempt ended with 401 or 403, so another one is final.
    """

    def __init__(self, size: int, chunk_size: int, *, session: str | None = None, refused_before: bool = False) -> None:
        if chunk_size <= 0 or chunk_size % GRANULE:
            raise ValueError(f"chunk_size is {chunk_size}, not a multiple of {GRANULE}")
        self.size = size
        self.session = session
        self.offset = 0
        self.stored: Stored | None = None
        self._chunk_size = chunk_size
        self._phase = _Phase.QUERY if session else _Phase.START
        # What a resumed session may hold was sent by an earlier attempt, whose last chunk was not accounted for.
        self._sent = size if session else 0
        self._stalls = 0
        self._refused_before = refused_before

    def next_request(self) -> Start | Query | Send | None:
        """What to send now; None when all is stored."""
        match self._phase:
            case _Phase.START:
                return Start()
            case _Phase.QUERY:
                return Query(f"bytes */{self.size}")
            case _Phase.SEND:
                end = min(self.offset + self._chunk_size, self.size)
                return Send(self.offset, end, f"bytes {self.offset}-{end - 1}/{self.size}")
            case _Phase.DONE:
                return None

    def receive(self, answer: Answer) -> None:
        """Take the answer to the last request.

        Raises `TryAgain` (passing; the session stays good), `NewUrl` (begin again with a new upload URL) or `Final`.
        """
        if answer.status in (200, 201):
            self._succeeded(answer)
        elif answer.status == 308 and self._phase is not _Phase.START:
            self._go_on(answer)
        elif answer.status in (412, 416) and self._phase is _Phase.SEND:
            self._resynchronise(f"the storage answered {answer.status}")
        else:
            raise self._fault(answer)

    def _succeeded(self, answer: Answer) -> None:
        if self._phase is _Phase.START:
            self.session = answer.headers.get("location")
            if not self.session:
                raise TryAgain(Code.SERVER, "the storage started a session and did not say where")
            self._phase = _Phase.SEND
            return
        if self._phase is _Phase.SEND and self.offset + self._chunk_size < self.size:
            self._resynchronise("the storage calls an object stored that was not all sent")
            return
        self.stored = _stored(answer.headers)
        self.offset = self.size
        self._phase = _Phase.DONE

    def _go_on(self, answer: Answer) -> None:
        asked = self._phase is _Phase.QUERY
        self._account_for_sent()
        held = _held(answer.headers.get("range"))
        if held is None and not asked:
            self._resynchronise("the storage did not say how much it holds")  # a lazy answer: ask, never guess
            return
        held = held or 0
        if held > self._sent:
            raise NewUrl(Code.CORRUPT, f"the storage holds {held} bytes, more than the {self._sent} sent")
        if held == self.size:
            self._resynchronise("the storage holds all bytes and does not call the object complete")
            return
        if held > self.offset:
            self._stalls = 0
        elif not asked:
            self._count_stall(f"the storage keeps only {held} bytes")
        self.offset = held
        self._phase = _Phase.SEND

    def _account_for_sent(self) -> None:
        if self._phase is _Phase.SEND:
            self._sent = max(self._sent, min(self.offset + self._chunk_size, self.size))

    def _resynchronise(self, reason: str) -> None:
        self._account_for_sent()
        self._count_stall(reason)
        self._phase = _Phase.QUERY

    def _count_stall(self, reason: str) -> None:
        self._stalls += 1
        if self._stalls > MAX_STALLS:
            raise TryAgain(Code.SERVER, f"{reason}, {self._stalls} times")

    def _fault(self, answer: Answer) -> JobError:
        word = _storage_code(answer.body)
        said = f"the storage answered {answer.status}" + (f" {word}" if word else "")
        fault = faults.storage(answer.status, word, refused_before=self._refused_before)
        return fault.error(said, retry_after_s(answer.headers))


def _held(header: str | None) -> int | None:
    """How many bytes `Range: bytes=0-N` says are held; None without the header. Raises `NewUrl` if it is nonsense."""
    if header is None:
        return None
    found = re.fullmatch(r"bytes=0-(\d{1,18})", header.strip())
    if not found:
        raise NewUrl(Code.SERVER, f"the storage answered with a Range that makes no sense: {header[:40]!r}")
    return int(found[1]) + 1


def _stored(headers: Mapping[str, str]) -> Stored:
    hashes = dict(part.strip().split("=", 1) for part in headers.get("x-goog-hash", "").split(",") if "=" in part)
    crc32c, length = _unbase64(hashes.get("crc32c"), 4), headers.get("x-goog-stored-content-length", "")
    return Stored(
        crc32c=None if crc32c is None else int.from_bytes(crc32c, "big"),
        md5=_unbase64(hashes.get("md5"), 16),
        size=int(length) if re.fullmatch(r"\d{1,18}", length) else None,
    )


def _unbase64(text: str | None, length: int) -> bytes | None:
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return value if len(value) == length else None


def _storage_code(body: str) -> str:
    found = re.search(r"<Code>(\w{1,64})</Code>", body)
    return found[1] if found else ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, given in seconds, or as an HTTP date, which is read against the answer's own
    `Date`, so that a wrong clock on either side does not matter. None without it, or when it makes no sense."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,18}", value):
        return float(min(int(value), 24 * 3600))
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), 24 * 3600.0)
