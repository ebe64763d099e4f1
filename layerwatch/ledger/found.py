"""What was found in a folder, written down: versions of files, and files that cannot be uploaded as they are.

What the ledger knows already only gets its identity renewed. The status comes from `states.move`, never from here.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from layerwatch.errors import Code
from layerwatch.ledger.connection import Connection, Store
from layerwatch.ledger.history import remember
from layerwatch.ledger.marks import come_back, next_found, recheck
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.names import Names
from layerwatch.source import Digest, Identity, Seen
from layerwatch.states import Event, File, allows, move


class Version(NamedTuple):
    """A complete file, found in a folder and hashed. `aftermath`: its folder wants something done once it is
    uploaded. `origin`: the generation whose result it is, in a chain of rules. `outside`: it was pushed for that
    folder, and lies elsewhere. `seen_at`: since when it lies there as it is, unix seconds; None: as of now."""

    folder: str
    path: str
    identity: Identity
    content_type: str
    digest: Digest
    aftermath: bool = False
    origin: int | None = None
    outside: bool = False
    seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was found and cannot be uploaded as it is."""

    folder: str
    path: str
    identity: Identity
    code: str
    message: str


class Recorded(NamedTuple):
    """What recording did: the row, and the event; None when the ledger knew it all. A tuple: one for each file of a
    scan."""

    id: int
    event: Event | None


# A version that is no more, or that could not be read, does not make what lies there now known.
_COUNTS = "NOT (status = 'skipped' AND (hash IS NOT NULL OR error_code = 'unreadable'))"
_KNOWN = f"SELECT path, size, mtime_ns, inode FROM files WHERE dir = ? AND {_COUNTS}"  # noqa: S608  ours alone
# By the path alone: the index over directories would be walked through a large one for each of its files.
_IS_KNOWN = f"SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ? AND {_COUNTS}"  # noqa: S608


def known(store: Store, directory: str) -> dict[str, list[Seen]]:
    """The versions known directly in `directory`, by their paths: a scan passes over these."""
    names, found = store.names, defaultdict[str, list[Seen]](list)
    for row in store.rows(_KNOWN, names.to_text(directory)):
        seen = (names.to_path(row[0]), *row[1:]) if names.differ(row[0]) else row
        found[seen[0]].append(seen)
    return found


def is_known(store: Store, path: str, identity: Identity) -> bool:
    """Whether this very version is known, as `known` would say for its directory."""
    facts = (store.names.to_text(path), identity.size, identity.mtime_ns, identity.inode)
    return store.row(_IS_KNOWN, *facts) is not None


# --- inside one transaction -------------------------------------------------------------------------------------------


def written(connection: Connection, found: Sequence[Version | Refusal], now: float) -> list[Recorded]:
    """Write down what was found, in this order."""
    if len({item.path for item in found}) < len(found):
        # A path that is there twice: what comes later is what counts.
        return [row for item in found for row in written(connection, [item], now)]
    inserted = _inserted(connection, [item for item in found if isinstance(item, Version)], now)
    return [inserted.get(item.path) or _written_over(connection, item, now) for item in found]


def _inserted(connection: Connection, found: Sequence[Version], now: float) -> dict[str, Recorded]:
    """Those of which the ledger knows nothing, by path: nearly all, at a first scan. They are written together, since
    asking for each of them would cost as much again."""
    refused = _refused(connection, found)
    fresh = [item for item in found if item.path not in refused] if refused else found
    if not fresh:
        return {}
    first = next_found(connection)
    _insert_all(connection, _values(connection.names, fresh, first, now))
    numbers = (first, first + len(fresh) - 1)
    connection.execute(_HISTORY, (iso(now), Event.SEEN.value, _QUEUED, *numbers))
    rows = connection.execute("SELECT found, id FROM files WHERE found BETWEEN ? AND ?", numbers).fetchall()
    seen = Event.SEEN  # an enum's member is looked up by a function
    return {fresh[number - first].path: Recorded(id_, seen) for number, id_ in rows}


def _refused(connection: Connection, found: Sequence[Version]) -> set[str]:
    """Paths of these under which something was refused."""
    names = connection.names
    paths = [names.to_text(item.path) for item in found]
    marks = ", ".join("?" * len(paths))
    asked = f"SELECT path FROM files WHERE hash IS NULL AND path IN ({marks})"  # noqa: S608  marks only
    return {names.to_path(path) for (path,) in connection.execute(asked, paths).fetchall()} if paths else set()


_QUEUED = move(None, Event.SEEN).value
# What is known already is not inserted, and its number is not used.
_INTO = """
INSERT INTO files (folder, path, dir, size, mtime_ns, inode, hash, crc32c, content_type, status, next_attempt_at,
  created_at, updated_at, origin, found, outside, seen_at) VALUES
"""
_ROW = f"({', '.join('?' * 17)})"
_INSERT = f"{_INTO} {_ROW} ON CONFLICT DO NOTHING"
_TOGETHER = 64
_INSERT_TOGETHER = f"{_INTO} {', '.join([_ROW] * _TOGETHER)} ON CONFLICT DO NOTHING"
_HISTORY = """
INSERT INTO history (item, item_id, at, event, status)
SELECT 'file', id, ?, ?, ? FROM files WHERE found BETWEEN ? AND ? ORDER BY found
"""


def _insert_all(connection: Connection, rows: list[tuple[object, ...]]) -> None:
    # So many by one statement cost a quarter less, and hold up no other thread meanwhile.
    rest = len(rows) % _TOGETHER
    for at in range(0, len(rows) - rest, _TOGETHER):
        connection.execute(_INSERT_TOGETHER, list(chain.from_iterable(rows[at : at + _TOGETHER])))
    if rest:
        connection.executemany(_INSERT, rows[-rest:])


def _values(names: Names, fresh: Sequence[Version], first: int, now: float) -> list[tuple[object, ...]]:
    """A row for each, numbered from `first` on."""
    at = iso(now)
    to_text = cache(names.to_text)  # of directories, in which many of them are
    return [
        (
            found.folder, names.to_text(found.path), to_text(found.path.rpartition("/")[0]), *found.identity,
            found.digest.sha256, found.digest.crc32c, found.content_type, _QUEUED, at,
            at, at, found.origin, number, int(found.outside), at if found.seen_at is None else iso(found.seen_at),
        )
        for number, found in enumerate(fresh, first)
    ]  # fmt: skip


def _written_over(connection: Connection, item: Version | Refusal, now: float) -> Recorded:
    if isinstance(item, Version):
        return _renewed(connection, item, now)
    return _record_refusal(connection, item, now)


def _renewed(connection: Connection, found: Version, now: float) -> Recorded:
    """A version that the ledger knows, or of a path under which something was refused: that row goes on."""
    path = connection.names.to_text(found.path)
    asked = "SELECT hash IS NULL, id, status FROM files WHERE path = ? AND (hash = ? OR hash IS NULL)"
    known = {bool(null): rest for null, *rest in connection.execute(asked, (path, found.digest.sha256)).fetchall()}
    row, refused = known.get(False), known.get(True)
    if row and refused:
        # What was refused under this path was this file, before it was whole again: the version's own row goes on.
        connection.execute("DELETE FROM history WHERE item = 'file' AND item_id = ?", refused[:1])
        connection.execute("UPDATE pushed SET file = ? WHERE file = ?", (row[0], refused[0]))
        connection.execute("DELETE FROM files WHERE id = ?", refused[:1])
    going_on = row or refused
    assert going_on, "neither known nor refused"
    id_, status = going_on
    if not allows(File(status), Event.SEEN):
        again = _again(now) if found.aftermath and status == File.UPLOADED else {}
        _set(connection, id_, _identity(found.identity) | again)
        come_back(connection, id_)
        return Recorded(id_, None)
    columns: dict[str, object] = {
        "folder": found.folder,
        "hash": found.digest.sha256,
        "crc32c": found.digest.crc32c,
        "content_type": found.content_type,
        "status": move(File(status), Event.SEEN),
        "error_code": None,
        "error": None,
        "attempts": 0,
        "next_attempt_at": iso(now),
        "updated_at": iso(now),
        "origin": found.origin,
        "found": next_found(connection),
        "outside": int(found.outside),
        "seen_at": iso(now if found.seen_at is None else found.seen_at),
        **_identity(found.identity),
    }
    _set(connection, id_, columns)
    remember(connection, id_, now, Event.SEEN, File.QUEUED)
    return Recorded(id_, Event.SEEN)


def _record_refusal(connection: Connection, found: Refusal, now: float) -> Recorded:
    columns: dict[str, object] = {
        "folder": found.folder,
        "error_code": found.code,
        "error": plain(found.message),
        **_identity(found.identity),
    }
    row = connection.execute(
        f"SELECT id, status, {', '.join(columns)} FROM files WHERE path = ? AND hash IS NULL",  # noqa: S608  ours alone
        (connection.names.to_text(found.path),),
    ).fetchone()
    if row and row[2:] == tuple(columns.values()):
        return Recorded(row[0], None)
    status = move(File(row[1]) if row else None, Event.REFUSED)
    columns |= {"status": status, "updated_at": iso(now)}
    id_ = _set(connection, row[0], columns) if row else _insert(connection, found.path, columns)
    remember(connection, id_, now, Event.REFUSED, status, code=found.code, detail=found.message)
    if found.code == Code.SIDECAR:
        _show_to_rules(connection, found.path)
    return Recorded(id_, Event.REFUSED)


def _show_to_rules(connection: Connection, sidecar: str) -> None:
    """The files that it lies beside go through the rules once more: what waited for it goes on."""
    stem = os.path.splitext(sidecar)[0]
    asked = "SELECT id, path FROM files WHERE rule_key IS NOT NULL AND path > ? AND path < ?"
    names = connection.names
    for id_, path in connection.execute(asked, names.beside(stem)).fetchall():
        if os.path.splitext(names.to_path(path))[0] == stem:
            recheck(connection, "id = ?", id_)


def _again(now: float) -> dict[str, object]:
    """The same file was dropped again: what was done with it is to be done with this one too."""
    return {"aftermath": "pending", "aftermath_detail": None, "next_attempt_at": iso(now), "attempts": 0, "claim": None}


def _identity(identity: Identity) -> dict[str, object]:
    return {"size": identity.size, "mtime_ns": identity.mtime_ns, "inode": identity.inode}


def _set(connection: Connection, id_: int, columns: dict[str, Any]) -> int:
    connection.execute(
        f"UPDATE files SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?",  # noqa: S608  ours alone
        (*columns.values(), id_),
    )
    return id_


def _insert(connection: Connection, path: str, columns: dict[str, Any]) -> int:
    columns |= {
        "path": connection.names.to_text(path),
        "dir": connection.names.to_text(path.rpartition("/")[0]),
        "created_at": columns["updated_at"],
    }
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    return connection.insert(f"INSERT INTO files ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
