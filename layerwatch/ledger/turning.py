"""One turn of one generation: the guarded statement and its line of history, shared by the rooms that turn them."""

from typing import Any

from layerwatch.errors import LayerwatchError
from layerwatch.ledger.connection import Connection
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.states import Generation, Turn, turn

SUPERSEDED = "superseded"  # `error_code`


class LostClaim(LayerwatchError):
    """The row is no longer as the claim left it: somebody else took it over. What was done for it must not be
    recorded."""


def turned(
    connection: Connection,
    id_: int,
    status: Generation,
    event: Turn,
    now: float,
    *,
    claim: str | None = None,
    detail: str | None = None,
    **columns: Any,
) -> Generation:
    """Turn a generation that is `status`, and held by `claim` where one is given; `LostClaim` if that is not so."""
    new = turn(status, event)
    columns |= {"status": new, "claim": None, "updated_at": iso(now)}
    if new is Generation.QUEUED and event is not Turn.NOT_STARTED:
        columns["queued_at"] = iso(now)
    guard(connection, id_, status, claim, **columns)
    remember(connection, id_, now, event, new, code=columns.get("error_code"), detail=detail)
    return new


def supersede(connection: Connection, id_: int, status: Generation, now: float) -> None:
    """It is not to be fired: what it was for is not what counts any more."""
    message = "a newer version of its input came before it was fired"
    turned(
        connection, id_, status, Turn.SUPERSEDED, now, detail=message, error_code=SUPERSEDED, error=message,
        next_attempt_at=None, deadline_at=None,
    )  # fmt: skip


def lies_outside(connection: Connection, id_: int) -> bool:
    """Whether the file that its rule matched was pushed for the folder, and lies elsewhere."""
    asked = "SELECT outside FROM generation_inputs JOIN files ON id = file WHERE generation_id = ? AND role = 'input'"
    row = connection.execute(asked, (id_,)).fetchone()
    return bool(row and row[0])


def guard(connection: Connection, id_: int, status: Generation, held_by: str | None, /, **columns: Any) -> None:
    """Set columns of a generation that is still as it was claimed."""
    changed = connection.execute(
        f"UPDATE generations SET {', '.join(f'{name} = ?' for name in columns)}"  # noqa: S608  ours alone
        " WHERE id = ? AND +status = ? AND (claim = ? OR CAST(? AS TEXT) IS NULL)",
        (*map(_bindable, columns.values()), id_, status, held_by, held_by),
    ).rowcount
    if changed != 1:
        raise LostClaim(f"generation g{id_} is no longer {status}, or no longer held by claim {held_by}")


def remember(
    connection: Connection,
    id_: int,
    now: float,
    event: Turn,
    status: Generation,
    *,
    code: Any = None,
    detail: str | None = None,
) -> None:
    connection.execute(
        "INSERT INTO history (item, item_id, at, event, status, error_code, detail)"
        " VALUES ('generation', ?, ?, ?, ?, ?, ?)",
        (id_, iso(now), event, status, None if code is None else plain(str(code)), _bindable(detail)),
    )


def _bindable(value: object) -> object:
    return plain(value) if isinstance(value, str) else value
