"""Files that are put before the rules once more; and which version of a path counts."""

from layerwatch.ledger.connection import Connection

# Which version was found there last. Not by the clock: that jumps.
_SINCE = "{0}.found, {0}.id"
NEWEST_FIRST = "files.found DESC, files.id DESC"
# The plus keeps SQLite from walking through all that was ever uploaded.
UPLOADED = "+files.status = 'uploaded'"
# Of all that was uploaded under this path it was found there last.
IS_NEWEST = f"""{UPLOADED} AND NOT EXISTS (
  SELECT 1 FROM files AS newer WHERE newer.path = files.path AND +newer.status = 'uploaded'
  AND ({_SINCE.format("newer")}) > ({_SINCE.format("files")})
)"""  # noqa: S608  ours alone
_COUNTS = f"""SELECT NOT EXISTS (
  SELECT 1 FROM files AS newer WHERE newer.path = files.path AND newer.hash IS NOT NULL
  AND ({_SINCE.format("newer")}) > ({_SINCE.format("files")})
) FROM files WHERE id = ?"""  # noqa: S608  ours alone


def recheck(connection: Connection, where: str, *values: object) -> int:
    """Those of these files that count are put before the rules once more, if they ever were. What a person has asked
    for is not taken back by that. Returns how many."""
    return connection.execute(
        "UPDATE files SET planning = coalesce(planning, 'recheck'), marks = marks + 1"  # noqa: S608  ours alone
        f" WHERE rule_key IS NOT NULL AND {where} AND {IS_NEWEST}",
        values,
    ).rowcount


def come_back(connection: Connection, id_: int) -> None:
    """This version has been found. If another one had taken its place, it is the one that counts again."""
    ((counts,),) = connection.execute(_COUNTS, (id_,))
    if not counts:
        connection.execute("UPDATE files SET found = ? WHERE id = ?", (next_found(connection), id_))
        recheck(connection, "id = ?", id_)


def next_found(connection: Connection) -> int:
    """Larger than that of any version that was found before."""
    ((last,),) = connection.execute("SELECT coalesce(max(found), 0) FROM files")
    return int(last) + 1
