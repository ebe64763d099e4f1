"""`layerwatch show`: a file's whole story, and why a file has none."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from layerwatch.errors import Code
from layerwatch.ledger import FolderState, Ledger, Version
from layerwatch.source import Digest, identity
from layerwatch.states import Event

from .conftest import HOSTILE, RULE, SECRET, Place


def shown(place: Place, *arguments: str) -> Any:
    return json.loads(place.call("show", "--json", *arguments).stdout)


# --- files that have a row --------------------------------------------------------------------------------------------


def test_the_whole_story(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.trouble(ledger, after_s=-1)
    place.upload(ledger)
    lines = place.said("show", "1").splitlines()
    assert lines[0] == f"{place.root}/a.png"
    assert lines[2] == "file 1: uploaded, image/png, 1 B"
    assert "  file_id   f1d00000-0000-4000-8000-000000000001" in lines
    assert "  verified  crc32c" in lines
    assert "  folder    concepts" in lines
    events = [line.split()[1] for line in lines if line[2:4].isdigit()]
    assert events == ["seen", "claimed", "postponed", "claimed", "stored"]
    assert any(line.endswith("network: connection refused") for line in lines)
    assert lines[-1] == "  next      nothing: it is done"


def test_json_has_the_row_and_its_history(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE)
    place.trouble(ledger)
    told = place.told("show", "1")
    (file,) = told["files"]
    assert told["path"] == file["path"] == os.path.join(place.root, HOSTILE)
    assert (told["folder"], told["reason"]) == ("concepts", None)
    assert (file["status"], file["error_code"]) == ("queued", "network")
    assert [line["event"] for line in file["history"]] == ["seen", "claimed", "postponed"]
    assert file["history"][2].keys() == {"at", "event", "status", "error_code", "detail"}
    assert all(line["at"].endswith("Z") for line in file["history"])


@pytest.mark.parametrize("name", ["a.png", HOSTILE, "sub/a.png", "123"])
def test_a_path_is_found_however_it_is_given(
    place: Place, ledger: Ledger, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.record(ledger, name)
    link = place.home / "link"
    link.symlink_to(place.root)
    monkeypatch.chdir(place.root)
    for given in (f"{place.root}/{name}", f"./{name}", f"concepts/{name}", f"{link}/{name}", f"../concepts/./{name}"):
        assert [file["id"] for file in shown(place, given)["files"]] == [1], given


def test_a_number_is_an_id_unless_there_is_none(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    place.record(ledger, "a.png")
    place.record(ledger, "1", b"b")
    place.record(ledger, "77", b"c")
    monkeypatch.chdir(place.root)
    assert [[file["id"] for file in shown(place, given)["files"]] for given in ("1", "./1", "77")] == [[1], [2], [3]]
    assert place.call("show", "9" * 30).exit_code == 1


def test_all_versions_of_a_path_the_latest_first(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"one", ago_s=60)
    place.upload(ledger)
    place.record(ledger, "a.png", b"two", ago_s=-1)
    said = place.said("show", "concepts/a.png")
    assert "2 versions, the latest first" in said
    assert said.index("file 2: queued") < said.index("file 1: uploaded")
    assert "on disk" not in said


def test_what_lies_there_now_may_be_another_version(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"one")
    path = place.write("a.png", b"another")
    assert "on disk: changed since" in place.said("show", "1")
    os.unlink(path)
    assert "on disk: no such file" in place.said("show", "1")


def test_no_secret_is_shown_and_no_escape(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE, b"b" * 100)
    place.claim(ledger, sent=10)
    said = place.said("show", "1") + place.call("show", "--json", "1").stdout
    assert SECRET not in said
    assert "upload_id" not in said


def test_a_traceback_is_shown_line_by_line(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.failure(ledger, detail='Traceback:\n  File "x"\n\x1b[2JValueError: y')
    said = place.said("show", "1")
    assert '\n        File "x"\n' in said
    assert "\\x1b[2JValueError: y" in said


@pytest.mark.parametrize("runs", [True, False])
def test_what_comes_next(place: Place, ledger: Ledger, runs: bool) -> None:
    place.record(ledger, "troubled.png")
    place.trouble(ledger, after_s=3000)
    place.record(ledger, "failed.png", b"b")
    place.failure(ledger)
    place.record(ledger, "going.png", b"c" * 900)
    place.claim(ledger, sent=10)
    place.record(ledger, "queued.png", b"d")
    place.refuse(ledger, "notes.txt")
    if runs:
        lock = place.runs()
    files = [shown(place, str(id_))["files"][0] for id_ in range(1, 6)]
    troubled, failed, going, queued, skipped = (file["next"] for file in files)
    assert "given up" in failed
    assert "nothing, unless the file changes" in skipped
    if runs:
        lock.release()
        assert troubled.startswith("attempt 2 of 8 in 50 min, at ")
        assert going == "it is being uploaded: 10 B of 900 B are stored"
        assert "as soon as an uploader is free" in queued
    else:
        assert "next `layerwatch run`" in troubled + going + queued


def test_what_a_queued_file_waits_for(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    lock = place.runs()
    ledger.facts.note("hold", {"code": "network", "message": "cannot connect\x07"}, time.time())
    assert "everything does: cannot connect\\x07" in place.said("show", "1")
    ledger.facts.folder("concepts", str(place.root), FolderState.AWAY, time.time(), detail="gone", mount=None)
    assert "its folder, which is away: gone" in place.said("show", "1")
    ledger.facts.forget_folders_but(["textures"])
    assert "does not know folder concepts" in place.said("show", "1")
    lock.release()


# --- files that have none ---------------------------------------------------------------------------------------------


def reason(place: Place, given: str, exit_code: int = 0) -> str:
    result = place.call("show", given)
    assert result.exit_code == exit_code, result.output
    assert shown(place, given)["files"] == []
    assert "not in the ledger: " in result.stdout
    return result.stdout.partition("not in the ledger: ")[2].strip()


@pytest.mark.usefixtures("ledger")
def test_there_is_no_such_file(place: Place) -> None:
    assert reason(place, "concepts/nope.png", 1) == "there is no such file"
    assert reason(place, f"{place.root}/no/such/nope.png", 1) == "there is no such file"
    assert "there is no such file, and it is in none" in reason(place, "/nowhere/nope.png", 1)


@pytest.mark.usefixtures("ledger")
def test_it_lies_in_no_drop_folder(place: Place) -> None:
    (place.home / "a.png").write_bytes(b"a")
    said = reason(place, str(place.home / "a.png"))
    assert said == f"it is in none of the drop folders: concepts ({place.root}), textures ({place.home}/textures)"


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".hidden.png", "temporary, hidden or system name"),
        ("a.png.part", "temporary, hidden or system name"),
        ("@eaDir/a.png", "temporary, hidden or system folder"),
        ("a_wip.png", "`exclude` patterns"),
        ("a.gif", "`include` patterns"),
        ("\x1b" + HOSTILE + ".gif", "`include` patterns"),
    ],
)
def test_the_folder_leaves_it_out(place: Place, name: str, why: str) -> None:
    place.configure('include = ["*.png"]\nexclude = ["*_wip*"]')
    place.write(name)
    said = reason(place, f"{place.root}/{name}")
    assert said.startswith("folder concepts leaves it out: ")
    assert why in said
    assert "\x1b" not in said


@pytest.mark.usefixtures("ledger")
def test_it_lies_where_results_are_saved(place: Place) -> None:
    rule = f'[[folders.rules]]\nname = "r"\nmatch = "*.png"\nmodel_id = "{"0" * 8}-0000-4000-8000-{"0" * 12}"\n'
    place.configure(rule + 'outputs = "generated"')
    place.write("generated/a.png")
    assert "is where results are saved" in reason(place, "concepts/generated/a.png")


@pytest.mark.usefixtures("ledger")
def test_sub_folders_are_not_looked_into(place: Place) -> None:
    place.configure("recursive = false")
    place.write("sub/a.png")
    assert "recursive = false" in reason(place, "concepts/sub/a.png")


@pytest.mark.usefixtures("ledger")
def test_links_and_folders(place: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(b"a")
    (place.root / "link.png").symlink_to(elsewhere / "a.png")
    (place.root / "tree").symlink_to(elsewhere)
    (place.root / "sub").mkdir()
    assert "symbolic link" in reason(place, "concepts/link.png")
    assert "reached through a symbolic link" in reason(place, "concepts/tree/a.png")
    assert "it is a folder" in reason(place, "concepts/sub")


def test_it_waits(place: Place, ledger: Ledger) -> None:
    place.waits(ledger, HOSTILE)
    lock = place.runs()
    assert reason(place, f"concepts/{HOSTILE}") == "it waits: PNG ends before its IEND chunk, for 3 min now"
    lock.release()


@pytest.mark.usefixtures("ledger")
def test_nobody_looks(place: Place) -> None:
    place.write("a.png")
    assert "no daemon runs" in reason(place, "concepts/a.png")


def test_its_folder_is_away(place: Place, ledger: Ledger) -> None:
    place.write("a.png")
    lock = place.runs()
    ledger.facts.folder("concepts", str(place.root), FolderState.AWAY, time.time(), detail="not mounted", mount=None)
    assert reason(place, "concepts/a.png") == "its folder concepts is away: not mounted"
    lock.release()
    os.rename(place.root, place.home / "moved")
    assert "its folder concepts cannot be read" in reason(place, "concepts/a.png")


def test_the_daemon_has_not_come_to_it(place: Place) -> None:
    place.write("a.png")
    with place.open() as ledger:
        lock = place.runs()
        assert "does not know folder concepts: restart it" in reason(place, "concepts/a.png")
        place.watched(ledger, scanned=False)
        assert "has not been scanned to its end yet" in reason(place, "concepts/a.png")
        place.watched(ledger)
        place.configure('settle = "1h"')
        assert "it counts as written after 3600 s of quiet" in reason(place, "concepts/a.png")
        place.configure('settle = "0s"')
        deadline = time.monotonic() + 30
        while place.call("show", "concepts/a.png").exit_code == 0:
            assert time.monotonic() < deadline, "it is quiet for long enough now"
        assert reason(place, "concepts/a.png", 1).startswith("nothing explains it: folder concepts takes it")
        lock.release()


def test_a_refused_file_tells_its_reason_as_a_row(place: Place, ledger: Ledger) -> None:
    place.refuse(ledger, "empty.png", Code.EMPTY, "the file is empty")
    assert "error     empty: the file is empty" in place.said("show", "concepts/empty.png")


# --- files that were pushed -------------------------------------------------------------------------------------------


def push(place: Place, ledger: Ledger, path: str, folder: str | None = None, ago_s: float = 120.0) -> None:
    ledger.pushes.add([path], folder, time.time() - ago_s)


def refuse_pushes(ledger: Ledger, code: Code = Code.VANISHED, message: str = "the file is\x07 gone") -> None:
    for each in ledger.pushes.untaken(0, 9):
        ledger.pushes.refused(each, code, message, time.time())


def test_a_push_that_nobody_has_taken(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    outside = tmp_path / HOSTILE
    outside.write_bytes(b"a")
    push(place, ledger, str(outside), "textures")
    said = reason(place, str(outside))
    assert said == (
        "it was pushed for folder textures 2 min ago, and not taken yet: no daemon runs;"
        " the next `layerwatch run` takes it"
    )
    lock = place.runs()
    assert reason(place, str(outside)).endswith("not taken yet: the daemon comes to it in a moment")
    place.config.write_text(place.config.read_text().replace('"textures"', '"renamed"'))
    (place.home / "renamed").mkdir()
    assert reason(place, str(outside)).endswith("its folder is no longer configured, so it will be refused")
    lock.release()
    ((row,), told) = shown(place, str(outside))["pushes"], shown(place, str(outside))
    assert (row["id"], row["folder"], row["taken_at"], row["file"]) == (1, "textures", None, None)
    assert told["reason"].startswith("it was pushed for folder textures")


def test_a_push_that_waits_says_for_what(place: Place, ledger: Ledger) -> None:
    path = place.waits(ledger, "cut.png")
    push(place, ledger, path)
    lock = place.runs()
    assert reason(place, path) == (
        "it was pushed 2 min ago, and not taken yet: it waits: PNG ends before its IEND chunk, for 3 min now"
    )
    lock.release()


def test_a_push_that_was_refused(place: Place, ledger: Ledger) -> None:
    push(place, ledger, f"{place.root}/gone.png")
    refuse_pushes(ledger)
    said = reason(place, "concepts/gone.png")
    assert said == (
        "it was pushed 2 min ago, and refused (vanished): the file is\\x07 gone; push it again once that is right"
    )


def test_a_push_of_another_version_is_told_beside_the_row(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    place.record(ledger, "a.png")
    path = f"{place.root}/a.png"
    assert shown(place, "1")["pushes"] == []
    push(place, ledger, path)
    link = tmp_path / "link.png"
    link.symlink_to(path)
    for given in ("1", path, str(link)):
        assert "it was pushed 2 min ago, and not taken yet" in place.said("show", given)
    refuse_pushes(ledger)
    assert "refused (vanished)" in place.said("show", "1")
    push(place, ledger, path, ago_s=0)
    ledger.pushes.taken([(ledger.pushes.untaken(0, 1)[0], version(path))], time.time())
    assert "pushed" not in place.said("show", "1")
    assert [each["file"] for each in shown(place, "1")["pushes"]] == [1, None]


def version(path: str, content: bytes = b"a") -> Version:
    digest = Digest(hashlib.sha256(content).hexdigest(), 0)
    return Version("concepts", path, identity(os.lstat(path)), "image/png", digest)


# --- what is still to come of an uploaded file ------------------------------------------------------------------------


def test_what_becomes_of_the_source(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    upload = place.claim(ledger)
    ledger.files.uploaded(
        upload, Event.STORED, time.time(), file_id="f", workspace_id="w", verified="crc32c", aftermath=True
    )
    assert "its source is dealt with as the folder has it, by the next `layerwatch run`" in place.said("show", "1")
    job = ledger.finishing.claim("claim", time.time())
    assert job is not None
    os.unlink(f"{place.root}/a.png")
    ledger.finishing.finished(job, done=True, detail="moved to /else\x1bwhere/a.png", code=None, now=time.time())
    said = place.said("show", "1")
    assert "  source    moved to /else\\x1bwhere/a.png" in said
    assert "no such file" not in said
    assert "next      nothing: it is done" in said
    assert shown(place, "1")["files"][0]["source"] == {"state": "done", "detail": "moved to /else\x1bwhere/a.png"}


def test_a_command_that_did_not_succeed(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    job = place.claim(ledger)
    ledger.files.uploaded(
        job, Event.STORED, time.time(), file_id="f", workspace_id="w", verified="crc32c", rule_key=None, deliver=True
    )
    lock = place.runs()
    assert "next      its command or webhook is called now" in place.said("show", "1")
    delivery = ledger.deliveries.claim("claim", time.time() + 1)
    assert delivery is not None
    ledger.deliveries.again(delivery, time.time() + 299, "exit\x07 code 3", time.time())
    assert "next      its command or webhook is called again in 5 min: exit\\x07 code 3" in place.said("show", "1")
    delivery = ledger.deliveries.claim("claim", time.time() + 300)
    assert delivery is not None
    ledger.deliveries.ended(delivery, time.time(), done=False, detail="exit code 4")
    assert "its command or webhook is given up: exit code 4" in place.said("show", "1")
    assert [each["status"] for each in shown(place, "1")["files"][0]["actions"]] == ["failed"]
    lock.release()


def test_why_no_rule_fired(place: Place, ledger: Ledger) -> None:
    place.configure(RULE.replace("*.png", "{shot}_beauty.png"))
    place.record(ledger, "a.png")
    place.upload(ledger)
    place.record(ledger, "b_beauty.png", b"b")
    place.upload(ledger, rule_key="b_beauty.png")
    place.input(ledger, "c_beauty.png")
    none, pending, later = (shown(place, str(id_))["files"][0]["rules"] for id_ in (1, 2, 3))
    assert none == "none of folder concepts is for a file of this name"
    assert pending == "restyle: not looked at yet"
    assert later.startswith("restyle: not fired, for a rule is for what comes after it; `layerwatch retry --again`")
    assert "  rules     none of folder concepts" in place.said("show", "1")
    assert "its rules are looked at" in place.said("show", "2")
    place.configure(RULE)
    id_ = place.complete(ledger, "d.png")
    assert shown(place, "concepts/d.png")["files"][0]["rules"] == ""
    assert f"g{id_}: complete" in place.said("show", "concepts/d.png")
    place.configure()
    assert "  rules" not in place.said("show", "1")
