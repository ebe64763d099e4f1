"""The tables, and every step that led to them. A step, once released, is never changed: add another one.

`PRAGMA user_version` holds the number of steps done, so that opening an up-to-date ledger costs one cheap look and
not the import of the migration library.
"""

import re
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

_FIRST = """
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  folder TEXT NOT NULL,
  path TEXT NOT NULL,            -- absolute; a BLOB where the name is not UTF-8
  dir TEXT NOT NULL,             -- its directory: one look-up per directory answers a whole scan
  size INTEGER NOT NULL,         -- bytes
  mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  hash TEXT,                     -- SHA-256 in hex; NULL where the file was refused before it was read
  crc32c INTEGER,
  content_type TEXT,
  status TEXT NOT NULL CHECK (status IN ('queued', 'uploading', 'uploaded', 'failed', 'skipped')),
  workspace_id TEXT,             -- the workspace in which file_id is valid
  file_id TEXT,
  verified TEXT,                 -- what of the stored object was compared: crc32c, md5, size or nothing
  error_code TEXT,
  error TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,     -- in a row, without progress
  bytes_sent INTEGER NOT NULL DEFAULT 0,   -- that the storage is known to hold
  next_attempt_at TEXT,
  claim TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  uploaded_at TEXT,
  aftermath TEXT CHECK (aftermath IN ('pending', 'done', 'left')),  -- move, delete, receipt; NULL: none wanted
  aftermath_detail TEXT          -- where the file is now, or why it was left alone
);
CREATE UNIQUE INDEX files_version ON files (path, hash);
CREATE UNIQUE INDEX files_refused ON files (path) WHERE hash IS NULL;
CREATE INDEX files_dir ON files (dir);
CREATE INDEX files_status ON files (status);
CREATE INDEX files_due ON files (folder, next_attempt_at, id) WHERE status = 'queued';
CREATE INDEX files_begun ON files (folder, next_attempt_at, id) WHERE status = 'queued' AND bytes_sent > 0;
CREATE INDEX files_aftermath ON files (next_attempt_at) WHERE aftermath = 'pending';
CREATE INDEX files_in_flight ON files (hash) WHERE status = 'uploading';
CREATE INDEX files_stored ON files (hash) WHERE status = 'uploaded';

CREATE TABLE sessions (          -- uploads under way; `uri` is a secret: no command shows it
  file INTEGER PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
  uri TEXT NOT NULL,
  file_id TEXT NOT NULL,
  content_type TEXT NOT NULL,
  expires_at TEXT NOT NULL
);

CREATE TABLE generations (
  id INTEGER PRIMARY KEY,
  folder TEXT NOT NULL,
  rule TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('inference', 'workflow')),
  status TEXT NOT NULL CHECK (status IN ('waiting', 'queued', 'submitting', 'running', 'complete', 'failed',
    'cancelled', 'blocked', 'unknown')),
  remote_id TEXT,
  request TEXT,
  estimated_price REAL,          -- Creative Units
  price REAL,
  error_code TEXT,
  error TEXT,
  outputs TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  completed_at TEXT
);
CREATE TABLE generation_inputs (
  generation_id INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  file INTEGER NOT NULL REFERENCES files (id),
  role TEXT NOT NULL,
  PRIMARY KEY (generation_id, role)
) WITHOUT ROWID;

CREATE TABLE history (           -- every move of every row, in order; replayed through `states` it gives the row
  id INTEGER PRIMARY KEY,
  item TEXT NOT NULL CHECK (item IN ('file', 'generation')),
  item_id INTEGER NOT NULL,
  at TEXT NOT NULL,
  event TEXT NOT NULL,
  status TEXT NOT NULL,
  error_code TEXT,
  detail TEXT
);
CREATE INDEX history_item ON history (item, item_id);

CREATE TABLE folders (           -- how each drop folder is doing, as the daemon sees it
  name TEXT PRIMARY KEY,
  path TEXT NOT NULL,
  state TEXT NOT NULL,           -- watching, polling, away or unreadable
  detail TEXT NOT NULL DEFAULT '',
  scanned_at TEXT,               -- end of the last complete scan
  known_at TEXT,                 -- end of the first complete scan: files older than that were there before us
  unknown INTEGER NOT NULL DEFAULT 0,      -- files that the last complete scan saw and the ledger did not know
  overflows INTEGER NOT NULL DEFAULT 0,
  mount TEXT,                    -- the mount point it lay on when it was last seen
  updated_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE candidates (        -- files that lie there quiet and are not taken yet, and why
  path TEXT PRIMARY KEY,
  folder TEXT NOT NULL,
  size INTEGER NOT NULL,
  reason TEXT NOT NULL,
  since TEXT NOT NULL,
  updated_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE notes (             -- facts about the daemon itself: key, JSON
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  updated_at TEXT NOT NULL
) WITHOUT ROWID;
"""


_SECOND = """
DROP INDEX files_begun;
-- Put before the rules: for the first time, once more since something beside it changed, or to be fired anew.
ALTER TABLE files ADD COLUMN planning TEXT CHECK (planning IN ('pending', 'recheck', 'again'));
ALTER TABLE files ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;   -- how often that was asked for: the last one counts
ALTER TABLE files ADD COLUMN found INTEGER NOT NULL DEFAULT 0;   -- grows: of a path's versions the largest is there
ALTER TABLE files ADD COLUMN rule_key TEXT;    -- below its folder, case folded: what rules look for; NULL without rules
ALTER TABLE files ADD COLUMN origin INTEGER REFERENCES generations (id);  -- whose result it is
CREATE INDEX files_found ON files (found);
CREATE INDEX files_planning ON files (id) WHERE planning IS NOT NULL;
CREATE INDEX files_rule_key ON files (folder, rule_key) WHERE rule_key IS NOT NULL;

ALTER TABLE generations ADD COLUMN path TEXT;  -- of the file that the rule matched
ALTER TABLE generations ADD COLUMN key TEXT;   -- rule, path, input hashes: fires once; NULL while one is missing
ALTER TABLE generations ADD COLUMN target TEXT;        -- the model's or workflow's id
ALTER TABLE generations ADD COLUMN sidecars TEXT;      -- JSON: prompt and parameters as they lay beside the file
ALTER TABLE generations ADD COLUMN depth INTEGER NOT NULL DEFAULT 1;      -- in a chain of rules
ALTER TABLE generations ADD COLUMN again INTEGER NOT NULL DEFAULT 0;      -- a person wants it, fired before or not
ALTER TABLE generations ADD COLUMN approved INTEGER NOT NULL DEFAULT 0;   -- a person lets it pass the budget
ALTER TABLE generations ADD COLUMN queued_at TEXT;     -- since when it is ready to be fired, whatever happened then
ALTER TABLE generations ADD COLUMN booked REAL;        -- Creative Units held against the budget
ALTER TABLE generations ADD COLUMN booked_at TEXT;     -- the day that counts
ALTER TABLE generations ADD COLUMN remote_state TEXT CHECK (remote_state IN ('complete', 'failed', 'cancelled'));
ALTER TABLE generations ADD COLUMN claim TEXT;
ALTER TABLE generations ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;   -- in a row, without progress
ALTER TABLE generations ADD COLUMN next_attempt_at TEXT;
ALTER TABLE generations ADD COLUMN deadline_at TEXT;   -- of waiting for inputs, or of following it
CREATE UNIQUE INDEX generations_key ON generations (key);
CREATE INDEX generations_path ON generations (folder, rule, path);
CREATE INDEX generations_status ON generations (status, next_attempt_at);
CREATE INDEX generations_booked ON generations (booked_at) WHERE booked_at IS NOT NULL;
CREATE INDEX generations_together ON generations (queued_at) WHERE booked_at IS NOT NULL;
CREATE INDEX generations_blocked ON generations (error_code, updated_at) WHERE status = 'blocked';
CREATE INDEX generations_deadline ON generations (deadline_at) WHERE status = 'waiting';
CREATE INDEX generation_inputs_file ON generation_inputs (file);

CREATE TABLE generation_needs (  -- what a waiting generation waits for
  generation_id INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  glob TEXT NOT NULL,            -- below the folder
  key TEXT,                      -- the one rule_key that it can be; NULL where the glob leaves a choice
  optional INTEGER NOT NULL,
  PRIMARY KEY (generation_id, role)
) WITHOUT ROWID;
CREATE INDEX generation_needs_key ON generation_needs (key);

CREATE TABLE earlier_bookings (  -- of generations that were fired anew since; `booked` holds the last firing's alone
  generation_id INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  folder TEXT NOT NULL,
  rule TEXT NOT NULL,
  booked REAL NOT NULL,          -- Creative Units
  price REAL,
  booked_at TEXT NOT NULL
);
CREATE INDEX earlier_bookings_at ON earlier_bookings (booked_at);

CREATE TABLE results (           -- files that generations brought; known before they can be seen
  generation_id INTEGER NOT NULL REFERENCES generations (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  path TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  saved INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (generation_id, number)
) WITHOUT ROWID;
CREATE INDEX results_hash ON results (sha256);

CREATE TABLE deliveries (        -- commands and webhooks that a folder wants, and what came of them
  id INTEGER PRIMARY KEY,
  folder TEXT NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('uploaded', 'complete')),
  item_id INTEGER NOT NULL,      -- files.id, or generations.id
  status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at TEXT,
  claim TEXT,
  detail TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE status = 'pending';
"""

_THIRD = """
CREATE TABLE pushed (            -- files that somebody named by `layerwatch push`, and what became of that
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL,            -- absolute and real; a BLOB where the name is not UTF-8
  folder TEXT,                   -- whose rules apply; NULL: the one it lies in, if any
  created_at TEXT NOT NULL,
  taken_at TEXT,                 -- the daemon has looked at it
  file INTEGER REFERENCES files (id),
  error_code TEXT,               -- why there is no row in `files` for it
  error TEXT
);
CREATE INDEX pushed_untaken ON pushed (id) WHERE taken_at IS NULL;
CREATE INDEX pushed_file ON pushed (file);
ALTER TABLE files ADD COLUMN outside INTEGER NOT NULL DEFAULT 0;  -- pushed for its folder, and lies elsewhere
"""

_FOURTH = """
ALTER TABLE files ADD COLUMN seen_at TEXT;  -- since when it lay there as it is, as far as layerwatch saw
-- What each rule was charged, told by the index alone.
CREATE INDEX generations_charged ON generations (folder, rule, price) WHERE price IS NOT NULL;
"""

STEPS = (_FIRST, _SECOND, _THIRD, _FOURTH)
VERSION = len(STEPS)


def statements(script: str) -> list[str]:
    """Those of one step. Each ends with a line; a comment may hold what looks like the end of one."""
    found = re.split(r";\s*\n", re.sub(r"--.*", "", script))
    return [statement.strip() for statement in found if statement.strip()]


def version(connection: sqlite3.Connection) -> int:
    """How many steps this ledger has behind it; 0 is an empty database."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the ledger to `VERSION`; nothing happens when it is there already. Two processes may do so at once."""
    if version(connection) == VERSION:
        return
    from sqlite_utils import Database, Migrations  # 124 ms that only a new or an old ledger costs

    migrations = Migrations("layerwatch")

    @migrations()
    def first(db: Database) -> None:
        _run(db, _FIRST)

    @migrations()
    def second(db: Database) -> None:
        _run(db, _SECOND)

    @migrations()
    def third(db: Database) -> None:
        _run(db, _THIRD)

    @migrations()
    def fourth(db: Database) -> None:
        _run(db, _FOURTH)

    # IMMEDIATE: who comes second waits here, and then finds the work done.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version(connection) != VERSION:
            migrations.apply(Database(connection))
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _run(db: "Database", script: str) -> None:
    # Not executescript: that would end the transaction around it.
    for statement in statements(script):
        db.execute(statement)
