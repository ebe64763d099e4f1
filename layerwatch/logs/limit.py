"""How much is said of one kind of event: a token bucket for each event and level, far larger than a day's work needs.
Pure: the time is that of the records, no clock is read.

Every line that is left out is counted, and a line of its own says so: at once for the first, then once a minute at
most, and at the end. An event that comes once always finds its bucket full.
"""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from layerwatch.logs.formats import iso

TOLD_EVERY_S = 60.0
ENDED = "ended"  # the last line of a run: nothing is told behind it
LEFT_OUT = "left_out"
WHERE = {
    "queued": "ls --status queued",
    "postponed": "ls --status queued",
    "uploaded": "ls --status uploaded",
    "failed": "ls --status failed",
    "skipped": "ls --status skipped",
    "generation_waits": "ls --generations --status waiting",
    "generation_queued": "ls --generations --status queued",
    "generation_postponed": "ls --generations --status queued",
    "generation_started": "ls --generations --status running",
    "generation_complete": "ls --generations --status complete",
    "generation_failed": "ls --generations --status failed",
    "generation_cancelled": "ls --generations --status cancelled",
    "generation_held": "ls --generations --status blocked",
    "generation_unknown": "ls --generations --status unknown",
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many lines at once, and so many a second in the long run."""

    burst: int
    per_s: float


NEWS = Allowance(20_000, 20.0)  # a night's frames all uploaded in half an hour
TROUBLE = Allowance(2000, 1.0)  # more than anybody reads


@dataclass(slots=True)
class _Bucket:
    """Of one event at one level. `left_out` lines since `since` are not told of yet; `told_at`: when some were last."""

    event: str
    level: int
    is_ours: bool
    tokens: float
    filled_at: float
    left_out: int = 0
    since: float = 0.0
    told_at: float = -math.inf

    def take(self, allowance: Allowance, now: float) -> bool:
        """Whether one more line may be said. A clock that was set back fills nothing."""
        gained = max(now - self.filled_at, 0.0) * allowance.per_s
        self.tokens, self.filled_at = min(self.tokens + gained, allowance.burst), now
        if self.tokens < 1:
            self.since = self.since if self.left_out else now
            self.left_out += 1
            return False
        self.tokens -= 1
        return True

    def is_due(self, now: float) -> bool:
        """Whether it is to be told of; after a jump of the clock, too."""
        return abs(now - self.told_at) >= TOLD_EVERY_S

    def tell(self, now: float) -> logging.LogRecord:
        """The line that tells of what was left out."""
        record = logging.makeLogRecord({"name": "layerwatch", "levelno": self.level, "created": now})
        record.levelname = logging.getLevelName(self.level)
        record.msg = self._text()
        record.event = LEFT_OUT
        record.facts = {"of": self.event, "lines": self.left_out, "since": iso(self.since)}
        self.left_out, self.told_at = 0, now
        return record

    def _text(self) -> str:
        lines = "1 line was" if self.left_out == 1 else f"{self.left_out} lines were"
        since = datetime.fromtimestamp(self.since).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        where = f"; the ledger has all: see `layerwatch {WHERE.get(self.event, 'status')}`" if self.is_ours else ""
        return f'too many lines "{self.event}": {lines} left out since {since}{where}'


@dataclass
class Limit:
    """Not for several threads at once: who calls it holds a lock. `trouble` is for warnings and above."""

    news: Allowance = NEWS
    trouble: Allowance = TROUBLE
    _buckets: dict[tuple[str, int], _Bucket] = field(default_factory=dict)
    _short: set[tuple[str, int]] = field(default_factory=set)  # of which some lines are not told of
    _now: float = 0.0

    def admit(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """The lines to be said now: what there is to tell of those that were left out, and this one, unless it is."""
        self._now = record.created
        event = getattr(record, "event", None)
        key = event or record.name, record.levelno
        bucket = self._buckets.get(key)
        allowance = self.trouble if record.levelno >= logging.WARNING else self.news
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(*key, event is not None, allowance.burst, self._now)
        is_said = record.levelno >= logging.CRITICAL or bucket.take(allowance, self._now)
        if not is_said:
            self._short.add(key)
        yield from self.rest(due_only=event != ENDED)
        if is_said:
            yield record

    def rest(self, *, due_only: bool = False) -> Iterator[logging.LogRecord]:
        """What is to be told of lines that were left out: all of it, or what is due."""
        for key in sorted(self._short):
            bucket = self._buckets[key]
            if not due_only or bucket.is_due(self._now):
                self._short.discard(key)
                yield bucket.tell(self._now)
