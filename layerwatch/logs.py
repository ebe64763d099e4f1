"""Logs on stderr: for people on a terminal, JSON lines for a service. Secrets are taken out in the formatter, so
that third parties' lines and tracebacks are covered too.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from layerwatch.notices import Notice, name_text
from layerwatch.redact import redact

_log = logging.getLogger("layerwatch")


def tell(notice: Notice) -> None:
    """Log a notice."""
    _log.log(notice.level, "%s", notice.text, extra={"event": notice.event, "facts": dict(notice.facts)})


class HumanFormatter(logging.Formatter):
    """`10:02:03 text`, with the level where it is worth a look."""

    def format(self, record: logging.LogRecord) -> str:
        # Line by line: an answer of a server, or a name in a third party's message, must not steer the terminal.
        text = "\n".join(map(name_text, super().format(record).splitlines()))
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return redact(f"{at} {level}{text}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at, level, event, message, and the event's own facts."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            **getattr(record, "facts", {}),
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": super().format(record),
        }
        return redact(json.dumps(line, default=str))


def set_up(
    style: str = "auto", *, verbose: bool = False, stream: TextIO | None = None, handler: logging.Handler | None = None
) -> None:
    """Send all logging of this process to `stream` (stderr), or to `handler`, which has a formatter of its own.

    `style`: human, json, or auto, which asks the stream.
    """
    if handler is None:
        stream = stream or sys.stderr
        human = style == "human" or (style == "auto" and stream.isatty())
        handler = logging.StreamHandler(stream)
        handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _log.setLevel(logging.DEBUG if verbose else logging.INFO)
    # httpx logs every request at INFO, with its whole URL: a webhook's is a secret that no pattern knows.
    logging.getLogger("httpx").setLevel(logging.WARNING)
