"""Logs on stderr: for people on a terminal, JSON lines for a service, with the priority in front where the journal
reads them. Never more than `limit` lets through; what it leaves out is counted and said.
"""

import logging
import os
import sys
from typing import TextIO

from layerwatch.logs.bounded import Bounded
from layerwatch.logs.formats import HumanFormatter, JournalFormatter, JsonFormatter
from layerwatch.notices import Notice

__all__ = ["HumanFormatter", "JsonFormatter", "set_up", "tell"]

_log = logging.getLogger("layerwatch")


def tell(notice: Notice) -> None:
    """Log a notice."""
    if _log.isEnabledFor(notice.level):
        # Made here: `Logger.log` would look for the line of code that called, which nobody asks for.
        record = logging.LogRecord(_log.name, notice.level, "", 0, notice.text, (), None)
        record.event, record.facts = notice.event, dict(notice.facts)
        _log.handle(record)


def set_up(
    style: str = "auto",
    *,
    verbose: bool = False,
    stream: TextIO | None = None,
    handler: logging.Handler | None = None,
    host: str | None = None,
) -> None:
    """Send all logging of this process to `stream` (stderr), or to `handler`, which has a formatter of its own.

    `style`: human, json, or auto, which asks the stream. `host`: which of several this one is, told in JSON lines.
    """
    target = handler or _on(stream or sys.stderr, style, host)
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.WARNING, handlers=[Bounded(target)], force=True)
    _log.setLevel(logging.DEBUG if verbose else logging.INFO)
    # httpx logs every request at INFO, with its whole URL: a webhook's is a secret that no pattern knows.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _on(stream: TextIO, style: str, host: str | None) -> logging.Handler:
    human = style == "human" or (style == "auto" and stream.isatty())
    formatter = HumanFormatter() if human else JsonFormatter(host)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JournalFormatter(formatter) if _is_journal(stream) else formatter)
    return handler


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd has connected it to the journal: it says so by device and inode, see systemd.exec(5). A variable
    alone proves nothing: whoever is started from a service inherits it, and may write somewhere else."""
    try:
        seen = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False  # no descriptor: nothing of systemd's
    return os.environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"
