"""The ledger: is it whole, may we write it, is there room? Changes nothing of it, and makes none."""

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from layerwatch import __version__
from layerwatch.checkup.findings import About, Area, Finding
from layerwatch.checkup.room import nearest, space, why_not_writable
from layerwatch.errors import LayerwatchError, LedgerTrouble
from layerwatch.ledger import FolderFacts, Ledger, holder
from layerwatch.ledger.health import VERSION, Health, examine
from layerwatch.mounts import mount_of
from layerwatch.notices import size_text

MUCH_WAL_BYTES = 256 * 1024 * 1024
_about = About(Area.LEDGER)


@dataclass(slots=True)
class Known:
    """Who works on the ledger, as which user, and what is noted in it."""

    pid: int | None = None
    user: int | None = None
    version: str | None = None
    folders: dict[str, FolderFacts] = field(default_factory=dict)


# --- who works on it --------------------------------------------------------------------------------------------------


def look(path: str) -> Known:
    """What is known before anything is checked."""
    pid = holder(path)
    try:
        user = None if pid is None else os.stat(f"/proc/{pid}").st_uid
    except OSError:
        user = None
    return Known(pid, user)


def check_daemon(path: str, known: Known) -> Iterator[Finding]:
    about = About(Area.DAEMON)
    if known.pid is None:
        yield about.ok("process", "none works on this ledger now")
    else:
        version = f", version {known.version}" if known.version else ""
        yield about.ok("process", f"process {known.pid} works on this ledger{version}")
    if known.version not in (None, __version__):
        detail = f"version {known.version} is running, and {__version__} is installed"
        yield about.warning("version", detail, "restart `layerwatch run`")
    user = known.user if known.user is not None else _owner(path)
    if user not in (None, os.geteuid()):
        whose = f"the daemon runs as {_name(user)}" if known.user is not None else f"the ledger is {_name(user)}'s"
        detail = f"{whose}, and this check as {_name(os.geteuid())}: permissions are told for the latter"
        yield about.warning("user", detail, f"sudo -u {_name(user)} layerwatch check")


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


def _name(user: int | None) -> str:
    try:
        return pwd.getpwuid(user or 0).pw_name
    except KeyError:
        return f"#{user}"


# --- the ledger itself ------------------------------------------------------------------------------------------------


def check_ledger(path: str, known: Known, enough: Callable[[], bool]) -> Iterator[Finding]:
    """All about it. `enough` says when to stop reading; what is noted in it goes into `known`."""
    directory = os.path.dirname(os.path.realpath(path))
    is_there = os.path.lexists(path)
    if reason := why_not_writable(nearest(directory)):
        what = "cannot be written" if is_there else "cannot be made: there is none yet"
        detail = f"{path} {what} (uid {os.geteuid()}, {nearest(directory)}: {reason})"
        do = "let that user write the directory (SQLite needs it beside the file), or set [ledger] path"
        yield _about.problem("directory", detail, do)
    elif not is_there:
        yield _about.ok("directory", f"{path} is not there yet; `layerwatch run` will make it, and can")
    else:
        yield _about.ok("directory", f"{directory} can be written")
    yield from check_disk(path)
    if is_there:
        yield from _barred(path)
        yield from _file(path, known, enough)


def check_disk(path: str) -> Iterator[Finding]:
    """The disk that it is on, or will be."""
    directory = nearest(os.path.dirname(os.path.realpath(path)))
    mount = mount_of(directory)
    if mount.is_network:
        detail = f"{directory} is on {mount.fstype}, a network filesystem, where SQLite's locks do not hold"
        yield _about.problem("filesystem", detail, "keep it on a disk of this machine: set [ledger] path")
    yield from space(_about, directory, "the ledger")


def _barred(path: str) -> Iterator[Finding]:
    """What somebody else has left here, often root, who tried it first. Nothing is opened: see `ledger.health`."""
    ours = (each for each in (path, f"{path}-wal", f"{path}-shm", f"{path}.lock") if os.path.exists(each))
    barred = [each for each in ours if not os.access(each, os.R_OK | os.W_OK, effective_ids=True)]
    if barred:
        detail = f"uid {os.geteuid()} may not read and write {', '.join(barred)}"
        yield _about.problem("owner", detail, f"give them to the user that layerwatch runs as: chown USER {path}*")


def _file(path: str, known: Known, enough: Callable[[], bool]) -> Iterator[Finding]:
    if os.path.isdir(path):
        yield _about.problem("file", f"{path} is a directory", "name a file in [ledger] path")
        return
    try:
        health = examine(path, enough)
    except LedgerTrouble as error:
        do = "let that user read it, if it is one; else restore it from a backup, or set [ledger] path"
        yield _about.problem("file", f"{path} cannot be read by uid {os.geteuid()}: {error}", do)
        return
    yield _version(path, health)
    if health.is_empty:
        return
    yield _whole(health)
    size = f"{size_text(health.size_bytes)}, and {size_text(health.wal_bytes)} of write-ahead log"
    if health.wal_bytes > MUCH_WAL_BYTES:
        do = f"end what reads the ledger for so long (fuser {path}); the daemon then folds it in"
        yield _about.warning("size", f"{size}, which somebody keeps from being folded in", do)
    else:
        yield _about.ok("size", size)
    if health.is_ledger and health.version == VERSION and not health.faults:
        _read(path, known)


def _version(path: str, health: Health) -> Finding:
    if health.is_empty:
        return _about.ok("version", "empty; `layerwatch run` makes it a ledger")
    if not health.is_ledger:
        do = "name another file in [ledger] path"
        return _about.problem("version", f"{path} is a SQLite database, and not a ledger of layerwatch", do)
    if health.version > VERSION:
        detail = f"version {health.version}, written by a newer layerwatch: this one knows {VERSION}"
        return _about.problem("version", detail, "upgrade layerwatch, or name another file in [ledger] path")
    if health.version < VERSION:
        return _about.ok("version", f"{health.version}; `layerwatch run` brings it to {VERSION}")
    return _about.ok("version", f"{health.version}, which is this one's")


def _whole(health: Health) -> Finding:
    if health.faults is None:
        return _about.ok("quick_check", "nothing found so far; it is too large to be read to the end here")
    if health.faults:
        do = "stop layerwatch, keep a copy, then restore a backup, or try `sqlite3 ledger.db .recover`; check the disk"
        return _about.problem("quick_check", f"damaged: {'; '.join(health.faults)}", do)
    return _about.ok("quick_check", "SQLite finds nothing wrong")


def _read(path: str, known: Known) -> None:
    """What the daemon has noted. Not of a ledger that would be changed by opening it."""
    try:
        with Ledger(path, create=False) as ledger:
            known.folders = {facts.name: facts for facts in ledger.facts.folders()}
            about = ledger.facts.notes().get("daemon") if known.pid is not None else None
    except LayerwatchError:
        return  # it cannot be written, which was told
    if isinstance(about, dict):
        known.version = about.get("version")
