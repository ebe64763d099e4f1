"""A large ledger on PostgreSQL, and what its server does to answer a question about it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from layerwatch.ledger import Ledger, iso
from layerwatch.ledger.postgres.store import PostgresStore

from .builders import RULE, T0, WORKSPACE, watched

FILES, GENERATIONS, LATE = 100_000, 20_000, 10_000
TABLES = ("files", "history", "generations", "generation_inputs", "results", "deliveries", "pushed")
# Of a hundred files one is queued, one has failed, and one was refused; of twenty generations each is something
# else than complete once.
_FILL = f"""
SET session_replication_role = replica;  -- what is written fits together: nobody need look
SET search_path = layerwatch;
INSERT INTO files (folder, path, dir, size, mtime_ns, inode, hash, crc32c, content_type, status, workspace_id, file_id,
  verified, error_code, next_attempt_at, created_at, updated_at, uploaded_at, aftermath, found, rule_key, seen_at)
SELECT 'drop', format('/drop/shot%s/%s.png', i / 100, i), format('/drop/shot%s', i / 100), i, i, i,
  CASE s WHEN 'skipped' THEN NULL ELSE encode(sha256(i::text::bytea), 'hex') END, i, 'image/png', s,
  '{WORKSPACE}', CASE s WHEN 'uploaded' THEN format('file-%s', i) END, 'crc32c',
  CASE s WHEN 'failed' THEN 'rejected' WHEN 'skipped' THEN 'empty' END,
  CASE WHEN s = 'queued' OR i % 1000 = 1 THEN now END, now, now, CASE s WHEN 'uploaded' THEN now END,
  CASE WHEN i % 1000 = 1 THEN 'pending' WHEN s = 'uploaded' THEN 'done' END, i, format('shot%s/%s.png', i / 100, i), now
FROM (SELECT i, '{iso(T0)}' AS now, CASE i % 100 WHEN 0 THEN 'queued' WHEN 50 THEN 'failed' WHEN 51 THEN 'skipped'
  ELSE 'uploaded' END AS s FROM generate_series(1, {FILES}) AS i) AS numbers;
INSERT INTO history (item, item_id, at, event, status)
SELECT 'file', id, created_at, 'seen', 'queued' FROM files;
INSERT INTO pushed (path, created_at, taken_at, file)
SELECT path, created_at, CASE WHEN id % 1000 <> 0 THEN created_at END, id FROM files WHERE id <= {GENERATIONS};
INSERT INTO deliveries (folder, event, item_id, status, next_attempt_at, created_at, updated_at)
SELECT folder, 'uploaded', id, CASE WHEN id % 1000 = 1 THEN 'pending' ELSE 'done' END,
  CASE WHEN id % 1000 = 1 THEN created_at END, created_at, created_at FROM files WHERE id <= {GENERATIONS};
INSERT INTO generations (folder, rule, kind, status, path, key, target, remote_id, error_code, outputs, price, booked,
  booked_at, next_attempt_at, deadline_at, created_at, updated_at, queued_at)
SELECT folder, '{RULE}', 'inference', s, path, CASE WHEN s <> 'waiting' THEN encode(sha256(path::bytea), 'hex') END,
  'model', CASE WHEN s IN ('running', 'complete') THEN format('r%s', id) END, CASE s WHEN 'blocked' THEN 'burst' END,
  CASE s WHEN 'complete' THEN '[]' END, CASE s WHEN 'complete' THEN 1 END,
  CASE WHEN s IN ('running', 'complete') THEN 1 END, CASE WHEN s IN ('running', 'complete') THEN at END,
  CASE WHEN s IN ('queued', 'running') THEN created_at END,
  CASE WHEN s IN ('waiting', 'running') THEN '{iso(T0 + 3600)}' END,
  at, at, at
FROM (SELECT *, to_char(timestamp '2025-01-01' + id * interval '10 min', 'YYYY-MM-DD"T"HH24:MI:SS.000000Z') AS at,
  coalesce((ARRAY['queued', 'running', 'waiting', 'blocked', 'failed', 'cancelled', 'unknown'])[id % 20 - 9],
    'complete') AS s FROM files) AS f WHERE id <= {GENERATIONS} ORDER BY id;
INSERT INTO history (item, item_id, at, event, status)
SELECT 'generation', id, created_at, event, status FROM generations, unnest(ARRAY['ready', 'submitted']) AS event;
INSERT INTO generation_inputs (generation_id, file, role) SELECT id, id, 'input' FROM generations;
INSERT INTO generation_inputs (generation_id, file, role) SELECT id, id + 1, 'depth' FROM generations WHERE id % 9 = 0;
INSERT INTO generation_needs (generation_id, role, glob, key, optional)
SELECT id, 'depth', '*', format('%s_depth.png', id), 0 FROM generations WHERE status = 'waiting';
INSERT INTO results (generation_id, number, path, sha256, size)
SELECT id, 1, path, encode(sha256(path::bytea), 'hex'), 1 FROM generations WHERE status = 'complete';
"""
_SCAN = f"""
INSERT INTO layerwatch.files (folder, path, dir, size, mtime_ns, inode, hash, crc32c, content_type, status,
  next_attempt_at, created_at, updated_at, found)
SELECT 'drop', format('/drop/late/%s.png', i), '/drop/late', i, i, i, encode(sha256(i::text::bytea), 'hex'), i,
  'image/png', 'queued', now, now, now, i
FROM (SELECT i, '{iso(T0)}' AS now FROM generate_series({FILES + 1}, {FILES + LATE}) AS i) AS numbers
"""
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "warning",  # to the client, too
}


def fill(url: str, connection: psycopg.Connection[Any]) -> None:
    """Make a large ledger there, of which nobody knows any statistics; who connects is told all plans from now on.
    `connection`: a superuser's."""
    with Ledger(url) as ledger:
        watched(ledger)
    for table in TABLES:  # none but those that a test wants
        connection.execute(f"ALTER TABLE layerwatch.{table} SET (autovacuum_enabled = off)".encode())
    connection.execute(_FILL.encode(), prepare=False)
    for name, value in _EXPLAIN.items():
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {name} = '{value}'".encode())


def forget_the_queue(connection: psycopg.Connection[Any]) -> None:
    """As a minute after a scan: what the server knows of its tables is from before, when no file was queued."""
    connection.execute(
        "UPDATE layerwatch.files SET status = 'uploaded', next_attempt_at = NULL WHERE status = 'queued'"
    )
    connection.execute("ANALYZE")
    connection.execute(_SCAN.encode())


@dataclass(frozen=True)
class Work:
    """What was done for one statement. `pages`: of 8 KiB that were looked at, one several times where it was several
    times; `walked`: large tables that were read from end to end."""

    statement: str
    pages: int
    walked: tuple[str, ...]


@contextmanager
def watching(ledger: Ledger) -> Iterator[list[Work]]:
    """What the ledger's statements cost while the block lasts."""
    store, works = ledger._store, list[Work]()
    assert isinstance(store, PostgresStore)
    assert store._own

    def told(notice: psycopg.errors.Diagnostic) -> None:
        _, _, plan = (notice.message_primary or "").partition("plan:\n")
        works.append(_work(json.loads(plan)))

    with store._own.lend() as raw:
        raw.add_notice_handler(told)
        yield works
        raw.remove_notice_handler(told)


def work(ledger: Ledger, ask: Callable[[Ledger], object]) -> list[Work]:
    with watching(ledger) as works:
        ask(ledger)
    assert works
    return works


def _work(told: dict[str, Any]) -> Work:
    plan = told["Plan"]
    walked = [node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan" and _rows(node)]
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return Work(told["Query Text"], pages, tuple(name for name in walked if name in TABLES))


def _rows(node: dict[str, Any]) -> float:
    """That it looked at."""
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
