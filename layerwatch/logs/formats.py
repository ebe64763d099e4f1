"""What a line looks like. Secrets are taken out here, so that third parties' lines and tracebacks are covered too."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from layerwatch.notices import name_text
from layerwatch.redact import redact

# syslog's priorities, as the journal reads them in front of a line: see sd-daemon(3).
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_as_json = json.JSONEncoder(default=str).encode  # `json.dumps` makes an encoder for each line


class HumanFormatter(logging.Formatter):
    """`10:02:03 text`, with the level where it is worth a look."""

    def format(self, record: logging.LogRecord) -> str:
        # Line by line: an answer of a server, or a name in a third party's message, must not steer the terminal.
        text = "\n".join(map(name_text, super().format(record).splitlines()))
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return redact(f"{at} {level}{text}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, event, message, the event's own facts, and which host says so, if several
    do."""

    def __init__(self, host: str | None = None) -> None:
        super().__init__()
        self._who = {} if host is None else {"host": host}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            **getattr(record, "facts", {}),
            "at": iso(record.created),
            "level": record.levelname.lower(),
            **self._who,
            "event": getattr(record, "event", record.name),
            "message": super().format(record),
        }
        return redact(_as_json(line))


class JournalFormatter(logging.Formatter):
    """Another formatter's lines, each with its priority in front: the journal takes every line for an entry."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in self._lines.format(record).split("\n"))


def iso(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
