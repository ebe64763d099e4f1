"""Nothing that is dropped goes unseen: overflows, watch limits, deaf watches, folders that go away and come back."""

import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.benchmarks import idle
from tests.system.conftest import Site, until

KIB = 1024


def drop(path: Path, seed: int, size: int = 10 * KIB) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sample("png", seed, size))


def folder_facts(site: Site) -> dict[str, object]:
    with closing(sqlite3.connect(site.ledger)) as connection:
        row = connection.execute("SELECT state, detail, overflows, unknown FROM folders").fetchone()
    return dict(zip(("state", "detail", "overflows", "unknown"), row, strict=True))


@pytest.mark.long
def test_after_an_overflow_every_file_has_a_row(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    queue_size = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    daemon.send_signal(signal.SIGSTOP)  # nobody reads the kernel's queue now
    count = queue_size + 2000
    for number in range(count):
        (site.drop / f"{number}.txt.tmp").touch()
        (site.drop / f"{number}.txt.tmp").rename(site.drop / f"{number}.txt")
    daemon.send_signal(signal.SIGCONT)
    until(lambda: site.statuses() == {"skipped": count}, "a row for every file", 90)
    assert folder_facts(site)["overflows"] == 1
    assert "overflow" in site.call("status").stdout
    assert site.end(daemon) == 0


def can_limit_watches() -> bool:
    attempt = ["unshare", "-r", "sh", "-c", "echo 20 > /proc/sys/user/max_inotify_watches"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(attempt, check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_limit_watches(), reason="this machine gives nobody a user namespace of their own")
def test_folders_beyond_the_watch_limit_are_told_and_polled(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    for number in range(60):
        (site.drop / f"{number:02}" / "deep").mkdir(parents=True)
    limited = ["unshare", "-r", "sh", "-c", 'echo 20 > /proc/sys/user/max_inotify_watches; exec "$@"', "sh"]
    daemon = site.start(inside=limited)
    until(lambda: "watch limit" in site.said(), "word of the limit")
    for number in range(60):
        drop(site.drop / f"{number:02}" / "deep" / "new.png", number)
    until(lambda: site.statuses() == {"uploaded": 60}, "the files of heard and unheard folders")
    facts = folder_facts(site)
    assert facts["state"] == "watching"
    assert "max_user_watches" in str(facts["detail"])
    assert site.end(daemon) == 0


def test_a_folder_that_goes_away_under_load_keeps_its_files_and_resumes(site: Site) -> None:
    site.configure(folder='settle = "100ms"', upload="workers = 2")
    site.sandbox.faults = Faults(latency_s=0.05)
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    for seed in range(60):
        drop(site.drop / f"{seed}.png", seed)
    until(lambda: site.statuses().get("uploaded", 0) > 5, "the first of them")
    elsewhere = site.home / "elsewhere"
    site.drop.rename(elsewhere)
    until(lambda: folder_facts(site)["state"] == "away", "the folder to be missed")
    assert "away" in site.call("status").stdout
    assert set(site.statuses()) <= {"queued", "uploading", "uploaded"}, "nothing is marked vanished"

    site.drop.mkdir()  # as an unmounted share looks
    until(lambda: "not the folder that it was" in site.said(), "the empty folder not to be taken for it")
    assert set(site.statuses()) <= {"queued", "uploading", "uploaded"}
    site.drop.rmdir()
    elsewhere.rename(site.drop)
    drop(site.drop / "late.png", 99)
    until(lambda: site.statuses() == {"uploaded": 61}, "all of them once it is back")
    assert site.end(daemon) == 0
    assert len(site.sandbox.objects) == 61


def test_deep_and_wide_trees_are_heard_everywhere_and_cost_nothing_while_idle(tmp_path: Path) -> None:
    share = idle.measure(2000, 5.0, tmp_path)
    assert share < 0.05, "spinning"
