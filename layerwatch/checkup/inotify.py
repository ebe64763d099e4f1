"""What the kernel lets one user watch, and what of it is left. Reads /proc, and opens one instance for a moment."""

import ctypes
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from layerwatch.checkup.findings import About, Area, Finding

SPARE_SHARE = 10  # less than a tenth left is little
FEWEST = 524_288  # what is worth raising the watches to
_KEEP = "; to keep it, write it into /etc/sysctl.d/60-layerwatch.conf"

_libc = ctypes.CDLL(None, use_errno=True)
_about = About(Area.INOTIFY)


@dataclass(frozen=True, slots=True)
class Limit:
    """`name` is what `sysctl` calls it."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Used:
    """What one process has of them, as far as we may see it."""

    watches: int
    instances: int


@dataclass(frozen=True, slots=True)
class Needed:
    """How many directories the kernel is to watch; `at_least`: they were not counted to the end."""

    watches: int
    at_least: bool = False


def limit(what: str) -> Limit | None:
    """The lower one of the two limits on `watches` or `instances`; None where the kernel tells of none."""
    names = (f"fs.inotify.max_user_{what}", f"user.max_inotify_{what}")  # the latter is a container's own
    found = [Limit(name, number) for name in names if (number := _number(name)) is not None]
    return min(found, key=lambda each: each.number, default=None)


def _number(name: str) -> int | None:
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def used_by(user: int) -> dict[int, Used]:
    """What each process of this user has: the limits are per user."""
    found = {}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        try:
            if os.stat(f"/proc/{pid}").st_uid == user and (used := _used(pid)).instances:
                found[pid] = used
        except OSError:
            continue  # it has ended, or is none of our business
    return found


def _used(pid: int) -> Used:
    watches = instances = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") == "anon_inode:inotify":
                instances += 1
                with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as lines:
                    watches += sum(line.startswith(b"inotify ") for line in lines)
        except OSError:
            continue
    return Used(watches, instances)


# --- findings ---------------------------------------------------------------------------------------------------------


def check_instances() -> Iterator[Finding]:
    """Whether this user could open one more: only a try tells."""
    fd = _libc.inotify_init1(os.O_CLOEXEC)
    if fd >= 0:
        os.close(fd)
        yield _about.ok("instances", "one can be opened, and layerwatch needs no more")
        return
    most, reason = limit("instances"), os.strerror(ctypes.get_errno()).lower()
    detail = f"none can be opened, and `layerwatch run` cannot begin without: {reason}"
    if most is None:
        yield _about.problem("instances", detail, "see why this kernel has no inotify")
        return
    taken = sum(used.instances for used in used_by(os.geteuid()).values())
    do = f"end what holds them, or sysctl -w {most.name}={max(2 * most.number, 256)}{_KEEP}"
    yield _about.problem("instances", f"{detail} ({taken} in use, {most.number} allowed by {most.name})", do)


def check_watches(needed: Needed, used: Mapping[int, Used], daemon: int | None) -> Iterator[Finding]:
    """Whether all directories can be watched beside what others watch."""
    number = f"{needed.watches} {'directory' if needed.watches == 1 else 'directories'}"
    said, most = f"{'more than ' if needed.at_least else ''}{number} to watch", limit("watches")
    if most is None:
        yield _about.ok("watches", said)
        return
    others = sum(each.watches for pid, each in used.items() if pid != daemon)
    left = most.number - others
    said += f", of {most.number} that {most.name} allows" + (
        f", {others} of which other programs have" if others else ""
    )
    do = f"sysctl -w {most.name}={_enough(needed.watches + others)}{_KEEP}"
    if needed.watches > left:
        detail = f"{said}: what is beyond that is polled, and noticed late"
        yield _about.warning("watches", detail, f"{do}; then restart layerwatch")
    elif left - needed.watches < most.number // SPARE_SHARE:
        yield _about.warning("watches", f"{said}: few are left", do)
    else:
        yield _about.ok("watches", said)


def _enough(wanted: int) -> int:
    """A round number, at least twice what is wanted today."""
    return max(1 << max(2 * wanted - 1, 1).bit_length(), FEWEST)
