"""What a check finds in folders, ledger, kernel and Layer, and that it changes nothing of them."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from layerwatch import redact
from layerwatch.api import Layer, Workspace
from layerwatch.checkup import Area, Finding, Level, at_start, check, exit_code, folders, inotify, ledger, room, server
from layerwatch.checkup.directories import count
from layerwatch.checkup.findings import About
from layerwatch.checkup.inotify import Needed, Used, check_watches, used_by
from layerwatch.config import Settings, load
from layerwatch.errors import LedgerTrouble, NotTheApi
from layerwatch.ignore import Selection
from layerwatch.ledger import FolderState, Ledger, Lock
from layerwatch.ledger.health import VERSION, examine
from layerwatch.mounts import Mount
from layerwatch.sandbox import Sandbox
from layerwatch.sandbox.catalogue import MODELS, UNKNOWN_ID
from layerwatch.watch import Watch

from .api.servers import RawServer, saying, unused_port

WORKSPACE = "5a9db0c5-0000-4000-8000-000000000001"
MODEL = "3c2f1d00-0000-4000-8000-000000000001"
TOKEN = "sandbox-token"
RULE = f'[[folders.rules]]\nname = "restyle"\nmatch = "*.png"\nmodel_id = "{MODEL}"\n'
NOBODY = 65534


class Site:
    """A folder `drop` and a place for a ledger below `home`, and what is found there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.drop = home / "drop"
        self.config = home / "config.toml"
        self.ledger = home / "state" / "ledger.db"
        self.drop.mkdir()
        self.base_url = f"http://127.0.0.1:{unused_port()}"
        self.configure()

    def configure(self, folder: str = "", more: str = "") -> None:
        self.config.write_text(
            f'[ledger]\npath = "state/ledger.db"\n[[folders]]\nname = "drop"\npath = "drop"\n{folder}\n{more}'
        )

    def settings(self) -> Settings:
        return load(str(self.config), require_token=False)

    def all(self, *, offline: bool = True) -> list[Finding]:
        return list(check(self.settings(), time.time, time.monotonic, offline=offline))

    def found(self, area: Area, what: str, *, offline: bool = True) -> Finding:
        """The one finding about this."""
        (one,) = [each for each in self.all(offline=offline) if (each.area, each.what) == (area, what)]
        assert (one.do == "") is (one.level is Level.OK)
        return one

    def wrong(self, *, offline: bool = True) -> list[Finding]:
        return [each for each in self.all(offline=offline) if each.level is not Level.OK]

    def asks(self, url: str, monkeypatch: pytest.MonkeyPatch, token: str = TOKEN) -> None:
        monkeypatch.setenv("LAYERWATCH_API__BASE_URL", url)
        monkeypatch.setenv("LAYER_TOKEN", token)
        monkeypatch.setenv("LAYER_WORKSPACE_ID", WORKSPACE)

    def state(self) -> Path:
        self.ledger.parent.mkdir(exist_ok=True)
        return self.ledger


@pytest.fixture(autouse=True)
def _an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("LAYER", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYER_TOKEN", TOKEN)
    monkeypatch.setenv("LAYER_WORKSPACE_ID", WORKSPACE)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path.resolve())


@pytest.fixture
def sandbox(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        site.asks(sandbox.base_url, monkeypatch)
        yield sandbox


def names(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.area, each.what) for each in findings]


# --- how it ends ------------------------------------------------------------------------------------------------------

_about = About(Area.LAYER)
FINE, ODD = _about.ok("a", "b"), _about.warning("a", "b", "c")
BAD, WRONG, REFUSED = (_about.problem("a", "b", "c", code=code) for code in (1, 2, 4))


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([FINE, ODD], 0),
        ([FINE, BAD, ODD], 1),
        ([BAD, REFUSED, FINE], 4),
        ([BAD, REFUSED, WRONG], 2),
        ([WRONG], 2),
    ],
)
def test_the_gravest_problem_says_how_it_ends(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code


def test_whatever_is_said_can_be_printed() -> None:
    hostile = os.fsdecode(b"\x1b[31m\n\xff")
    finding = _about.problem("a", hostile, hostile)
    assert finding.detail == finding.do == "\\x1b[31m\\n\\udcff"


def test_all_is_well_where_all_is_well(site: Site, sandbox: Sandbox) -> None:
    site.configure(f'after_upload = "move"\nreceipt = true\n{RULE}outputs = "made"')
    with Ledger(str(site.ledger)):
        before = sorted(os.walk(site.home))
        assert site.wrong(offline=False) == []
        assert sorted(os.walk(site.home)) == before
    assert sandbox.violations == []
    assert sandbox.objects == []


def test_the_areas_come_in_the_order_in_which_one_depends_on_the_other(site: Site, sandbox: Sandbox) -> None:
    site.configure(RULE)
    areas = list(dict.fromkeys(each.area for each in site.all(offline=False)))
    assert areas == list(Area)


def test_what_works_and_ought_not_to_be_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.home / "token").write_text(TOKEN)
    (site.home / "token").chmod(0o644)
    monkeypatch.delenv("LAYER_TOKEN")
    monkeypatch.setenv("LAYERWATCH_API__TOKEN_FILE", str(site.home / "token"))
    assert site.found(Area.CONFIGURATION, "note").do == f"chmod 600 {site.home}/token"
    monkeypatch.setenv("LAYERWATCH_API__TOKEN_FILE", "")
    monkeypatch.setenv("LAYER_TOKEN", TOKEN)
    monkeypatch.setenv("LAYERWATCH_NONSENSE", "1")
    assert site.found(Area.CONFIGURATION, "note").detail == "LAYERWATCH_NONSENSE: not a setting of layerwatch; ignored"


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_no_ledger_yet_is_well_and_none_is_made(site: Site) -> None:
    finding = site.found(Area.LEDGER, "directory")
    assert finding.level is Level.OK
    assert finding.detail == f"{site.ledger} is not there yet; `layerwatch run` will make it, and can"
    assert sorted(os.listdir(site.home)) == ["config.toml", "drop"]
    assert site.wrong() == []


def test_a_ledger_that_cannot_be_made_is_told(site: Site) -> None:
    (site.home / "state").touch()
    finding = site.found(Area.LEDGER, "directory")
    assert finding.level is Level.PROBLEM
    assert finding.detail.startswith(f"{site.ledger} cannot be made: there is none yet (uid ")
    assert "not a directory" in finding.detail


def test_a_ledger_is_looked_at_beside_whoever_works_on_it(site: Site) -> None:
    with Ledger(str(site.ledger)) as open_one:
        open_one.facts.note("hold", "x", 0.0)
        lock = Lock(str(site.ledger))
        version = site.found(Area.LEDGER, "version")
        assert (version.level, version.detail) == (Level.OK, f"{VERSION}, which is this one's")
        assert site.found(Area.LEDGER, "quick_check").detail == "SQLite finds nothing wrong"
        assert "of write-ahead log" in site.found(Area.LEDGER, "size").detail
        finding = site.found(Area.DAEMON, "process")
        assert finding.detail == f"process {os.getpid()} works on this ledger"
        lock.release()
        assert open_one.facts.notes() == {"hold": "x"}
    assert site.found(Area.DAEMON, "process").detail == "none works on this ledger now"


def test_another_version_that_runs_is_told(site: Site) -> None:
    with Ledger(str(site.ledger)) as open_one:
        open_one.facts.note("daemon", {"pid": 1, "version": "0.0.1", "once": False}, 0.0)
        assert site.wrong() == []  # nobody runs: that is how the last one ended
        lock = Lock(str(site.ledger))
        assert site.found(Area.DAEMON, "version").do == "restart `layerwatch run`"
        lock.release()


def test_an_older_ledger_is_not_brought_up_to_date(site: Site) -> None:
    with closing(sqlite3.connect(site.state())) as connection:
        connection.execute("CREATE TABLE files (a)")
        connection.execute("CREATE TABLE history (a)")
        connection.execute("PRAGMA user_version = 1")
    before = site.ledger.read_bytes()
    assert site.found(Area.LEDGER, "version").detail == f"1; `layerwatch run` brings it to {VERSION}"
    assert site.ledger.read_bytes() == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (["CREATE TABLE a (a)"], "is a SQLite database, and not a ledger of layerwatch"),
        (
            ["CREATE TABLE files (a)", "CREATE TABLE history (a)", "PRAGMA user_version = 99"],
            f"version 99, written by a newer layerwatch: this one knows {VERSION}",
        ),
    ],
)
def test_what_is_no_ledger_of_ours_is_told(site: Site, sql: list[str], said: str) -> None:
    with closing(sqlite3.connect(site.state())) as connection:
        for each in sql:
            connection.execute(each)
    finding = site.found(Area.LEDGER, "version")
    assert finding.level is Level.PROBLEM
    assert said in finding.detail
    assert names(site.wrong()) == [("ledger", "version")]


def test_an_empty_file_becomes_one(site: Site) -> None:
    site.state().touch()
    assert site.found(Area.LEDGER, "version").detail == "empty; `layerwatch run` makes it a ledger"
    assert site.ledger.read_bytes() == b""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("my notes\n" * 1000), "file is not a database"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.symlink_to("nowhere"), "unable to open database file"),
    ],
)
def test_what_is_no_database_is_told(site: Site, make: Callable[[Path], object], said: str) -> None:
    make(site.state())
    finding = site.found(Area.LEDGER, "file")
    assert finding.level is Level.PROBLEM
    assert said in finding.detail


def test_damage_is_found(site: Site) -> None:
    with Ledger(str(site.ledger)) as filled:
        filled.facts.note("hold", "x" * 20_000, 0.0)
    with open(site.ledger, "r+b") as file:
        file.seek(-3 * 4096, os.SEEK_END)
        file.write(b"\x01" * 3 * 4096)
    finding = next(each for each in site.wrong() if each.area is Area.LEDGER)
    assert finding.what in ("quick_check", "file")
    assert finding.level is Level.PROBLEM
    assert "backup" in finding.do


def test_a_ledger_that_is_too_large_is_not_read_to_the_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(str(site.ledger)):
        pass
    monkeypatch.setattr("layerwatch.ledger.health._STEPS", 1)
    assert examine(str(site.ledger), lambda: False).faults == ()
    assert examine(str(site.ledger), lambda: True).faults is None
    monkeypatch.setattr("layerwatch.checkup.QUICK_CHECK_S", -1.0)
    finding = site.found(Area.LEDGER, "quick_check")
    assert (finding.level, "too large" in finding.detail) == (Level.OK, True)


def test_only_sqlite_reads_a_ledger(site: Site) -> None:
    with pytest.raises(LedgerTrouble, match="unable to open"):
        examine(str(site.ledger), lambda: False)
    assert not site.ledger.exists()


def test_a_write_ahead_log_that_grows_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MUCH_WAL_BYTES", 10)
    with Ledger(str(site.ledger)) as filled:
        filled.facts.note("hold", "x", 0.0)
        assert f"fuser {site.ledger}" in site.found(Area.LEDGER, "size").do


def test_a_ledger_on_a_network_filesystem_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "mount_of", lambda path: Mount("/srv", "nfs4"))
    finding = site.found(Area.LEDGER, "filesystem")
    assert (finding.level, "nfs4" in finding.detail) == (Level.PROBLEM, True)
    assert names(at_start(site.settings())) == [("ledger", "filesystem")]


GIB = 1024**3


@pytest.mark.parametrize(
    ("free", "files", "level"),
    [
        (2 * GIB, 10**6, Level.OK),
        (GIB - 1, 10**6, Level.WARNING),
        (64 * 1024**2 - 1, 10**6, Level.PROBLEM),
        (2 * GIB, 5, Level.PROBLEM),
    ],
)
def test_room_that_runs_out_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, free: int, files: int, level: Level
) -> None:
    values = list(os.statvfs("/"))
    values[1], values[4], values[5], values[7] = 1, free, 10**7, files
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*values, 0]))
    assert site.found(Area.LEDGER, "space").level is level
    assert names(at_start(site.settings())) == ([("ledger", "space")] if level is not Level.OK else [])


def test_a_filesystem_without_a_number_of_inodes_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(os.statvfs("/"))
    values[1], values[4], values[5], values[6], values[7] = 1, 2 * GIB, 0, 0, 0
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*values, 0]))
    assert [each.level for each in room.space(_about, "/", "x")] == [Level.OK]


# --- as somebody who may not do everything ----------------------------------------------------------------------------

AS_NOBODY = """
import codecs, json, os, sys, time
from dataclasses import asdict
from layerwatch.checkup import at_start, check
from layerwatch.config import load
settings = load(sys.argv[1] + "/config.toml", require_token=False)
codecs.lookup("ascii")  # the library may be where only root may read
os.setgroups([]), os.setgid(65534), os.setuid(65534)
found = check(settings, time.time, time.monotonic, offline=True)
print(json.dumps([[asdict(each) for each in what] for what in (found, at_start(settings))]))
"""

Rows = dict[tuple[str, str], dict[str, Any]]


def as_nobody(site: Site) -> tuple[Rows, Rows]:
    """What is wrong, and what is at a start, for a user who does not own the place."""
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(site.home)], capture_output=True, text=True, check=True)
    found, start = json.loads(done.stdout)
    assert all(each["do"] for each in found if each["level"] != "ok")
    wrong: Rows = {(each["area"], each["what"]): each for each in found if each["level"] != "ok"}
    return wrong, {(each["area"], each["what"]): each for each in start}


@pytest.fixture
def shared() -> Iterator[Site]:
    """A site that others may enter; pytest's own directories are for their owner alone."""
    with tempfile.TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o755)
        yield Site(Path(os.path.realpath(temporary)))


need_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@need_root
def test_what_may_not_be_written_is_told_and_told_at_the_start(shared: Site) -> None:
    shared.configure(f'after_upload = "move"\nreceipt = true\n{RULE}outputs = "made"')
    (shared.home / "state").mkdir()
    wrong, start = as_nobody(shared)
    writing = {("folder", what) for what in ("writing", "move_to", "outputs")}
    assert set(wrong) == {("ledger", "directory")} | writing
    assert set(start) == writing
    assert "permission denied" in wrong["ledger", "directory"]["detail"]
    assert f"uid {NOBODY}" in wrong["folder", "writing"]["do"]
    assert wrong["folder", "writing"]["detail"].startswith('after_upload = "move", receipt = true: cannot write in')


@need_root
def test_what_need_not_be_written_is_not_tried(shared: Site) -> None:
    shared.configure(RULE)
    wrong, start = as_nobody(shared)
    assert set(wrong) == {("ledger", "directory")}
    assert start == {}


@need_root
def test_somebody_elses_ledger_is_told_with_whose_it_is(shared: Site) -> None:
    with Ledger(str(shared.ledger)):
        pass
    shared.ledger.parent.chmod(0o777)
    wrong, _ = as_nobody(shared)
    assert set(wrong) == {("ledger", "file"), ("ledger", "owner"), ("daemon", "user")}
    assert "the ledger is root's, and this check as nobody" in wrong["daemon", "user"]["detail"]
    assert wrong["daemon", "user"]["do"] == "sudo -u root layerwatch check"
    assert wrong["ledger", "owner"]["detail"] == f"uid {NOBODY} may not read and write {shared.ledger}"


@need_root
@pytest.mark.parametrize(("mode", "said"), [(0o311, "cannot be read"), (0o744, "can be listed, and not entered")])
def test_a_folder_that_may_not_be_read_is_told(shared: Site, mode: int, said: str) -> None:
    (shared.drop / "a.png").touch()
    shared.drop.chmod(mode)
    wrong, _ = as_nobody(shared)
    assert said in wrong["folder", "path"]["detail"]
    assert wrong["folder", "path"]["do"].startswith(f"let uid {NOBODY} read and enter {shared.drop}")


@need_root
def test_sub_folders_that_bar_us_are_told_if_they_are_looked_into(shared: Site) -> None:
    for name in ("shut", "lost+found", "left/out", "made"):
        (shared.drop / name).mkdir(parents=True)
        (shared.drop / name).chmod(0o700)
    (shared.drop / "ours").mkdir()
    os.chown(shared.drop / "ours", NOBODY, NOBODY)
    shared.drop.chmod(0o777)
    rule = f'{RULE}outputs = "made"'
    shared.configure(f'after_upload = "delete"\nexclude = ["left"]\n{rule}')
    wrong, _ = as_nobody(shared)
    assert wrong["folder", "unreadable"]["detail"] == f"{shared.drop}/shut cannot be read: what lies there is not seen"
    assert wrong["folder", "unwritable"]["detail"].startswith(f"{shared.drop}/shut cannot be written")
    assert ("folder", "outputs") in wrong


def namespace(shell: str, site: Site, *arguments: str) -> dict[str, Any]:
    """What `check` says in a namespace of its own, in which the shell command was done."""
    attempt = ["unshare", "-rm", "sh", "-ec", f"{shell}; true"]
    if subprocess.run(attempt, check=False, capture_output=True, cwd=site.home).returncode:
        pytest.skip("no namespaces of one's own here")
    command = f'{shell}; exec "{sys.executable}" -m layerwatch check --json --offline "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", command, "sh", "-c", str(site.config), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=site.home,
    )
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == document["exit_code"]
    return document


def wrong_in(document: dict[str, Any]) -> Rows:
    return {(each["area"], each["what"]): each for each in document["findings"] if each["level"] != "ok"}


@pytest.mark.parametrize("made", [False, True])
def test_where_nothing_can_be_written_it_says_so_and_goes_on(site: Site, made: bool) -> None:
    site.configure(f'after_upload = "move"\n{RULE}outputs = "made"')
    if made:
        with Ledger(str(site.ledger)):
            pass
    document = namespace(f"mount --bind {site.home} {site.home}; mount -o remount,bind,ro {site.home}", site)
    wrong = wrong_in(document)
    told = {("ledger", "directory")} | {("folder", what) for what in ("writing", "move_to", "outputs")}
    assert told <= set(wrong) <= told | {("ledger", "file"), ("ledger", "owner")}
    assert all("read-only file system" in wrong[each]["detail"] for each in told)
    assert document["exit_code"] == 1
    assert sorted(os.listdir(site.drop)) == []


def test_a_move_to_another_filesystem_is_told(site: Site) -> None:
    site.configure('after_upload = "move"')
    (site.drop / "uploaded").mkdir()
    wrong = wrong_in(namespace(f"mount -t tmpfs t {site.drop}/uploaded", site))
    assert set(wrong) == {("folder", "move_to")}
    assert wrong["folder", "move_to"]["level"] == "warning"
    # The same disk, and all the same no second name can be given across it.
    wrong = wrong_in(namespace(f"mount --bind {site.drop}/uploaded {site.drop}/uploaded", site))
    assert set(wrong) == {("folder", "move_to")}


def test_a_share_that_is_not_mounted_is_told(site: Site) -> None:
    with Ledger(str(site.ledger)) as filled:
        filled.facts.folder("drop", str(site.drop), FolderState.WATCHING, 0.0, detail="", mount=str(site.drop))
    finding = site.found(Area.FOLDER, "path")
    assert finding.level is Level.PROBLEM
    assert finding.detail == f"{site.drop} is empty, and {site.drop}, where it was mounted, is not"
    assert finding.do.startswith("mount it again")


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said", "do"),
    [
        (lambda path: None, "no such file or directory", "make it, mount what belongs there"),
        (lambda path: path.touch(), "is not a folder", "name a directory"),
        (lambda path: path.symlink_to(path.name), "symbolic links", "lead round in a circle"),
        (lambda path: path.symlink_to("nowhere"), "no such file or directory", "make it"),
    ],
)
def test_a_folder_that_is_not_there_is_told(site: Site, make: Callable[[Path], None], said: str, do: str) -> None:
    site.drop.rmdir()
    make(site.drop)
    finding = site.found(Area.FOLDER, "path")
    assert (finding.level, finding.folder) == (Level.PROBLEM, "drop")
    assert said in finding.detail
    assert do in finding.do
    assert names(site.wrong()) == [("folder", "path")]
    assert at_start(site.settings()) == []  # its own thread will say so


def test_a_link_is_told_with_where_it_leads(site: Site) -> None:
    (site.home / "real").mkdir()
    site.drop.rmdir()
    site.drop.symlink_to("real")
    assert site.found(Area.FOLDER, "path").detail == f"{site.drop}, which is {site.home}/real"


@pytest.mark.parametrize(
    ("watch", "fstype", "level", "said"),
    [
        ("auto", "ext4", Level.OK, "the kernel reports"),
        ("native", "ext4", Level.OK, "the kernel reports"),
        ("polling", "ext4", Level.OK, "polled, as configured"),
        ("auto", "nfs4", Level.OK, "a network filesystem, which is polled"),
        ("polling", "nfs4", Level.OK, "polled, as configured"),
        ("native", "nfs4", Level.WARNING, "does not report"),
    ],
)
def test_how_a_folder_reports(
    site: Site, monkeypatch: pytest.MonkeyPatch, watch: str, fstype: str, level: Level, said: str
) -> None:
    site.configure(f'watch = "{watch}"\nafter_upload = "delete"')
    for module in ("layerwatch.roots", "layerwatch.checkup.folders"):
        monkeypatch.setattr(f"{module}.mount_of", lambda path: Mount("/srv", fstype))
    finding = site.found(Area.FOLDER, "filesystem")
    assert finding.level is level
    assert said in finding.detail
    needed = 1 if said.startswith(("the kernel", "does not")) else 0
    assert site.found(Area.INOTIFY, "watches").detail.startswith(
        f"{needed} director{'y' if needed == 1 else 'ies'} to watch"
    )
    monkeypatch.setattr(folders, "why_not_writable", lambda path: "a reason")
    assert names(at_start(site.settings())) == ([] if fstype == "nfs4" else [("folder", "writing")])


def test_directories_are_counted_all_of_them_and_not_through_links(site: Site) -> None:
    for name in ("a/b/c", ".hidden/d", "uploaded"):
        (site.drop / name).mkdir(parents=True)
    (site.drop / "link").symlink_to(site.home)
    assert site.found(Area.FOLDER, "directories").detail == "7 directories"
    assert site.found(Area.INOTIFY, "watches").detail.startswith("7 directories to watch")
    site.configure("recursive = false")
    assert site.found(Area.INOTIFY, "watches").detail.startswith("1 directory to watch")


def test_counting_ends_when_it_takes_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in range(10):
        (site.drop / str(name) / "deep").mkdir(parents=True)
    asked = iter([False, False, True])
    counted = count(str(site.drop), Selection(), lambda: next(asked), write=False)
    assert not counted.whole
    assert counted.number < 21
    monkeypatch.setattr("layerwatch.checkup.COUNT_S", -1.0)
    assert "not counted to the end" in site.found(Area.FOLDER, "directories").detail
    assert site.found(Area.INOTIFY, "watches").detail.startswith("more than 1 directory to watch")


def test_a_large_directory_does_not_outlast_the_time(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / str(number)).touch()
    asked: list[bool] = []

    def enough() -> bool:
        asked.append(True)
        return len(asked) == 2

    assert not count(str(tmp_path), Selection(), enough, write=False).whole


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to(".")])
@pytest.mark.parametrize("key", ["move_to", "outputs"])
def test_what_is_in_the_way_of_our_directories_is_told(site: Site, make: Callable[[Path], None], key: str) -> None:
    site.configure('after_upload = "move"\nmove_to = "there/deep"' if key == "move_to" else f'{RULE}outputs = "there"')
    make(site.drop / "there")
    finding = next(each for each in site.wrong() if each.what == key)
    assert finding.level is Level.PROBLEM
    assert "a file, or a link, which is not followed, is in the way" in finding.detail
    assert (Area.FOLDER, key) in names(at_start(site.settings()))


def test_nothing_is_left_of_a_try_that_failed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        assert [name.startswith(".layerwatch-check-") for name in os.listdir(site.drop)] == [True]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert room.why_not_writable(str(site.drop)) == "no space left on device"
    assert room.why_not_makeable(str(site.drop / "a/b")) == "no space left on device"
    assert os.listdir(site.drop) == []


def test_a_watcher_of_the_folder_takes_no_notice_of_a_try() -> None:
    assert Selection().why_not(".layerwatch-check-0011223344556677")


# --- actions ----------------------------------------------------------------------------------------------------------


def action(site: Site, value: str) -> Finding:
    site.configure(f"on_uploaded = {{ {value} }}")
    return site.found(Area.FOLDER, "on_uploaded")


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> str:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return f'command = ["{path}"]'


def test_programs_that_can_be_executed(site: Site) -> None:
    assert action(site, 'command = ["sh"]').detail.endswith("/sh can be executed")
    assert action(site, program(site.home / "run")).level is Level.OK
    assert action(site, program(site.home / "run", "#! /usr/bin/env python3 -u\n")).level is Level.OK
    program(site.home / "run")
    assert action(site, 'command = ["./run", "--fast"]').detail == f"{site.home}/run can be executed"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: 'command = ["layerwatch-nope"]', "there is no program layerwatch-nope in PATH"),
        (lambda path: f'command = ["{path}"]', "there is no program /"),
        (lambda path: f'command = ["{path.parent}"]', "there is no program /"),
        (lambda path: program(path, mode=0o644), "may not be executed"),
        (lambda path: program(path, "#!/nowhere/sh -e\n"), "begins with #!/nowhere/sh, which is not there"),
        (lambda path: program(path, "#!/bin/sh\r\n"), "begins with #!/bin/sh\\r, which is not there"),
    ],
)
def test_programs_that_cannot(site: Site, make: Callable[[Path], str], said: str) -> None:
    finding = action(site, make(site.home / "run"))
    assert finding.level is Level.PROBLEM
    assert said in finding.detail


def test_webhooks_are_not_called_and_not_named(site: Site) -> None:
    secret = site.home / "secret"
    address = f'url = "http://127.0.0.1:{unused_port()}/HOOKSECRET"'
    assert action(site, address).detail == "a webhook, which is not signed; it was not called"
    signed = f'{address}, secret_file = "{secret}"'
    finding = action(site, signed)
    assert (finding.level, finding.code) == (Level.PROBLEM, 2)
    assert "cannot be read" in finding.detail
    secret.write_text("a-secret")
    secret.chmod(0o600)
    assert action(site, signed).detail == "a webhook, which is signed; it was not called"
    assert "SECRET" not in str(site.all())
    assert "a-secret" not in str(site.all())


# --- inotify ----------------------------------------------------------------------------------------------------------


def test_what_this_process_watches_is_counted(site: Site) -> None:
    (site.drop / "a" / "b").mkdir(parents=True)
    before = used_by(os.geteuid()).get(os.getpid(), Used(0, 0))
    watch = Watch(lambda: None)
    watch.start()
    watch.add(str(site.drop), lambda path, sign: None, recursive=True)
    now = used_by(os.geteuid())[os.getpid()]
    watch.stop()
    watch.join(5)
    assert now.watches - before.watches == 3
    assert now.instances - before.instances == 1


@pytest.mark.parametrize(
    ("needed", "others", "level", "wanted"),
    [
        (800, 0, Level.OK, None),
        (800, 150, Level.WARNING, 524_288),
        (1001, 0, Level.WARNING, 524_288),
        (500_000, 150, Level.WARNING, 1_048_576),
        (0, 2000, Level.WARNING, 524_288),
    ],
)
def test_watches_are_held_against_what_is_left(
    monkeypatch: pytest.MonkeyPatch, needed: int, others: int, level: Level, wanted: int | None
) -> None:
    monkeypatch.setattr(inotify, "_number", lambda name: 1000 if name.startswith("fs.") else 5000)
    used = {1: Used(others, 1), 7: Used(900, 1)}
    (finding,) = check_watches(Needed(needed), used, daemon=7)
    assert finding.level is level
    assert wanted is None or finding.do.startswith(f"sysctl -w fs.inotify.max_user_watches={wanted}; to keep it")


def test_without_limits_nothing_is_beyond_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inotify, "_number", lambda name: None)
    assert [each.level for each in check_watches(Needed(10**9), {}, None)] == [Level.OK]


def test_limits_of_a_container_are_those_that_count(site: Site) -> None:
    for name in range(30):
        (site.drop / str(name)).mkdir()
    wrong = wrong_in(namespace("echo 20 > /proc/sys/user/max_inotify_watches", site))
    assert set(wrong) == {("inotify", "watches")}
    assert wrong["inotify", "watches"]["detail"].startswith(
        "31 directories to watch, of 20 that user.max_inotify_watches allows"
    )
    document = namespace("echo 0 > /proc/sys/user/max_inotify_instances", site)
    (finding,) = wrong_in(document).values()
    assert finding["what"] == "instances"
    assert "none can be opened, and `layerwatch run` cannot begin without: too many open files" in finding["detail"]
    assert "sysctl -w user.max_inotify_instances=256" in finding["do"]
    assert document["exit_code"] == 1


# --- Layer ------------------------------------------------------------------------------------------------------------


def test_what_layer_says_is_told(site: Site, sandbox: Sandbox) -> None:
    site.configure(RULE)
    found = {(each.area, each.what): each.detail for each in site.all(offline=False)}
    assert found[Area.LAYER, "token"] == "Layer takes it"
    assert found[Area.LAYER, "workspace"].endswith(", for which the token is good")
    assert found[Area.LAYER, "balance"] == "1000 Creative Units available"
    assert found[Area.CLOCK, "skew"] == "this machine and the server agree"
    assert found[Area.RULES, "rule"] == "1 rule agrees with what Layer knows"


def test_a_wrong_token_is_refused_and_the_rest_is_still_told(
    site: Site, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.asks(sandbox.base_url, monkeypatch, token="WRONGTOKEN")
    findings = site.all(offline=False)
    assert exit_code(findings) == 4
    assert {Area.LEDGER, Area.FOLDER, Area.INOTIFY} <= {each.area for each in findings}
    assert "WRONGTOKEN" not in str(findings)
    finding = site.found(Area.LAYER, "token", offline=False)
    assert "401" in finding.detail
    assert "LAYER_TOKEN" in finding.do


def test_an_api_that_is_away_is_named_and_the_rest_is_still_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    port = unused_port()
    site.asks(f"http://127.0.0.1:{port}", monkeypatch)
    findings = site.all(offline=False)
    assert exit_code(findings) == 1
    assert names([each for each in findings if each.level is not Level.OK]) == [("layer", "answer")]
    assert findings[-1].detail.startswith(f"cannot connect to 127.0.0.1:{port}: ")
    assert "reaches it" in findings[-1].do


def test_without_token_and_workspace_the_configuration_is_at_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYER_TOKEN")
    monkeypatch.delenv("LAYER_WORKSPACE_ID")
    findings = site.wrong(offline=False)
    assert names(findings) == [("layer", "token"), ("layer", "workspace")]
    assert exit_code(findings) == 2
    assert names(site.wrong(offline=True)) == names(findings)


@pytest.mark.parametrize(
    ("status", "body", "what", "level", "code"),
    [
        (403, {"error": {"code": "FORBIDDEN"}}, "token", Level.PROBLEM, 4),
        (404, {"error": {"code": "NOT_FOUND"}}, "answer", Level.PROBLEM, 2),
        (200, b"<html>Welcome</html>", "answer", Level.PROBLEM, 2),
        (402, {}, "answer", Level.PROBLEM, 1),
        (500, {}, "answer", Level.PROBLEM, 1),
        (503, {}, "answer", Level.PROBLEM, 1),
        (429, {}, "answer", Level.WARNING, 0),
    ],
)
def test_each_refusal_says_what_to_do(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: int, body: object, what: str, level: Level, code: int
) -> None:
    with RawServer(saying(status, body)) as raw:
        site.asks(raw.url, monkeypatch)
        (finding,) = site.wrong(offline=False)
        assert finding.detail.startswith(f"127.0.0.1:{raw.port}: the API answered {status}")
    assert (finding.area, finding.what, finding.level) == (Area.LAYER, what, level)
    assert finding.do
    assert exit_code([finding]) == code


@pytest.mark.parametrize(
    ("ahead_s", "level", "said"),
    [
        (0, Level.OK, "agree"),
        (50, Level.OK, "agree"),
        (-70, Level.WARNING, "behind the server"),
        (70, Level.WARNING, "s ahead of the server"),
        (700, Level.PROBLEM, "s ahead of the server: signed addresses live for 15 minutes"),
        (-100_000, Level.PROBLEM, "behind the server"),
    ],
)
def test_clocks_that_do_not_agree_are_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, ahead_s: float, level: Level, said: str
) -> None:
    with RawServer(saying(200, {}, f"Date: {formatdate(time.time() - ahead_s, usegmt=True)}")) as raw:
        site.asks(raw.url, monkeypatch)
        finding = site.found(Area.CLOCK, "skew", offline=False)
    assert finding.level is level
    assert said in finding.detail


def test_the_middle_of_the_request_counts() -> None:
    workspace = Workspace("", "", None, server_time=1000.0)
    (finding,) = server._skew(workspace, 1000.5 + 60.0)
    assert finding.level is Level.OK
    (finding,) = server._skew(workspace, 1000.5 + 60.1)
    assert finding.level is Level.WARNING


@pytest.mark.parametrize("date", ["", "Date: soon", "Date: Sun, 99 Nov 9999999 08:49:37 GMT", "Date: \xe9"])
def test_a_server_without_a_clock_is_well(site: Site, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    with RawServer(saying(200, {"available_creative_units": None}, *filter(None, [date]))) as raw:
        site.asks(raw.url, monkeypatch)
        assert site.found(Area.CLOCK, "skew", offline=False).detail == "the server does not tell its time"
        assert site.found(Area.LAYER, "balance", offline=False).detail == "Layer does not tell it"


def test_an_empty_balance_is_a_problem_for_rules_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(balance=0) as sandbox:
        site.asks(sandbox.base_url, monkeypatch)
        assert site.wrong(offline=False) == []
        site.configure(RULE)
        (finding,) = site.wrong(offline=False)
    assert finding.detail == "0 Creative Units available: no rule can be fired"


def test_rules_that_layer_would_not_take_are_told(site: Site, sandbox: Sandbox) -> None:
    site.configure(RULE.replace(MODEL, UNKNOWN_ID))
    (finding,) = site.wrong(offline=False)
    assert (finding.area, finding.level) == (Area.RULES, Level.WARNING)
    assert finding.detail == (
        f"{site.config}: folder drop, rule restyle: model_id: Layer knows no such model in this workspace"
    )


def test_a_rule_that_layer_would_refuse_is_a_fault_of_the_configuration(site: Site, sandbox: Sandbox) -> None:
    site.configure(RULE.replace(MODEL, MODELS[4]["model_id"]) + '[folders.rules.parameters]\nprompt = "x"')
    (finding,) = [each for each in site.wrong(offline=False) if each.level is Level.PROBLEM]
    assert (finding.area, finding.what, finding.code) == (Area.RULES, "rule", 2)
    assert "mask" in finding.detail
    assert finding.do


def test_rules_that_cannot_be_asked_about_are_said_to_be_unchecked(
    site: Site, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.configure(RULE)

    def broken(*_: object) -> dict[str, object]:
        raise NotTheApi("server", "it broke")

    monkeypatch.setattr(Layer, "model", broken)
    (finding,) = site.wrong(offline=False)
    assert (finding.level, finding.detail) == (
        Level.WARNING,
        "not all rules were held against what Layer knows: it broke",
    )


def test_offline_nothing_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(saying(200, {})) as raw:
        site.asks(raw.url, monkeypatch)
        assert site.wrong(offline=True) == []
        assert raw.requests == []


def test_no_token_is_told(site: Site, sandbox: Sandbox) -> None:
    assert TOKEN not in str(site.all(offline=False))
    assert redact.redact(f"x {TOKEN} y") == "x [redacted] y"
