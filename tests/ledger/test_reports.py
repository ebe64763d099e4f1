"""Questions are answered from what is written, and no answer holds a secret."""

import os

import pytest

from layerwatch.errors import Code, Final
from layerwatch.ledger import FileRow, HistoryLine, Ledger, iso
from layerwatch.ledger.reports import _COUNTS

from .builders import (
    T0,
    claimed,
    faulted,
    passing,
    refusal,
    session,
    sqlite_alone,
    sqlite_connection,
    stored,
    version,
    watched,
)


@pytest.fixture
def five(ledger: Ledger) -> dict[str, int]:
    """One file in each status, changed in this order; the ids by status."""
    files = ledger.files
    ids = {}
    for number, status in enumerate(("uploaded", "failed", "uploading")):
        (recorded,) = files.record([version(f"/drop/{status}.png", status.encode())], T0 + number)
        ids[status] = recorded.id
        job = claimed(ledger, T0 + number, f"claim-{status}")
        if status == "uploaded":
            stored(ledger, job)
        elif status == "failed":
            faulted(ledger, job, Final(Code.REJECTED, "no"), T0 + 1)
        else:
            files.save_session(job, session(job))
    (ids["skipped"],) = (recorded.id for recorded in files.record([refusal("/drop/skipped.png")], T0 + 3))
    watched(ledger, "other")
    (ids["queued"],) = (r.id for r in files.record([version("/other/queued.png", b"q", folder="other")], T0 + 4))
    return ids


def ids_of(rows: list[FileRow]) -> list[int]:
    return [row.id for row in rows]


def test_every_status_is_counted_even_if_there_is_none(ledger: Ledger) -> None:
    assert ledger.reports.counts() == dict.fromkeys(("queued", "uploading", "uploaded", "failed", "skipped"), 0)


def test_files_are_counted_by_status(ledger: Ledger, five: dict[str, int]) -> None:
    assert ledger.reports.counts() == dict.fromkeys(five, 1)
    ledger.files.record([version("/drop/another.png", b"another")], T0)
    assert ledger.reports.counts()["queued"] == 2


def test_a_refused_file_that_becomes_whole_is_one_file_as_before(ledger: Ledger, five: dict[str, int]) -> None:
    ledger.files.record([version("/drop/skipped.png", b"whole")], T0 + 9)
    assert ledger.reports.counts() == dict.fromkeys(five, 1) | {"queued": 2, "skipped": 0}


@sqlite_alone
@pytest.mark.parametrize("statistics", [False, True])
def test_of_uploaded_files_pages_are_counted_and_no_rows(
    ledger: Ledger, five: dict[str, int], statistics: bool
) -> None:
    """With and without what SQLite knows of the tables after somebody's ANALYZE."""
    if statistics:
        sqlite_connection(ledger).execute("ANALYZE")
    (walked, *sought) = [step for step in explained(ledger, f"QUERY PLAN {_COUNTS}") if " files " in step]
    assert walked == "SCAN files USING COVERING INDEX files_found"
    assert sought == ["SEARCH files USING COVERING INDEX files_status (status=?)"] * 4
    # The instruction that adds up what each page says it holds.
    assert explained(ledger, _COUNTS, column=1).count("Count") == 1


def explained(ledger: Ledger, question: str, column: int = -1) -> list[str]:
    return [str(row[column]) for row in ledger._store.rows(f"EXPLAIN {question}")]


def test_rows_come_latest_first_and_by_status_folder_and_number(ledger: Ledger, five: dict[str, int]) -> None:
    order = [five[status] for status in ("queued", "skipped", "uploading", "failed", "uploaded")]
    assert ids_of(ledger.reports.files()) == order
    assert ids_of(ledger.reports.files(limit=2)) == order[:2]
    assert ids_of(ledger.reports.files(limit=0)) == []
    assert ids_of(ledger.reports.files(status="failed")) == [five["failed"]]
    assert ids_of(ledger.reports.files(folder="other")) == [five["queued"]]
    assert ids_of(ledger.reports.files(status="failed", folder="other")) == []


def test_what_is_in_flight_and_what_waits_longest(ledger: Ledger, five: dict[str, int]) -> None:
    assert ids_of(ledger.reports.in_flight()) == [five["uploading"]]
    oldest = ledger.reports.oldest_queued()
    assert oldest is not None
    assert oldest.id == five["queued"]
    claimed(ledger, T0 + 9)
    assert ledger.reports.oldest_queued() is None


def test_queued_files_that_met_a_fault_are_troubled_latest_first(ledger: Ledger) -> None:
    ledger.files.record([version(f"/drop/{n}.png", b"%d" % n) for n in range(4)], T0)
    for number in range(3):
        faulted(ledger, claimed(ledger, T0, str(number)), passing(), T0 + number)
    assert [row.path for row in ledger.reports.troubled(2)] == ["/drop/2.png", "/drop/1.png"]
    assert len(ledger.reports.troubled(9)) == 3


def test_a_row_says_all_there_is_to_know(ledger: Ledger, five: dict[str, int]) -> None:
    row = ledger.reports.file(five["uploaded"])
    found = version("/drop/uploaded.png", b"uploaded")
    assert row == FileRow(
        id=five["uploaded"],
        folder="drop",
        path="/drop/uploaded.png",
        size=8,
        mtime_ns=1,
        hash=found.digest.sha256,
        content_type="image/png",
        status="uploaded",
        file_id="file-1",
        error_code=None,
        error=None,
        attempts=0,
        bytes_sent=8,
        next_attempt_at=None,
        created_at=iso(T0),
        updated_at=iso(T0),
        uploaded_at=iso(T0),
        verified="crc32c",
    )
    assert row.as_dict()["path"] == "/drop/uploaded.png"
    assert ledger.reports.file(999) is None


def test_all_versions_of_a_path_come_latest_first_however_it_is_written(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    here = os.path.join(os.getcwd(), "a.png")
    old, new = (
        ledger.files.record([version(here, content)], now)[0].id for content, now in ((b"1", T0), (b"2", T0 + 1))
    )
    ledger.files.record([version(here + "2", b"3")], T0)
    for written in (here, "a.png", "./x/../a.png"):
        assert ids_of(ledger.reports.versions(written)) == [new, old]


def test_history_is_told_in_order_of_one_file_alone(ledger: Ledger, five: dict[str, int]) -> None:
    assert ledger.reports.history(five["failed"]) == [
        HistoryLine(iso(T0 + 1), "seen", "queued", None, None),
        HistoryLine(iso(T0 + 1), "claimed", "uploading", None, None),
        HistoryLine(iso(T0 + 1), "failed", "failed", "rejected", "no"),
    ]
    assert ledger.reports.history(999) == []


def test_a_folder_is_known_by_its_files_whatever_became_of_them(ledger: Ledger) -> None:
    assert not ledger.reports.knows_files_of("drop")
    ledger.files.record([refusal()], T0)
    assert ledger.reports.knows_files_of("drop")
    assert not ledger.reports.knows_files_of("dro")


@pytest.mark.usefixtures("five")
def test_no_answer_holds_a_session(ledger: Ledger) -> None:
    reports = ledger.reports
    answers: list[object] = [
        reports.files(),
        reports.in_flight(),
        reports.oldest_queued(),
        reports.troubled(9),
        reports.candidates(),
    ]
    answers += [reports.history(row.id) for row in reports.files()]
    assert "upload_id" not in repr(answers)
    assert "claim-" not in repr(answers)
