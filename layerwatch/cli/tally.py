"""What a run has done so far, counted from its notices, for whoever sums it up. Any thread may call."""

import threading
from collections import Counter

from layerwatch.notices import Notice


class Tally:
    """Counts notices by event. `size_bytes` is that of all uploaded files, `hold` why everything waits, if it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter()
        self.size_bytes = 0
        self.hold = ""

    def count(self, notice: Notice) -> None:
        with self._lock:
            self._events[notice.event] += 1
            match notice.event:
                case "uploaded":
                    self.size_bytes += int(notice.facts.get("size", 0))
                case "hold":
                    self.hold = str(notice.facts.get("message", ""))
                case "resumed":
                    self.hold = ""

    def __getitem__(self, event: str) -> int:
        with self._lock:
            return self._events[event]

    @property
    def begun(self) -> bool:
        """Whether anything was said yet; before that there may be no ledger."""
        with self._lock:
            return bool(self._events)
