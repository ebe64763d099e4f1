"""A row is claimed by one at a time; who no longer holds it writes nothing into it; what was interrupted goes back."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from layerwatch.errors import Code, Final, Superseded
from layerwatch.ledger import FolderState, Job, Ledger, LostClaim, Twin
from layerwatch.states import Event, IllegalMove

from .builders import (
    T0,
    WORKSPACE,
    claimed,
    everything,
    faulted,
    passing,
    raw,
    record,
    session,
    stored,
    upload,
    version,
    watched,
)


def test_a_claim_is_on_disk_with_all_that_an_uploader_needs(ledger: Ledger, path: str) -> None:
    found = version(content=b"abc", mtime_ns=5)
    (recorded,) = record(ledger, found)
    job = claimed(ledger, claim="me")
    assert (job.id, job.claim, job.folder, job.path) == (recorded.id, "me", "drop", "/drop/a.png")
    assert (job.identity, job.digest, job.content_type) == (found.identity, found.digest, found.content_type)
    assert (job.attempts, job.bytes_sent, job.error_code, job.session, job.twin) == (0, 0, None, None, None)
    assert raw(path, "SELECT status, claim FROM files") == [("uploading", "me")]
    assert ledger.files.claim("you", WORKSPACE, T0) is None


def test_the_file_that_has_been_due_longest_is_first(ledger: Ledger) -> None:
    for number, now in enumerate((T0 + 2, T0, T0 + 1)):
        record(ledger, version(f"/drop/{number}.png", b"%d" % number), now=now)
    assert [claimed(ledger, T0 + 9, str(n)).path for n in range(3)] == ["/drop/1.png", "/drop/2.png", "/drop/0.png"]


def test_nothing_is_claimed_before_it_is_due(ledger: Ledger) -> None:
    record(ledger, version())
    faulted(ledger, claimed(ledger), passing())
    due = ledger.files.next_due()
    assert due == T0 + 0.5
    assert ledger.files.claim("early", WORKSPACE, due - 0.001) is None
    assert claimed(ledger, due).attempts == 1


def test_of_the_same_content_one_is_sent_and_the_others_need_no_bytes(ledger: Ledger) -> None:
    record(ledger, version("/drop/a.png"), version("/drop/b.png"), version("/drop/c.png", b"other"))
    first = claimed(ledger, claim="1")
    assert claimed(ledger, claim="2").path == "/drop/c.png"
    assert ledger.files.claim("3", WORKSPACE, T0) is None
    stored(ledger, first, file_id="file-1")
    twin = claimed(ledger, claim="3")
    assert (twin.path, twin.twin) == ("/drop/b.png", Twin("file-1", "crc32c"))
    stored(ledger, twin, file_id="file-1")
    row = ledger.reports.file(twin.id)
    assert row is not None
    assert (row.status, row.file_id, row.bytes_sent) == ("uploaded", "file-1", 0)


def test_what_was_uploaded_to_another_workspace_is_not_there(ledger: Ledger) -> None:
    record(ledger, version("/drop/a.png"), version("/drop/b.png"))
    upload(ledger, workspace="workspace-2")
    assert claimed(ledger).twin is None


@pytest.mark.parametrize(("state", "is_claimed"), [(state, state in ("watching", "polling")) for state in FolderState])
def test_only_files_of_a_folder_that_is_there_are_claimed(ledger: Ledger, state: FolderState, is_claimed: bool) -> None:
    record(ledger, version())
    ledger.facts.folder("drop", "/drop", state, T0, detail="", mount=None)
    assert (ledger.files.next_due() is not None) == is_claimed
    assert (ledger.files.claim("me", WORKSPACE, T0) is not None) == is_claimed


def test_files_of_a_folder_that_is_not_configured_wait(ledger: Ledger) -> None:
    record(ledger, version("/else/a.png", folder="else"))
    assert ledger.files.claim("me", WORKSPACE, T0) is None
    watched(ledger, "else")
    assert claimed(ledger).folder == "else"


def test_threads_that_claim_at_once_get_each_row_once(ledger: Ledger, path: str) -> None:
    ids = {recorded.id for recorded in record(ledger, *(version(f"/drop/{n}.png", b"%d" % n) for n in range(60)))}
    got: list[int] = []
    barrier = threading.Barrier(6)

    def work(name: str) -> None:
        with Ledger(path) as own:
            barrier.wait()
            while job := own.files.claim(name, WORKSPACE, T0):
                got.append(job.id)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(got) == Counter(ids)


CLAIM_ALL = """
import sys
from layerwatch.ledger import Ledger
with Ledger(sys.argv[1]) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    while job := ledger.files.claim(sys.argv[2], "w", 2e9):
        print(job.id, flush=True)
"""


def test_processes_that_claim_at_once_get_each_row_once(ledger: Ledger, path: str) -> None:
    ids = {recorded.id for recorded in record(ledger, *(version(f"/drop/{n}.png", b"%d" % n) for n in range(80)))}
    commands = [[sys.executable, "-c", CLAIM_ALL, path, name] for name in ("one", "two")]
    processes = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in processes]
    assert Counter(int(id_) for text in said for id_ in text.split()) == Counter(ids)


# --- lost claims ------------------------------------------------------------------------------------------------------


MOVES: dict[str, Callable[[Ledger, Job], None]] = {
    "save_session": lambda ledger, job: ledger.files.save_session(job, session(job)),
    "save_progress": lambda ledger, job: ledger.files.save_progress(job, 256),
    "uploaded": stored,
    "postponed": lambda ledger, job: faulted(ledger, job, passing()),
    "failed": lambda ledger, job: faulted(ledger, job, Final(Code.REJECTED, "no")),
    "superseded": lambda ledger, job: faulted(ledger, job, Superseded(Code.VANISHED, "gone")),
}


@pytest.mark.parametrize("since", ["taken over", "back in the queue", "uploaded"])
@pytest.mark.parametrize("name", MOVES)
def test_a_move_with_an_old_claim_changes_nothing(ledger: Ledger, path: str, name: str, since: str) -> None:
    record(ledger, version())
    old = claimed(ledger, claim="old")
    ledger.files.save_session(old, session(old))
    ledger.files.recover(T0)
    if since != "back in the queue":
        new = claimed(ledger, claim="new")
        if since == "uploaded":
            stored(ledger, new)
    before = everything(path)
    with pytest.raises(LostClaim):
        MOVES[name](ledger, old)
    assert everything(path) == before


def test_an_event_that_does_not_end_an_upload_changes_nothing(ledger: Ledger, path: str) -> None:
    record(ledger, version())
    job = claimed(ledger)
    before = everything(path)
    with pytest.raises(IllegalMove):
        ledger.files.uploaded(job, Event.SEEN, T0, file_id="f", workspace_id=WORKSPACE, verified="md5", aftermath=False)
    assert everything(path) == before


def test_a_crash_loses_nothing_and_puts_back_what_was_being_uploaded(path: str) -> None:
    with Ledger(path) as before:
        watched(before).files.record([version(f"/drop/{n}.png", b"%d" % n) for n in range(3)], T0)
        job = claimed(before, claim="old")
        before.files.save_session(job, session(job))
        before.files.save_progress(job, 512)
    with Ledger(path) as after:
        assert after.reports.counts() == {"queued": 2, "uploading": 1, "uploaded": 0, "failed": 0, "skipped": 0}
        assert after.files.recover(T0 + 5) == [job.id]
        assert after.files.recover(T0 + 5) == []
        jobs = {one.id: one for one in (claimed(after, T0 + 5, str(n)) for n in range(3))}
        assert (jobs[job.id].session, jobs[job.id].bytes_sent, jobs[job.id].attempts) == (session(job), 512, 0)
        assert [line.event for line in after.reports.history(job.id)] == ["seen", "claimed", "recovered", "claimed"]


def test_one_that_was_interrupted_goes_back_alone(ledger: Ledger, path: str) -> None:
    ledger.files.record([version("/drop/a.png", b"a"), version("/drop/b.png", b"b")], T0)
    one, two = claimed(ledger, claim="1"), claimed(ledger, claim="2")
    assert ledger.files.recover(T0, "1") == [one.id]
    assert raw(path, "SELECT id, status, claim FROM files ORDER BY id") == [
        (one.id, "queued", None),
        (two.id, "uploading", "2"),
    ]
    assert ledger.files.recover(T0, "nobody") == []


def test_only_failed_files_are_retried_with_all_their_attempts_before_them(ledger: Ledger) -> None:
    found = ledger.files.record([version(f"/drop/{n}.png", b"%d" % n) for n in range(3)], T0)
    failed, done, queued = (recorded.id for recorded in found)
    faulted(ledger, claimed(ledger), Final(Code.REJECTED, "no"))
    stored(ledger, claimed(ledger))
    assert ledger.files.retry([queued, done, failed, 999], T0 + 100) == [failed]
    assert ledger.files.retry([failed], T0 + 100) == []
    row = ledger.reports.file(failed)
    assert row is not None
    assert (row.status, row.attempts) == ("queued", 0)
    assert [line.event for line in ledger.reports.history(failed)] == ["seen", "claimed", "failed", "retried"]
    assert {claimed(ledger, T0 + 100, str(n)).id for n in range(2)} == {queued, failed}


def test_nothing_due_is_none(ledger: Ledger) -> None:
    assert ledger.files.next_due() is None
    assert ledger.files.claim("me", WORKSPACE, T0) is None


@pytest.mark.parametrize(("life_s", "first"), [(900, "/drop/begun.png"), (5, "/drop/fresh.png")])
def test_what_has_a_session_that_is_still_good_goes_first(ledger: Ledger, life_s: float, first: str) -> None:
    record(ledger, version("/drop/begun.png", b"begun"), now=T0)
    begun = claimed(ledger, T0)
    ledger.files.save_session(begun, session(begun, expires_at=T0 + life_s))
    record(ledger, version("/drop/fresh.png", b"fresh"), now=T0)
    faulted(ledger, begun, passing())
    assert claimed(ledger, T0, "early").path == "/drop/fresh.png", "a session is no reason to break its back-off"
    ledger.files.recover(T0, "early")
    assert claimed(ledger, T0 + 9, "late").path == first


def test_a_twin_waits_while_the_first_one_is_between_two_attempts(ledger: Ledger) -> None:
    record(ledger, version("/drop/a.png"), version("/drop/b.png"))
    first = claimed(ledger)
    ledger.files.save_session(first, session(first))
    faulted(ledger, first, passing())
    assert ledger.files.claim("twin", WORKSPACE, T0) is None
    again = claimed(ledger, T0 + 9)
    assert again.id == first.id
    stored(ledger, again, file_id="file-1")
    twin = claimed(ledger, T0 + 9)
    assert (twin.path, twin.twin) == ("/drop/b.png", Twin("file-1", "crc32c"))


def test_a_twin_waits_no_longer_than_the_session_lives(ledger: Ledger) -> None:
    record(ledger, version("/drop/a.png"), version("/drop/b.png"))
    first = claimed(ledger)
    ledger.files.save_session(first, session(first, expires_at=T0 + 5))
    faulted(ledger, first, passing())
    assert claimed(ledger, T0 + 6, "somebody").path in ("/drop/a.png", "/drop/b.png")
