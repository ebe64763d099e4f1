"""What people and scripts ask about generations and what they cost. Reads only."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from layerwatch.ledger.budget import BOOKINGS
from layerwatch.ledger.connection import NO_LIMIT, Store
from layerwatch.ledger.reports import HistoryLine
from layerwatch.names import Names, unbound
from layerwatch.states import Generation

_COLUMNS = (
    "id, folder, rule, kind, target, status, path, remote_id, estimated_price, price, booked, error_code, error,"
    " outputs, attempts, next_attempt_at, deadline_at, created_at, updated_at, booked_at, completed_at, depth,"
    " remote_state"
)


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One row of `generations`, as commands show it. Prices in Creative Units, times as ISO 8601 text."""

    id: int
    folder: str
    rule: str
    kind: str
    target: str | None
    status: str
    path: str
    remote_id: str | None
    estimated_price: float | None
    price: float | None
    booked: float | None
    error_code: str | None
    error: str | None
    outputs: tuple[Mapping[str, Any], ...]
    attempts: int
    next_attempt_at: str | None
    deadline_at: str | None
    created_at: str
    updated_at: str
    booked_at: str | None
    completed_at: str | None
    depth: int
    remote_state: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class InputRow:
    """One input of a generation."""

    role: str
    file: int
    path: str
    hash: str
    file_id: str | None
    size: int


@dataclass(frozen=True, slots=True)
class NeedRow:
    """One input that a generation waits for; `glob` is relative to its folder."""

    role: str
    glob: str
    optional: bool


@dataclass(frozen=True, slots=True)
class Spend:
    """What one day, folder and rule cost, in Creative Units: `charged` by Layer, and `booked` in all, which holds what
    still runs, or is unknown, at its estimate."""

    day: str
    folder: str
    rule: str
    generations: int
    charged: float
    booked: float


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Blocked generations that have one reason: how many, what they would cost together in Creative Units, of how many
    nobody has said it, and when the first of them is looked at again (None: not by itself)."""

    error_code: str | None
    number: int
    estimated_price: float
    without_price: int
    next_attempt_at: str | None


class Stories:
    """Questions about the generations of one ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def counts(self) -> dict[str, int]:
        """Generations by status; every status is there."""
        counted = dict(self._store.rows("SELECT status, count(*) FROM generations GROUP BY status"))
        return {str(status): counted.get(status, 0) for status in Generation}

    def one(self, id_: int) -> GenerationRow | None:
        return next(iter(self._rows("WHERE id = ?", id_)), None)

    def some(
        self, *, status: str | None = None, folder: str | None = None, limit: int | None = None
    ) -> list[GenerationRow]:
        """Rows, latest change first."""
        return self._rows(
            "WHERE (status = ? OR CAST(? AS TEXT) IS NULL) AND (folder = ? OR CAST(? AS TEXT) IS NULL)"
            " ORDER BY updated_at DESC, id DESC LIMIT ?",
            status, status, folder, folder, NO_LIMIT if limit is None else limit,
        )  # fmt: skip

    def of_path(self, path: str) -> list[GenerationRow]:
        """All of which any version of this file is an input, the latest first."""
        return self._rows(
            "WHERE id IN (SELECT generation_id FROM generation_inputs JOIN files ON files.id = file WHERE path = ?)"
            " ORDER BY id DESC",
            self._store.names.to_text(path),
        )

    def inputs(self, id_: int) -> list[InputRow]:
        """Its inputs, the one that its rule matched first."""
        rows = self._store.rows(
            "SELECT role, file, path, hash, file_id, size FROM generation_inputs JOIN files ON files.id = file"
            " WHERE generation_id = ? ORDER BY role <> 'input', role",
            id_,
        )
        return [InputRow(role, file, self._store.names.to_path(path), *rest) for role, file, path, *rest in rows]

    def needs(self, id_: int) -> list[NeedRow]:
        """What it waits for."""
        asked = "SELECT role, glob, optional FROM generation_needs WHERE generation_id = ? ORDER BY role"
        rows = self._store.rows(asked, id_)
        return [NeedRow(role, unbound(glob), bool(optional)) for role, glob, optional in rows]

    def request(self, id_: int) -> dict[str, Any] | None:
        """The body as it was sent, or was to be."""
        row = self._store.row("SELECT request FROM generations WHERE id = ?", id_)
        return json.loads(row[0]) if row and row[0] else None

    def results(self, id_: int) -> list[dict[str, Any]]:
        """Its result files: number, path, sha256, size, saved."""
        rows = self._store.rows(
            "SELECT number, path, sha256, size, saved FROM results WHERE generation_id = ? ORDER BY number", id_
        )
        to_path = self._store.names.to_path
        return [
            {"number": number, "path": to_path(path), "sha256": sha256, "size": size, "saved": bool(saved)}
            for number, path, sha256, size, saved in rows
        ]

    def history(self, id_: int) -> list[HistoryLine]:
        asked = (
            "SELECT at, event, status, error_code, detail FROM history"
            " WHERE item = 'generation' AND item_id = ? ORDER BY id"
        )
        return [HistoryLine(*row) for row in self._store.rows(asked, id_)]

    # --- for the status page: a few rows, or entries of an index, are looked at, however many there are ---------------

    def latest(self, limit: int) -> list[GenerationRow]:
        """Those that were fired last, whatever became of them."""
        return self._rows("WHERE booked_at IS NOT NULL ORDER BY booked_at DESC, id DESC LIMIT ?", limit)

    def newest(self, status: str, limit: int) -> list[GenerationRow]:
        """Those that are so now, the youngest first."""
        return self._rows("WHERE status = ? ORDER BY id DESC LIMIT ?", status, limit)

    def held_back(self) -> list[HeldBack]:
        """The blocked ones by reason, the most first."""
        rows = self._store.rows(
            "SELECT error_code, count(*), coalesce(sum(estimated_price), 0), count(*) - count(estimated_price),"
            " min(next_attempt_at) FROM generations WHERE status = 'blocked' GROUP BY error_code ORDER BY 2 DESC, 1"
        )
        return [HeldBack(*row) for row in rows]

    # --- money --------------------------------------------------------------------------------------------------------

    def spend(self, since: str | None = None) -> list[Spend]:
        """By day (UTC), folder and rule, the latest day first."""
        rows = self._store.rows(
            "SELECT substr(booked_at, 1, 10), folder, rule, count(*), coalesce(sum(price), 0), sum(booked)"  # noqa: S608
            f" FROM ({BOOKINGS}) AS bookings WHERE booked_at >= ? GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3",
            since or "",
        )
        return [Spend(*row) for row in rows]

    # --- for an audit -------------------------------------------------------------------------------------------------

    def without_result(self) -> list[GenerationRow]:
        """Paid for, as far as Layer or our books say, and nothing came back: unknown, or failed after it was complete,
        or complete and charged with no result at all."""
        return self._rows(
            "WHERE status = 'unknown' OR (status = 'failed' AND (remote_state = 'complete' OR price > 0))"
            " OR (status = 'complete' AND price > 0 AND outputs = '[]') ORDER BY id"
        )

    def stuck(self, before: str) -> list[GenerationRow]:
        """Queued, submitting or running, and nothing has happened since then."""
        return self._rows(
            "WHERE status IN ('queued', 'submitting', 'running') AND coalesce(next_attempt_at, updated_at) < ?"
            " ORDER BY id",
            before,
        )

    def saved_results(self) -> list[tuple[int, str, str, int]]:
        """Generation, path, SHA-256 and size of every result that was saved."""
        rows = self._store.rows(
            "SELECT generation_id, path, sha256, size FROM results WHERE saved = 1 ORDER BY 1, number"
        )
        to_path = self._store.names.to_path
        return [(id_, to_path(path), sha256, size) for id_, path, sha256, size in rows]

    def _rows(self, tail: str, *values: object) -> list[GenerationRow]:
        found, names = [], self._store.names
        for row in self._store.rows(f"SELECT {_COLUMNS} FROM generations {tail}", *values):  # noqa: S608  ours alone
            named = dict(zip(_COLUMNS.replace(" ", "").split(","), row, strict=True))
            outputs = tuple(_here(each, names) for each in json.loads(named.pop("outputs") or "[]"))
            found.append(GenerationRow(**named | {"path": names.to_path(named["path"] or ""), "outputs": outputs}))
        return found


def _here(output: Mapping[str, Any], names: Names) -> Mapping[str, Any]:
    return {**output, "path": names.here(output["path"])} if "path" in output else output
