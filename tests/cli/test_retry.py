"""`layerwatch retry`: what is queued again, and for everything else why it is not."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from layerwatch.advice import advice
from layerwatch.errors import Code, Final
from layerwatch.ledger import FolderState, Ledger

from .conftest import HOSTILE, Place, harmless


def retried(place: Place, *arguments: str, exit_code: int = 0) -> list[Any]:
    result = place.call("retry", "--json", *arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stdout.isascii()
    (line,) = result.stdout.splitlines()
    document = json.loads(line)
    queued = [file for file in document["files"] if file["outcome"] == "queued"]
    assert (document["queued"], document["left"]) == (len(queued), len(document["files"]) - len(queued))
    files: list[Any] = document["files"]
    return files


def told(place: Place, *arguments: str, exit_code: int = 0) -> list[str]:
    result = place.call("retry", *arguments)
    assert result.exit_code == exit_code, result.output
    harmless(result.output)
    return result.stdout.splitlines()


def failed(place: Place, ledger: Ledger, name: str = "a.png", content: bytes = b"a") -> int:
    place.record(ledger, name, content)
    return place.failure(ledger).id


def status(ledger: Ledger, id_: int) -> str:
    row = ledger.reports.file(id_)
    assert row is not None
    return row.status


# --- one at a time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", HOSTILE, "sub/a.png", "123"])
def test_a_failed_file_is_queued_again_however_it_is_given(
    place: Place, ledger: Ledger, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = failed(place, ledger, name)
    monkeypatch.chdir(place.root)
    for given in (str(id_), f"./{name}", f"concepts/{name}", f"{place.root}/{name}", f"../concepts/{name}"):
        (file,) = retried(place, given)
        assert (file["given"], file["outcome"], file["id"], file["status"]) == (given, "queued", id_, "queued")
        assert file["path"] == f"{place.root}/{name}"
        assert ledger.reports.history(id_)[-1].event == "retried"
        assert status(ledger, id_) == "queued"
        assert place.failure(ledger).attempts == 0


def test_it_says_what_comes_next_and_what_to_do_first(place: Place, ledger: Ledger) -> None:
    failed(place, ledger, HOSTILE)
    line, do = told(place, "1")
    assert "\\x1b[31m" in line
    assert line.endswith(", file 1: queued again: it waits for the next `layerwatch run`")
    assert do == f"rejected (1), if it comes again: {advice('rejected')}"


def test_with_a_daemon_it_is_taken_by_that(place: Place, ledger: Ledger) -> None:
    failed(place, ledger)
    lock = place.runs()
    assert told(place, "1")[0].endswith("queued again: it is uploaded as soon as an uploader is free")
    lock.release()
    assert place.claim(ledger).id == 1


def test_a_file_named_twice_is_queued_once(place: Place, ledger: Ledger) -> None:
    failed(place, ledger)
    assert [file["outcome"] for file in retried(place, "1", "1", "concepts/a.png")] == ["queued"]
    assert [line.event for line in ledger.reports.history(1)].count("retried") == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "it is not failed but uploaded: there is nothing to do"),
        (2, "it is not failed but queued; next: it waits for the next `layerwatch run`"),
        (3, "it is not failed but uploading; next: it was interrupted; the next `layerwatch run` goes on from 10 B"),
        (4, "it is not failed but skipped; next: nothing, unless the file changes"),
    ],
)
def test_what_is_not_failed_is_said_to_be_what_it_is(place: Place, ledger: Ledger, number: int, said: str) -> None:
    place.record(ledger, "uploaded.png")
    place.upload(ledger)
    place.record(ledger, "troubled.png", b"b")
    place.trouble(ledger)
    place.record(ledger, "going.png", b"c" * 100)
    place.claim(ledger, sent=10)
    place.refuse(ledger, "skipped.png", Code.EMPTY, "the file is empty")
    lines = told(place, str(number), exit_code=1)
    assert lines[0].partition(": not queued: ")[2] == said
    expected = {2: [f"    do: {advice('network')}"], 4: [f"    do: {advice('empty')}"]}.get(number, [])
    assert lines[1:] == expected
    (file,) = retried(place, str(number), exit_code=1)
    assert (file["outcome"], file["reason"]) == ("not_failed", said)


@pytest.mark.parametrize("given", ["99", "concepts/nope.png", "/nowhere/a.png", f"concepts/{HOSTILE}"])
def test_what_is_not_in_the_ledger_is_told_with_why(place: Place, ledger: Ledger, given: str) -> None:
    failed(place, ledger)
    (line,) = told(place, given, exit_code=1)
    assert ", not in the ledger: not queued: " in line
    assert "there is no such file" in line
    (file,) = retried(place, given, exit_code=1)
    assert (file["given"], file["outcome"], file["id"]) == (given, "not_in_ledger", None)


def test_one_that_cannot_be_queued_does_not_keep_the_others_back(place: Place, ledger: Ledger) -> None:
    one, two = failed(place, ledger), failed(place, ledger, "b.png", b"b")
    files = retried(place, str(one), "99", str(two), exit_code=1)
    assert [file["outcome"] for file in files] == ["queued", "not_in_ledger", "queued"]
    assert (status(ledger, one), status(ledger, two)) == ("queued", "queued")


# --- what lies there now ----------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_is_not_queued(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger)
    place.write("stays.png")  # an empty folder might be a share that is not mounted
    os.unlink(place.root / "a.png")
    (line,) = told(place, "concepts/a.png", exit_code=1)
    assert line == "concepts/a.png, file 1: not queued: it is no longer there: put it back, or leave it"
    assert retried(place, str(id_), exit_code=1)[0]["outcome"] == "gone"
    assert status(ledger, id_) == "failed"


def test_but_one_whose_folder_is_away_waits_for_it(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger)
    os.rename(place.root, place.home / "elsewhere")
    ledger.facts.folder("concepts", str(place.root), FolderState.AWAY, time.time(), detail="gone", mount=None)
    lock = place.runs()
    assert told(place, str(id_))[0].endswith("queued again: it waits for its folder, which is away: gone")
    lock.release()
    assert status(ledger, id_) == "queued"


def test_one_that_has_changed_is_not_queued_for_it_is_another_file(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger)
    place.write("a.png", b"another")
    assert "gets a row of its own once the next `layerwatch run` sees it" in told(place, str(id_), exit_code=1)[0]
    lock = place.runs()
    assert "gets a row of its own once it holds still" in told(place, str(id_), exit_code=1)[0]
    lock.release()
    place.record(ledger, "a.png", b"another", ago_s=-1)
    assert told(place, str(id_), exit_code=1) == [
        "concepts/a.png, file 1: not queued: it has changed since: what lies there is file 2, queued"
    ]
    assert retried(place, str(id_), exit_code=1)[0]["outcome"] == "changed"
    assert status(ledger, id_) == "failed"


def test_other_bytes_of_the_same_size_are_a_change_too(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger, content=b"right")
    place.write("a.png", b"wrong")
    assert retried(place, str(id_), exit_code=1)[0]["outcome"] == "changed"


def test_the_same_bytes_under_another_time_and_inode_are_queued_and_can_be_uploaded(
    place: Place, ledger: Ledger
) -> None:
    id_ = failed(place, ledger, HOSTILE, b"same")
    before = place.root / HOSTILE
    (place.root / "copy").write_bytes(b"same")
    os.utime(place.root / "copy", (1, 1))
    os.replace(place.root / "copy", before)
    assert retried(place, str(id_))[0]["outcome"] == "queued"
    job = place.claim(ledger)
    status = os.lstat(before)
    assert (job.identity.mtime_ns, job.identity.inode) == (status.st_mtime_ns, status.st_ino)


def test_of_several_versions_the_failed_one_that_lies_there_is_meant(place: Place, ledger: Ledger) -> None:
    one = failed(place, ledger, content=b"one")
    os.rename(place.root / "a.png", place.home / "kept")
    two = failed(place, ledger, content=b"two")
    assert retried(place, "concepts/a.png")[0]["id"] == two
    place.failure(ledger)
    os.rename(place.home / "kept", place.root / "a.png")
    assert retried(place, "concepts/a.png")[0]["id"] == one


def test_of_a_folder_that_is_no_longer_configured_nothing_is_queued(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger)
    place.config.write_text(place.config.read_text().replace('name = "concepts"', 'name = "renamed"'))
    assert "its folder concepts is no longer configured" in told(place, str(id_), exit_code=1)[0]
    assert retried(place, str(id_), exit_code=1)[0]["outcome"] == "no_folder"
    assert status(ledger, id_) == "failed"


# --- all of them ------------------------------------------------------------------------------------------------------


def test_all_failed_ones_and_no_others(place: Place, ledger: Ledger) -> None:
    ids = [failed(place, ledger, f"{number}.png", b"%d" % number) for number in range(3)]
    place.record(ledger, "network.png", b"n")
    place.fault(ledger, Final(Code.INTERNAL, "a fault"))
    place.refuse(ledger, "skipped.png")
    lines = told(place, "--all-failed")
    assert lines[0] == "4 of 4 failed files are queued again; the next `layerwatch run` takes them"
    assert lines[1:] == [
        f"rejected (3), if it comes again: {advice('rejected')}",
        f"internal (1), if it comes again: {advice('internal')}",
    ]
    assert {status(ledger, id_) for id_ in ids} == {"queued"}
    assert ledger.reports.counts()["skipped"] == 1


def test_those_that_cannot_be_queued_are_named(place: Place, ledger: Ledger) -> None:
    failed(place, ledger, "a.png")
    failed(place, ledger, "b.png", b"b")
    os.unlink(place.root / "a.png")
    lock = place.runs()
    gone, number, _ = told(place, "--all-failed")
    lock.release()
    assert gone.startswith("concepts/a.png, file 1: not queued: it is no longer there")
    assert number == "1 of 2 failed files are queued again; the daemon takes them within seconds"


@pytest.mark.usefixtures("ledger")
def test_none_has_failed(place: Place) -> None:
    assert told(place, "--all-failed") == ["nothing has failed: nothing to retry"]
    assert retried(place, "--all-failed") == []


def test_those_of_one_folder(place: Place, ledger: Ledger) -> None:
    id_ = failed(place, ledger)
    assert told(place, "--all-failed", "--folder", "textures") == ["nothing has failed: nothing to retry"]
    assert status(ledger, id_) == "failed"
    assert [file["id"] for file in retried(place, "--all-failed", "--folder", "concepts")] == [id_]


def test_more_than_one_commit_full_of_them(place: Place, ledger: Ledger) -> None:
    for number in range(520):
        failed(place, ledger, f"{number}.png", b"%d" % number)
    assert len({file["id"] for file in retried(place, "--all-failed")}) == 520
    assert ledger.reports.counts()["failed"] == 0


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    "arguments",
    [[], ["--folder", "concepts"], ["1", "--all-failed"], ["1", "--folder", "concepts"], ["--nonsense"]],
)
def test_what_cannot_be_meant_is_a_usage_error(place: Place, arguments: list[str]) -> None:
    result = place.call("retry", *arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.usefixtures("ledger")
def test_a_folder_that_there_is_not(place: Place) -> None:
    result = place.call("retry", "--all-failed", "--folder", "nope\x1b")
    assert result.exit_code == 2
    assert "there is no such folder" in result.stderr
    assert "\x1b" not in result.stderr.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_no_ledger_is_told_with_what_to_do(place: Place) -> None:
    result = place.call("retry", "1")
    assert result.exit_code == 2
    assert "there is no ledger yet" in result.stderr


# --- show and status say it too ---------------------------------------------------------------------------------------


def test_show_says_what_to_do_about_an_error_and_nothing_where_there_is_none(place: Place, ledger: Ledger) -> None:
    failed(place, ledger)
    place.record(ledger, "b.png", b"b")
    assert f"  do        {advice('rejected')}" in place.said("show", "1").splitlines()
    assert place.told("show", "1")["files"][0]["do"] == advice("rejected")
    assert "  do  " not in place.said("show", "2")
    assert place.told("show", "2")["files"][0]["do"] == ""


def test_status_says_which_have_failed_and_what_to_do(place: Place, ledger: Ledger) -> None:
    for number in range(12):
        failed(place, ledger, f"{number}{HOSTILE}", b"%d" % number)
    said = place.said("status")
    assert "\nfailed, and not tried again by itself\n" in said
    assert said.count(f"    do: {advice('rejected')}") == 10
    assert "  and 2 more; `layerwatch ls --status failed` lists all" in said
    document = place.told("status")
    assert [file["do"] for file in document["failed"]] == [advice("rejected")] * 10


def test_the_queue_is_durable_before_the_command_ends(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    """Whoever opens the ledger after it finds the file queued, due at once."""
    id_ = failed(place, ledger)
    told(place, str(id_))
    with place.open() as another:
        due = another.files.next_due()
    assert due is not None
    assert due <= time.time()
