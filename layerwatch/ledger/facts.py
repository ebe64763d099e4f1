"""What the daemon knows and other processes want to see: how the folders are, which files wait and why, how it is
itself."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from layerwatch.ledger.connection import Store
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.names import Names


class FolderState(StrEnum):
    """`folders.state`."""

    WATCHING = "watching"  # the kernel reports every change
    POLLING = "polling"  # scanned every few seconds: a network filesystem, or so configured
    AWAY = "away"  # not there, or not the one it was (unmounted): its files wait
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One row of `folders`; times as ISO 8601 text."""

    name: str
    path: str
    state: FolderState
    detail: str
    scanned_at: str | None
    known_at: str | None
    unknown: int
    overflows: int
    mount: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that lies quiet in a folder and is not taken, and why. `since` is unix seconds."""

    path: str
    folder: str
    size: int
    reason: str
    since: float


_NOTE = """
INSERT INTO notes (key, value, updated_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
"""
_FOLDERS = "SELECT name, path, state, detail, scanned_at, known_at, unknown, overflows, mount FROM folders"


def _folder(row: tuple[Any, ...], names: Names) -> FolderFacts:
    name, path, state, detail, scanned_at, known_at, unknown, overflows, mount = row
    path, mount = names.to_path(path), mount and _comparable(names.to_path(path), names.to_path(mount), names)
    return FolderFacts(name, path, FolderState(state), detail, scanned_at, known_at, unknown, overflows, mount)


def _comparable(folder: str, mount: str, names: Names) -> str | None:
    """The mount point of a folder; None where it is one host's alone, above what is called otherwise by the others."""
    return None if names.covers(folder) and not names.covers(mount) else mount


class Facts:
    """The small tables `folders`, `candidates` and `notes` of one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- folders ------------------------------------------------------------------------------------------------------

    def folder(self, name: str, path: str, state: FolderState, now: float, *, detail: str, mount: str | None) -> None:
        """A folder is in this state from now on; `mount` is the mount point it lies on, None to keep what was known.

        One that moved to another path is a new one: what lies there is new.
        """
        names = self._store.names
        mount = mount and _comparable(path, mount, names)
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO folders (name, path, state, detail, mount, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET state = excluded.state, detail = excluded.detail,"
                " updated_at = excluded.updated_at, path = excluded.path,"
                " mount = coalesce(excluded.mount, CASE WHEN folders.path = excluded.path THEN folders.mount END),"
                " known_at = CASE WHEN folders.path = excluded.path THEN folders.known_at END",
                (name, names.to_text(path), state, detail, mount and names.to_text(mount), iso(now)),
            )

    def folder_scanned(self, name: str, unknown: int, now: float) -> None:
        """A complete scan of the folder has ended; it saw so many files that the ledger did not know."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE folders SET scanned_at = ?, unknown = ?, known_at = coalesce(known_at, ?) WHERE name = ?",
                (iso(now), unknown, iso(now), name),
            )

    def folder_overflowed(self, name: str, times: int) -> None:
        """The kernel dropped events of this folder so many times: counted, and answered by a scan."""
        with self._store.write() as connection:
            connection.execute("UPDATE folders SET overflows = overflows + ? WHERE name = ?", (times, name))

    def nothing_seen_yet(self, now: float) -> None:
        """At a start: no folder has been looked at, and what the last run saw proves nothing."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE folders SET state = ?, detail = 'not looked at yet', updated_at = ?",
                (FolderState.AWAY, iso(now)),
            )

    def forget_folders_but(self, names: Sequence[str]) -> None:
        """Folders that are no longer configured are not reported any more; their files' rows stay."""
        with self._store.write() as connection:
            kept = ("", *names)  # never an empty list, which not every engine takes
            marks = ", ".join("?" * len(kept))
            connection.execute(f"DELETE FROM folders WHERE name NOT IN ({marks})", kept)  # noqa: S608  marks only
            connection.execute(f"DELETE FROM candidates WHERE folder NOT IN ({marks})", kept)  # noqa: S608

    def folders(self) -> list[FolderFacts]:
        return [_folder(row, self._store.names) for row in self._store.rows(f"{_FOLDERS} ORDER BY name")]

    def one_folder(self, name: str) -> FolderFacts | None:
        row = self._store.row(f"{_FOLDERS} WHERE name = ?", name)
        return _folder(row, self._store.names) if row else None

    # --- candidates ---------------------------------------------------------------------------------------------------

    def waiting(self, item: Waiting, now: float) -> None:
        """Say why a quiet file is not taken."""
        with self._store.write() as connection:
            connection.execute(
                "INSERT INTO candidates (path, folder, size, reason, since, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET size = excluded.size, reason = excluded.reason,"
                " since = excluded.since, updated_at = excluded.updated_at",
                (
                    connection.names.to_text(item.path),
                    item.folder,
                    item.size,
                    plain(item.reason),
                    iso(item.since),
                    iso(now),
                ),
            )

    def no_longer_waiting(self, paths: Sequence[str]) -> None:
        with self._store.write() as connection:
            names = [(connection.names.to_text(path),) for path in paths]
            connection.executemany("DELETE FROM candidates WHERE path = ?", names)

    def nobody_waits(self, folder: str) -> None:
        """At a start, and when a folder went away: what waits is found again by a scan."""
        with self._store.write() as connection:
            connection.execute("DELETE FROM candidates WHERE folder = ?", (folder,))

    # --- notes --------------------------------------------------------------------------------------------------------

    def note(self, key: str, value: object, now: float) -> None:
        """Keep a fact about the daemon (any JSON); None forgets it."""
        with self._store.write() as connection:
            if value is None:
                connection.execute("DELETE FROM notes WHERE key = ?", (key,))
            else:
                connection.execute(_NOTE, (key, json.dumps(value), iso(now)))

    def notes(self) -> dict[str, object]:
        return {key: json.loads(value) for key, value in self._store.rows("SELECT key, value FROM notes")}
