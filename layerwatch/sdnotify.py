"""What a service tells systemd: that it is ready, how it is, that it is alive. Datagrams to `$NOTIFY_SOCKET`; without
one, nothing is sent.

Never raises and never reads the clock: a service manager that does not listen is no reason to stop work.
"""

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from layerwatch.notices import name_text
from layerwatch.redact import redact

STATUS_MOST = 500
_SEND_S = 1.0  # systemd takes what comes at once; should it hang, we do not hang with it
_MICROSECONDS = 1_000_000

Trouble = Callable[[str], None]


def _unheard(_: str) -> None:
    pass


@dataclass(slots=True)
class Notifier:
    """The line to systemd, or to nobody (`address` is None). `watchdog_s` is how often `alive` should be called: half
    of the time after which silence counts as a hang; None where nobody waits for it. `trouble` is told, once, when
    nobody listens."""

    address: bytes | None = None
    watchdog_s: float | None = None
    trouble: Trouble = _unheard
    _said: bool = field(default=False, init=False)

    @classmethod
    def from_environment(cls, trouble: Trouble = _unheard) -> Self:
        """As the environment that systemd gave us says."""
        name = os.environ.get("NOTIFY_SOCKET", "")
        if not name:
            return cls(trouble=trouble)
        if not name.startswith(("/", "@")):
            trouble(f"NOTIFY_SOCKET is {name_text(name)}, which is no socket on this machine: systemd is told nothing")
            return cls(trouble=trouble)
        raw = os.fsencode(name)
        return cls(b"\0" + raw[1:] if raw.startswith(b"@") else raw, _watchdog_s(), trouble)

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self._send(_status(text))

    def waiting(self, status: str, patience_s: float) -> None:
        """The start takes its time: no less than so long from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(patience_s * _MICROSECONDS)}", _status(status))

    def reloading(self, monotonic_us: int) -> None:
        """A new configuration is being taken, since that time; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def stopping(self) -> None:
        self._send("STOPPING=1", _status("stopping"))

    def alive(self) -> None:
        """Everything goes on as it should."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self.address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.settimeout(_SEND_S)
                line.sendto("\n".join(lines).encode(), self.address)
        except OSError as error:
            if not self._said:
                self._said = True
                self.trouble(f"systemd cannot be told how layerwatch is: {error.strerror or error}")


def _status(text: str) -> str:
    """One line without secrets: a line of its own would be an order to systemd."""
    line = name_text(redact(text))
    return f"STATUS={line if len(line) <= STATUS_MOST else line[: STATUS_MOST - 1] + '…'}"


def _watchdog_s() -> float | None:
    """The variables are inherited: they count for the process that they name."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    interval_us = os.environ.get("WATCHDOG_USEC", "")
    # A C `uint64_t`: 20 digits at the most.
    return int(interval_us) / _MICROSECONDS / 2 if re.fullmatch("0*[1-9][0-9]{0,19}", interval_us) else None
