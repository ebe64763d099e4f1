"""The real observer on a real folder: whatever appears is hinted, by whichever way it came."""

import inspect
import logging
import os
import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers import inotify_c

from layerwatch.watch import Sign, Watch

PATIENCE_S = 10.0


class Hints:
    """What was hinted, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Sign]] = queue.SimpleQueue()
        self._marks = 0

    def __call__(self, path: str, sign: Sign) -> None:
        self._queue.put((path, sign))

    def until(self, path: Path | str, sign: Sign) -> list[tuple[str, Sign]]:
        """All up to and including that one."""
        seen: list[tuple[str, Sign]] = []
        deadline = time.monotonic() + PATIENCE_S
        while (str(path), sign) not in seen:
            try:
                seen.append(self._queue.get(timeout=max(deadline - time.monotonic(), 0)))
            except queue.Empty:
                pytest.fail(f"no {sign} for {path}, only {seen}")
        return seen

    def until_marked(self, root: Path) -> list[tuple[str, Sign]]:
        """All that comes of what was done before now, without this call's own mark."""
        self._marks += 1
        mark = root / f"mark{self._marks}"
        mark.touch()
        return [hint for hint in self.until(mark, Sign.DONE) if hint[0] != str(mark)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "drop"
    root.mkdir()
    return root


@pytest.fixture
def overflows() -> list[str]:
    return []


@pytest.fixture
def watch(overflows: list[str]) -> Iterator[Watch]:
    watch = Watch(lambda: overflows.append("overflow"))
    watch.start()
    yield watch
    watch.stop()
    watch.join(PATIENCE_S)
    assert not watch.alive


@pytest.fixture
def hints(watch: Watch, root: Path) -> Hints:
    hints = Hints()
    watch.add(str(root), hints, recursive=True)
    return hints


def test_a_file_is_there_when_it_is_created_and_done_when_it_is_closed(root: Path, hints: Hints) -> None:
    path = root / "a.png"
    with path.open("wb") as file:
        assert hints.until(path, Sign.THERE) == [(str(path), Sign.THERE)]
        file.write(b"x")
    assert hints.until(path, Sign.DONE) == [(str(path), Sign.DONE)]


def test_a_file_renamed_to_its_final_name_is_done(root: Path, hints: Hints) -> None:
    (root / "a.tmp").write_bytes(b"x")
    (root / "a.tmp").rename(root / "a.png")
    assert hints.until(root / "a.png", Sign.DONE)


def test_a_file_moved_or_linked_in_from_outside_is_there(root: Path, hints: Hints) -> None:
    outside = root.parent / "a.png"
    outside.write_bytes(b"x")
    os.link(outside, root / "b.png")
    outside.rename(root / "a.png")
    hints.until(root / "b.png", Sign.THERE)
    hints.until(root / "a.png", Sign.THERE)


def test_a_tree_moved_in_is_a_tree_and_what_comes_into_it_later_is_hinted(root: Path, hints: Hints) -> None:
    tree = root.parent / "shots"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "a.png").write_bytes(b"x")
    tree.rename(root / "shots")
    hints.until(root / "shots", Sign.TREE)
    hints.until_marked(root)
    late = root / "shots" / "deep" / "b.png"
    late.write_bytes(b"x")
    hints.until(late, Sign.DONE)


def test_a_new_sub_folder_is_a_tree_and_is_watched(root: Path, hints: Hints) -> None:
    (root / "new").mkdir()
    hints.until(root / "new", Sign.TREE)
    (root / "new" / "a.png").write_bytes(b"x")
    hints.until(root / "new" / "a.png", Sign.DONE)


def test_a_renamed_folder_is_a_tree_under_its_new_name_and_still_watched(root: Path, hints: Hints) -> None:
    (root / "before").mkdir()
    hints.until(root / "before", Sign.TREE)
    (root / "before" / "a.png").write_bytes(b"x")
    hints.until(root / "before" / "a.png", Sign.DONE)
    (root / "before").rename(root / "after")
    hints.until(root / "after", Sign.TREE)
    (root / "after" / "b.png").write_bytes(b"x")
    hints.until(root / "after" / "b.png", Sign.DONE)


def test_a_sub_folder_is_not_watched_where_only_the_folder_itself_is(watch: Watch, root: Path) -> None:
    (root / "sub").mkdir()
    hints = Hints()
    watch.add(str(root), hints, recursive=False)
    (root / "sub" / "a.png").write_bytes(b"x")
    (root / "b.png").write_bytes(b"x")
    assert {path for path, _ in hints.until_marked(root)} == {str(root / "b.png")}


def test_reading_and_deleting_are_no_news(root: Path, hints: Hints) -> None:
    (root / "a.png").write_bytes(b"x")
    (root / "sub").mkdir()
    hints.until_marked(root)
    (root / "a.png").read_bytes()
    os.listdir(root / "sub")
    os.chmod(root / "a.png", 0o600)
    (root / "a.png").unlink()
    (root / "sub").rmdir()
    assert hints.until_marked(root) == []


def test_a_name_that_is_not_utf8_is_hinted_as_it_is(root: Path, hints: Hints) -> None:
    path = os.fsdecode(os.fsencode(root) + b"/\xff\n.png")
    Path(path).write_bytes(b"x")
    hints.until(path, Sign.DONE)


def test_two_folders_are_told_apart(watch: Watch, root: Path, hints: Hints) -> None:
    other, others = root.parent / "other", Hints()
    other.mkdir()
    watch.add(str(other), others, recursive=True)
    (root / "a.png").write_bytes(b"x")
    (other / "b.png").write_bytes(b"x")
    assert {path for path, _ in hints.until_marked(root)} == {str(root / "a.png")}
    assert {path for path, _ in others.until_marked(other)} == {str(other / "b.png")}


def test_a_folder_that_is_missing_says_so_and_the_others_go_on(watch: Watch, root: Path, hints: Hints) -> None:
    with pytest.raises(FileNotFoundError):
        watch.add(str(root / "missing"), Hints(), recursive=True)
    (root / "a.png").write_bytes(b"x")
    hints.until(root / "a.png", Sign.DONE)


def test_a_folder_that_went_and_came_back_is_watched_when_it_is_added_again(
    watch: Watch, root: Path, hints: Hints
) -> None:
    (root / "a.png").write_bytes(b"x")
    hints.until(root / "a.png", Sign.DONE)
    root.rename(root.with_name("gone"))
    root.mkdir()
    watch.add(str(root), hints, recursive=True)
    (root / "b.png").write_bytes(b"x")
    hints.until(root / "b.png", Sign.DONE)


def test_a_folder_that_was_missing_is_watched_once_it_is_there(watch: Watch, root: Path) -> None:
    late, hints = root / "late", Hints()
    with pytest.raises(FileNotFoundError):
        watch.add(str(late), hints, recursive=True)
    late.mkdir()
    watch.add(str(late), hints, recursive=True)
    (late / "a.png").write_bytes(b"x")
    hints.until(late / "a.png", Sign.DONE)


def test_what_is_removed_is_no_longer_watched_and_may_be_removed_twice(watch: Watch, root: Path, hints: Hints) -> None:
    other, others = root.parent / "other", Hints()
    other.mkdir()
    watch.add(str(other), others, recursive=True)
    for _ in range(2):
        watch.remove(str(root))
    (root / "a.png").write_bytes(b"x")
    others.until_marked(other)
    with pytest.raises(queue.Empty):
        hints._queue.get_nowait()


# --- lost events ------------------------------------------------------------------------------------------------------

LOGGER = logging.getLogger("watchdog.observers.inotify_c")
SAID = "Inotify queue overflowed; filesystem events were lost"


@pytest.mark.usefixtures("watch")
def test_a_full_queue_is_told_and_nothing_else_is(overflows: list[str]) -> None:
    LOGGER.warning("something else")
    assert overflows == []
    LOGGER.warning(SAID)
    assert overflows == ["overflow"]


def test_it_is_told_in_the_words_that_watchdog_has_for_it() -> None:
    assert f'logger.warning("{SAID}")' in inspect.getsource(inotify_c)
    assert inotify_c.logger is LOGGER


def test_after_the_stop_nothing_is_told() -> None:
    told: list[str] = []
    watch = Watch(lambda: told.append("overflow"))
    before = list(LOGGER.handlers)
    watch.start()
    assert watch.alive
    watch.stop()
    watch.join(PATIENCE_S)
    LOGGER.warning(SAID)
    assert told == []
    assert LOGGER.handlers == before
