"""The daemons that share a ledger: who is there, who is no more, and who watches which folder.

A daemon shows every few seconds that it is alive, by the clock of the server. Whoever was not heard of for as long as
its own lease is taken for dead: what it had claimed is somebody else's to claim. It may yet wake up, having been
stopped, or cut off; then its claims are not its own any more, and every guarded statement of the ledger tells it so.

procrastinate was weighed against this: its jobs are finished by their number alone, so that a worker that was stopped
for minutes overwrites what its successor did; its own states would have to be kept in step with ours; and what it
fetches knows neither sessions, nor twins, nor folders that are away. Measured side by side it was no faster.
"""

import json
from dataclasses import dataclass

from layerwatch.ledger.postgres.connecting import Raw

CHANNEL = "layerwatch"
SILENT = "seen_at < clock_timestamp() - make_interval(secs => lease_s)"  # for longer than it may be
LONG_SILENT = "seen_at < clock_timestamp() - make_interval(secs => 3 * lease_s)"
# Whether who holds a `claim` is no more.
LEFT_BEHIND = f"NOT EXISTS (SELECT 1 FROM hosts WHERE instance = split_part(claim, '/', 1) AND NOT {SILENT})"  # noqa: S608
TABLE = """
CREATE TABLE hosts (                 -- daemons, each time that one was started; times are the server's
  instance TEXT PRIMARY KEY,         -- its claims begin with it
  name TEXT NOT NULL,
  pid BIGINT NOT NULL,
  version TEXT NOT NULL,
  backend BIGINT NOT NULL,           -- the server's process that holds its locks
  watches TEXT NOT NULL DEFAULT '[]',  -- JSON: the folders
  workers BIGINT NOT NULL DEFAULT 0,
  lease_s DOUBLE PRECISION NOT NULL, -- for which it may be silent
  hold_message TEXT,                 -- what the API said when it asked this one to wait
  hold_until TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
  seen_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True, slots=True)
class HostRow:
    """One daemon, as others see it. Times in ISO 8601, `silent_s` seconds since it was heard of last. `hold_message` is
    what the API said when it asked this one to wait until `hold_until`, for as long as that counts: for all of them."""

    name: str
    pid: int
    version: str
    watches: tuple[str, ...]
    workers: int
    uploading: int
    started_at: str
    seen_at: str
    lease_s: float
    silent_s: float
    hold_message: str | None
    hold_until: str | None

    @property
    def alive(self) -> bool:
        return self.silent_s < self.lease_s


_HOSTS = """
SELECT name, pid, version, watches, workers,
  (SELECT count(*) FROM files WHERE status = 'uploading' AND claim LIKE instance || '/%%'),
  to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
  lease_s, extract(epoch FROM clock_timestamp() - seen_at)::float8,
  CASE WHEN hold_until > clock_timestamp() THEN hold_message END,
  to_char(CASE WHEN hold_until > clock_timestamp() THEN hold_until END AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM hosts ORDER BY name, started_at
"""


def hosts(raw: Raw) -> list[HostRow]:
    """All that are known. Raises `psycopg.Error`."""
    rows = raw.execute(_HOSTS, ())
    return [
        HostRow(name, pid, version, tuple(json.loads(watches)), *rest) for name, pid, version, watches, *rest in rows
    ]
