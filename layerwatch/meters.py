"""What happened since the process started, counted from its notices, for `/metrics`. Any thread may call."""

from contextlib import AbstractContextManager

from layerwatch.notices import Notice


class Meters:
    """Counts; each call is one short step under the lock that is handed in."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock

    def count(self, notice: Notice) -> None:
        """Count what a notice tells."""
