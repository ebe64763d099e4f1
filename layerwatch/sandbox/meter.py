"""The API's rate limit. Never refuses without saying when to come back."""

import threading
import time
from email.utils import formatdate
from math import ceil


class Meter:
    """A token bucket that holds one second's worth of requests; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: float | None = None
        self._at = 0.0
        self._refusals = 0

    def refusal(self, per_s: float) -> str | None:
        """None if the request may pass, else the Retry-After: seconds and an HTTP date in turn."""
        with self._lock:
            now, most = time.monotonic(), max(1.0, per_s)
            self._left = most if self._left is None else min(most, self._left + (now - self._at) * per_s)
            self._at = now
            if self._left >= 1:
                self._left -= 1
                return None
            wait_s = ceil((1 - self._left) / per_s)
            self._refusals += 1
            if self._refusals % 2:
                return str(wait_s)
        # A date has whole seconds: one more, so that it never names a moment before the bucket has filled.
        return formatdate(time.time() + wait_s + 1, usegmt=True)
