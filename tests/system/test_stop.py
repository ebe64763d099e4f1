"""Ended in the middle, politely or not: nothing is lost, nothing is stored twice, hardly a byte is sent again."""

import hashlib
import random
import re
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from layerwatch.samples import sample
from layerwatch.sandbox import Faults
from tests.system.conftest import Site, until

KIB, MIB = 1024, 1024 * 1024


def test_sigterm_in_the_middle_of_an_upload_ends_soon_and_the_next_start_sends_only_the_rest(site: Site) -> None:
    site.configure(upload='chunk_size = "64MiB"\nmax_file_size = "64MiB"')
    site.sandbox.faults = Faults(bandwidth=8 * MIB)
    content = sample("mp4", 1, 32 * MIB)
    (site.drop / "big.mp4").write_bytes(content)
    daemon = site.start()
    until(lambda: site.sandbox.counters["start"] == 1, "the upload")
    time.sleep(1.0)  # of the four that it takes
    asked_at = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    assert time.monotonic() - asked_at < 5, "the promise is 5 seconds"
    assert site.statuses() == {"queued": 1}
    until(lambda: site.sandbox.counters["bytes_received"], "the sandbox to count what it got")
    received = site.sandbox.counters["bytes_received"]
    assert 0 < received < len(content)

    site.sandbox.faults = Faults()
    assert site.once().returncode == 0
    assert [stored.sha256 for stored in site.sandbox.objects] == [hashlib.sha256(content).hexdigest()]
    assert site.sandbox.counters["upload_url"] == 1
    assert site.sandbox.counters["bytes_received"] <= len(content) + 256 * KIB
    assert site.sandbox.violations == []


def test_a_second_signal_ends_it_at_once(site: Site) -> None:
    daemon = site.start()
    until(lambda: any(event["event"] == "folder" for event in site.events()), "the folder to be watched")
    site.sandbox.faults = Faults(latency_s=30)
    (site.drop / "a.png").write_bytes(sample("png", 1))
    until(lambda: site.statuses().get("uploading"), "an upload, which hangs")
    daemon.send_signal(signal.SIGINT)
    daemon.send_signal(signal.SIGTERM)  # of two alike one may be left out
    assert daemon.wait(10) == 1


def test_one_signal_is_enough_while_layer_is_asked_at_the_start(site: Site) -> None:
    site.sandbox.faults = Faults(latency_s=60)
    daemon = site.start()
    until(lambda: _ignores(daemon.pid, signal.SIGIO), "it to hear signals, behind which it sees to that one")
    assert site.end(daemon) == 0
    assert site.events()[-1]["signal"] == "SIGTERM"


def _ignores(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) & 1 << number - 1)


@pytest.mark.long
def test_sigkill_twenty_times_over_a_hundred_files(site: Site) -> None:
    chunk = 256 * KIB
    site.configure(upload='chunk_size = "256KiB"\nworkers = 4', folder='settle = "50ms"')
    site.sandbox.faults = Faults(bandwidth=3 * MIB, latency_s=0.005)
    lucky = random.Random(20)
    expected = {}
    for seed in range(100):
        content = sample(("png", "mp4", "wav", "jpg", "webp", "mp3")[seed % 6], seed, lucky.randrange(2, 1500) * KIB)
        expected[hashlib.sha256(content).hexdigest()] = len(content)
        (site.drop / f"{seed:03}").write_bytes(content)
    for _ in range(20):
        daemon = site.start()
        enough = site.sandbox.counters["put"] + lucky.randrange(1, 16)
        until(partial(lambda wanted: site.sandbox.counters["put"] >= wanted, enough), "uploads going on")
        daemon.kill()
        daemon.wait()
    site.sandbox.faults = Faults()
    assert site.once().returncode == 0

    assert site.statuses() == {"uploaded": 100}
    stored = site.sandbox.objects
    assert Counter(item.sha256 for item in stored) == Counter(expected.keys())
    assert {row["file_id"]: row["hash"] for row in site.rows()} == {item.file_id: item.sha256 for item in stored}
    assert site.sandbox.violations == []
    # 4 workers, 20 kills: at most one chunk of each file under way is sent again.
    assert site.sandbox.counters["bytes_received"] <= sum(expected.values()) + 20 * 4 * chunk


def test_two_on_one_ledger_do_not_get_in_each_others_way(site: Site) -> None:
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the first one")
    second = site.once()
    assert second.returncode == 3
    assert f"process {daemon.pid}" in second.stderr
    daemon.kill()
    daemon.wait()
    assert site.once().returncode == 0
