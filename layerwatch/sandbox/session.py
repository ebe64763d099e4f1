"""One resumable upload on the storage's side: what is persisted, and the finished object.

Bytes go to a file as they come and are hashed on the way; never more than one block is in memory. Never decides what to
answer, and never keeps a byte that is not on a 256 KiB boundary unless it is the object's last.
"""

import base64
import hashlib
import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import google_crc32c

from layerwatch.sandbox.sniff import real_type

QUANTUM = 256 * 1024  # what the storage persists in
BLOCK_BYTES = 4 * QUANTUM


@dataclass(frozen=True)
class Upload:
    """What an upload URL was issued for. Times are seconds since the epoch."""

    file_id: str
    name: str | None
    content_type: str
    size_bytes: int
    issued_at: float
    life_s: float

    @property
    def deadline(self) -> float:
        """When the URL expires, and the upload must be complete."""
        return self.issued_at + self.life_s


@dataclass(frozen=True)
class StoredObject:
    """A finished upload. `path` is its file on disk; `crc32c` and `md5` (may be empty) are base64 as in x-goog-hash.

    `late`: finished after the upload URL's life, `type_matches`: the bytes are of the declared type; Layer takes
    neither a late nor a mismatched one. `corrupt`: the sandbox flipped one of its bytes.
    """

    file_id: str
    name: str | None
    content_type: str
    size: int
    path: str
    crc32c: str
    md5: str
    type_matches: bool
    late: bool
    corrupt: bool = False

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of the stored bytes; read from disk when first asked for."""
        with open(self.path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def usable(self) -> bool:
        """Whether Layer takes it as an input."""
        return self.type_matches and not self.late


class State(StrEnum):
    """What has become of a session."""

    OPEN = "open"
    FINISHED = "finished"
    DEAD = "dead"
    CANCELLED = "cancelled"


class _Digest:
    def __init__(self, with_md5: bool) -> None:
        self._crc = 0
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None

    def update(self, data: bytes) -> None:
        self._crc = google_crc32c.extend(self._crc, data)
        if self._md5:
            self._md5.update(data)

    def texts(self) -> tuple[str, str]:
        md5 = self._md5.digest() if self._md5 else b""
        return base64.b64encode(self._crc.to_bytes(4, "big")).decode(), base64.b64encode(md5).decode()


class Session:
    """A resumable session. Hold `lock` around everything; reading a request's body is the one thing done outside it."""

    def __init__(self, upload: Upload, path: str, *, dies_at: int | None, md5: bool) -> None:
        self.upload = upload
        self.lock = threading.Lock()
        self.state = State.OPEN
        self.persisted = 0  # bytes
        self.dies_at = dies_at  # bytes; None: it lives
        self.sent = 0  # the highest end of a range that came, in bytes
        self.suspect = False  # the last answer was a failure: the client must query before it goes on
        self.turn = 0  # goes up with every request: an older one that still reads its body stops storing
        self.receiving = False
        self.hash_form = 0  # of the final answer: 0 one line, 1 two lines, 2 only the length, 3 nothing
        self.stored: StoredObject | None = None
        self._path = path
        self._md5 = md5
        self._digest = _Digest(md5)

    def write(self, position: int, data: bytes) -> bool:
        """Take `data` for byte `position` (at most `persisted`) on. False if it differs from what is persisted there.

        Of what is new, only whole 256 KiB steps are kept, or all of it if it ends the object.
        """
        end = position + len(data)
        known = min(self.persisted, end) - position
        boundary = end if end == self.upload.size_bytes else end - end % QUANTUM
        new = data[known : max(known, boundary - position)]
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            same = not known or os.pread(descriptor, known, position) == data[:known]
            if new:
                _write_all(descriptor, new, self.persisted)
                self._digest.update(new)
                self.persisted += len(new)
        finally:
            os.close(descriptor)
        return same

    def finish(self, final_path: str, *, late: bool, corrupt_at: int | None) -> StoredObject:
        """Make the object, its file moved to `final_path`; `corrupt_at` is the byte to spoil, if any."""
        if corrupt_at is not None:
            _flip(self._path, corrupt_at)
            self._digest = _digest_of(self._path, self._md5)
        crc32c, md5 = self._digest.texts()
        with open(self._path, "rb") as stream:
            matches = real_type(stream.read(16)) == self.upload.content_type
        os.replace(self._path, final_path)
        about = self.upload
        self.state = State.FINISHED
        self.stored = StoredObject(
            about.file_id, about.name, about.content_type, about.size_bytes, final_path,
            crc32c, md5, matches, late, corrupt_at is not None,
        )  # fmt: skip
        return self.stored

    def discard(self, state: State) -> None:
        """End the session without an object."""
        self.state = state
        if os.path.exists(self._path):
            os.unlink(self._path)


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, position)
        rest, position = rest[written:], position + written


def _flip(path: str, position: int) -> None:
    with open(path, "r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 0xFF]))


def _digest_of(path: str, with_md5: bool) -> _Digest:
    digest = _Digest(with_md5)
    with open(path, "rb") as stream:
        while data := stream.read(BLOCK_BYTES):
            digest.update(data)
    return digest
