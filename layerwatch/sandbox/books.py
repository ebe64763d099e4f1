"""What the sandbox has counted: requests by kind, bytes, faults dealt, and the protocol rules that a client broke.

Never holds a secret: a violation's detail speaks of offsets, sizes and types, not of URLs or tokens.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Rule(StrEnum):
    """A rule of the upload protocol that a client can break."""

    SIGNATURE = "signature"  # the start differs from what was signed: method, Content-Type, query, x-goog headers
    START_BODY = "start_body"  # the start has a body, or no `Content-Length: 0`
    TOKEN_TO_STORAGE = "token_to_storage"  # noqa: S105 - an Authorization header went to storage or to an asset's URL
    CHUNKED_TRANSFER = "chunked_transfer"  # a body without a length
    CONTENT_TYPE = "content_type"  # a PUT with another Content-Type than the one the upload URL came with
    BAD_CONTENT_RANGE = "bad_content_range"  # not `bytes a-b/N` nor `bytes */N`
    QUERY_WITH_BODY = "query_with_body"  # a status query that is not empty
    SIZE_MISMATCH = "size_mismatch"  # N is not the size that was announced for the file
    LENGTH_MISMATCH = "length_mismatch"  # the body is not as long as its range
    UNALIGNED_CHUNK = "unaligned_chunk"  # not the last chunk, and not a multiple of 256 KiB
    WRONG_OFFSET = "wrong_offset"  # bytes beyond what is persisted
    MIXED_BYTES = "mixed_bytes"  # other bytes for a range that is already persisted: two files in one object
    BLIND_RETRY = "blind_retry"  # after a failure, something else than a status query
    PUT_AFTER_FINAL = "put_after_final"  # bytes for a session that is finished
    BAD_METHOD = "bad_method"  # neither PUT nor DELETE on a session
    FINISHED_AFTER_DEADLINE = "finished_after_deadline"  # later than the upload URL's life allows


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule broken once; `detail` says how, without secrets."""

    rule: Rule
    detail: str


class Books:
    """Counters and violations; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._violations: list[Violation] = []

    def count(self, name: str, amount: int = 1) -> None:
        """Add `amount` to the counter `name`."""
        with self._lock:
            self._counts[name] += amount

    def violate(self, rule: Rule, detail: str) -> None:
        """Note that a client broke `rule`."""
        with self._lock:
            self._violations.append(Violation(rule, detail))

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counters; a name never counted is 0."""
        with self._lock:
            return Counter(self._counts)

    @property
    def violations(self) -> list[Violation]:
        """A copy of the violations, oldest first."""
        with self._lock:
            return list(self._violations)
