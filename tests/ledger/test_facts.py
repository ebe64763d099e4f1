"""What the daemon knows is there for others to see, and no older than it says."""

import os

from hypothesis import given
from hypothesis import strategies as st

from layerwatch.ledger import FolderFacts, FolderState, Ledger, Waiting, iso, seconds

from .builders import T0, watched


def enter(
    ledger: Ledger, state: FolderState, path: str = "/drop", *, detail: str = "", mount: str | None = None
) -> FolderFacts:
    ledger.facts.folder("drop", path, state, T0, detail=detail, mount=mount)
    facts = ledger.facts.one_folder("drop")
    assert facts is not None
    return facts


def test_a_folder_is_as_it_was_last_said_to_be(ledger: Ledger) -> None:
    assert enter(ledger, FolderState.POLLING, detail="nfs", mount="/mnt") == FolderFacts(
        "drop", "/drop", FolderState.POLLING, "nfs", None, None, 0, 0, "/mnt"
    )
    assert ledger.facts.folders() == [ledger.facts.one_folder("drop")]
    assert ledger.facts.one_folder("other") is None


def test_where_it_was_mounted_is_kept_while_it_is_away(ledger: Ledger) -> None:
    enter(ledger, FolderState.WATCHING, mount="/mnt")
    assert enter(ledger, FolderState.AWAY, detail="gone").mount == "/mnt"
    assert enter(ledger, FolderState.WATCHING, mount="/srv").mount == "/srv"


def test_the_first_complete_scan_is_remembered_and_the_last_one_told(ledger: Ledger) -> None:
    ledger.facts.folder_scanned("drop", 5, T0 + 1)
    ledger.facts.folder_scanned("drop", 2, T0 + 2)
    facts = enter(ledger, FolderState.AWAY)
    assert (facts.known_at, facts.scanned_at, facts.unknown) == (iso(T0 + 1), iso(T0 + 2), 2)


def test_a_folder_that_moved_is_a_new_one(ledger: Ledger) -> None:
    enter(ledger, FolderState.WATCHING, mount="/mnt")
    ledger.facts.folder_scanned("drop", 0, T0)
    moved = enter(ledger, FolderState.AWAY, "/elsewhere")
    assert (moved.path, moved.known_at, moved.mount) == ("/elsewhere", None, None)


def test_overflows_are_counted(ledger: Ledger) -> None:
    ledger.facts.folder_overflowed("drop", 1)
    ledger.facts.folder_overflowed("drop", 2)
    assert enter(ledger, FolderState.WATCHING).overflows == 3


def test_folders_that_are_no_longer_configured_are_forgotten_with_what_waits_there(ledger: Ledger) -> None:
    watched(ledger, "drop", "other", "third")
    for folder in ("drop", "other"):
        ledger.facts.waiting(Waiting(f"/{folder}/a.png", folder, 1, "no end", T0), T0)
    ledger.facts.forget_folders_but(["drop", "third"])
    assert [folder.name for folder in ledger.facts.folders()] == ["drop", "third"]
    assert [one["folder"] for one in ledger.reports.candidates()] == ["drop"]
    ledger.facts.forget_folders_but([])
    assert ledger.facts.folders() == []
    assert ledger.reports.candidates() == []


def test_what_waits_is_told_once_with_its_last_reason(ledger: Ledger) -> None:
    ledger.facts.waiting(Waiting("/drop/b.png", "drop", 5, "no end", T0 + 1), T0 + 2)
    ledger.facts.waiting(Waiting("/drop/a.png", "drop", 6, "no end", T0 + 1), T0 + 2)
    ledger.facts.waiting(Waiting("/drop/b.png", "drop", 7, "open for writing", T0), T0 + 3)
    assert ledger.reports.candidates() == [
        {"path": "/drop/b.png", "folder": "drop", "size": 7, "reason": "open for writing", "since": iso(T0)},
        {"path": "/drop/a.png", "folder": "drop", "size": 6, "reason": "no end", "since": iso(T0 + 1)},
    ]


def test_what_no_longer_waits_is_not_told(ledger: Ledger) -> None:
    odd = os.fsdecode(b"/drop/\xff.png")
    for path, folder in ((odd, "drop"), ("/drop/a.png", "drop"), ("/drop/b.png", "drop"), ("/other/c.png", "other")):
        ledger.facts.waiting(Waiting(path, folder, 1, "no end", T0), T0)
    ledger.facts.no_longer_waiting([odd, "/drop/a.png", "/drop/never.png"])
    assert [one["path"] for one in ledger.reports.candidates()] == ["/drop/b.png", "/other/c.png"]
    ledger.facts.nobody_waits("drop")
    assert [one["path"] for one in ledger.reports.candidates()] == ["/other/c.png"]


def test_paths_that_are_not_utf8_come_back(ledger: Ledger) -> None:
    odd = os.fsdecode(b"/drop\xff")
    assert enter(ledger, FolderState.WATCHING, odd, mount=odd) == FolderFacts(
        "drop", odd, FolderState.WATCHING, "", None, None, 0, 0, odd
    )


def test_notes_are_kept_replaced_and_forgotten_and_seen_by_others(ledger: Ledger, path: str) -> None:
    ledger.facts.note("daemon", {"pid": 1, "once": False}, T0)
    ledger.facts.note("hold", "x", T0)
    ledger.facts.note("hold", {"code": "network"}, T0)
    with Ledger(path) as other:
        assert other.facts.notes() == {"daemon": {"pid": 1, "once": False}, "hold": {"code": "network"}}
        ledger.facts.note("hold", None, T0)
        ledger.facts.note("never", None, T0)
        assert other.facts.notes() == {"daemon": {"pid": 1, "once": False}}


times = st.floats(0, 4e9)


@given(times)
def test_times_come_back_to_the_microsecond(time: float) -> None:
    text = iso(time)
    assert text.endswith("Z")
    assert abs(seconds(text) - time) <= 1e-6
    assert iso(seconds(text)) == text


@given(times, times)
def test_times_sort_as_text(one: float, two: float) -> None:
    assert (iso(one) <= iso(two)) or one > two


def test_times_are_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
    assert iso(1_735_689_600.5) == "2025-01-01T00:00:00.500000Z"
