"""`layerwatch audit`: what people and scripts are told. What is found, and what is not, is in tests/test_audit.py."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from layerwatch.advice import advice, generation_advice
from layerwatch.audit import Kind
from layerwatch.ledger import FolderState, Ledger
from layerwatch.mounts import mount_of

from .conftest import HOSTILE, Place, harmless
from .terminal import Terminal


@pytest.fixture
def ledger(place: Place) -> Iterator[Ledger]:
    """Both folders on the mount that they are really on: an empty one is no lost one."""
    with place.open() as ledger:
        here = mount_of(str(place.home)).point
        for name in ("concepts", "textures"):
            ledger.facts.folder(name, str(place.home / name), FolderState.WATCHING, time.time(), detail="", mount=here)
            ledger.facts.folder_scanned(name, 0, time.time())
        yield ledger


def audited(place: Place, *arguments: str, exit_code: int = 1) -> Any:
    result = place.call("audit", "--json", *arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stdout.isascii()
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def told(place: Place, *arguments: str, exit_code: int = 1) -> list[str]:
    result = place.call("audit", *arguments)
    assert result.exit_code == exit_code, result.output
    harmless(result.output)
    return result.stdout.splitlines()


def test_nothing_is_wrong(place: Place, ledger: Ledger) -> None:
    place.record(ledger, HOSTILE)
    place.upload(ledger)
    place.refuse(ledger, "notes.txt")
    assert told(place, exit_code=0) == [
        "concepts  there  files 2, refused 1, not taken yet 0",
        "textures  there  files 0, refused 0, not taken yet 0",
        "",
        "nothing is wrong",
    ]
    document = audited(place, exit_code=0)
    assert document.keys() == {"findings", "counts", "folders"}
    assert document["findings"] == []
    assert document["counts"] == {str(kind): 0 for kind in Kind}
    assert document["folders"][0] == {
        "name": "concepts",
        "path": str(place.root),
        "state": "there",
        "detail": "",
        "files": 2,
        "refused": 1,
        "waiting": 0,
    }


def some_of_each(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "missing.png")
    place.upload(ledger)
    os.unlink(place.root / "missing.png")
    place.record(ledger, "failed" + HOSTILE, b"b")
    place.failure(ledger)
    place.record(ledger, "changed.png", b"c")
    place.upload(ledger)
    place.write("changed.png", b"another")
    place.record(ledger, "interrupted.png", b"d")
    place.claim(ledger)
    place.write("unknown" + HOSTILE)


def test_all_that_is_wrong_by_kind_with_what_to_do(place: Place, ledger: Ledger) -> None:
    some_of_each(place, ledger)
    name = "\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png"
    assert told(place) == [
        "concepts  there  files 4, refused 0, not taken yet 0",
        "textures  there  files 0, refused 0, not taken yet 0",
        "",
        "missing: 1, no longer in their folder",
        "  concepts/missing.png  uploaded, file 1",
        "    do: nothing, if somebody took them away: Layer has them; else put them back",
        "",
        "changed: 1, not the version that the ledger knows",
        "  concepts/changed.png  not the uploaded one, file 3",
        "    do: start `layerwatch run`: it takes them",
        "",
        "unknown: 1, in a folder, and not in the ledger",
        f"  concepts/unknown{name}  no row in the ledger",
        "    do: start `layerwatch run`: it takes them",
        "",
        "stuck: 1, do not move on",
        "  concepts/interrupted.png  interrupted, file 4",
        "    do: start `layerwatch run`: it goes on where they were interrupted",
        "",
        "failed: 1, given up",
        f"  concepts/failed{name}  rejected, file 2",
        f"    do: {advice('rejected')}",
        "",
        "5 findings",
    ]


def test_json_has_every_finding_with_what_to_do(place: Place, ledger: Ledger) -> None:
    some_of_each(place, ledger)
    document = audited(place)
    findings = {finding["kind"]: finding for finding in document["findings"]}
    assert document["counts"] == {str(kind): int(str(kind) in findings) for kind in Kind}
    assert findings["failed"] == {
        "kind": "failed",
        "folder": "concepts",
        "path": f"{place.root}/failed{HOSTILE}",
        "detail": "rejected",
        "file": 2,
        "status": "failed",
        "error_code": "rejected",
        "gone": False,
        "generation": None,
        "do": advice("rejected"),
    }
    assert findings["unknown"]["path"] == f"{place.root}/unknown{HOSTILE}"
    assert findings["unknown"]["file"] is None
    assert all(finding["do"] for finding in findings.values())


def test_generations_are_told_with_what_to_do(place: Place, ledger: Ledger) -> None:
    unknown = place.unknown(ledger, "unknown" + HOSTILE)
    place.failing(ledger, "failed.png")
    place.failing(ledger, "paid.png", code="disk", remote_state="complete", charged=4)
    place.complete(ledger, "gone.png")
    place.complete(ledger, "empty.png", saved=False)
    job = place.running(ledger, "none.png")
    ledger.following.completed(job, [], 3, None, time.time(), deliver=False)
    place.submitting(ledger, "cut.png")
    os.unlink(place.root / "generated/gone.png.restyle.png")
    name = "\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png"
    lines = told(place)
    assert lines[lines.index("stuck: 1, do not move on") :] == [
        "stuck: 1, do not move on",
        "  concepts/cut.png  interrupted while it was sent, g7",
        "    do: start `layerwatch run`: it calls them unknown, and `layerwatch resolve` settles them",
        "",
        "failed: 1, given up",
        "  concepts/failed.png  DOWNSTREAM_SERVICE_ERROR, g2",
        f"    do: {generation_advice('DOWNSTREAM_SERVICE_ERROR', 'failed')}",
        "",
        "unresolved: 1, may have been started, and paid",
        f"  concepts/unknown{name}  network, g1",
        f"    do: {generation_advice('network', 'unknown')}",
        "",
        "paid_without_result: 2, paid for, and nothing came of it",
        "  concepts/paid.png  disk, charged 4, g3",
        f"    do: {generation_advice('disk', 'failed')}",
        "  concepts/none.png  complete, charged 3, without any result, g6",
        "    do: look in Layer what became of them, and ask Layer for the Creative Units",
        "",
        "result_missing: 1, results that are no longer where they were saved",
        "  concepts/generated/gone.png.restyle.png  no longer there, g4",
        "    do: nothing, if somebody took them away; else get them from Layer's own app: `layerwatch show` has the id",
        "",
        "6 findings",
    ]
    findings = {finding["generation"]: finding for finding in audited(place)["findings"]}
    assert findings[unknown]["kind"] == "unresolved"
    assert findings[unknown]["file"] is None
    assert findings[unknown]["do"] == generation_advice("network", "unknown")
    assert audited(place)["counts"]["paid_without_result"] == 2


def test_what_failed_and_is_gone_can_only_be_put_back(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.failure(ledger)
    os.unlink(place.root / "a.png")
    assert told(place)[-4:-1] == [
        "  concepts/a.png  rejected, and no longer there, file 1",
        "    do: put them back, for Layer never got them; if they are not wanted, there is nothing to do",
        "",
    ]


def test_many_are_cut_off_for_people_and_not_for_scripts(place: Place, ledger: Ledger) -> None:
    for number in range(25):
        place.write(f"{number:02}.png")
    lines = told(place)
    assert sum("no row in the ledger" in line for line in lines) == 20
    assert "  and 5 more; --json lists all" in lines
    assert "unknown: 25, in a folder, and not in the ledger" in lines
    document = audited(place)
    assert len(document["findings"]) == document["counts"]["unknown"] == 25


def test_a_folder_that_is_away_is_said_to_be_and_is_not_all_well(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    os.rename(place.root, place.home / "elsewhere")
    lines = told(place)
    assert lines[0].startswith(f"concepts  away  {place.root}: no such file or directory; its files were not looked at")
    assert lines[-1] == "nothing is wrong in what was looked at; not looked at: concepts"
    assert audited(place)["counts"]["missing"] == 0
    told(place, "--folder", "textures", exit_code=0)


def test_a_folder_that_is_no_longer_configured_is_only_told(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    place.upload(ledger)
    place.config.write_text(place.config.read_text().replace('name = "concepts"', 'name = "renamed"'))
    assert told(place, exit_code=0)[2] == "concepts  unconfigured  no longer configured; rows in the ledger: 1"


def test_with_a_daemon_what_is_new_is_left_to_it(place: Place, ledger: Ledger) -> None:
    place.write("a.png")
    lock = place.runs()
    assert told(place, exit_code=0)[0] == "concepts  there  files 1, refused 0, not taken yet 1"
    lock.release()
    assert "    do: start `layerwatch run`: it takes them" in told(place)


def test_what_is_stuck_while_a_daemon_runs(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", ago_s=700)
    lock = place.runs()
    assert told(place)[-3:-1] == [
        "    do: see `layerwatch status`, then restart `layerwatch run`: it goes on where they are", ""
    ]  # fmt: skip
    ledger.facts.note("hold", {"code": "network", "message": "cannot connect"}, time.time())
    told(place, exit_code=0)
    lock.release()


def test_reading_every_file_again(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"right")
    before = os.stat(place.root / "a.png")
    with open(place.root / "a.png", "r+b") as file:
        file.write(b"wrong")
    os.utime(place.root / "a.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    told(place, exit_code=0)
    assert "corrupt_on_disk: 1, same size and time, other content than when they were recorded" in told(
        place, "--rehash"
    )


@pytest.mark.usefixtures("ledger")
def test_a_folder_that_there_is_not(place: Place) -> None:
    result = place.call("audit", "--folder", "nope")
    assert result.exit_code == 2
    assert "there is no such folder" in result.stderr


def test_no_ledger_is_told_with_what_to_do(place: Place) -> None:
    result = place.call("audit")
    assert result.exit_code == 2
    assert "there is no ledger yet" in result.stderr


def test_no_secret_is_told(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png", b"b" * 100)
    place.claim(ledger, sent=10)
    assert "SECRET" not in place.call("audit", "--json").stdout + place.call("audit").stdout


def test_names_fit_the_terminal(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "x" * 251 + ".png")
    os.unlink(place.root / ("x" * 251 + ".png"))
    with Terminal(["audit", "-c", str(place.config)], columns=80) as terminal:
        assert terminal.end() == 1
    (line,) = [line for line in terminal.seen() if "…" in line]
    assert len(line) <= 80
    assert line.endswith("queued, never uploaded, file 1")
