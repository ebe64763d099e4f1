"""The ledger against the disk: every kind of finding, and everything that must not be one."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerwatch.audit import QUIET_S, STUCK_S, Audit, Finding, Kind, Moment
from layerwatch.config import load
from layerwatch.errors import Code, Superseded
from layerwatch.ledger import FolderState, Ledger, Refusal, Version
from layerwatch.mounts import mount_of
from layerwatch.source import Digest, Identity, identity
from layerwatch.states import Event

from .cli.conftest import HOSTILE, RULE, Place

LATER_S = QUIET_S + 10
MUCH_LATER_S = STUCK_S + 10


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path.resolve())


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """Both folders watched and scanned, and on the mount that they are really on: an empty one is no lost one."""
    with place.open() as ledger:
        here = mount_of(str(place.home)).point
        for name in ("concepts", "textures"):
            path = str(place.home / name)
            ledger.facts.folder(name, path, FolderState.WATCHING, time.time(), detail="", mount=here)
            ledger.facts.folder_scanned(name, 0, time.time())
        yield ledger


def audit(
    place: Place,
    ledger: Ledger,
    *,
    after_s: float = 0.0,
    daemon: bool = False,
    hold: bool = False,
    only: str | None = None,
    rehash: bool = False,
) -> Audit:
    folders = load(str(place.config), require_token=False).folders
    moment = Moment(time.time() + after_s, daemon, hold)
    return Audit(ledger, folders, moment, only=only, rehash=rehash)


def found(place: Place, ledger: Ledger, **asked: object) -> list[Finding]:
    return list(audit(place, ledger, **asked).findings())  # type: ignore[arg-type]


def named(place: Place, findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.kind, os.path.relpath(finding.path, place.home)) for finding in findings]


def test_nothing_is_wrong(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE)
    place.upload(ledger)
    place.record(ledger, "sub/queued.png", b"b")
    place.refuse(ledger, "notes.txt")
    place.write(".hidden")
    done = audit(place, ledger)
    assert list(done.findings()) == []
    concepts, textures = done.checked
    assert (concepts.state, concepts.files, concepts.refused, concepts.waiting) == ("there", 3, 1, 0)
    assert (textures.state, textures.files) == ("there", 0)


def test_an_empty_ledger_and_empty_folders(place: Place, ledger: Ledger) -> None:
    assert found(place, ledger) == []


# --- missing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", HOSTILE, f"{HOSTILE}/sub/a.png"])
def test_a_file_that_is_gone_is_missing_and_so_is_one_of_a_directory_that_is_gone(
    place: Place, ledger: Ledger, name: str
) -> None:
    id_ = place.record(ledger, name).id
    place.write("stays.txt")
    place.refuse(ledger, "stays.txt")
    top = place.root / name.split("/", maxsplit=1)[0]
    shutil.rmtree(top) if top.is_dir() else top.unlink()
    assert found(place, ledger) == [
        Finding(Kind.MISSING, "concepts", f"{place.root}/{name}", "queued, never uploaded", id_, "queued", None, True)
    ]


def test_an_uploaded_one_is_missing_too_but_not_one_that_was_refused(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.upload(ledger)
    place.refuse(ledger, "notes.txt")
    os.unlink(place.root / "a.png")
    os.unlink(place.root / "notes.txt")
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.status, finding.detail) == (Kind.MISSING, "uploaded", "uploaded")


def test_only_the_latest_version_of_a_path_counts(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"one", ago_s=60)
    place.upload(ledger)
    second = place.record(ledger, "a.png", b"two", ago_s=-1).id
    assert found(place, ledger) == []
    os.unlink(place.root / "a.png")
    assert [finding.file for finding in found(place, ledger)] == [second]


@pytest.mark.parametrize("detail", ["moved to /elsewhere/a.png", "deleted"])
def test_nor_what_it_took_away_under_an_earlier_setting(place: Place, ledger: Ledger, detail: str) -> None:
    for name, said in (("a.png", detail), ("b.png", "kept; receipt written")):
        place.record(ledger, name, name.encode())
        job = place.claim(ledger)
        now = time.time()
        ledger.files.uploaded(job, Event.STORED, now, file_id="f", workspace_id="w", verified="md5", aftermath=True)
        finishing = ledger.finishing.claim("claim", now)
        assert finishing is not None
        ledger.finishing.finished(finishing, done=True, detail=said, code=None, now=now)
        os.unlink(place.root / name)
    assert named(place, found(place, ledger)) == [("missing", "concepts/b.png")]


@pytest.mark.parametrize("after", ["move", "delete"])
def test_what_layerwatch_itself_takes_away_is_not_missing(place: Place, ledger: Ledger, after: str) -> None:
    place.configure(f'after_upload = "{after}"')
    place.record(ledger, "a.png")
    place.upload(ledger)
    place.record(ledger, "queued.png", b"b")
    os.unlink(place.root / "a.png")
    os.unlink(place.root / "queued.png")
    assert named(place, found(place, ledger)) == [("missing", "concepts/queued.png")]


def test_a_file_that_nothing_is_taken_from_any_more_is_not_missing(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a_wip.png")
    place.record(ledger, "sub/b.png", b"b")
    place.configure('exclude = ["*_wip*"]\nrecursive = false')
    assert found(place, ledger) == []


def test_rows_of_another_place_are_left_alone(place: Place, ledger: Ledger) -> None:
    """The folder was given another path: what lay in the old one is nobody's concern."""
    place.record(ledger, "a.png")
    (place.home / "new").mkdir()
    place.config.write_text(place.config.read_text().replace('path = "concepts"', 'path = "new"'))
    os.unlink(place.root / "a.png")
    assert found(place, ledger) == []


# --- folders that are not there ---------------------------------------------------------------------------------------


def test_of_a_folder_that_is_away_nothing_is_missing(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    os.rename(place.root, place.home / "elsewhere")
    done = audit(place, ledger)
    assert list(done.findings()) == []
    assert (done.checked[0].state, done.checked[0].files) == ("away", 0)
    assert "no such file" in done.checked[0].detail
    assert done.checked[1].state == "there"


def test_the_empty_place_of_an_unmounted_share_is_away(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    os.unlink(place.root / "a.png")
    share = str(place.root)
    ledger.facts.folder("concepts", share, FolderState.WATCHING, time.time(), detail="", mount=share)
    done = audit(place, ledger)
    assert list(done.findings()) == []
    assert done.checked[0].state == "away"
    assert "where it was mounted" in done.checked[0].detail


@pytest.mark.parametrize("state", [FolderState.AWAY, FolderState.UNREADABLE])
def test_a_daemon_that_runs_knows_best_whether_a_folder_is_there(
    place: Place, ledger: Ledger, state: FolderState
) -> None:
    place.record(ledger, "a.png")
    os.unlink(place.root / "a.png")
    ledger.facts.note("daemon", {"pid": 1}, time.time())
    ledger.facts.folder("concepts", str(place.root), state, time.time(), detail="not the same", mount=None)
    done = audit(place, ledger, daemon=True)
    assert list(done.findings()) == []
    assert (done.checked[0].state, done.checked[0].detail) == (state, "not the same")
    assert named(place, found(place, ledger)) == [("missing", "concepts/a.png")]


def test_one_that_goes_away_in_the_middle_misses_nothing_from_then_on(place: Place, ledger: Ledger) -> None:
    for number in range(9):
        place.record(ledger, f"{number}.png", b"%d" % number)
        os.unlink(place.root / f"{number}.png")
    done = audit(place, ledger)
    findings = done.findings()
    assert next(findings).kind == Kind.MISSING
    os.rename(place.root, place.home / "elsewhere")
    (place.root).mkdir()
    assert list(findings) == []
    assert (done.checked[0].state, done.checked[0].detail) == ("away", "it went away while it was looked at")


def test_rows_of_a_folder_that_is_no_longer_configured_are_told_and_what_is_queued_is_stuck(
    place: Place, ledger: Ledger
) -> None:
    place.record(ledger, "a.png", ago_s=MUCH_LATER_S)
    os.unlink(place.root / "a.png")
    place.config.write_text(place.config.read_text().replace("concepts", "textures2"))
    (place.home / "textures2").mkdir()
    done = audit(place, ledger)
    assert named(place, list(done.findings())) == [("stuck", "concepts/a.png")]
    assert [(it.name, it.state) for it in done.checked if it.path is None] == [("concepts", "unconfigured")]


def test_only_one_folder(place: Place, ledger: Ledger) -> None:
    place.write("a.png")
    (place.home / "textures" / "b.png").write_bytes(b"b")
    done = audit(place, ledger, only="textures")
    assert named(place, list(done.findings())) == [("unknown", "textures/b.png")]
    assert [checked.name for checked in done.checked] == ["textures"]


# --- changed, unknown -------------------------------------------------------------------------------------------------


def test_what_lies_there_is_not_what_is_known(place: Place, ledger: Ledger) -> None:
    id_ = place.record(ledger, HOSTILE).id
    place.upload(ledger)
    place.write(HOSTILE, b"another")
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.file, finding.detail) == (Kind.CHANGED, id_, "not the uploaded one")


def test_an_older_version_that_was_put_back_is_known(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"one", ago_s=60)
    os.rename(place.root / "a.png", place.home / "kept")
    place.record(ledger, "a.png", b"two", ago_s=-1)
    os.rename(place.home / "kept", place.root / "a.png")
    assert found(place, ledger) == []


def test_a_version_that_was_given_up_because_it_had_changed_does_not_make_it_known(
    place: Place, ledger: Ledger
) -> None:
    place.record(ledger, "a.png")
    place.fault(ledger, Superseded(Code.CHANGED, "it changed"))
    assert named(place, found(place, ledger)) == [("changed", "concepts/a.png")]


def test_a_file_that_nobody_knows(place: Place, ledger: Ledger) -> None:
    place.write(HOSTILE)
    place.write("sub/b.png")
    assert set(named(place, found(place, ledger))) == {
        ("unknown", f"concepts/{HOSTILE}"),
        ("unknown", "concepts/sub/b.png"),
    }


def test_names_that_the_folder_does_not_take_are_nobodys_business(place: Place, ledger: Ledger) -> None:
    place.configure('exclude = ["*_wip*"]\nafter_upload = "move"')
    for name in ("a_wip.png", "a.png.part", ".b.png", "uploaded/moved.png", "a.png.layer.json"):
        place.write(name)
    assert found(place, ledger) == []


def test_while_a_daemon_runs_what_is_new_is_left_to_it(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.write("a.png", b"another")
    place.write("b.png")
    fresh = audit(place, ledger, daemon=True)
    assert list(fresh.findings()) == []
    assert fresh.checked[0].waiting == 2
    later = found(place, ledger, daemon=True, after_s=LATER_S)
    assert set(named(place, later)) == {("changed", "concepts/a.png"), ("unknown", "concepts/b.png")}
    place.configure('settle = "1h"')
    assert found(place, ledger, daemon=True, after_s=LATER_S) == []


def test_before_the_daemon_has_scanned_the_folder_nothing_in_it_is_unknown(place: Place, ledger: Ledger) -> None:
    place.write("a.png")
    ledger.facts.note("daemon", {"pid": 1}, time.time())
    assert found(place, ledger, daemon=True, after_s=LATER_S) == []
    ledger.facts.folder_scanned("concepts", 1, time.time())
    assert len(found(place, ledger, daemon=True, after_s=LATER_S)) == 1


@pytest.mark.parametrize("daemon", [True, False])
def test_what_waits_for_a_reason_is_counted_until_it_changes(place: Place, ledger: Ledger, daemon: bool) -> None:
    place.waits(ledger, HOSTILE)
    done = audit(place, ledger, daemon=daemon, after_s=LATER_S)
    assert list(done.findings()) == []
    assert done.checked[0].waiting == 1
    place.write(HOSTILE, b"more than that")
    assert named(place, found(place, ledger, daemon=daemon, after_s=LATER_S)) == [("unknown", f"concepts/{HOSTILE}")]


def test_what_was_there_before_a_folder_was_first_scanned_may_be_unwanted(place: Place) -> None:
    place.write("a.png")
    place.configure("existing = false")
    with place.open() as ledger:
        done = audit(place, ledger)
        assert list(done.findings()) == []
        assert done.checked[0].refused == 1
        place.configure("existing = true")
        assert len(found(place, ledger)) == 1


# --- the same looks, other bytes --------------------------------------------------------------------------------------


def test_other_bytes_under_the_same_size_and_time_are_found_by_reading(place: Place, ledger: Ledger) -> None:
    id_ = place.record(ledger, HOSTILE, b"right").id
    place.upload(ledger)
    path = place.root / HOSTILE
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"wrong")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(place, ledger) == []
    (finding,) = found(place, ledger, rehash=True)
    assert (finding.kind, finding.file) == (Kind.CORRUPT_ON_DISK, id_)


def test_reading_finds_nothing_where_nothing_is_wrong(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"x" * 700_000)
    place.refuse(ledger, "notes.txt")
    place.write("unknown.png")
    assert named(place, found(place, ledger, rehash=True)) == [("unknown", "concepts/unknown.png")]


def test_reading_follows_no_link_and_opens_no_fifo(place: Place, ledger: Ledger) -> None:
    place.refuse(ledger, "link.png")
    os.unlink(place.root / "link.png")
    os.symlink("/etc/hostname", place.root / "link.png")
    os.mkfifo(place.root / "fifo.png")
    assert set(named(place, found(place, ledger, rehash=True))) == {
        ("changed", "concepts/link.png"),
        ("unknown", "concepts/fifo.png"),
    }


# Permission bits do not bind root: who is root becomes nobody for this, and the place is nobody's.
UNREADABLE = """
import os, sys, time
from layerwatch.audit import Audit, Moment
from layerwatch.config import load
from layerwatch.ledger import Ledger
folders = load(sys.argv[1] + "/config.toml", require_token=False).folders
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
with Ledger(sys.argv[1] + "/state/ledger.db") as ledger:
    audit = Audit(ledger, folders, Moment(time.time(), False, False), rehash=True)
    for finding in audit.findings():
        print(finding.kind, finding.path)
"""


def test_what_cannot_be_looked_at_is_neither_missing_nor_right() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(Path(os.path.realpath(temporary)))
        with place.open() as ledger:
            place.record(ledger, "shut/a.png")
            place.record(ledger, "b.png", b"b")
        if os.geteuid() == 0:
            for directory, _, files in os.walk(place.home):
                for path in (directory, *(os.path.join(directory, name) for name in files)):
                    os.chown(path, 65534, 65534)
        os.chmod(place.root / "shut", 0)
        os.chmod(place.root / "b.png", 0)
        command = [sys.executable, "-c", UNREADABLE, str(place.home)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        os.chmod(place.root / "shut", 0o700)
    assert said == [f"unreadable {place.root}/b.png", f"unreadable {place.root}/shut"]


# --- failed, unconfirmed ----------------------------------------------------------------------------------------------


def test_a_failed_file_is_found_with_its_code(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    id_ = place.failure(ledger).id
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.file, finding.error_code, finding.detail) == (
        Kind.FAILED, id_, "rejected", "rejected"
    )  # fmt: skip


def test_one_that_is_gone_was_never_uploaded(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.failure(ledger)
    os.unlink(place.root / "a.png")
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.detail) == (Kind.FAILED, "rejected, and no longer there")


def test_a_failed_version_that_was_replaced_does_not_count_any_more(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"one", ago_s=60)
    place.failure(ledger)
    place.write("a.png", b"another")
    assert named(place, found(place, ledger)) == [("changed", "concepts/a.png")]
    place.record(ledger, "a.png", b"another", ago_s=-1)
    assert found(place, ledger) == []
    os.unlink(place.root / "a.png")
    assert [finding.kind for finding in found(place, ledger)] == [Kind.MISSING]


def test_a_failed_file_of_a_folder_that_is_away_is_found_by_the_ledger_alone(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.failure(ledger)
    os.rename(place.root, place.home / "elsewhere")
    assert [(finding.kind, finding.detail) for finding in found(place, ledger)] == [(Kind.FAILED, "rejected")]


@pytest.mark.parametrize(("verified", "what"), [("nothing", "nothing"), ("size", "its size alone")])
def test_an_upload_of_which_no_checksum_was_confirmed(place: Place, ledger: Ledger, verified: str, what: str) -> None:
    for name, proof in (("a.png", verified), ("b.png", "crc32c"), ("c.png", "md5")):
        place.record(ledger, name, name.encode())
        job = place.claim(ledger)
        ledger.files.uploaded(
            job, Event.STORED, time.time(), file_id="f", workspace_id="w", verified=proof, aftermath=False
        )
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.file, finding.detail) == (Kind.UNCONFIRMED, 1, f"the server confirmed {what}")


# --- stuck ------------------------------------------------------------------------------------------------------------


def stuck(place: Place, ledger: Ledger, after_s: float = MUCH_LATER_S, *, hold: bool = False) -> list[str]:
    findings = found(place, ledger, daemon=True, after_s=after_s, hold=hold)
    assert {finding.kind for finding in findings} <= {Kind.STUCK}
    return [finding.detail for finding in findings]


def test_a_queue_of_which_nobody_takes_anything_is_stuck(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    assert stuck(place, ledger, after_s=STUCK_S - 60) == []
    assert stuck(place, ledger) == ["due for 10 min"]
    assert found(place, ledger, after_s=MUCH_LATER_S) == []


def test_a_long_queue_that_moves_is_not(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"a", ago_s=5 * STUCK_S)
    place.record(ledger, "b.png", b"b", ago_s=5 * STUCK_S)
    place.upload(ledger)
    assert stuck(place, ledger, after_s=STUCK_S - 60) == []
    assert len(stuck(place, ledger)) == 1


def test_nor_is_one_whose_uploaders_are_busy(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.record(ledger, "b.png", b"b")
    place.claim(ledger)
    assert stuck(place, ledger) == []
    assert stuck(place, ledger, after_s=3700) == ["being uploaded for 61 min"]


def test_nor_is_what_waits_for_its_folder_for_everybody_or_for_its_turn(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    assert stuck(place, ledger, hold=True) == []
    place.trouble(ledger, after_s=2 * STUCK_S)
    assert stuck(place, ledger) == []
    place.record(ledger, "b.png", b"b")
    ledger.facts.folder("concepts", str(place.root), FolderState.AWAY, time.time(), detail="gone", mount=None)
    assert stuck(place, ledger) == []


def test_nor_is_the_queue_of_a_daemon_that_has_just_begun(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", ago_s=MUCH_LATER_S)
    ledger.facts.note("daemon", {"pid": 1}, time.time())
    assert stuck(place, ledger, after_s=1) == []
    assert len(stuck(place, ledger)) == 1


def test_a_folder_that_the_daemon_does_not_know_keeps_its_files_back(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"a", ago_s=MUCH_LATER_S)
    ledger.facts.forget_folders_but(["textures"])
    assert stuck(place, ledger, after_s=0, hold=True) == ["due for 10 min"]


def test_an_upload_without_anybody_who_does_it_is_stuck(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.claim(ledger)
    assert [(finding.kind, finding.detail) for finding in found(place, ledger)] == [(Kind.STUCK, "interrupted")]
    assert stuck(place, ledger, after_s=0) == []


# --- generations ------------------------------------------------------------------------------------------------------


def about(findings: list[Finding]) -> list[tuple[str, int | None, str]]:
    return [(finding.kind, finding.generation, finding.detail) for finding in findings]


def with_rule(place: Place, more: str = "") -> None:
    place.configure(f'{RULE}outputs = "generated"\n{more}')


def test_what_goes_well_is_no_finding(place: Place, ledger: Ledger) -> None:
    with_rule(place)
    place.complete(ledger, HOSTILE)
    place.complete(ledger, "b.png", saved=False)
    place.waiting(ledger, "c.png")
    place.blocked(ledger, "d.png")
    place.running(ledger, "e.png", poll_in_s=60)
    place.queued(ledger, "f.png")
    for asked in ({}, {"rehash": True}, {"daemon": True, "after_s": LATER_S}):
        assert found(place, ledger, **asked) == []


def test_what_may_have_been_paid_for_is_unresolved(place: Place, ledger: Ledger) -> None:
    id_ = place.unknown(ledger)
    (finding,) = found(place, ledger)
    assert (finding.kind, finding.generation, finding.detail) == (Kind.UNRESOLVED, id_, "network")
    assert (finding.status, finding.path, finding.file) == ("unknown", f"{place.root}/a.png", None)


def test_what_was_paid_for_and_brought_nothing(place: Place, ledger: Ledger) -> None:
    by_layer = place.failing(ledger, "a.png", charged=3.5)
    unfetched = place.failing(ledger, "b.png", code="disk", remote_state="complete")
    job = place.running(ledger, "c.png")
    ledger.following.completed(job, [], 9, None, time.time(), deliver=False)
    assert about(found(place, ledger)) == [
        ("paid_without_result", by_layer, "DOWNSTREAM_SERVICE_ERROR, charged 3.5"),
        ("paid_without_result", unfetched, "disk, complete in Layer"),
        ("paid_without_result", job.id, "complete, charged 9, without any result"),
    ]


def test_what_has_failed_without_that_is_found_unless_a_later_one_took_its_place(place: Place, ledger: Ledger) -> None:
    place.failing(ledger, "a.png")
    ledger.planning.again([1])
    (again,) = ledger.planning.pending(["concepts"], 1)
    failed = place.failing(ledger, "b.png")
    assert about(found(place, ledger)) == [
        ("failed", 1, "DOWNSTREAM_SERVICE_ERROR"), ("failed", failed, "DOWNSTREAM_SERVICE_ERROR")
    ]  # fmt: skip
    place.plan(ledger, again)
    assert about(found(place, ledger)) == [("failed", failed, "DOWNSTREAM_SERVICE_ERROR")]


def test_a_result_that_is_gone_or_changed(place: Place, ledger: Ledger) -> None:
    with_rule(place)
    gone, grown = place.complete(ledger, HOSTILE), place.complete(ledger, "b.png")
    same_size = place.complete(ledger, "c.png")
    os.unlink(place.root / f"generated/{HOSTILE}.restyle.png")
    place.write("generated/b.png.restyle.png", b"a longer one")
    place.write("generated/c.png.restyle.png", b"others")
    assert about(found(place, ledger)) == [
        ("result_missing", gone, "no longer there"),
        ("result_changed", grown, "it has 12 bytes instead of 6"),
    ]
    *_, last = found(place, ledger, rehash=True)
    assert (last.kind, last.generation) == (Kind.RESULT_CHANGED, same_size)
    assert last.detail.startswith("its sha256 is ")
    assert last.path == f"{place.root}/generated/c.png.restyle.png"


def test_of_a_folder_that_is_away_no_result_is_missing(place: Place, ledger: Ledger) -> None:
    place.complete(ledger)
    os.rename(place.root, place.home / "elsewhere")
    assert found(place, ledger) == []


def test_a_result_that_went_on_its_way_in_a_chain_is_not_missing(place: Place, ledger: Ledger) -> None:
    """It was the next folder's input, which does away with what is uploaded."""
    with_rule(place, "chain = true\n")
    id_ = place.complete(ledger)
    path = f"{place.root}/generated/a.png.restyle.png"
    config = place.config.read_text().replace('path = "textures"', 'path = "concepts/generated"')
    place.config.write_text(f'{config}\nafter_upload = "delete"\n')
    digest = Digest(hashlib.sha256(b"result").hexdigest(), 0)
    ledger.files.record(
        [Version("textures", path, identity(os.lstat(path)), "image/png", digest, origin=id_)], time.time()
    )
    place.upload(ledger)
    os.unlink(path)
    ledger.facts.forget_folders_but(["concepts"])
    assert about(found(place, ledger)) == []


def test_an_input_of_what_still_waits_that_is_gone(place: Place, ledger: Ledger) -> None:
    id_ = place.waiting(ledger, HOSTILE)
    place.write("stays.txt")
    place.refuse(ledger, "stays.txt")
    os.unlink(place.root / HOSTILE)
    missing, finding = found(place, ledger)
    assert missing.kind is Kind.MISSING
    assert (finding.kind, finding.generation, finding.file) == (Kind.INPUT_MISSING, id_, 1)
    assert (finding.path, finding.detail, finding.gone) == (f"{place.root}/{HOSTILE}", "its input is gone", True)
    place.configure('after_upload = "delete"')
    assert found(place, ledger) == []


def test_only_the_generations_of_one_folder(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger)
    place.failing(ledger, "b.png")
    place.complete(ledger, "c.png")
    os.unlink(place.root / "generated/c.png.restyle.png")
    assert len(found(place, ledger, only="concepts")) == 3
    assert found(place, ledger, only="textures") == []


def test_a_generation_that_nobody_fires_or_follows_is_stuck(place: Place, ledger: Ledger) -> None:
    place.running(ledger, "a.png", poll_in_s=1)
    place.queued(ledger, "b.png")
    assert stuck(place, ledger, after_s=STUCK_S - 60) == []
    assert stuck(place, ledger, hold=True) == []
    assert stuck(place, ledger) == ["due for 10 min", "due for 10 min"]
    ledger.facts.note("daemon", {"pid": 1}, time.time() + MUCH_LATER_S)
    assert stuck(place, ledger) == []


def test_without_a_daemon_only_what_layer_works_on_is(place: Place, ledger: Ledger) -> None:
    running = place.running(ledger, "a.png", poll_in_s=1).id
    place.queued(ledger, "b.png")
    assert about(found(place, ledger, after_s=MUCH_LATER_S)) == [("stuck", running, "due for 10 min")]


def test_one_whose_request_was_cut_off_is_stuck(place: Place, ledger: Ledger) -> None:
    id_ = place.submitting(ledger).id
    assert about(found(place, ledger)) == [("stuck", id_, "interrupted while it was sent")]
    assert stuck(place, ledger, after_s=0) == []
    assert stuck(place, ledger) == ["being sent for 10 min"]


# --- large ------------------------------------------------------------------------------------------------------------


def test_a_large_ledger_is_looked_at_page_by_page(place: Place, ledger: Ledger) -> None:
    """More than two pages of each: nothing is left out, and nothing comes twice."""
    looks = Identity(1, 1, 1)
    paths = [f"{place.root}/{'gone/' * (number % 2)}{number:05}.png" for number in range(2500)]
    versions = [Version("concepts", path, looks, "image/png", Digest(f"{n:064x}", 0)) for n, path in enumerate(paths)]
    ledger.files.record(versions, time.time())
    directories = [
        Refusal("concepts", f"{place.root}/d{n:05}\udcff/a.txt", looks, Code.EMPTY, "empty") for n in range(2500)
    ]
    ledger.files.record(directories, time.time())
    for number in range(2500):
        (place.root / f"new{number}.png").touch()
    findings = found(place, ledger)
    assert sorted(f.path for f in findings if f.kind is Kind.MISSING) == sorted(paths)
    assert len({f.path for f in findings if f.kind is Kind.UNKNOWN}) == 2500
    assert len(findings) == 5000
    assert len(list(ledger.reports.directories())) == len(set(ledger.reports.directories())) == 2502


def test_it_changes_nothing(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.failure(ledger)
    place.record(ledger, "b.png", b"b")
    place.write("c.png")
    os.unlink(place.root / "b.png")

    def everything() -> list[object]:
        rows = [*ledger.reports.files(), *(ledger.reports.history(row.id) for row in ledger.reports.files())]
        files = [(name, identity(os.lstat(place.root / name))) for name in sorted(os.listdir(place.root))]
        return [*rows, files]

    before = everything()
    assert len(found(place, ledger, rehash=True)) == 3
    assert everything() == before
