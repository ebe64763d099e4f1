"""What a running daemon takes of its machine, read from /proc and, of the ledger, asked of SQLite."""

import os
import time
from dataclasses import dataclass

from tests.system.conftest import Site

READINGS = 5
BETWEEN_S = 0.3


@dataclass(frozen=True)
class Vitals:
    """Memory in KiB, sizes in bytes. `sockets` are those among the descriptors that are not `fds`; `watches` and
    `directories`: what the kernel watches, and what there is to watch; `rows` are files and generations."""

    minute: int
    resident_kib: int
    peak_kib: int
    fds: int
    sockets: int
    threads: int
    watches: int
    directories: int
    ledger_bytes: int
    wal_bytes: int
    rows: int

    @property
    def bytes_per_row(self) -> float:
        return self.ledger_bytes / self.rows


def vitals(site: Site, pid: int, minute: int) -> Vitals:
    """As they are at rest, at that minute of the day: a scan that is just under way has directories open."""
    readings = []
    for _ in range(READINGS):
        time.sleep(BETWEEN_S)
        readings.append(_read(site, pid, minute))
    return min(reversed(readings), key=lambda each: each.fds)


def _read(site: Site, pid: int, minute: int) -> Vitals:
    status = _status(pid)
    links = _links(pid)
    sockets = sum(link.startswith("socket:") for link in links.values())
    inotify = [fd for fd, link in links.items() if link == "anon_inode:inotify"]
    (ledger,) = site.ask("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size")
    (rows,) = site.ask("SELECT (SELECT count(*) FROM files) + (SELECT count(*) FROM generations) AS n")
    return Vitals(
        minute=minute,
        resident_kib=status["VmRSS"],
        peak_kib=status["VmHWM"],
        fds=len(links) - sockets,
        sockets=sockets,
        threads=status["Threads"],
        watches=sum(_watches(pid, fd) for fd in inotify),
        directories=sum(1 for _ in os.walk(site.drop)),
        ledger_bytes=ledger["bytes"],
        wal_bytes=wal_bytes(site),
        rows=rows["n"],
    )


def wal_bytes(site: Site) -> int:
    """The size of the ledger's write-ahead log."""
    try:
        return os.stat(f"{site.ledger}-wal").st_size
    except FileNotFoundError:
        return 0


def _status(pid: int) -> dict[str, int]:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
        found = (line.split() for line in lines)
        return {words[0].rstrip(":"): int(words[1]) for words in found if len(words) > 1 and words[1].isdecimal()}


def _links(pid: int) -> dict[str, str]:
    """What each descriptor leads to."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue  # closed since it was listed
    return found


def _watches(pid: int, fd: str) -> int:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as lines:
        return sum(line.startswith("inotify wd:") for line in lines)
