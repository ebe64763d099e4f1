"""From uploaded files to generations: which files the rules have not seen yet, what may serve as an input, and the one
row per thing to be paid for. Every plan is one transaction with the mark it answers, so no crash forgets or doubles it.
"""

import os
from collections.abc import Iterable, Sequence

from layerwatch.ledger.connection import OURS, Store
from layerwatch.ledger.enacting import enact
from layerwatch.ledger.marks import IS_NEWEST, NEWEST_FIRST, UPLOADED, recheck
from layerwatch.ledger.plans import Input, Missing, Origin, Plan, Planned
from layerwatch.ledger.times import iso
from layerwatch.ledger.turning import turned
from layerwatch.names import bound, unbound
from layerwatch.states import Generation, Turn

_INPUT = (
    "SELECT files.id, files.folder, files.path, files.hash, files.file_id, coalesce(generations.depth, 0),"
    " coalesce(files.planning, '') = 'again', coalesce(files.planning, '') = 'recheck', files.marks, files.outside"
    " FROM files LEFT JOIN generations ON generations.id = files.origin"
)
# A newer version is on its way: it will come, and the older one be of no use.
_SETTLED = (
    f"{UPLOADED} AND NOT EXISTS (SELECT 1 FROM files AS newer WHERE newer.path = files.path"  # noqa: S608  ours alone
    " AND +newer.status IN ('queued', 'uploading'))"
)
# CROSS: in this order, which begins with the few that it is about.
_USING = """
SELECT mine.file FROM files AS used
CROSS JOIN generation_inputs AS other ON other.file = used.id AND other.role <> 'input'
CROSS JOIN generation_inputs AS mine ON mine.generation_id = other.generation_id AND mine.role = 'input'
CROSS JOIN generations ON generations.id = mine.generation_id
WHERE used.path = ? AND generations.folder = ? AND rule = ?
"""
_MISSING = """
SELECT mine.file FROM generation_needs AS needs
CROSS JOIN generations ON generations.id = needs.generation_id AND status = 'waiting'
CROSS JOIN generation_inputs AS mine ON mine.generation_id = needs.generation_id AND mine.role = 'input'
WHERE (needs.key = ? OR needs.key IS NULL) AND generations.folder = ? AND rule = ?
"""
_NEWEST = f"ORDER BY {NEWEST_FIRST}"
_TRIGGER = "SELECT file FROM generation_inputs WHERE generation_id = ? AND role = 'input'"


class Planning:
    """Plans in one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- what there is ------------------------------------------------------------------------------------------------

    def pending(self, folders: Sequence[str], limit: int) -> list[Input]:
        """Uploaded files that the rules have not seen yet, the oldest first."""
        if not folders:
            return []
        marks = ", ".join("?" * len(folders))
        return self._inputs(
            f"WHERE files.planning IS NOT NULL AND {UPLOADED} AND files.folder IN ({marks}) ORDER BY files.id LIMIT ?",
            *folders,
            limit,
        )

    def unfinished(self) -> bool:
        """Whether there are any, in folders that are there."""
        return bool(
            self._store.rows(
                f"SELECT 1 FROM files WHERE planning IS NOT NULL AND {UPLOADED}"  # noqa: S608  ours alone
                f" AND folder IN (SELECT name FROM folders) {OURS.format('folder')} LIMIT 1"
            )
        )

    def exactly(self, folder: str, key: str, path: str) -> Input | None:
        """The newest upload that is called so, whatever the case; None while a newer version of it is on its way."""
        asked = f"WHERE files.folder = ? AND rule_key = ? AND {_SETTLED} {_NEWEST} LIMIT 1"
        found = self._inputs(asked, folder, bound(key))
        # Uploaded before the folder had rules: then only by its exact name.
        named = self._store.names.to_text(path)
        found = found or self._inputs(f"WHERE files.path = ? AND {_SETTLED} {_NEWEST} LIMIT 1", named)
        return next(iter(found), None)

    def beginning_with(self, folder: str, prefix: str) -> list[Input]:
        """All uploads of the folder whose folded path begins so, the newest first."""
        # As text, and as the bytes that those are kept as whose names are not UTF-8.
        begins = os.fsencode(prefix)
        first = prefix if bound(prefix) == prefix else begins
        after = f"{prefix}\U0010ffff" if first == prefix else begins + b"\xff"
        return self._inputs(
            "WHERE files.folder = ? AND (rule_key >= ? AND rule_key < ? OR rule_key >= ? AND rule_key < ?)"
            f" AND {_SETTLED} {_NEWEST}",
            folder, first, after, begins, begins + b"\xff" * 4,
        )  # fmt: skip

    def triggers_missing(self, folder: str, rule: str, key: str) -> list[Input]:
        """The files of generations of this rule that wait for what may be called `key`."""
        asked = f"WHERE files.id IN ({_MISSING}) AND {IS_NEWEST} ORDER BY files.id"
        return self._inputs(asked, bound(key), folder, rule)

    def triggers_using(self, folder: str, rule: str, path: str) -> list[Input]:
        """The files of generations of this rule of which an earlier version of `path` is a further input."""
        asked = f"WHERE files.id IN ({_USING}) AND {_SETTLED} AND {IS_NEWEST} ORDER BY files.id"
        return self._inputs(asked, self._store.names.to_text(path), folder, rule)

    def overdue(self, now: float) -> list[tuple[int, str, Input]]:
        """Generations that have waited long enough: id, rule, and the file that the rule matched."""
        rows = self._store.rows(
            "SELECT generations.id, rule, file FROM generations INDEXED BY generations_deadline"
            " JOIN generation_inputs ON generation_id = id AND role = 'input'"
            " WHERE status = 'waiting' AND deadline_at <= ? ORDER BY deadline_at, generations.id",
            iso(now),
        )
        return [(id_, rule, self._inputs("WHERE files.id = ?", file)[0]) for id_, rule, file in rows]

    def next_deadline(self) -> str | None:
        """When the next one has."""
        ((at,),) = self._store.rows("SELECT min(deadline_at) FROM generations WHERE status = 'waiting'")
        return None if at is None else str(at)

    def sidecars(self, path: str) -> list[str]:
        """What lies beside another file under this path, whatever the case of its ending, and has been found quiet; the
        very path first. Some of them may be gone."""
        (stem, ending), names = os.path.splitext(path), self._store.names
        asked = "SELECT path FROM files WHERE path > ? AND path < ? AND hash IS NULL AND error_code = 'sidecar'"
        found = [names.to_path(row[0]) for row in self._store.rows(asked, *names.beside(stem))]
        return sorted((each for each in found if _is_called(each, stem, ending)), key=lambda each: (each != path, each))

    def any_results(self) -> bool:
        """Whether any generation has brought a file: else there is no origin to be asked for."""
        return self._store.row("SELECT 1 FROM results LIMIT 1") is not None

    def origin(self, sha256: str) -> Origin | None:
        """The generation that made these bytes, if one did: of several the last in its chain, so that what changes
        nothing does not go round for ever."""
        asked = (
            "SELECT id, depth, folder, rule FROM results JOIN generations ON id = generation_id"
            " WHERE sha256 = ? ORDER BY depth DESC, id DESC LIMIT 1"
        )
        row = self._store.row(asked, sha256)
        return Origin(*row) if row else None

    def _inputs(self, tail: str, *values: object) -> list[Input]:
        rows, to_path = self._store.rows(f"{_INPUT} {tail}", *values), self._store.names.to_path
        return [
            Input(id_, folder, to_path(path), hash_, file_id, depth, bool(again), bool(recheck), marks, bool(outside))
            for id_, folder, path, hash_, file_id, depth, again, recheck, marks, outside in rows
        ]

    # --- what is to be done -------------------------------------------------------------------------------------------

    def plan(self, seen: Input | None, plans: Iterable[Plan], now: float) -> list[Planned]:
        """Write down what the rules make of it, and that they have seen the file."""
        with self._store.write() as connection:
            done = [enact(connection, plan, now) for plan in plans]
            if seen:
                # What was asked for since `seen` was read is still to be done; firing again is, as far as it is ours.
                connection.execute(
                    "UPDATE files SET planning ="
                    " CASE WHEN marks = ? THEN NULL WHEN ? = 1 THEN 'recheck' ELSE planning END WHERE id = ?",
                    (seen.marks, seen.again, seen.id),
                )
            return [planned for planned in done if planned]

    def look_again(self, now: float, limit: int) -> int:
        """Files whose generations wait for what could not be read go through the rules once more, each when it is time.
        Returns for how many it is."""
        asked = "SELECT id FROM generations WHERE status = 'waiting' AND next_attempt_at <= ? ORDER BY next_attempt_at"
        ids = self._store.rows(f"{asked} LIMIT ?", iso(now), limit)
        if ids:
            with self._store.write() as connection:
                connection.executemany(
                    "UPDATE generations SET next_attempt_at = NULL WHERE id = ? AND status = 'waiting'", ids
                )
                for (id_,) in ids:
                    recheck(connection, f"id IN ({_TRIGGER})", id_)
        return len(ids)

    def give_up(self, id_: int, now: float, missing: Sequence[Missing] = ()) -> str:
        """A generation has waited in vain: failed, with what is `missing` now, or, where nobody knows, what it was."""
        with self._store.write() as connection:
            needs = "SELECT role, glob FROM generation_needs WHERE generation_id = ? AND optional = 0 ORDER BY role"
            rows = [(each.role, each.glob) for each in missing] or connection.execute(needs, (id_,)).fetchall()
            message = "waited in vain for " + ", ".join(f"{role} ({unbound(glob)})" for role, glob in rows)
            turned(
                connection,
                id_,
                Generation.WAITING,
                Turn.FAILED,
                now,
                detail=message,
                error_code="input_missing",
                error=message,
                deadline_at=None,
                next_attempt_at=None,
            )
            return message

    def again(self, ids: Iterable[int]) -> list[int]:
        """These uploaded files are to go through the rules once more, whatever was fired for them before."""
        done = []
        with self._store.write() as connection:
            for id_ in ids:
                changed = connection.execute(
                    "UPDATE files SET planning = 'again', marks = marks + 1 WHERE id = ? AND status = 'uploaded'",
                    (id_,),
                ).rowcount
                done += [id_] * changed
        return done


def _is_called(path: str, stem: str, ending: str) -> bool:
    theirs, own = os.path.splitext(path)
    return theirs == stem and own.lower() == ending.lower()
