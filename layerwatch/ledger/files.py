"""The files table: what was found (see `found`) is claimed by one uploader at a time, and moved on.

Every move is one guarded statement that insists on one row, with its line of history in the same transaction. The
status comes from `states.move`, never from here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from layerwatch.errors import Code
from layerwatch.ledger.connection import OURS, Connection, Lane, Store
from layerwatch.ledger.deliveries import hurry_deliveries, queue_delivery
from layerwatch.ledger.firing import hurry_generations
from layerwatch.ledger.found import Recorded, Refusal, Version, is_known, known, written
from layerwatch.ledger.history import remember
from layerwatch.ledger.marks import recheck
from layerwatch.ledger.store import plain
from layerwatch.ledger.times import iso, seconds
from layerwatch.ledger.turning import LostClaim
from layerwatch.names import bound
from layerwatch.source import Digest, Identity, Seen
from layerwatch.states import Event, File, Verdict, move


@dataclass(frozen=True, slots=True)
class Session:
    """A storage session that an earlier attempt opened. `uri` is a secret; `expires_at` in unix seconds."""

    uri: str
    file_id: str
    content_type: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Twin:
    """Bytes that the server has already, under this id; `verified` tells what proves it."""

    file_id: str
    verified: str


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed file: all that an uploader needs. `twin` is the same content, uploaded before under another path.
    `seen_at`: since when it lay there, unix seconds; None where an older layerwatch recorded it."""

    id: int
    claim: str
    folder: str
    path: str
    identity: Identity
    digest: Digest
    content_type: str
    attempts: int
    bytes_sent: int
    error_code: str | None
    session: Session | None
    twin: Twin | None
    outside: bool = False
    seen_at: float | None = None


# The first that is due of each folder that is there, by an index, and of these the first: files of a folder that is
# away, or no longer configured, are not even looked at. One file per content at a time, from its first byte to its
# last: its twins wait, and then need no bytes.
_CLAIMABLE = """
  due.status = 'queued' AND due.next_attempt_at <= :now
  AND NOT EXISTS (SELECT 1 FROM files WHERE status = 'uploading' AND hash = due.hash)
"""
_NO_TWIN_HAS_BEGUN = """
  NOT EXISTS (SELECT 1 FROM sessions CROSS JOIN files ON files.id = sessions.file
              WHERE files.hash = due.hash AND files.id <> due.id AND sessions.expires_at > :now)
"""
_ANY = f"""
  SELECT id FROM (
    SELECT (
      SELECT id FROM files AS due INDEXED BY files_due
      WHERE due.folder = folders.name AND {_CLAIMABLE} AND {_NO_TWIN_HAS_BEGUN}
      ORDER BY next_attempt_at, id LIMIT 1
    ) AS pick FROM folders WHERE state IN ('watching', 'polling') {OURS.format("folders.name")}
  ) AS picks CROSS JOIN files ON id = pick
  ORDER BY next_attempt_at, id LIMIT 1
"""  # noqa: S608  ours alone
# What has a session that is still good goes first: behind a long queue it would expire, and what the storage holds of
# it be sent again. To end it, Layer need not be asked for anything.
_FIRST_BEGUN = f"""
  SELECT due.id FROM sessions CROSS JOIN files AS due ON due.id = sessions.file
  WHERE sessions.expires_at > :now AND {_CLAIMABLE}
    AND due.folder IN (SELECT name FROM folders WHERE state IN ('watching', 'polling')) {OURS.format("due.folder")}
  ORDER BY due.next_attempt_at, due.id LIMIT 1
"""  # noqa: S608  ours alone
_FIRST_DUE = f"""
SELECT id FROM (SELECT coalesce(({_FIRST_BEGUN}), ({_ANY})) AS id /*postgres OFFSET 0*/) AS first WHERE id IS NOT NULL
"""  # noqa: S608  ours alone
# What was pushed under these numbers, whatever is known of its folder: for whoever waits for it and works by itself.
_FIRST_PUSHED = f"""
  SELECT due.id FROM pushed CROSS JOIN files AS due ON due.id = pushed.file
  WHERE pushed.id BETWEEN :first AND :last AND {_CLAIMABLE}
  ORDER BY due.next_attempt_at, due.id LIMIT 1
"""  # noqa: S608  ours alone
_CLAIM = """
UPDATE files SET status = :status, claim = :claim, updated_at = :now
WHERE id = ({first}) AND +status = 'queued'  -- what has been superseded at this very moment is not
RETURNING id, folder, path, size, mtime_ns, inode, hash, crc32c, content_type, attempts, bytes_sent, error_code,
  outside, seen_at
"""
# The plus: of all that are claimed an index would hold those that were, too.
_MINE = "id = ? AND +status = 'uploading' AND claim = ?"
_BEGUN_BEFORE = """
SELECT uri, sessions.file_id, content_type, expires_at, twin.file_id, twin.verified FROM (SELECT 1) AS one
LEFT JOIN sessions ON sessions.file = ?
LEFT JOIN (SELECT file_id, verified FROM files
           WHERE hash = ? AND status = 'uploaded' AND size = ? AND workspace_id = ? LIMIT 1) AS twin ON 1 = 1
"""
# By one statement, which nearly always does: every file's upload waits for it.
_FIRST_SESSION = f"""
INSERT INTO sessions (uri, file_id, content_type, expires_at, file)
SELECT ?, ?, ?, ?, id FROM files WHERE {_MINE} AND bytes_sent = 0 /*postgres FOR UPDATE*/
ON CONFLICT (file) DO NOTHING
"""  # noqa: S608  ours alone
_SESSION = """
INSERT INTO sessions (file, uri, file_id, content_type, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (file) DO UPDATE SET uri = excluded.uri, file_id = excluded.file_id,
  content_type = excluded.content_type, expires_at = excluded.expires_at
"""
_NEXT_DUE = f"""
SELECT min((SELECT next_attempt_at FROM files INDEXED BY files_due
            WHERE folder = folders.name AND status = 'queued' ORDER BY next_attempt_at LIMIT 1))
FROM folders WHERE state IN ('watching', 'polling') {OURS.format("folders.name")}
"""  # noqa: S608  ours alone
_NEXT_BEGUN = f"""
SELECT min(next_attempt_at) FROM sessions CROSS JOIN files ON id = file WHERE status = 'queued' {OURS.format("folder")}
"""  # noqa: S608  ours alone
_UNFINISHED = f"""
SELECT EXISTS (SELECT 1 FROM files WHERE status = 'uploading' {OURS.format("folder")}) OR ({_NEXT_DUE}) IS NOT NULL
"""  # noqa: S608  ours alone


class Files:
    """The files of one ledger. Times are unix seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._busy = False  # there was something to claim the last time

    # --- intake -------------------------------------------------------------------------------------------------------

    def known(self, directory: str) -> dict[str, list[Seen]]:
        """The versions known directly in `directory`, by their paths: a scan passes over these."""
        return known(self._store, directory)

    def is_known(self, path: str, identity: Identity) -> bool:
        """Whether this very version is known, as `known` would say for its directory."""
        return is_known(self._store, path, identity)

    def record(self, found: Sequence[Version | Refusal], now: float) -> list[Recorded]:
        """Write down what was found, all in one commit; what the ledger knows already only gets its identity
        renewed."""
        with self._store.write() as connection:
            self._store.announce(connection)
            return written(connection, found, now)

    # --- upload -------------------------------------------------------------------------------------------------------

    def claim(
        self, claim: str, workspace_id: str, now: float, *, begun: bool = False, pushes: range | None = None
    ) -> Job | None:
        """Take the file that has been due longest, for the claimant `claim` (any unique text); None when none is
        due. With `begun` only one whose upload has a session that is still good; with `pushes` only one of these."""
        first = _FIRST_BEGUN if begun else _FIRST_DUE
        due: dict[str, object] = {"now": iso(now)}
        if pushes is not None:
            first = _FIRST_PUSHED
            due |= {"first": pushes.start, "last": pushes.stop - 1}
        if not self._busy and not self._store.rows(first, **due):
            return None  # the idle ask often: that takes no lock
        values = due | {"status": move(File.QUEUED, Event.CLAIMED), "claim": claim}
        with self._store.write(Lane.CLAIMS) as connection:
            row = connection.execute(_CLAIM.format(first=first), values).fetchone()
            self._busy = row is not None
            if row is None:
                return None
            (
                id_,
                folder,
                path,
                size,
                mtime_ns,
                inode,
                sha256,
                crc32c,
                content_type,
                attempts,
                sent,
                code,
                outside,
                seen,
            ) = row
            remember(connection, id_, now, Event.CLAIMED, File.UPLOADING)
            session, twin = _begun_before(connection, id_, sha256, size, workspace_id)
            return Job(
                id=id_,
                claim=claim,
                folder=folder,
                path=self._store.names.to_path(path),
                identity=Identity(size, mtime_ns, inode),
                digest=Digest(sha256, crc32c),
                content_type=content_type,
                attempts=attempts,
                bytes_sent=sent,
                error_code=code,
                session=session,
                twin=twin,
                outside=bool(outside),
                seen_at=None if seen is None else seconds(seen),
            )

    def next_due(self, *, begun: bool = False) -> float | None:
        """When the next queued file is due, unix seconds; None when none is queued. `begun`: as `claim` means it."""
        ((due,),) = self._store.rows(_NEXT_BEGUN if begun else _NEXT_DUE)
        return None if due is None else seconds(due)

    def unfinished(self) -> bool:
        """Whether anything is being uploaded, or queued in a folder that is there; asked at one instant."""
        ((unfinished,),) = self._store.rows(_UNFINISHED)
        return bool(unfinished)

    def hurry(self, now: float) -> None:
        """Everything that waits for a time is due now: the clock was set back, and would let it wait for too long."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE files SET next_attempt_at = ?"
                " WHERE next_attempt_at > ? AND (status = 'queued' OR aftermath = 'pending')",
                (iso(now), iso(now)),
            )
            hurry_generations(connection, now)
            hurry_deliveries(connection, now)

    def save_session(self, job: Job, session: Session) -> None:
        """Keep a session that was just opened: whatever happens now, the next attempt goes on with it."""
        kept = (session.uri, session.file_id, session.content_type, iso(session.expires_at))
        with self._store.write(None, single=True) as connection:
            saved = connection.execute(_FIRST_SESSION, (*kept, job.id, job.claim)).rowcount
        if saved:
            return
        with self._store.write(None) as connection:
            _guard(connection, job, "bytes_sent = 0")
            connection.execute(_SESSION, (job.id, *kept))

    def forget_sessions(self) -> None:
        """All uploads that were begun begin anew."""
        with self._store.write() as connection:
            connection.execute("UPDATE files SET bytes_sent = 0 WHERE id IN (SELECT file FROM sessions)")
            connection.execute("DELETE FROM sessions")

    def save_progress(self, job: Job, bytes_sent: int) -> None:
        """The storage is known to hold this many bytes."""
        with self._store.write(None, single=True) as connection:
            _guard(connection, job, "bytes_sent = ?", bytes_sent)

    def uploaded(
        self,
        job: Job,
        event: Event,
        now: float,
        *,
        file_id: str,
        workspace_id: str,
        verified: str,
        aftermath: bool = False,
        rule_key: str | None = None,
        deliver: bool = False,
    ) -> None:
        """STORED or REUSED: the server has these bytes, under `file_id`; `verified` tells what was compared.

        What follows is marked in the same commit, so that no crash forgets it. `aftermath`: something is to be done
        with the file. `rule_key`: its folder has rules, which look for it by that. `deliver`: somebody is to be told.
        """
        with self._store.write(None) as connection:
            _move(
                connection,
                job,
                event,
                now,
                detail=f"file_id {file_id}, verified by {verified}",
                file_id=file_id,
                workspace_id=workspace_id,
                verified=verified,
                bytes_sent=job.identity.size if event is Event.STORED else 0,
                attempts=0,
                error_code=None,
                error=None,
                next_attempt_at=iso(now) if aftermath else None,
                uploaded_at=iso(now),
                aftermath="pending" if aftermath else None,
                rule_key=None if rule_key is None else bound(rule_key),
                planning=None if rule_key is None else "pending",
            )
            connection.execute("DELETE FROM sessions WHERE file = ?", (job.id,))
            if deliver:
                queue_delivery(connection, job.folder, "uploaded", job.id, now)

    def faulted(self, job: Job, verdict: Verdict, now: float, *, keep_session: bool, detail: str = "") -> None:
        """POSTPONED, FAILED or SUPERSEDED, as `states.judge` decided. Without its session it begins at byte 0 again;
        one that is not tried again by itself keeps none: it is a secret, and dead before anybody looks."""
        # What is not due again concerns other rows, too: those of its path.
        alone = verdict.event is Event.POSTPONED and verdict.code is not Code.CHANGED
        with self._store.write(None if alone else Lane.ALL) as connection:
            if verdict.code is Code.CHANGED and _seen_again(connection, job):
                # Touched, or changed and changed back, while it was sent: intake has found this very content again.
                verdict = replace(verdict, event=Event.POSTPONED, delay_s=0.0)
            is_due_again = verdict.event is Event.POSTPONED
            due = iso(now + verdict.delay_s) if is_due_again else None
            _move(
                connection,
                job,
                verdict.event,
                now,
                detail=detail or verdict.message,
                error_code=verdict.code,
                error=plain(verdict.message),
                attempts=verdict.attempts,
                next_attempt_at=due,
            )
            if not (keep_session and is_due_again):
                connection.execute("UPDATE files SET bytes_sent = 0 WHERE id = ?", (job.id,))
                connection.execute("DELETE FROM sessions WHERE file = ?", (job.id,))
            if not is_due_again:
                # What waited for it is to look at what else there is.
                recheck(connection, "path = ?", connection.names.to_text(job.path))

    def recover(self, now: float, claim: str | None = None) -> list[int]:
        """Put what was being uploaded back in the queue, session and all: at a start, when whoever worked on it is no
        more; or, by its `claim`, when it was interrupted. Returns the rows' ids."""
        with self._store.write() as connection:
            rows = connection.execute(
                "UPDATE files SET status = ?, claim = NULL, next_attempt_at = ?, updated_at = ?"  # noqa: S608  ours alone
                " WHERE status = 'uploading'"
                f" AND (claim = ? OR CAST(? AS TEXT) IS NULL AND {self._store.left_behind}) RETURNING id",
                (move(File.UPLOADING, Event.RECOVERED), iso(now), iso(now), claim, claim),
            ).fetchall()
            for (id_,) in rows:
                remember(connection, id_, now, Event.RECOVERED, File.QUEUED)
            return [id_ for (id_,) in rows]

    def retry(self, ids: Iterable[int], now: float) -> list[int]:
        """Queue failed files again, with all their attempts before them. Returns the ids of those that were failed."""
        done = []
        with self._store.write() as connection:
            for id_ in ids:
                changed = connection.execute(
                    "UPDATE files SET status = ?, attempts = 0, error_code = NULL, error = NULL, next_attempt_at = ?,"
                    " updated_at = ?"
                    " WHERE id = ? AND status = 'failed'",
                    (move(File.FAILED, Event.RETRIED), iso(now), iso(now), id_),
                ).rowcount
                if changed:
                    remember(connection, id_, now, Event.RETRIED, File.QUEUED)
                    done.append(id_)
        return done


# --- inside one transaction -------------------------------------------------------------------------------------------


def _guard(connection: Connection, job: Job, assignment: str, *values: object) -> None:
    changed = connection.execute(
        f"UPDATE files SET {assignment} WHERE {_MINE}",  # noqa: S608  ours alone
        (*values, job.id, job.claim),
    ).rowcount
    if changed != 1:
        raise _lost(job)


def _lost(job: Job) -> LostClaim:
    return LostClaim(f"file {job.id} is no longer held by claim {job.claim}")


def _move(
    connection: Connection,
    job: Job,
    event: Event,
    now: float,
    *,
    detail: str | None,
    **columns: object,
) -> None:
    status = move(File.UPLOADING, event)
    columns |= {"status": status, "claim": None, "updated_at": iso(now)}
    _guard(connection, job, ", ".join(f"{name} = ?" for name in columns), *columns.values())
    remember(connection, job.id, now, event, status, code=_text(columns.get("error_code")), detail=detail)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _seen_again(connection: Connection, job: Job) -> bool:
    row = connection.execute("SELECT size, mtime_ns, inode FROM files WHERE id = ?", (job.id,)).fetchone()
    return row is not None and Identity(*row) != job.identity


def _begun_before(
    connection: Connection, id_: int, sha256: str, size: int, workspace_id: str
) -> tuple[Session | None, Twin | None]:
    """The session that an earlier attempt has left, and the same bytes, uploaded under another path."""
    *session, file_id, verified = connection.execute(_BEGUN_BEFORE, (id_, sha256, size, workspace_id)).fetchone()
    return (
        None if session[0] is None else Session(session[0], session[1], session[2], seconds(session[3])),
        None if file_id is None else Twin(str(file_id), str(verified)),
    )
