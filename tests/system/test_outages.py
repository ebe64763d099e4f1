"""What the world does to a daemon in its months: the API away, the token refused, the disk full. Survived without a
restart."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layerwatch.samples import sample
from tests.starts import Process
from tests.system.conftest import Site, until

KIB = 1024


def drop(site: Site, *seeds: int) -> None:
    for seed in seeds:
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 50 * KIB))


def watching(site: Site) -> None:
    until(lambda: "watching" in site.said(), "the watch")


def test_while_the_api_is_away_everything_waits_and_then_goes_on(site: Site) -> None:
    site.configure(folder='settle = "100ms"', upload="max_attempts = 2")
    daemon = site.start()
    watching(site)
    site.sandbox.stop()
    drop(site, *range(10))
    until(lambda: "everything waits" in site.said(), "word of it")
    until(lambda: "cannot connect" in site.call("status").stdout, "status that tells it")
    until(lambda: site.statuses() == {"queued": 10}, "all of them to wait, and nobody to be given up")
    site.sandbox.start()
    until(lambda: site.statuses() == {"uploaded": 10}, "all of them, once it is back")
    until(lambda: "cannot connect" not in site.call("status").stdout, "status that has forgotten it")
    assert site.end(daemon) == 0


@pytest.mark.long
def test_the_api_away_for_a_minute(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    daemon = site.start()
    watching(site)
    site.sandbox.stop()
    drop(site, *range(10))
    time.sleep(60)
    until(lambda: site.statuses() == {"queued": 10}, "all of them to wait")
    assert "cannot connect" in site.call("status").stdout
    site.sandbox.start()
    until(lambda: site.statuses() == {"uploaded": 10}, "all of them, once it is back", patience_s=70)
    assert site.end(daemon) == 0


SKEWED = """
import os, time
real = time.time
def skewed():
    try:
        with open(os.environ["SKEW"]) as stream:
            return real() + float(stream.read())
    except OSError:
        return real()
time.time = skewed
"""


def test_the_clock_set_forward_by_an_hour_under_load(site: Site, tmp_path: Path) -> None:
    """Only the daemon's clock, so that nobody else on this machine is an hour late."""
    (tmp_path / "sitecustomize.py").write_text(SKEWED)
    skew = tmp_path / "skew"
    site.configure(folder='settle = "100ms"', upload='chunk_size = "256KiB"\nmax_bandwidth = "1MB/s"\nworkers = 2')
    daemon = site.start(PYTHONPATH=str(tmp_path), SKEW=str(skew))
    watching(site)
    for seed in range(4):
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 1500 * KIB))
    until(lambda: any(row["bytes_sent"] for row in site.rows("bytes_sent")), "an upload under way")
    (tmp_path / "new").write_text("3600")
    (tmp_path / "new").rename(skew)
    until(lambda: "clock     the clock jumped forward" in site.call("status").stdout, "status that tells it")
    until(lambda: site.statuses() == {"uploaded": 4}, "all of them")
    assert site.end(daemon) == 0
    assert len(site.sandbox.objects) == 4
    assert site.sandbox.violations == []


def test_while_the_token_is_refused_everything_waits_and_then_goes_on(site: Site) -> None:
    site.configure(folder='settle = "100ms"', upload="max_attempts = 2")
    daemon = site.start()
    watching(site)
    good, site.sandbox.token = site.sandbox.token, "another"
    drop(site, *range(10))
    until(lambda: "does not take the token" in site.call("status").stdout, "status that tells it")
    until(lambda: site.statuses() == {"queued": 10}, "the one that tries to be back among them")
    site.sandbox.token = good
    until(lambda: site.statuses() == {"uploaded": 10}, "all of them, once it is taken again")
    assert site.end(daemon) == 0
    assert "everything waits" in site.said()


def test_started_while_the_api_is_away_it_waits_for_it(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    site.sandbox.stop()
    drop(site, 1)
    daemon = site.start()
    watching(site)
    until(lambda: site.statuses() == {"queued": 1}, "the file to be recorded all the same")
    site.sandbox.start()
    until(lambda: site.statuses() == {"uploaded": 1}, "the file, once the API is there")
    assert site.end(daemon) == 0


@pytest.mark.long
def test_a_run_that_ends_by_itself_gives_up_on_an_api_that_stays_away(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    site.sandbox.stop()
    drop(site, 1)
    result = site.once()
    assert result.returncode == 1
    assert "cannot connect" in result.stderr
    assert site.statuses() == {"queued": 1}
    site.sandbox.start()
    assert site.once().returncode == 0


def may_mount() -> bool:
    attempt = ["unshare", "-rm", "mount", "-t", "tmpfs", "t", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(attempt, check=False, capture_output=True).returncode == 0
    )


def said_uploaded(site: Site) -> int:
    return sum(event["event"] == "uploaded" for event in site.events())


def status_inside(site: Site, daemon: Process) -> str:
    """What `status` says to somebody who sees the daemon's own mounts."""
    enter = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(daemon.pid)]
    command = [*enter, sys.executable, "-m", "layerwatch", "status", "-c", str(site.config)]
    return subprocess.run(command, capture_output=True, text=True, env=site.environment(), check=True).stdout


@pytest.mark.skipif(not may_mount(), reason="this machine lets nobody mount a filesystem of their own")
def test_a_disk_that_fills_up_and_is_freed_again_is_survived(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    site.ledger.parent.mkdir()
    mounted = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=16M t {site.ledger.parent}; exec "$@"', "sh"]
    daemon = site.start(inside=mounted)
    watching(site)
    inside = Path(f"/proc/{daemon.pid}/root{site.ledger.parent}")

    fill = os.open(inside / "fill", os.O_WRONLY | os.O_CREAT)
    for size in (1024 * KIB, KIB, 1):
        try:
            while True:
                os.write(fill, b"\0" * size)
        except OSError:
            continue
    os.close(fill)
    drop(site, *range(20))
    until(lambda: "cannot be written" in site.said(), "word of it")
    assert daemon.poll() is None
    assert "disk      full" in status_inside(site, daemon)
    (inside / "fill").unlink()
    until(lambda: said_uploaded(site) == 20, "all of them, once there is room")
    assert site.end(daemon) == 0
    assert len(site.sandbox.objects) == 20
