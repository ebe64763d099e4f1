"""A result gets its name when it is whole, durable and known, in the drop folder and over nobody's file."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from layerwatch import points
from layerwatch.aftermath import placing
from layerwatch.errors import Code, Final, FolderAway, JobError, LedgerTrouble, Stopped, TryAgain
from layerwatch.results import Found, saving
from layerwatch.samples import KINDS, sample
from tests.results.world import PNG, World, blocks, sha256


def test_a_result_is_saved_under_the_name_of_its_source(world: World) -> None:
    assert world.save() == Found(str(world.result), sha256(PNG), len(PNG), "image/png")
    assert world.files() == {"sub/a.png": b"the source", "generated/sub/a.restyle.png": PNG}
    assert world.intents == [(str(world.result), sha256(PNG), len(PNG))]
    assert world.result.stat().st_nlink == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("announced", [None, "application/octet-stream", "image/png"])
def test_its_bytes_say_what_it_is(world: World, kind: str, announced: str | None) -> None:
    found = world.save(sample(kind, 3), content_type=announced)
    assert found.path == str(world.directory / f"a.restyle.{kind}")
    assert found.content_type


@pytest.mark.parametrize(
    ("content", "announced", "name"),
    [
        (b'{"scene": 1}', "application/json", "a.restyle.json"),
        (b"glTF\2\0\0\0....", "application/octet-stream", "a.restyle.glb"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "a.restyle.svg"),
        (b"a prompt", "text/plain; charset=utf-8", "a.restyle.txt"),
        (b"\x00\x01", None, "a.restyle.bin"),
        (b"x", None, "a.restyle.bin"),
    ],
)
def test_what_is_none_of_the_six_types_is_what_was_announced(
    world: World, content: bytes, announced: str | None, name: str
) -> None:
    found = world.save(content, content_type=announced)
    assert (found.path, found.content_type) == (str(world.directory / name), None)


def test_several_results_are_numbered(world: World) -> None:
    for number in (1, 2, 10):
        world.save(sample("png", number), place=world.place(number=number, of=10))
    assert sorted(os.listdir(world.directory)) == [f"a.restyle.{number}.png" for number in ("01", "02", "10")]


def test_names_that_are_long_or_not_utf8(world: World) -> None:
    for stem in ("x" * 251, "ä" * 125, "\udcff" * 200, "caf\udce9"):
        found = world.save(place=world.place(source=f"sub\udcfe/{stem}.png"))
        assert Path(found.path).read_bytes() == PNG
        assert os.path.dirname(found.path) == f"{world.root}/generated/sub\udcfe"
        assert len(os.fsencode(os.path.basename(found.path))) <= 237


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_who_may_read_it_is_for_the_umask_to_say(world: World, umask: int) -> None:
    before = os.umask(umask)
    try:
        world.save()
    finally:
        os.umask(before)
    assert world.result.stat().st_mode & 0o777 == 0o666 & ~umask
    assert world.directory.stat().st_mode & 0o777 == 0o777 & ~umask


def test_the_points_are_passed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[tuple[str, bool]] = []
    monkeypatch.setattr(points, "passed", lambda name: passed.append((name, world.result.exists())))
    world.save()
    assert passed == [("placing", False), ("placed", True)]


def test_a_result_is_durable_before_anybody_hears_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        fsync(fd)

    def intent(*_: object) -> None:
        assert len(PNG) in synced
        synced.clear()

    monkeypatch.setattr(os, "fsync", note)
    world.save(intent=intent)
    assert synced, "the name was not made durable"


# --- names that are taken ---------------------------------------------------------------------------------------------


def test_a_taken_name_is_left_to_who_has_it(world: World) -> None:
    world.directory.mkdir(parents=True)
    world.result.write_bytes(b"somebody's")
    (world.directory / "a.restyle (2).png").symlink_to(world.secret / "x")
    (world.directory / "a.restyle (3).png").mkdir()
    assert world.save().path == str(world.directory / "a.restyle (4).png")
    assert world.result.read_bytes() == b"somebody's"
    assert os.listdir(world.secret) == []
    assert [path for path, *_ in world.intents] == [str(world.directory / "a.restyle (4).png")]


def test_a_name_whose_provenance_is_anothers_is_not_used(world: World) -> None:
    world.directory.mkdir(parents=True)
    (world.directory / "a.restyle.png.layer.json").write_text('{"generation": 6}')
    (world.directory / "a.restyle (2).png.layer.json").write_text('{"generation": 7}')
    assert world.save().path == str(world.directory / "a.restyle (2).png")


def test_a_name_that_is_taken_in_the_very_moment_costs_another_intent(world: World) -> None:
    names = iter(["a.restyle.png", "a.restyle (2).png", ""])

    def intent(path: str, digest: str, size: int) -> None:
        world.note(path, digest, size)
        if name := next(names):
            (world.directory / name).write_bytes(b"somebody's")

    found = world.save(intent=intent)
    assert [os.path.basename(path) for path, *_ in world.intents] == [
        "a.restyle.png", "a.restyle (2).png", "a.restyle (3).png"
    ]  # fmt: skip
    assert Path(found.path).read_bytes() == PNG
    assert world.result.read_bytes() == b"somebody's"
    assert not world.hidden()


def test_when_every_name_is_taken_it_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "MOST", 3)
    for _ in range(3):
        world.save()
    with pytest.raises(TryAgain, match=r"every name like a\.restyle\.png is taken") as caught:
        world.save()
    assert caught.value.code == "disk"
    assert len(world.files()) == 4


# --- what is not taken for a result -----------------------------------------------------------------------------------


def refused(world: World, content: bytes | Iterator[bytes], **changes: object) -> JobError:
    with pytest.raises(JobError) as caught:
        world.save(content, **changes)
    world.check_nothing_happened()
    assert world.intents == []
    return caught.value


def test_what_is_announced_as_too_large_is_not_read(world: World) -> None:
    def untouched() -> Iterator[bytes]:
        pytest.fail("it was read")
        yield b""

    error = refused(world, untouched(), length=2049, max_size=2048)
    assert isinstance(error, Final)
    assert (error.code, error.message) == ("result_too_large", "the result is larger than the 2.0 KiB that are allowed")
    assert not world.directory.exists()


def test_what_turns_out_to_be_too_large_is_not_read_to_its_end(world: World) -> None:
    taken: list[bytes] = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(b"x" * 1000)
            yield taken[-1]

    error = refused(world, endless(), max_size=2500)
    assert isinstance(error, Final)
    assert error.code == "result_too_large"
    assert len(taken) == 3


def test_what_is_just_as_large_as_allowed_is_saved(world: World) -> None:
    assert world.save(length=len(PNG), max_size=len(PNG)).size == len(PNG)


@pytest.mark.parametrize(
    ("content", "length", "code", "says"),
    [
        (PNG[:-1], len(PNG), Code.NETWORK, "instead of the 300000"),
        (PNG + b"x", len(PNG), Code.NETWORK, "instead of the 300000"),
        (b"", 10, Code.NETWORK, "with 0 bytes"),
        (b"", None, Code.CORRUPT, "empty"),
        (b"", 0, Code.CORRUPT, "empty"),
        (PNG[:-20], None, Code.CORRUPT, "not whole: PNG ends before its IEND chunk"),
        (sample("mp4", 1)[:-20], None, Code.CORRUPT, "not whole: MP4"),
        (b"<!doctype html><h1>It works!</h1>", None, Code.CORRUPT, "announced as image/png and is HTML page"),
        (b"upstream timed out", None, Code.CORRUPT, "announced as image/png and is text"),
        (bytes(5000), None, Code.CORRUPT, "announced as image/png and is zeros only"),
    ],
)
def test_what_is_not_whole_is_worth_another_try(
    world: World, content: bytes, length: int | None, code: str, says: str
) -> None:
    error = refused(world, content, length=length)
    assert isinstance(error, TryAgain)
    assert error.code == code
    assert says in error.message


class Hiccup(Exception):
    """Somebody else's, not known here."""


@pytest.mark.parametrize(
    "error", [TryAgain(Code.NETWORK, "reset"), Stopped(), LedgerTrouble(), Hiccup(), OSError(errno.EIO, "not ours")]
)
@pytest.mark.parametrize("where", ["at once", "in the middle", "intent"])
def test_what_others_raise_comes_through_and_nothing_stays_behind(world: World, error: Exception, where: str) -> None:
    def broken() -> Iterator[bytes]:
        if where != "at once":
            yield PNG[:100_000]
        raise error

    def intent(*_: object) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        world.save(PNG if where == "intent" else broken(), intent=intent)
    assert caught.value is error
    world.check_nothing_happened()


# --- links and directories --------------------------------------------------------------------------------------------


def link_outputs(world: World) -> None:
    (world.root / "generated").symlink_to(world.secret)


def link_below(world: World) -> None:
    (world.root / "generated").mkdir()
    world.directory.symlink_to(world.secret)


def link_inside(world: World) -> None:
    (world.root / "generated").symlink_to("sub")


def link_to_nothing(world: World) -> None:
    (world.root / "generated").symlink_to(world.secret / "made")


def be_a_file(world: World) -> None:
    (world.root / "generated").touch()


@pytest.mark.parametrize("prepare", [link_outputs, link_below, link_inside, link_to_nothing, be_a_file])
def test_no_link_is_followed(world: World, prepare: Callable[[World], None]) -> None:
    prepare(world)
    before = world.files()
    with pytest.raises(TryAgain, match=f"cannot save in {world.directory}: .*which is not followed") as caught:
        world.save()
    assert caught.value.code == "disk"
    assert world.files() == before
    assert os.listdir(world.secret) == []


def in_the_middle(act: Callable[[], object]) -> Iterator[bytes]:
    parts = [*blocks(PNG)]
    yield from parts[:2]
    act()
    yield from parts[2:]


def swap_for_a_link(world: World) -> None:
    world.directory.rename(world.root / "generated" / "before")
    world.directory.symlink_to(world.secret)


def move_out(world: World) -> None:
    (world.root / "generated").rename(world.base / "archive")


def move_out_and_make_anew(world: World) -> None:
    move_out(world)
    world.directory.mkdir(parents=True)


def remove(world: World) -> None:
    shutil.rmtree(world.root / "generated")


@pytest.mark.parametrize("act", [swap_for_a_link, move_out, move_out_and_make_anew, remove])
@pytest.mark.parametrize("when", ["download", "intent"])
def test_a_directory_that_is_swapped_meanwhile_leads_nobody_away(
    world: World, act: Callable[[World], None], when: str
) -> None:
    content = in_the_middle(lambda: act(world)) if when == "download" else blocks(PNG)
    with pytest.raises(TryAgain) as caught:
        world.save(content, intent=lambda *_: act(world) if when == "intent" else None)
    assert caught.value.code == "disk"
    world.check_nothing_happened()
    assert not [path for path in world.base.rglob("*.png") if path.name != "a.png"]
    assert not world.hidden()


def test_a_folder_that_is_away_is_waited_for(world: World) -> None:
    def go() -> None:
        world.root.rename(world.base / "away")

    with pytest.raises(FolderAway, match="drop is not there"):
        world.save(in_the_middle(go))
    with pytest.raises(FolderAway, match="drop is not there"):
        world.save()
    assert sorted(os.listdir(world.base)) == ["away", "secret"]
    assert not world.hidden()


def test_no_descriptor_is_left_open(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    world.save()
    for content in (b"", PNG[:-20]):
        with pytest.raises(JobError):
            world.save(content)
    assert len(os.listdir("/proc/self/fd")) == before


# --- disk trouble -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fsync", "open", "mkdir"])
def test_what_the_disk_does_not_take_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    real = getattr(os, call)

    def fails(*args: object, **more: object) -> object:
        if call != "open" or str(args[0]).endswith(".part"):
            raise OSError(number, os.strerror(number))
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(TryAgain) as caught:
            world.save()
    assert caught.value.code == "disk"
    assert caught.value.message == f"cannot save in {world.directory}: {os.strerror(number).lower()}"
    world.check_nothing_happened()
    assert world.intents == []


def test_what_the_disk_takes_in_pieces_is_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, block: write(fd, block[:10_007]))
        found = world.save()
    assert Path(found.path).read_bytes() == PNG


LIMITED = """
import os, resource, sys
from pathlib import Path
from layerwatch.errors import TryAgain
from tests.results.world import World
world = World(Path(sys.argv[1]))
{limit}
try:
    world.save()
except TryAgain as error:
    print(error.code, error.message, sep="\\n")
world.check_nothing_happened()
"""


def limited(limit: str, base: Path) -> list[str]:
    command = [sys.executable, "-c", LIMITED.format(limit=limit), str(base)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_disk_that_is_full_in_the_middle_of_a_block(tmp_path: Path) -> None:
    base = tmp_path.resolve() / "base"
    code, message = limited("resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))", base)
    assert (code, message) == ("disk", f"cannot save in {base}/drop/generated/sub: file too large")


def test_a_directory_that_is_not_ours_to_write_in() -> None:
    nobody = (
        "os.chown(world.base, 65534, 65534), os.setgroups([]), os.setgid(65534), os.setuid(65534)"
        if os.geteuid() == 0
        else "world.root.chmod(0o555)"
    )
    with tempfile.TemporaryDirectory() as temporary:
        os.chmod(temporary, 0o755)
        code, message = limited(nobody, Path(temporary).resolve() / "base")
    assert code == "disk"
    assert "permission denied (layerwatch runs as uid " in message


# --- after a crash ----------------------------------------------------------------------------------------------------


def test_an_intent_is_settled_when_its_bytes_lie_there(world: World) -> None:
    found = world.save()
    arguments = (found.path, found.sha256, found.size)
    assert saving.settled(world.place(), *arguments)
    world.result.write_bytes(PNG[:-1] + b"!")
    assert not saving.settled(world.place(), *arguments), "other bytes"
    world.result.write_bytes(PNG[:-1])
    assert not saving.settled(world.place(), *arguments), "fewer bytes"
    world.result.unlink()
    assert not saving.settled(world.place(), *arguments), "gone"
    (world.secret / "a").write_bytes(PNG)
    world.result.symlink_to(world.secret / "a")
    assert not saving.settled(world.place(), *arguments), "a link"
    assert not saving.settled(world.place(), str(world.secret / "a"), *arguments[1:]), "outside"


def test_a_folder_that_is_away_tells_nothing(world: World) -> None:
    found = world.save()
    world.root.rename(world.base / "away")
    with pytest.raises(FolderAway):
        saving.settled(world.place(), found.path, found.sha256, found.size)


def test_only_what_this_generation_left_is_swept(world: World) -> None:
    world.save()
    mine = [
        ".layerwatch-result-7-1-0f.part", "sub/.layerwatch-result-7-12-abc.part", "x/y/.layerwatch-result-7-0-1.part",
    ]  # fmt: skip
    others = [
        ".layerwatch-result-77-1-0f.part", ".layerwatch-result-7-1-0f", ".layerwatch-result-7-1-0f.part.png", "a.part",
        "sub/.layerwatch-12-0123456789ab-a.png",
    ]  # fmt: skip
    outputs = world.root / "generated"
    for name in (*mine, *others):
        (outputs / name).parent.mkdir(parents=True, exist_ok=True)
        (outputs / name).touch()
    (outputs / ".layerwatch-result-7-2-aa.part").mkdir()
    for directory in (world.secret, world.root):
        (directory / ".layerwatch-result-7-1-0f.part").touch()
    (outputs / "link").symlink_to(world.secret)
    for _ in range(2):
        saving.sweep(str(world.root), "generated", 7)
    left = {str(path.relative_to(outputs)) for path in outputs.rglob("*") if path.is_file()}
    assert left == {*others, "sub/a.restyle.png"}
    assert os.listdir(world.secret) == [".layerwatch-result-7-1-0f.part"]
    assert (world.root / ".layerwatch-result-7-1-0f.part").exists()


def test_there_may_be_nothing_to_sweep(world: World) -> None:
    saving.sweep(str(world.root), "generated", 7)
    (world.secret / ".layerwatch-result-7-1-0f.part").touch()
    (world.root / "generated").symlink_to(world.secret)
    saving.sweep(str(world.root), "generated", 7)
    assert os.listdir(world.secret) == [".layerwatch-result-7-1-0f.part"]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.aftermath.world import without_renameat2
from tests.results.world import PNG, World, blocks
world = World(Path(sys.argv[1]))
where = sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def received():
    yield from blocks(PNG[:200_000])
    die()
def intent(*told):
    print(*told, flush=True)
    if where == "intent":
        die()
world.save(received() if where == "receiving" else PNG, intent=intent)
"""


@pytest.mark.parametrize("where", ["receiving", "intent", "placing", "placed"])
def test_a_crash_leaves_no_result_or_a_whole_one(where: str, tmp_path: Path) -> None:
    dead = World(tmp_path.resolve() / "dead")
    shutil.rmtree(dead.base)
    end_at = {"LAYERWATCH_END_AT": where} if where.startswith("plac") else {}
    command = [sys.executable, "-c", KILLED, str(dead.base), where]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | end_at, check=False)
    assert ended.returncode == -9, ended.stderr
    assert bool(dead.hidden()) == (where != "placed")
    assert dead.result.exists() == (where == "placed")
    if where != "receiving":
        path, digest, size = ended.stdout.split()
        assert (path, digest, int(size)) == (str(dead.result), sha256(PNG), len(PNG))
        assert saving.settled(dead.place(), path, digest, int(size)) == (where == "placed")
    saving.sweep(str(dead.root), "generated", 7)
    assert not dead.hidden()
    if where != "placed":
        assert dead.save().path == str(dead.result)
    assert dead.files() == {"sub/a.png": b"the source", "generated/sub/a.restyle.png": PNG}
