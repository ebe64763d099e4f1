"""The line of history that each move of a file leaves, in the move's own transaction."""

from layerwatch.ledger.connection import Connection
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso
from layerwatch.states import Event, File


def remember(
    connection: Connection,
    id_: int,
    now: float,
    event: Event,
    status: File,
    code: str | None = None,
    detail: str | None = None,
) -> None:
    connection.execute(
        "INSERT INTO history (item, item_id, at, event, status, error_code, detail) VALUES ('file', ?, ?, ?, ?, ?, ?)",
        (id_, iso(now), event.value, status.value, code, None if detail is None else plain(detail)),
    )
