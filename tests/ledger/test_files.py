"""What is found is recorded once, and what becomes of it is written down whole."""

import os
import random
import threading
from collections.abc import Callable

import pytest

from layerwatch.errors import Code, Final, NewUrl, Superseded
from layerwatch.ledger import Ledger, Recorded, Refusal, Session, Version
from layerwatch.source import Identity
from layerwatch.states import Event
from tests.ledgers import new_ledger

from .builders import (
    T0,
    claimed,
    everything,
    faulted,
    passing,
    raw,
    record,
    refusal,
    session,
    stored,
    upload,
    version,
)


def events(ledger: Ledger, id_: int) -> list[str]:
    return [line.event for line in ledger.reports.history(id_)]


# --- intake -----------------------------------------------------------------------------------------------------------


def test_a_new_version_is_queued_with_all_that_is_known_of_it(ledger: Ledger, path: str) -> None:
    (recorded,) = record(ledger, version(content=b"abc", mtime_ns=5))
    assert recorded.event is Event.SEEN
    columns = "folder, path, dir, size, mtime_ns, inode, content_type, status, attempts, bytes_sent, error_code, claim"
    (row,) = raw(path, f"SELECT {columns} FROM files")
    assert row == ("drop", "/drop/a.png", "/drop", 3, 5, 7, "image/png", "queued", 0, 0, None, None)
    assert events(ledger, recorded.id) == ["seen"]


def test_since_when_it_lay_there_is_kept_until_it_is_queued_anew(ledger: Ledger, path: str) -> None:
    found = version()
    record(ledger, found._replace(seen_at=T0 - 5))
    assert claimed(ledger).seen_at == T0 - 5
    ledger.files.recover(T0)
    record(ledger, found._replace(identity=Identity(1, 2, 7), seen_at=T0 + 50), now=T0 + 60)
    job = claimed(ledger, T0 + 60)
    assert job.seen_at == T0 - 5, "touched, and the same"
    faulted(ledger, job, Superseded(Code.VANISHED, "gone"))
    record(ledger, found, now=T0 + 70)
    assert claimed(ledger, T0 + 70).seen_at == T0 + 70, "as of when it is recorded, where nobody says more"


def test_the_same_again_is_nothing_new(ledger: Ledger, path: str) -> None:
    (first,) = record(ledger, version())
    before = everything(path)
    assert record(ledger, version(), now=T0 + 9) == [Recorded(first.id, None)]
    assert everything(path) == before


def test_a_touched_file_is_known_under_its_new_time_and_not_queued_again(ledger: Ledger) -> None:
    (first,) = record(ledger, version(mtime_ns=1))
    upload(ledger)
    assert record(ledger, version(mtime_ns=2)) == [Recorded(first.id, None)]
    assert ledger.files.is_known("/drop/a.png", Identity(1, 2, 7))
    assert ledger.reports.counts()["uploaded"] == 1


def test_other_content_or_another_path_is_another_row(ledger: Ledger) -> None:
    found = record(ledger, version(content=b"a"), version(content=b"b"), version("/drop/b.png", b"a"))
    assert len({recorded.id for recorded in found}) == 3
    assert ledger.reports.counts()["queued"] == 3


def test_what_is_refused_is_skipped_and_says_why(ledger: Ledger) -> None:
    (refused,) = record(ledger, refusal(code=Code.EMPTY))
    assert refused.event is Event.REFUSED
    row = ledger.reports.file(refused.id)
    assert row is not None
    assert (row.status, row.error_code, row.error, row.hash) == ("skipped", "empty", "it is empty", None)
    assert record(ledger, refusal(code=Code.EMPTY)) == [Recorded(refused.id, None)]
    assert record(ledger, refusal(code=Code.TOO_LARGE)) == [Recorded(refused.id, Event.REFUSED)]
    assert events(ledger, refused.id) == ["refused", "refused"]


def test_a_refused_file_that_becomes_whole_goes_on_in_its_own_row(ledger: Ledger) -> None:
    (refused,) = record(ledger, refusal())
    assert record(ledger, version()) == [Recorded(refused.id, Event.SEEN)]
    row = ledger.reports.file(refused.id)
    assert row is not None
    assert (row.status, row.error_code, row.error) == ("queued", None, None)
    assert events(ledger, refused.id) == ["refused", "seen"]


def test_a_known_version_takes_the_place_of_a_refusal_under_its_path(ledger: Ledger, path: str) -> None:
    (known,) = record(ledger, version())
    upload(ledger)
    (refused,) = record(ledger, refusal())
    assert refused.id != known.id
    assert record(ledger, version(mtime_ns=2)) == [Recorded(known.id, None)]
    assert raw(path, "SELECT id, status FROM files") == [(known.id, "uploaded")]
    assert raw(path, "SELECT DISTINCT item_id FROM history") == [(known.id,)]


def test_a_version_that_was_superseded_and_lies_there_again_is_queued_again(ledger: Ledger) -> None:
    (first,) = record(ledger, version())
    faulted(ledger, claimed(ledger), Superseded(Code.VANISHED, "gone"))
    assert record(ledger, version()) == [Recorded(first.id, Event.SEEN)]
    assert events(ledger, first.id) == ["seen", "claimed", "superseded", "seen"]


def test_a_failed_version_is_not_queued_again_by_being_seen(ledger: Ledger) -> None:
    (first,) = record(ledger, version())
    faulted(ledger, claimed(ledger), Final(Code.REJECTED, "no"))
    assert record(ledger, version(mtime_ns=2)) == [Recorded(first.id, None)]
    assert ledger.reports.counts()["failed"] == 1


def test_all_that_is_recorded_together_is_written_or_nothing(ledger: Ledger, path: str) -> None:
    before = everything(path)
    with pytest.raises(AttributeError):
        record(ledger, version(), refusal("/drop/b.png"), "no finding")  # type: ignore[arg-type]
    assert everything(path) == before


@pytest.mark.parametrize("seed", range(4))
def test_what_is_recorded_together_is_as_if_it_came_one_by_one(place: Callable[[], str], seed: int) -> None:
    before, together = _mixture(seed, 40, 30), _mixture(seed + 100, 150, 400 if seed % 2 else 40)
    outcomes = []
    for batches in ([[item] for item in together], [together]):
        with new_ledger(place(), durable=False) as ledger:
            for item in before:
                record(ledger, item)
            recorded = [row.event for batch in batches for row in record(ledger, *batch, now=T0 + 9)]
            outcomes.append((recorded, _all_rows(ledger)))
    assert outcomes[0] == outcomes[1]


def _mixture(seed: int, count: int, paths: int) -> list[Version | Refusal]:
    """Versions, known and new, and refusals, of that many paths."""
    choice = random.Random(seed)

    def one() -> Version | Refusal:
        path = f"/drop/{choice.randrange(paths)}.png"
        if choice.random() < 0.2:
            return refusal(path, size=choice.randrange(2))
        return version(path, bytes(choice.randrange(3)), mtime_ns=choice.randrange(3))

    return [one() for _ in range(count)]


def _all_rows(ledger: Ledger) -> list[tuple[object, ...]]:
    """All that is known of each file, but for its number; of `found` what it is for: which version is the newest."""
    files = ledger._store.rows(
        "SELECT path, coalesce(hash, '-') AS version, id, status, error_code, size, mtime_ns, next_attempt_at,"
        " created_at, updated_at, seen_at, (SELECT count(*) FROM files AS newer WHERE newer.path = files.path"
        " AND newer.found > files.found) FROM files ORDER BY 1, 2"
    )
    return [(*row[:2], *row[3:], *events(ledger, row[2])) for row in files]


def test_threads_that_record_the_same_at_once_wait_for_each_other_and_write_it_once(ledger: Ledger, path: str) -> None:
    found = [version(f"/drop/{n}.png", b"%d" % n) for n in range(20)]
    recorded: list[Recorded] = []
    barrier = threading.Barrier(5)

    def work() -> None:
        with Ledger(path) as own:
            barrier.wait()
            for one in found:
                recorded.extend(own.files.record([one], T0))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded) == 5 * len(found)
    assert len({one.id for one in recorded}) == len(found)
    assert sum(one.event is Event.SEEN for one in recorded) == len(found) == ledger.reports.counts()["queued"]


def test_a_scan_passes_over_what_is_known_of_a_directory_and_nothing_else(ledger: Ledger) -> None:
    record(ledger, version("/drop/a.png", b"a"), version("/drop/a.png", b"bb"), refusal("/drop/c.png"))
    record(ledger, version("/drop/sub/d.png"), version("/dropped/e.png"))
    known = ledger.files.known("/drop")
    assert {path: set(seen) for path, seen in known.items()} == {
        "/drop/a.png": {("/drop/a.png", 1, 1, 7), ("/drop/a.png", 2, 1, 7)},
        "/drop/c.png": {("/drop/c.png", 9, 1, 7)},
    }
    assert ledger.files.is_known("/drop/a.png", Identity(2, 1, 7))
    assert not ledger.files.is_known("/drop/a.png", Identity(2, 2, 7))
    assert not ledger.files.is_known("/drop/b.png", Identity(1, 1, 7))


def test_what_could_not_be_read_is_looked_at_again(ledger: Ledger) -> None:
    record(ledger, refusal(code=Code.UNREADABLE))
    assert ledger.files.known("/drop") == {}
    assert not ledger.files.is_known("/drop/a.png", refusal().identity)


@pytest.mark.parametrize("error", [Superseded(Code.VANISHED, "gone"), Superseded(Code.CHANGED, "changed")])
def test_what_was_gone_before_it_was_stored_is_looked_at_again(ledger: Ledger, error: Superseded) -> None:
    record(ledger, version())
    job = claimed(ledger)
    assert ledger.files.is_known("/drop/a.png", job.identity)
    faulted(ledger, job, error)
    assert ledger.files.known("/drop") == {}
    assert not ledger.files.is_known("/drop/a.png", job.identity)


def test_what_has_failed_is_known_and_not_looked_at_again(ledger: Ledger) -> None:
    record(ledger, version())
    faulted(ledger, claimed(ledger), Final(Code.REJECTED, "no"))
    assert ledger.files.is_known("/drop/a.png", version().identity)


def test_names_that_are_not_utf8_are_kept_to_the_byte(ledger: Ledger, path: str) -> None:
    name = os.fsdecode(b"/drop/\xff\xe9/\n\xfe.png")
    (recorded,) = record(ledger, version(name))
    assert raw(path, "SELECT path, dir FROM files") == [(os.fsencode(name), b"/drop/\xff\xe9")]
    assert ledger.files.known(os.path.dirname(name)) == {name: [(name, *version().identity)]}
    assert ledger.files.is_known(name, version().identity)
    assert claimed(ledger).path == name
    assert [row.id for row in ledger.reports.versions(name)] == [recorded.id]


# --- moves ------------------------------------------------------------------------------------------------------------


def test_an_uploaded_file_has_its_id_and_nothing_left_of_the_way(ledger: Ledger, path: str) -> None:
    record(ledger, version(content=b"abc"))
    faulted(ledger, claimed(ledger), passing())
    job = claimed(ledger, T0 + 60)
    ledger.files.save_session(job, session(job))
    stored(ledger, job, T0 + 61, file_id="f")
    row = ledger.reports.file(job.id)
    assert row is not None
    assert (row.status, row.file_id, row.bytes_sent, row.attempts, row.verified) == ("uploaded", "f", 3, 0, "crc32c")
    assert (row.error_code, row.error, row.next_attempt_at) == (None, None, None)
    assert row.uploaded_at == row.updated_at
    assert raw(path, "SELECT claim FROM files") == [(None,)]
    assert raw(path, "SELECT * FROM sessions") == []
    assert events(ledger, job.id) == ["seen", "claimed", "postponed", "claimed", "stored"]


def test_a_passing_fault_keeps_the_session_and_what_was_sent(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    kept = session(job)
    ledger.files.save_session(job, kept)
    ledger.files.save_progress(job, 512)
    faulted(ledger, job, passing())
    again = claimed(ledger, T0 + 60)
    assert (again.session, again.bytes_sent, again.attempts, again.error_code) == (kept, 512, 1, "network")


def test_a_session_that_is_of_no_use_is_forgotten_with_what_it_held(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    ledger.files.save_session(job, session(job))
    ledger.files.save_progress(job, 512)
    faulted(ledger, job, NewUrl(Code.EXPIRED, "gone"))
    again = claimed(ledger, T0 + 60)
    assert (again.session, again.bytes_sent) == (None, 0)


def test_a_new_session_begins_at_the_first_byte(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    ledger.files.save_session(job, session(job))
    ledger.files.save_progress(job, 512)
    ledger.files.save_session(job, session(job, expires_at=T0 + 999))
    ledger.files.recover(T0)
    again = claimed(ledger)
    assert (again.session, again.bytes_sent) == (session(job, expires_at=T0 + 999), 0)


@pytest.mark.parametrize("error", [Final(Code.REJECTED, "no"), Superseded(Code.CHANGED, "changed"), passing()])
def test_a_file_that_is_not_tried_again_by_itself_keeps_no_secret(ledger: Ledger, path: str, error: Final) -> None:
    record(ledger, version())
    job = claimed(ledger)
    ledger.files.save_session(job, session(job))
    faulted(ledger, job, error, max_attempts=1)
    assert raw(path, "SELECT * FROM sessions") == []
    assert raw(path, "SELECT status IN ('failed', 'skipped'), claim, next_attempt_at, bytes_sent FROM files") == [
        (1, None, None, 0)
    ]


def test_a_traceback_goes_into_the_history_and_only_the_message_into_the_row(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    faulted(ledger, job, Final(Code.INTERNAL, "a fault in layerwatch"), detail="Traceback ...")
    last = ledger.reports.history(job.id)[-1]
    assert (last.event, last.status, last.error_code, last.detail) == ("failed", "failed", "internal", "Traceback ...")
    row = ledger.reports.file(job.id)
    assert row is not None
    assert row.error == "a fault in layerwatch"


def test_what_became_of_a_source_whose_name_is_not_utf8_is_kept_to_the_byte(ledger: Ledger) -> None:
    name = os.fsdecode(b"/drop/\xff.png")
    (recorded,) = record(ledger, version(name))
    job = claimed(ledger)
    ledger.files.uploaded(job, Event.STORED, T0, file_id="f", workspace_id="w", verified="crc32c", aftermath=True)
    for last in (False, True):
        work = ledger.finishing.claim("me", T0)
        assert work
        if last:
            ledger.finishing.finished(work, done=True, detail=f"moved to {name}", code=None, now=T0)
        else:
            ledger.finishing.again(work, f"{name} is in use", T0)
    known = ledger.reports.known(recorded.id)
    assert known
    assert known.aftermath_detail == f"moved to {name}"
    assert ledger.outstanding.of_file(recorded.id).aftermath_detail == f"moved to {name}"
    assert ledger.reports.history(recorded.id)[-1].detail == "moved to /drop/\ufffd.png"


def test_uploads_that_were_begun_in_another_workspace_begin_anew(ledger: Ledger) -> None:
    record(ledger, version())
    job = claimed(ledger)
    ledger.files.save_session(job, Session("https://storage/s", "f", "image/png", T0 + 900))
    ledger.files.save_progress(job, 1)
    ledger.files.recover(T0)
    ledger.files.forget_sessions()
    again = claimed(ledger)
    assert (again.session, again.bytes_sent) == (None, 0)
