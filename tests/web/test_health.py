"""When monitoring is told to wake somebody, and what it says to whom it wakes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from layerwatch.errors import Code
from layerwatch.ledger import FolderState, Ledger
from layerwatch.redact import REDACTED, register
from layerwatch.web.health import Reason, answer, notes, reasons
from layerwatch.web.writable import LEAST_FREE_BYTES
from tests.ledger.builders import (
    T0,
    claimed,
    faulted,
    in_namespace,
    passing,
    record,
    sqlite_connection,
    version,
    watched,
)
from tests.ledgers import new_ledger
from tests.web.sights import BOUND_BY_MODES, Daemon, folder, hold


@pytest.fixture
def path(tmp_path: Path) -> str:
    home = tmp_path.resolve() / "state"
    home.mkdir()
    return str(home / "ledger.db")


@pytest.fixture
def ledger(path: str) -> Iterator[Ledger]:
    with new_ledger(path, durable=False) as ledger:
        yield watched(ledger)


@pytest.fixture
def daemon(path: str) -> Daemon:
    return Daemon(path)


def told(daemon: Daemon, ledger: Ledger | None) -> tuple[int, dict[str, Any]]:
    """The status, and the document."""
    said = answer(daemon.sight(), ledger)
    assert said.content_type == "application/json"
    document = json.loads(said.body)
    assert set(document) == {"healthy", "reasons", "notes"}
    assert document["healthy"] == (said.status == 200) == (document["reasons"] == [])
    return said.status, document


def only(found: list[Reason]) -> Reason:
    (one,) = found
    assert one.detail
    return one


def test_all_is_well(daemon: Daemon, ledger: Ledger) -> None:
    daemon.folders = [folder(), folder("new", None)]
    assert told(daemon, ledger) == (200, {"healthy": True, "reasons": [], "notes": []})


# --- each reason by itself --------------------------------------------------------------------------------------------


def away(daemon: Daemon) -> None:
    daemon.folders = [folder(), folder("other", FolderState.AWAY, "/other: no such file or directory")]


def unreadable(daemon: Daemon) -> None:
    daemon.folders = [folder("other", FolderState.UNREADABLE)]


def deaf(daemon: Daemon) -> None:
    daemon.folders = [folder(), folder("other", FolderState.POLLING, "a canary file went unseen", deaf=True)]


def deaf_in_part(daemon: Daemon) -> None:
    daemon.folders = [folder("other", FolderState.WATCHING, "", deaf=True)]


def silent(daemon: Daemon) -> None:
    daemon.late = ["uploader 1"]


def dead(daemon: Daemon) -> None:
    daemon.died = "uploader 1 has died: it was a bug"


def refused(daemon: Daemon) -> None:
    daemon.hold = hold(Code.UNAUTHORIZED, "Layer refuses the token")


def forbidden(daemon: Daemon) -> None:
    daemon.hold = hold(Code.FORBIDDEN, "Layer refuses the workspace")


def in_trouble(daemon: Daemon) -> None:
    daemon.trouble = "the ledger cannot be written: disk I/O error"


ALONE: list[tuple[Callable[[Daemon], None], str, tuple[str, ...]]] = [
    (away, "folder_away", ("other", "away", "no such file")),
    (unreadable, "folder_away", ("other", "unreadable", "/other")),
    (deaf, "watch_deaf", ("other", "canary")),
    (deaf_in_part, "watch_deaf", ("other", "/other")),
    (silent, "thread_silent", ("uploader 1",)),
    (dead, "thread_dead", ("uploader 1", "bug")),
    (refused, "token_refused", ("Layer refuses the token",)),
    (forbidden, "token_refused", ("Layer refuses the workspace",)),
    (in_trouble, "ledger_unwritable", ("disk I/O error",)),
]


@pytest.mark.parametrize(("break_it", "what", "words"), ALONE, ids=[each[0].__name__ for each in ALONE])
def test_what_is_wrong_is_told_with_what_to_do(
    daemon: Daemon, ledger: Ledger, break_it: Callable[[Daemon], None], what: str, words: tuple[str, ...]
) -> None:
    break_it(daemon)
    status, document = told(daemon, ledger)
    assert status == 503
    assert document["notes"] == []
    (found,) = document["reasons"]
    assert found["what"] == what
    assert [word for word in words if word not in found["detail"]] == []
    assert found["do"]


def test_two_at_once_are_both_told(daemon: Daemon, ledger: Ledger) -> None:
    away(daemon)
    refused(daemon)
    assert [each.what for each in reasons(daemon.sight(), ledger)] == ["folder_away", "token_refused"]


def test_each_folder_and_each_thread_is_told_by_itself(daemon: Daemon, ledger: Ledger) -> None:
    daemon.folders = [folder(name, FolderState.AWAY) for name in ("a", "b")]
    daemon.late = ["uploader 1", "planner"]
    found = [(each.what, each.detail.split()[1:3]) for each in reasons(daemon.sight(), ledger)]
    assert found == [
        ("folder_away", ["a", "is"]),
        ("folder_away", ["b", "is"]),
        ("thread_silent", ["thread", "uploader"]),
        ("thread_silent", ["thread", "planner"]),
    ]


# --- waiting too long -------------------------------------------------------------------------------------------------


def test_a_file_that_waits_for_too_long_is_named(daemon: Daemon, ledger: Ledger) -> None:
    (recorded,) = record(ledger, version("/drop/a.png")._replace(seen_at=T0 - 10))
    daemon.now = T0 - 10 + daemon.oldest_waiting_s
    assert reasons(daemon.sight(), ledger) == []
    daemon.now += 1
    found = only(reasons(daemon.sight(), ledger))
    assert (found.what, "/drop/a.png" in found.detail, "3601 s" in found.detail) == ("waiting_too_long", True, True)
    assert f"layerwatch show {recorded.id}" in found.do
    daemon.oldest_waiting_s = 7200.0
    assert reasons(daemon.sight(), ledger) == []


def test_attempts_that_fail_do_not_hide_how_long_it_waits(daemon: Daemon, ledger: Ledger) -> None:
    record(ledger, version())
    for hours in (0, 1):
        faulted(ledger, claimed(ledger, T0 + 3600 * hours), passing(), T0 + 3600 * hours)
    daemon.now = T0 + 3601
    assert only(reasons(daemon.sight(), ledger)).what == "waiting_too_long"


def test_what_is_being_uploaded_does_not_wait(daemon: Daemon, ledger: Ledger) -> None:
    record(ledger, version())
    claimed(ledger)
    daemon.now = T0 + 1e6
    assert reasons(daemon.sight(), ledger) == []


def test_a_file_that_was_pushed_and_belongs_to_no_folder_counts(daemon: Daemon, ledger: Ledger) -> None:
    record(ledger, version(folder="pushed"), version("/gone/b.png", b"b", folder="gone"))
    daemon.now = T0 + 1e6
    assert "/drop/a.png" in only(reasons(daemon.sight(), ledger)).detail


# --- the ledger -------------------------------------------------------------------------------------------------------


def unwritable(daemon: Daemon, ledger: Ledger | None) -> Reason:
    found = only(reasons(daemon.sight(), ledger))
    assert found.what == "ledger_unwritable"
    return found


def test_a_ledger_that_cannot_be_opened_is_told_beside_the_rest(daemon: Daemon, ledger: Ledger) -> None:
    assert "opened" in unwritable(daemon, None).detail
    refused(daemon)
    assert [each.what for each in reasons(daemon.sight(), None)] == ["token_refused", "ledger_unwritable"]


def test_a_ledger_that_fails_when_it_is_asked_is_told(daemon: Daemon, ledger: Ledger) -> None:
    sqlite_connection(ledger).execute("ALTER TABLE files RENAME TO lost")
    assert "no such table" in unwritable(daemon, ledger).detail


def test_a_ledger_that_is_gone_is_told(daemon: Daemon, ledger: Ledger, path: str) -> None:
    os.rename(path, f"{path}.away")
    assert path in unwritable(daemon, ledger).detail
    os.rename(os.path.dirname(path), f"{os.path.dirname(path)}.away")
    assert os.path.dirname(path) in unwritable(daemon, ledger).detail


WHY = """
import sys
from layerwatch.web.writable import why_unwritable
print((why_unwritable(sys.argv[1], "") or [""])[0])
"""


def asked(path: str) -> str:
    """As one whom modes bind, root or not."""
    done = subprocess.run(
        [*BOUND_BY_MODES, sys.executable, "-c", WHY, path], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_permissions_are_told(path: str) -> None:
    home = Path(path).parent
    Path(path).touch()
    assert asked(path) == ""
    home.chmod(0o555)
    assert str(home) in asked(path)
    home.chmod(0o755)
    Path(path).chmod(0o444)
    assert f"the ledger {path}" in asked(path)


def test_a_read_only_disk_and_a_full_one_are_told(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    mount = f"mount -t tmpfs -o size={{}} layerwatch {tmp_path} && touch {path}"
    (full,) = in_namespace(mount.format(LEAST_FREE_BYTES // 2), WHY, path)
    assert full.startswith("8.0 MiB are left")
    read_only = f"{mount.format(2 * LEAST_FREE_BYTES)} && mount -o remount,ro {tmp_path}"
    (told,) = in_namespace(read_only, WHY, path)
    assert "read-only" in told or "may not write" in told
    assert str(tmp_path) in told


# --- notes ------------------------------------------------------------------------------------------------------------


def test_what_passes_by_itself_is_noted_and_wakes_nobody(daemon: Daemon, ledger: Ledger) -> None:
    daemon.hold = hold(Code.NETWORK, "cannot connect")
    daemon.configuration = "config.toml: folders: nothing there"
    daemon.folders = [folder(state=FolderState.POLLING, detail="nfs4 is a network filesystem")]
    status, document = told(daemon, ledger)
    assert status == 200
    assert [(each["what"], each["detail"].split()[-1]) for each in document["notes"]] == [
        ("hold", "connect"),
        ("configuration_kept", "there"),
        ("polled", "filesystem"),
    ]


def test_what_does_not_pass_wakes_somebody_whatever_waits_for_it(daemon: Daemon, ledger: Ledger) -> None:
    """Generations, say: no file is in the queue."""
    daemon.hold = hold(Code.NETWORK, "cannot connect")
    daemon.now += 3601
    status, document = told(daemon, ledger)
    assert status == 503
    assert [each["what"] for each in document["reasons"]] == ["waiting_too_long"]
    assert "cannot connect" in document["reasons"][0]["detail"]
    daemon.hold = None
    assert told(daemon, ledger)[0] == 200


# --- what others wrote ------------------------------------------------------------------------------------------------


def test_hostile_names_and_secrets_are_harmless(daemon: Daemon, ledger: Ledger) -> None:
    register("very-secret-token")
    secret = "Bearer abcdef very-secret-token https://storage/x?upload_id=123"
    evil = os.fsdecode(b"/drop/\x1b[31m\xff\n\r\x00{};\xe2\x80\xae.png")
    record(ledger, version(evil))
    daemon.now = T0 + 1e6
    daemon.folders = [folder(), folder("away", FolderState.AWAY, f"{evil} {secret}")]
    daemon.hold, daemon.configuration = hold(Code.UNAUTHORIZED, f"{evil} {secret}"), secret
    daemon.died, daemon.trouble = f"{evil} {secret}", f"{evil} {secret}"
    body = answer(daemon.sight(), ledger).body.decode("ascii")
    assert len(json.loads(body)["reasons"]) == 5
    assert body.replace("\n", "").isprintable()
    for word in ("very-secret", "abcdef", "123"):
        assert word not in body
    assert REDACTED in body
    for each in (*reasons(daemon.sight(), ledger), *notes(daemon.sight())):
        assert (each.detail + each.do).isprintable()
