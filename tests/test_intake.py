"""A batch of candidates that a scan has seen: whatever happens to their directory meanwhile, what is written down is
what lies in the folder afterwards."""

import logging
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layerwatch.config import Folder
from layerwatch.errors import Code
from layerwatch.ignore import Selection
from layerwatch.intake import Intake, Surroundings
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice
from layerwatch.samples import sample
from layerwatch.source import identity
from layerwatch.walk import walk

FILES = 6


@dataclass
class Bench:
    """A drop folder whose files are in `sub`, and a place `outside` of it; `now` is the clock. `change` happens once,
    while the file is hashed that is examined as the third."""

    root: Path
    outside: Path
    ledger: Ledger
    now: float = 1000.0
    change: Callable[[], object] = lambda: None
    hears: Callable[[int], bool] = lambda _level: True
    told: list[Notice] = field(default_factory=list)
    asked: int = 0

    @property
    def sub(self) -> Path:
        return self.root / "sub"

    def put(self, count: int = FILES) -> None:
        self.sub.mkdir()
        for number in range(count):
            (self.sub / f"{number}.png").write_bytes(sample("png", number, 2000))

    def intake(self) -> Intake:
        around = Surroundings(
            ledger=self.ledger,
            wall=lambda: self.now,
            monotonic=lambda: self.now,
            stopping=self._stopping,
            queued=lambda: None,
            tell=self.told.append,
            max_size=10**6,
            aftermath=False,
            why_no_input=lambda _: None,
            hears=self.hears,
        )
        return Intake(Folder(name="drop", path=str(self.root), settle=0.0), around, lambda: str(self.root))

    def _stopping(self) -> bool:
        self.asked += 1
        if self.asked == self.changes_at:
            self.change()
        return False

    @property
    def changes_at(self) -> int:
        """Asked before each candidate is taken, once more for want of another, and before each file is hashed."""
        return FILES + 1 + 3

    def scan(self, intake: Intake) -> None:
        for directory in walk(str(self.root), str(self.root), Selection(), recursive=True):
            intake.see_all(directory.files, directory.irregular)

    def take(self, intake: Intake) -> None:
        """Until nothing is due."""
        while (due_at := intake.next_due_at()) is not None and due_at <= self.now:
            intake.take_due(self.now + 1)

    def rows(self) -> dict[str, tuple[str, str | None]]:
        """Status and error code of what the ledger knows, by the path below the root."""
        found = self.ledger.reports.files(limit=100)
        return {os.path.relpath(row.path, self.root): (row.status, row.error_code) for row in found}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = tmp_path.resolve()
    root, outside = home / "drop", home / "drop-elsewhere"  # whose name begins like that of the root
    root.mkdir()
    outside.mkdir()
    with Ledger(str(home / "ledger.db")) as ledger:
        yield Bench(root, outside, ledger)


def names(count: int = FILES) -> list[str]:
    return [f"sub/{number}.png" for number in range(count)]


def scanned(bench: Bench, change: Callable[[], object]) -> dict[str, tuple[str, str | None]]:
    bench.put()
    bench.change = change
    intake = bench.intake()
    bench.scan(intake)
    bench.take(intake)
    assert bench.asked >= bench.changes_at, "the change came in the middle"
    return bench.rows()


def test_all_that_a_scan_saw_is_taken(bench: Bench) -> None:
    assert scanned(bench, lambda: None) == dict.fromkeys(names(), ("queued", None))


def test_a_directory_that_is_moved_out_of_the_folder_meanwhile_leaves_nothing_behind(bench: Bench) -> None:
    assert scanned(bench, lambda: bench.sub.rename(bench.outside / "sub")) == {}


def test_a_directory_that_is_deleted_meanwhile_leaves_nothing_behind(bench: Bench) -> None:
    assert scanned(bench, lambda: shutil.rmtree(bench.sub)) == {}


def test_a_directory_that_is_renamed_in_the_folder_is_not_taken_under_its_old_name(bench: Bench) -> None:
    assert scanned(bench, lambda: bench.sub.rename(bench.root / "other")) == {}


def test_a_directory_that_becomes_a_link_to_itself_outside_is_not_followed(bench: Bench) -> None:
    def swapped() -> None:
        bench.sub.rename(bench.outside / "sub")
        bench.sub.symlink_to(bench.outside / "sub")

    # By path, size, time and inode these are the files that were listed: only where they lie tells.
    assert scanned(bench, swapped) == dict.fromkeys(names(), ("skipped", Code.UNSUPPORTED_TYPE))


def test_a_directory_that_becomes_a_link_to_the_same_files_outside_is_not_followed(bench: Bench) -> None:
    def swapped() -> None:
        (bench.outside / "sub").mkdir()
        for path in bench.sub.iterdir():
            os.link(path, bench.outside / "sub" / path.name)
        bench.sub.rename(bench.root / "before")
        bench.sub.symlink_to(bench.outside / "sub")

    assert scanned(bench, swapped) == dict.fromkeys(names(), ("skipped", Code.UNSUPPORTED_TYPE))


def test_a_directory_whose_parent_becomes_a_link_is_not_followed(bench: Bench) -> None:
    deep = bench.sub / "deep"

    def swapped() -> None:
        bench.sub.rename(bench.outside / "sub")
        bench.sub.symlink_to(bench.outside / "sub")

    deep.mkdir(parents=True)
    for number in range(FILES):
        (deep / f"{number}.png").write_bytes(sample("png", number, 2000))
    bench.change = swapped
    intake = bench.intake()
    bench.scan(intake)
    bench.take(intake)
    assert set(bench.rows().values()) == {("skipped", Code.UNSUPPORTED_TYPE)}
    assert len(bench.rows()) == FILES


def test_a_directory_made_anew_with_files_of_the_same_names_is_taken_as_it_is_now(bench: Bench) -> None:
    def made_anew() -> None:
        bench.sub.rename(bench.outside / "sub")
        bench.put()
        for path in bench.sub.iterdir():
            path.write_bytes(sample("png", 99, 3000))

    assert scanned(bench, made_anew) == dict.fromkeys(names(), ("queued", None))
    assert {row.size for row in bench.ledger.reports.files(limit=100)} == {3000}
    assert len({row.hash for row in bench.ledger.reports.files(limit=100)}) == 1


def test_a_file_that_changes_after_it_was_listed_is_taken_as_it_is_now(bench: Bench) -> None:
    bench.put()
    intake = bench.intake()
    bench.scan(intake)
    secret = bench.outside / "secret.png"
    secret.write_bytes(sample("png", 7, 4000))
    for name in ("0.png", "2.png", "3.png", "4.png"):
        (bench.sub / name).unlink()
    (bench.sub / "1.png").write_bytes(sample("png", 1, 3000))
    (bench.sub / "2.png").symlink_to(secret)
    os.mkfifo(bench.sub / "3.png")
    (bench.sub / "4.png").mkdir()
    bench.take(intake)
    skipped = ("skipped", Code.UNSUPPORTED_TYPE)
    queued = ("queued", None)
    expected = [queued, skipped, skipped, skipped, queued]
    assert bench.rows() == dict(zip(names()[1:], expected, strict=True))


def test_what_was_listed_as_irregular_is_refused_and_never_opened(bench: Bench) -> None:
    bench.put(2)
    os.mkfifo(bench.sub / "fifo.png")
    (bench.sub / "link.png").symlink_to(bench.sub / "0.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bench.sub / "socket.png"))
        intake = bench.intake()
        bench.scan(intake)
        # Whoever opens a FIFO for reading lets those go on who wait to write to it.
        with pytest.raises(OSError, match="No such device or address"):
            os.open(bench.sub / "fifo.png", os.O_WRONLY | os.O_NONBLOCK)
        bench.take(intake)
    irregular = {f"sub/{name}.png": ("skipped", Code.UNSUPPORTED_TYPE) for name in ("fifo", "link", "socket")}
    assert bench.rows() == irregular | dict.fromkeys(names(2), ("queued", None))


def test_several_files_of_a_directory_are_looked_at_through_it_and_one_is_not(bench: Bench) -> None:
    def held() -> bool:
        return any(os.path.realpath(f"/proc/self/fd/{fd}") == str(bench.sub) for fd in os.listdir("/proc/self/fd"))

    answers: list[bool] = []
    scanned(bench, lambda: answers.append(held()))
    bench.asked = bench.changes_at - 3  # once for each of two candidates there are, then for its hash
    (bench.sub / "another.png").write_bytes(sample("png", 99, 2000))
    intake = bench.intake()
    intake.see_all([(str(path), identity(path.stat())) for path in bench.sub.glob("another.png")], ())
    bench.take(intake)
    assert answers == [True, False]


def test_no_directory_stays_open(bench: Bench) -> None:
    before = set(os.listdir("/proc/self/fd"))
    scanned(bench, lambda: bench.sub.rename(bench.outside / "sub"))
    after = set(os.listdir("/proc/self/fd")) - before
    assert [fd for fd in after if os.path.isdir(f"/proc/self/fd/{fd}")] == []


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_is_queued_is_put_into_words_only_where_somebody_hears_it(bench: Bench, level: int) -> None:
    bench.hears = lambda asked: asked >= level
    bench.put(2)
    (bench.sub / "empty.png").touch()
    intake = bench.intake()
    bench.scan(intake)
    bench.take(intake)
    events = sorted(notice.event for notice in bench.told)
    assert events == (["queued", "queued", "skipped"] if level == logging.DEBUG else ["skipped"])
