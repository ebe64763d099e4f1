"""The handler behind which the limit stands: whatever logs, ours or a third party's, goes through it."""

import logging

from layerwatch.logs.limit import Limit


class Bounded(logging.Handler):
    """Hands to `target` what is not too much, and, when it is closed, what is still to be told of the rest."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self._target = target
        self._limit = Limit()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with this handler's lock held."""
        for each in self._limit.admit(record):
            self._target.handle(each)

    def flush(self) -> None:
        self._target.flush()

    def close(self) -> None:
        """Also called by `logging` at the end of the process, before it closes `target`."""
        self.acquire()
        try:
            for each in self._limit.rest():
                self._target.handle(each)
        finally:
            self.release()
        self._target.close()
        super().close()
