"""What becomes of an uploaded file: kept, moved or deleted, or left alone with a reason."""

import os
import queue
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from layerwatch import aftermath, ignore
from layerwatch.aftermath.confirmed import Confirmed, Done, Left, Outcome, Reason, nowhere, taken_by
from layerwatch.source import Digest, Identity
from layerwatch.watch import Watch
from tests.aftermath.world import (
    BYTES,
    Crash,
    Points,
    World,
    crash,
    made,
    on_another_filesystem,
    policies,
)

PATIENCE_S = 10.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    elsewhere = tmp_path.resolve() / "elsewhere"
    return World(tmp_path.resolve() / "base", elsewhere)


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Left), outcome
    assert outcome.message.encode().decode().isprintable()
    return outcome.reason


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


# --- done -------------------------------------------------------------------------------------------------------------


def test_a_kept_file_is_kept(world: World) -> None:
    assert aftermath.keep(world.file) == Done(str(world.path))
    assert world.path.read_bytes() == BYTES


def test_a_deleted_file_is_deleted_and_nothing_else(world: World) -> None:
    assert aftermath.delete(world.file) == Done(None)
    assert names(world.shots) == ["b.png"]


def test_a_folder_that_became_empty_stays(world: World) -> None:
    (world.shots / "b.png").unlink()
    aftermath.delete(world.file)
    assert names(world.shots) == []


def test_a_file_directly_in_the_folder(world: World) -> None:
    world.path.rename(world.root / "a.png")
    file = replace(world.file, path=str(world.root / "a.png"))
    assert aftermath.move(file, str(world.done)) == Done(str(world.done / "a.png"))
    assert names(world.root) == ["shots"]


@pytest.mark.parametrize("below", ["done", "done/by layerwatch"])
def test_a_move_within_the_folder_makes_the_place_and_keeps_the_path(world: World, below: str) -> None:
    there = world.root / below / "shots" / "a.png"
    assert aftermath.move(world.file, below) == Done(str(there))
    assert there.stat().st_ino == world.file.identity.inode
    assert there.stat().st_nlink == 1
    assert names(world.shots) == ["b.png"]
    assert names(there.parent) == ["a.png"]


def test_a_move_out_of_the_folder_keeps_the_file_itself(world: World) -> None:
    assert aftermath.move(world.file, str(world.done)) == Done(str(world.done / "shots" / "a.png"))
    assert (world.done / "shots" / "a.png").stat().st_ino == world.file.identity.inode
    assert names(world.done) == ["shots", "x.png"]


@on_another_filesystem
def test_a_move_to_another_filesystem_keeps_bytes_time_and_mode_but_never_set_uid() -> None:
    with made() as world:
        world.path.chmod(0o4754)
        there = world.elsewhere / "shots" / "a.png"
        assert aftermath.move(world.file, str(world.elsewhere)) == Done(str(there))
        status = there.stat()
        assert there.read_bytes() == BYTES
        assert status.st_mtime_ns == world.file.identity.mtime_ns
        assert stat.S_IMODE(status.st_mode) == 0o754
        assert names(there.parent) == ["a.png"]
        assert names(world.shots) == ["b.png"]


@on_another_filesystem
def test_a_copy_that_is_taken_away_before_it_is_shown_is_none() -> None:
    with made() as world:

        def spoil() -> None:
            (copy,) = (world.elsewhere / "shots").iterdir()
            copy.rename(world.elsewhere / "stolen")

        outcome = aftermath.move(world.file, str(world.elsewhere), Points({"copying": spoil}))
        assert reason(outcome) is Reason.FAILED
        assert world.path.read_bytes() == BYTES
        assert names(world.elsewhere / "shots") == []


@pytest.mark.parametrize("name", ["\udcff\n.png", "x" * 251 + ".png", "ä" * 125 + ".png", ".png", "a (2).png"])
def test_any_name(world: World, name: str) -> None:
    path = world.shots / name
    world.path.rename(path)
    file = replace(world.file, path=str(path))
    assert aftermath.move(file, "done") == Done(str(world.root / "done" / "shots" / name))
    assert reason(aftermath.move(replace(file, path=str(path)), str(world.done))) is Reason.GONE
    moved = replace(file, path=str(world.root / "done" / "shots" / name))
    assert aftermath.delete(moved) == Done(None)


# --- where the name is taken ------------------------------------------------------------------------------------------


def test_a_taken_name_is_never_written_over(world: World) -> None:
    place = world.done / "shots"
    place.mkdir()
    (place / "a.png").write_bytes(b"one")
    (place / "a (2).png").symlink_to("nowhere")
    (place / "a (3).png").mkdir()
    assert aftermath.move(world.file, str(world.done)) == Done(str(place / "a (4).png"))
    assert (place / "a.png").read_bytes() == b"one"


def test_a_name_of_full_length_is_shortened_to_be_numbered(world: World) -> None:
    name = "ä" * 125 + ".png"
    world.path.rename(world.shots / name)
    (world.done / "shots").mkdir()
    (world.done / "shots" / name).write_bytes(b"one")
    outcome = aftermath.move(replace(world.file, path=str(world.shots / name)), str(world.done))
    assert outcome == Done(str(world.done / "shots" / ("ä" * 123 + " (2).png")))


def test_the_same_bytes_there_are_the_moved_file(world: World) -> None:
    place = world.done / "shots"
    place.mkdir()
    (place / "a.png").write_bytes(b"another")
    (place / "a (2).png").write_bytes(BYTES)
    for _ in range(2):  # the second time the source is gone, and what lies there tells why
        assert aftermath.move(world.file, str(world.done)) == Done(str(place / "a (2).png"))
        assert names(place) == ["a (2).png", "a.png"]
        assert names(world.shots) == ["b.png"]


def test_a_link_to_the_same_bytes_is_not_the_moved_file(world: World) -> None:
    place = world.done / "shots"
    place.mkdir()
    (place / "a.png").symlink_to(world.path)
    assert aftermath.move(world.file, str(world.done)) == Done(str(place / "a (2).png"))


def test_when_a_thousand_names_are_taken_the_file_stays(world: World) -> None:
    place = world.done / "shots"
    place.mkdir()
    for number in range(1, 1001):
        (place / ("a.png" if number == 1 else f"a ({number}).png")).touch()
    assert reason(aftermath.move(world.file, str(world.done))) is Reason.EXISTS
    assert world.path.read_bytes() == BYTES
    assert len(names(place)) == 1000


# --- left alone -------------------------------------------------------------------------------------------------------

Remove = Callable[[Confirmed], Outcome]


def move_inside(file: Confirmed) -> Outcome:
    return aftermath.move(file, "done")


removing = pytest.mark.parametrize("remove", [aftermath.delete, move_inside])


@removing
def test_another_version_is_left_alone(world: World, remove: Remove) -> None:
    identity = world.file.identity
    for other in (
        Identity(identity.size + 1, identity.mtime_ns, identity.inode),
        Identity(identity.size, identity.mtime_ns + 1, identity.inode),
        Identity(identity.size, identity.mtime_ns, identity.inode + 1),
    ):
        assert reason(remove(replace(world.file, identity=other))) is Reason.CHANGED
    assert names(world.shots) == ["a.png", "b.png"]
    assert names(world.root) == ["shots"]


@removing
def test_other_bytes_of_the_same_size_and_time_are_left_alone(world: World, remove: Remove) -> None:
    with world.path.open("r+b") as file:
        file.write(b"U")
    os.utime(world.path, ns=(0, world.file.identity.mtime_ns))
    assert reason(remove(world.file)) is Reason.CHANGED
    assert names(world.shots) == ["a.png", "b.png"]


@removing
def test_what_is_gone_is_gone(world: World, remove: Remove) -> None:
    world.path.unlink()
    assert reason(remove(world.file)) is Reason.GONE
    assert reason(aftermath.keep(world.file)) is Reason.GONE
    world.shots.rename(world.base / "shots")
    assert reason(remove(world.file)) is Reason.GONE


@removing
def test_a_folder_that_is_away_says_nothing_about_its_files(world: World, remove: Remove) -> None:
    world.root.rename(world.base / "unmounted")
    assert reason(remove(world.file)) is Reason.FAILED
    assert reason(aftermath.keep(world.file)) is Reason.FAILED


WRITER = "import sys; file = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.read()"


@removing
def test_what_a_program_has_open_for_writing_is_left_alone(world: World, remove: Remove) -> None:
    command = [sys.executable, "-c", WRITER, str(world.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert reason(remove(world.file)) is Reason.IN_USE
        assert names(world.shots) == ["a.png", "b.png"]
        writer.communicate(b"")
    assert isinstance(remove(world.file), Done)


@removing
def test_no_link_is_followed_though_the_very_file_lies_behind_it(world: World, remove: Remove) -> None:
    os.link(world.path, world.secret / "linked.png")
    world.path.unlink()
    world.path.symlink_to(world.secret / "linked.png")
    assert reason(remove(world.file)) is Reason.CHANGED
    assert (world.secret / "linked.png").exists()
    assert world.path.is_symlink()


@removing
def test_no_folder_on_the_way_is_followed_that_became_a_link(world: World, remove: Remove) -> None:
    outside = world.base / "outside"
    world.shots.rename(outside)
    world.shots.symlink_to(outside)
    assert reason(remove(world.file)) is Reason.GONE
    assert (outside / "a.png").read_bytes() == BYTES


def test_a_file_outside_the_folder_is_nobodys_business(world: World) -> None:
    for path in (world.secret / "a.png", world.base / "dropped.png"):
        with pytest.raises(ValueError, match="below"):
            replace(world.file, path=str(path))
    tricky = replace(world.file, path=f"{world.root}/../secret/a.png")
    assert reason(aftermath.delete(tricky)) is Reason.FAILED
    assert (world.secret / "a.png").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
@removing
def test_where_we_may_not_write_the_file_stays(world: World, remove: Remove) -> None:
    world.shots.chmod(0o555)
    try:
        assert reason(remove(world.file)) is Reason.FAILED
        assert world.path.read_bytes() == BYTES
    finally:
        world.shots.chmod(0o755)


# --- where it cannot be moved to --------------------------------------------------------------------------------------


def test_a_place_that_is_none(world: World) -> None:
    (world.base / "file").touch()
    (world.base / "link").symlink_to(world.done)
    (world.root / "link").symlink_to(world.secret)
    (world.root / "file").touch()
    for place in (
        str(world.base / "file"),
        str(world.base / "link"),
        str(world.base / "not mounted"),
        "link",
        "link/deeper",
        "file",
        "../secret",
        "shots/../..",
        ".",
        "",
        str(world.root),
    ):
        assert reason(aftermath.move(world.file, place)) is Reason.FAILED, place
    assert names(world.shots) == ["a.png", "b.png"]
    assert names(world.secret) == ["a.png"]
    assert names(world.base) == ["done", "drop", "file", "link", "secret"]
    assert names(world.done) == ["x.png"]


def test_a_link_within_the_place_is_not_followed(world: World) -> None:
    (world.done / "shots").symlink_to(world.secret)
    assert reason(aftermath.move(world.file, str(world.done))) is Reason.FAILED
    assert names(world.secret) == ["a.png"]
    assert world.path.read_bytes() == BYTES


def test_a_place_that_takes_no_files(world: World) -> None:
    assert reason(aftermath.move(world.file, "/proc")) is Reason.FAILED
    assert names(world.shots) == ["a.png", "b.png"]


# --- what a crash left ------------------------------------------------------------------------------------------------


def crashed(world: World, point: str) -> None:
    with pytest.raises(Crash):
        aftermath.delete(world.file, Points({point: crash}))


def test_a_taken_file_tells_whose_it_is_and_is_nobodys_work(world: World) -> None:
    crashed(world, "taken")
    assert names(world.shots) == [f".layerwatch-12-{world.file.digest.sha256[:12]}-a.png", "b.png"]
    assert ignore.Selection().why_not(f"shots/{world.file.taken}")
    assert taken_by(world.file.taken) == (12, "a.png")
    assert taken_by(world.file.hidden("moving")) is None
    assert taken_by("a.png") is None


@pytest.mark.parametrize("name", ["ä" * 125 + ".png", "x" * 255, "\udcff" * 255])
def test_of_a_long_name_the_end_is_kept(world: World, name: str) -> None:
    taken = replace(world.file, path=str(world.shots / name)).taken
    assert 254 <= len(os.fsencode(taken)) <= 255
    _, end = taken_by(taken) or (0, "?")
    assert name.endswith(end)


def test_a_kept_file_is_put_back_where_another_policy_was_at_work(world: World) -> None:
    crashed(world, "verified")
    assert aftermath.keep(world.file) == Done(str(world.path))
    assert names(world.shots) == ["a.png", "b.png"]


def test_put_back_never_over_a_new_file(world: World) -> None:
    crashed(world, "verified")
    world.path.write_bytes(b"new")
    assert aftermath.keep(world.file) == Done(str(world.shots / "a (2).png"))
    assert world.path.read_bytes() == b"new"


def test_a_new_file_is_left_alone_where_the_old_one_is_still_to_be_deleted(world: World) -> None:
    crashed(world, "verified")
    world.path.write_bytes(b"new")
    assert aftermath.delete(world.file) == Done(None)
    assert world.path.read_bytes() == b"new"


def test_what_cannot_be_put_back_says_where_it_is(world: World) -> None:
    world.path.rename(world.shots / world.file.taken)
    for number in range(1, 1001):
        (world.shots / ("a.png" if number == 1 else f"a ({number}).png")).touch()
    for outcome in (aftermath.keep(world.file), aftermath.delete(replace(world.file, identity=Identity(1, 1, 1)))):
        assert reason(outcome) is Reason.FAILED
        assert isinstance(outcome, Left)
        assert f"lies beside its place as {world.file.taken} and could not be put back" in outcome.message
    assert (world.shots / world.file.taken).read_bytes() == BYTES


def test_what_was_renamed_says_so(world: World) -> None:
    def newer() -> None:
        world.path.write_bytes(b"newer")

    def another() -> None:
        world.path.unlink()
        world.path.write_bytes(b"another")

    outcome = aftermath.delete(world.file, Points({"found": another, "taken": newer}))
    assert reason(outcome) is Reason.CHANGED
    assert isinstance(outcome, Left)
    assert outcome.message.endswith("is now called a (2).png")
    assert world.path.read_bytes() == b"newer"
    assert (world.shots / "a (2).png").read_bytes() == b"another"


def rename_out(world: World) -> None:
    world.path.rename(world.done / "a.png")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch(lambda: None)
    watch.start()
    yield watch
    watch.stop()
    watch.join(PATIENCE_S)


def delay_s(watch: Watch, world: World, act: Callable[[World], object]) -> float:
    """How late a file is seen that is created right after the act."""
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    watch.add(str(world.root), lambda path, _sign: seen.put(path), recursive=True)
    act(world)
    after = world.root / "after.png"
    since = time.monotonic()
    after.write_bytes(b"x")
    while seen.get(timeout=PATIENCE_S) != str(after):
        pass
    return time.monotonic() - since


@on_another_filesystem
@pytest.mark.parametrize("policy", [*policies])
def test_events_are_not_held_back_as_by_a_rename_out_of_the_folder(watch: Watch, policy: str) -> None:
    with made() as world:
        slow_s = delay_s(watch, world, rename_out)
    quick_s = []
    for _ in range(3):  # a busy machine may hold back a single one
        with made() as world:
            quick_s.append(delay_s(watch, world, lambda world: policies[policy](world, nowhere)))
            assert world.path.exists() == (policy == "keep")
    assert min(quick_s) < slow_s / 2


def test_a_digest_is_of_this_version_only() -> None:
    one = Confirmed(1, "f", "/r", "/r/a", Identity(1, 1, 1), Digest("a" * 64, 0), "t", "f", "w", "")
    assert one.taken != replace(one, digest=Digest("b" * 64, 0)).taken != replace(one, id=2).taken
