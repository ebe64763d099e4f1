"""The main job, whole: files dropped in every way that programs do it are stored once, rightly, and in the ledger."""

import hashlib
import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from layerwatch.samples import sample
from tests.system.conftest import Site, until

KIB, MIB = 1024, 1024 * 1024
TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}


class Writers:
    """Programs that drop files in their own ways, all at once. `expected`: content type by SHA-256."""

    def __init__(self, site: Site) -> None:
        self.drop = site.drop
        self.home = site.home
        self.expected: dict[str, str] = {}
        sizes = [KIB, 10 * KIB, 100 * KIB, MIB, 5 * MIB]
        self.sizes = [random.Random(seed).choice(sizes) for seed in range(200)]
        self.sizes[::40] = [60 * MIB, 30 * MIB, 60 * MIB, 20 * MIB, 60 * MIB]

    def make(self, path: Path, seed: int) -> None:
        kind = list(TYPES)[seed % len(TYPES)]
        content = sample(kind, seed, self.sizes[seed])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.{kind}").write_bytes(content)
        self.expected[hashlib.sha256(content).hexdigest()] = TYPES[kind]

    def before(self) -> None:
        for seed in range(40):
            self.make(self.drop / "before" / f"b{seed}", seed)

    def plain(self) -> None:
        for seed in range(40, 80):
            self.make(self.drop / f"plain{seed}", seed)

    def renamed_in(self) -> None:
        for seed in range(80, 120):
            self.make(self.home / "outside" / f"r{seed}", seed)
        for path in sorted((self.home / "outside").iterdir()):
            path.rename(self.drop / path.name)

    def copied_tree(self) -> None:
        for seed in range(120, 160):
            self.make(self.home / "tree" / f"deep{seed % 4}" / "er" / f"c{seed}", seed)
        shutil.copytree(self.home / "tree", self.drop / "copied")

    def moved_tree(self) -> None:
        for seed in range(160, 200):
            self.make(self.home / "moving" / f"shot{seed % 3}" / f"m{seed}", seed)
        (self.home / "moving").rename(self.drop / "moved")

    def all_at_once(self) -> None:
        writers = [
            threading.Thread(target=work) for work in (self.plain, self.renamed_in, self.copied_tree, self.moved_tree)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()


def test_two_hundred_files_dropped_in_every_way_are_each_stored_once(site: Site) -> None:
    writers = Writers(site)
    writers.before()
    daemon = site.start()
    writers.all_at_once()
    until(lambda: site.statuses() == {"uploaded": 200}, "200 uploaded files", 100)

    assert site.end(daemon) == 0
    objects = site.sandbox.objects
    assert len(objects) == 200
    assert {stored.sha256: stored.content_type for stored in objects} == writers.expected
    assert all(stored.type_matches and not stored.late for stored in objects)
    by_id = {stored.file_id: stored.sha256 for stored in objects}
    assert {row["file_id"]: row["hash"] for row in site.rows()} == by_id
    assert site.sandbox.violations == []


def test_a_file_written_in_five_parts_with_pauses_is_uploaded_once_and_whole(site: Site) -> None:
    site.configure(folder='settle = "2s"')
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    contents = {kind: sample(kind, 5, 50 * KIB) for kind in ("png", "mp3")}
    files = {kind: (site.drop / f"slow.{kind}").open("wb", buffering=0) for kind in contents}
    for part in range(5):
        for kind, content in contents.items():
            files[kind].write(content[part * 10 * KIB : (part + 1) * 10 * KIB if part < 4 else None])
        if part < 4:
            time.sleep(1.5)  # what is tested is time: a writer that pauses
    for file in files.values():
        file.close()
    until(lambda: site.statuses() == {"uploaded": 2}, "the two slow files")
    assert site.end(daemon) == 0
    assert {stored.sha256 for stored in site.sandbox.objects} == {
        hashlib.sha256(content).hexdigest() for content in contents.values()
    }
    assert site.sandbox.counters["upload_url"] == 2


def test_a_file_reopened_for_each_part_is_uploaded_once_and_whole(site: Site) -> None:
    site.configure(folder='settle = "2s"')
    daemon = site.start()
    until(lambda: "watching" in site.said(), "the watch")
    content = sample("mp3", 6, 50 * KIB)  # nothing in an MP3 tells where it ends
    for part in range(5):
        with (site.drop / "slow.mp3").open("ab") as file:
            file.write(content[part * 10 * KIB : (part + 1) * 10 * KIB if part < 4 else None])
        if part < 4:
            time.sleep(1.5)
    until(lambda: site.statuses() == {"uploaded": 1}, "the slow file")
    assert site.end(daemon) == 0
    assert [stored.sha256 for stored in site.sandbox.objects] == [hashlib.sha256(content).hexdigest()]


def test_a_png_cut_in_the_middle_never_goes_out_until_it_is_whole(site: Site) -> None:
    site.configure(folder='settle = "100ms"\nincomplete_after = "1s"')
    content = sample("png", 7, 100 * KIB)
    (site.drop / "cut.png").write_bytes(content[: len(content) // 2])
    daemon = site.start()
    until(lambda: site.statuses() == {"skipped": 1}, "the verdict")
    (row,) = site.rows()
    assert row["error_code"] == "incomplete"
    assert site.sandbox.counters["upload_url"] == 0

    (site.drop / "cut.png").write_bytes(content)
    until(lambda: site.statuses() == {"uploaded": 1}, "the file, once it is whole")
    assert site.end(daemon) == 0
    assert [stored.sha256 for stored in site.sandbox.objects] == [hashlib.sha256(content).hexdigest()]


def test_a_file_that_is_not_whole_waits_and_status_says_so(site: Site) -> None:
    site.configure(folder='settle = "100ms"')
    (site.drop / "cut.png").write_bytes(sample("png", 8, 100 * KIB)[:-20])
    daemon = site.start()
    until(lambda: "IEND" in site.call("status").stdout, "status that tells of the waiting file")
    assert site.rows() == []
    assert site.end(daemon) == 0


def test_the_same_content_under_another_path_needs_no_bytes(site: Site) -> None:
    content = sample("png", 9, MIB)
    for name in ("a.png", "b.png", "sub.png"):
        (site.drop / name).write_bytes(content)
    assert site.once().returncode == 0
    rows = site.rows()
    assert [row["status"] for row in rows] == ["uploaded"] * 3
    assert len({row["file_id"] for row in rows}) == 1
    assert site.sandbox.counters["bytes_received"] == len(content)


def test_a_restart_knows_what_was_done(site: Site) -> None:
    for seed in range(20):
        (site.drop / f"{seed}.png").write_bytes(sample("png", seed, 10 * KIB))
    assert site.once().returncode == 0
    touched = site.drop / "0.png"
    os.utime(touched)
    assert site.once().returncode == 0
    assert site.statuses() == {"uploaded": 20}
    assert site.sandbox.counters["upload_url"] == 20


def test_a_new_version_of_a_file_is_a_new_row(site: Site) -> None:
    path = site.drop / "shot.png"
    path.write_bytes(sample("png", 1, 10 * KIB))
    assert site.once().returncode == 0
    path.write_bytes(sample("png", 2, 10 * KIB))
    assert site.once().returncode == 0
    first, second = site.rows()
    assert first["path"] == second["path"]
    assert first["file_id"] != second["file_id"]
    assert site.statuses() == {"uploaded": 2}


@pytest.mark.parametrize("mode", ["native", "polling"])
def test_both_ways_of_watching_see_what_is_dropped(site: Site, mode: str) -> None:
    site.configure(folder=f'settle = "100ms"\nwatch = "{mode}"')
    daemon = site.start()
    until(lambda: {"native": "watching", "polling": "polling"}[mode] in site.said(), "the watch")
    (site.drop / "sub").mkdir()
    (site.drop / "sub" / "a.png").write_bytes(sample("png", 1, 10 * KIB))
    until(lambda: site.statuses() == {"uploaded": 1}, "the file")
    assert site.end(daemon) == 0


def test_existing_false_takes_only_what_comes_later(site: Site) -> None:
    site.configure(folder='settle = "100ms"\nexisting = false')
    (site.drop / "old.png").write_bytes(sample("png", 1, 10 * KIB))
    daemon = site.start()
    until(lambda: site.statuses() == {"skipped": 1}, "the old file")
    (site.drop / "new.png").write_bytes(sample("png", 2, 10 * KIB))
    until(lambda: site.statuses() == {"skipped": 1, "uploaded": 1}, "the new file")
    assert site.end(daemon) == 0
    assert site.once().returncode == 0
    assert site.statuses() == {"skipped": 1, "uploaded": 1}
