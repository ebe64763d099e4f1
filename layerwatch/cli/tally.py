"""What a run has done so far, counted from its notices, for whoever sums it up. Any thread may call."""

import threading
from collections import Counter

from layerwatch.notices import Notice

STILL = {"generation_waits": "waiting", "generation_held": "held", "generation_unknown": "unknown"}


class Tally:
    """Counts notices by event. `size_bytes` is that of all uploaded files, `spent` the Creative Units of all complete
    generations, `hold` why everything waits, if it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter()
        self._still: dict[object, str] = {}
        self.size_bytes = 0
        self.spent = 0.0
        self.hold = ""

    def count(self, notice: Notice) -> None:
        with self._lock:
            self._events[notice.event] += 1
            self._mind(notice)
            match notice.event:
                case "uploaded":
                    self.size_bytes += int(notice.facts.get("size", 0))
                case "generation_complete":
                    self.spent += float(notice.facts.get("price") or 0)
                case "hold":
                    self.hold = str(notice.facts.get("message", ""))
                case "resumed":
                    self.hold = ""

    def _mind(self, notice: Notice) -> None:
        """A generation that stands still does so until it is heard of again."""
        one = notice.facts.get("generation")
        self._still.pop(one, None)
        if how := STILL.get(notice.event):
            # Several at once: those that a crash made unknown.
            self._still.update(dict.fromkeys(notice.facts.get("generations", [one]), how))

    def still(self, how: str) -> int:
        """How many generations wait, are held or unknown, of those that became so in this run."""
        with self._lock:
            return sum(each == how for each in self._still.values())

    def __getitem__(self, event: str) -> int:
        with self._lock:
            return self._events[event]

    @property
    def generations(self) -> int:
        """How often anything was said of any generation."""
        with self._lock:
            return sum(count for event, count in self._events.items() if event.startswith("generation_"))

    @property
    def begun(self) -> bool:
        """Whether anything was said yet; before that there may be no ledger."""
        with self._lock:
            return bool(self._events)
