"""Ended at every point of the work, as by a power cut: the next start finishes it, and nothing is stored twice."""

import hashlib
import random
import signal
from collections import Counter

import pytest

from layerwatch.points import OF_FILES
from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.system.conftest import Site, until

KIB = 1024
SIZES = (5 * KIB, 700 * KIB, 300 * KIB)


@pytest.mark.parametrize("point", [point for point in OF_FILES if point not in ("recovered", "finishing", "finished")])
def test_ended_at_this_point_the_next_start_finishes_the_work(site: Site, point: str) -> None:
    site.configure(folder='settle = "50ms"', upload='chunk_size = "256KiB"\nworkers = 2')
    if point == "postponed":
        site.sandbox.faults = Faults(errors=0.5, seed=1)
    expected = {}
    for seed, size in enumerate(SIZES):
        content = sample("png", seed, size)
        expected[hashlib.sha256(content).hexdigest()] = size
        (site.drop / f"{seed}.png").write_bytes(content)
    assert site.once(LAYERWATCH_END_AT=point).returncode == -signal.SIGKILL
    site.sandbox.faults = Faults()
    finish_and_check(site, expected)


def finish_and_check(site: Site, expected: dict[str, int]) -> None:
    """The next start does the rest: every content stored once, under the file_id that the ledger names."""
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": len(expected)}
    stored = site.sandbox.objects
    assert Counter(item.sha256 for item in stored) == Counter(expected.keys())
    assert {row["file_id"]: row["hash"] for row in site.rows()} == {item.file_id: item.sha256 for item in stored}
    assert site.sandbox.violations == []


def test_ended_again_while_recovering(site: Site) -> None:
    content = sample("png", 1, 700 * KIB)
    (site.drop / "a.png").write_bytes(content)
    for point in ("session saved", "recovered", "recovered", "claimed", "recovered"):
        assert site.once(LAYERWATCH_END_AT=point).returncode == -signal.SIGKILL
        # what `recovered` undid must be claimed again before it can be recovered again
        assert site.once(LAYERWATCH_END_AT="claimed").returncode == -signal.SIGKILL
    finish_and_check(site, {hashlib.sha256(content).hexdigest(): len(content)})


@pytest.mark.parametrize("change", ["replaced", "grown", "shrunk", "deleted"])
@pytest.mark.parametrize("point", ["claimed", "sending", "stored"])
def test_a_file_that_changes_at_this_point_is_never_mixed(site: Site, point: str, change: str) -> None:
    """The process is ended at `point`, the file is changed, and the process goes on: what is stored is one version."""
    site.configure(folder='settle = "50ms"', upload='chunk_size = "256KiB"')
    path = site.drop / "a.png"
    versions = {"first": sample("png", 1, 700 * KIB)}
    path.write_bytes(versions["first"])
    assert site.once(LAYERWATCH_END_AT=point).returncode == -signal.SIGKILL
    if change == "deleted":
        path.unlink()
    else:
        size = {"replaced": 700, "grown": 900, "shrunk": 300}[change] * KIB
        versions["second"] = sample("png", 2, size)
        path.write_bytes(versions["second"])
    assert site.once().returncode == 0

    stored = {item.sha256 for item in site.sandbox.objects}
    known = {hashlib.sha256(content).hexdigest() for content in versions.values()}
    assert stored <= known, "an object that is neither version"
    assert len(stored) == len(site.sandbox.objects)
    if change != "deleted":
        assert hashlib.sha256(versions["second"]).hexdigest() in stored
    told = {row["hash"]: (row["status"], row["error_code"]) for row in site.rows()}
    for sha256, (status, code) in told.items():
        assert (status == "uploaded") == (sha256 in stored), (status, code)
    assert set(told.values()) <= {("uploaded", None), ("skipped", "changed"), ("skipped", "vanished")}


def test_files_that_change_under_running_uploads_end_as_their_last_version(site: Site) -> None:
    site.configure(folder='settle = "50ms"', upload='chunk_size = "256KiB"')
    site.sandbox.faults = Faults(bandwidth=2 * 1024 * KIB)
    lucky = random.Random(4)
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    final = {}
    for round_ in range(4):
        for number in range(8):
            content = sample("png", round_ * 100 + number, lucky.randrange(100, 1500) * KIB)
            final[f"{number}.png"] = hashlib.sha256(content).hexdigest()
            (site.drop / f"{number}.png").write_bytes(content)
        enough = site.sandbox.counters["put"] + 6
        until(lambda enough=enough: site.sandbox.counters["put"] >= enough, "uploads to be under way")  # type: ignore[misc]
    site.sandbox.faults = Faults()
    until(lambda: set(final.values()) <= {item.sha256 for item in site.sandbox.objects}, "the last versions")
    until(lambda: not set(site.statuses()) & {"queued", "uploading"}, "the end of the work")
    assert site.end(daemon) == 0
    ours = {row["hash"] for row in site.rows()}
    assert {item.sha256 for item in site.sandbox.objects} <= ours, "an object that mixes two versions"
    assert site.sandbox.violations == []
