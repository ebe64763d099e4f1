"""A file of somebody else's is opened only when it is a regular file in its place, and hashed as it is."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwatch import source
from layerwatch.errors import Code, JobError, Superseded, TryAgain
from layerwatch.source import BLOCK, Identity


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "drop"
    root.mkdir()
    return root


@pytest.fixture(autouse=True)
def no_signal_for_a_lease() -> Iterator[None]:
    """The kernel sends it to who holds a lease that is in the way: the test is to fail then, not to be killed."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@contextmanager
def holding(content: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def refused(path: Path, root: Path, kind: type[JobError]) -> str:
    with pytest.raises(kind) as caught, source.opened(str(path), str(root)):
        pass
    return caught.value.code


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_regular_file_is_opened_for_reading_only_and_closed_again(root: Path) -> None:
    (root / "a.png").write_bytes(b"abc")
    with source.opened(str(root / "a.png"), str(root)) as fd:
        assert os.pread(fd, 9, 0) == b"abc"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_only_the_version_that_was_queued_is_opened_where_one_is_named(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(b"abc")
    queued = source.identity(path.stat())
    with source.opened(str(path), str(root), queued=queued) as fd:
        assert os.pread(fd, 9, 0) == b"abc"
    for other in (queued._replace(size=4), queued._replace(mtime_ns=1), queued._replace(inode=1)):
        with pytest.raises(Superseded) as caught, source.opened(str(path), str(root), queued=other):
            pass
        assert caught.value.code is Code.CHANGED


def test_a_file_below_the_root_of_everything_is_in_its_place(root: Path) -> None:
    (root / "a.png").write_bytes(b"abc")
    with source.opened(str(root / "a.png"), "/") as fd:
        assert os.pread(fd, 9, 0) == b"abc"


def test_a_name_that_is_not_utf8_is_opened(root: Path) -> None:
    path = os.fsdecode(os.fsencode(root) + b"/\xff\n.png")
    Path(path).write_bytes(b"abc")
    with source.opened(path, str(root)) as fd:
        assert os.pread(fd, 9, 0) == b"abc"


def test_what_is_not_there_has_vanished(root: Path) -> None:
    (root / "file").write_bytes(b"x")
    assert refused(root / "a.png", root, Superseded) is Code.VANISHED
    assert refused(root / "file" / "a.png", root, Superseded) is Code.VANISHED


def test_a_link_is_not_followed(root: Path) -> None:
    (root / "real.png").write_bytes(b"abc")
    (root / "link.png").symlink_to(root / "real.png")
    assert refused(root / "link.png", root, Superseded) is Code.UNSUPPORTED_TYPE


def test_what_is_not_a_regular_file_is_not_opened_and_holds_nobody_up(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        for name in ("fifo", "folder", "socket"):
            assert refused(root / name, root, Superseded) is Code.UNSUPPORTED_TYPE, name
    assert refused(Path("/dev/null"), Path("/dev"), Superseded) is Code.UNSUPPORTED_TYPE


def test_a_folder_that_became_a_link_out_of_the_root_is_not_followed(root: Path) -> None:
    # Its name begins like the root's: only a whole component counts.
    outside = root.parent / "drop-of-somebody-else"
    outside.mkdir()
    (outside / "a.png").write_bytes(b"secret")
    (root / "sub").symlink_to(outside)
    assert refused(root / "sub" / "a.png", root, Superseded) is Code.UNSUPPORTED_TYPE


def test_a_folder_that_became_a_link_to_another_one_in_the_root_is_harmless(root: Path) -> None:
    (root / "real").mkdir()
    (root / "real" / "a.png").write_bytes(b"abc")
    (root / "sub").symlink_to(root / "real")
    with source.opened(str(root / "sub" / "a.png"), str(root)) as fd:
        assert os.pread(fd, 9, 0) == b"abc"


# --- a directory that is held -----------------------------------------------------------------------------------------


def held_and(change: Callable[[Path], object], root: Path) -> bool:
    """Whether `root/sub/deep`, held, is still in its place after that change."""
    (root / "sub" / "deep").mkdir(parents=True)
    held = source.hold(str(root / "sub" / "deep"), str(root))
    assert held is not None
    assert held.is_in_place()
    try:
        change(root)
        return held.is_in_place()
    finally:
        held.close()


def test_a_directory_of_the_folder_is_held_and_its_files_are_opened_by_their_names(root: Path) -> None:
    odd = os.fsdecode(b"\xff\n (deleted)")
    for directory in (root, root / "sub", root / odd):
        directory.mkdir(exist_ok=True)
        (directory / "a.png").write_bytes(b"abc")
        for top in (str(root), "/"):
            held = source.hold(str(directory), top)
            assert held is not None, directory
            fd = held.open_file("a.png")
            assert os.pread(fd, 9, 0) == b"abc"
            os.close(fd)
            held.close()


def test_what_lies_elsewhere_is_reached_through_a_link_or_is_no_directory_is_not_held(root: Path) -> None:
    drop, other = root / "drop", root / "drop-of-somebody-else"
    for path in (drop / "sub" / "deep", other / "deep"):
        path.mkdir(parents=True)
    (drop / "file").touch()
    (drop / "out").symlink_to(other)
    (drop / "in").symlink_to(drop / "sub")
    names = ("out", "out/deep", "in", "in/deep", "file", "missing", "../drop-of-somebody-else", "sub/../sub")
    for directory in (other, root, *(f"{drop}/{name}" for name in names)):
        assert source.hold(str(directory), str(drop)) is None, directory
    assert [fd for fd in os.listdir("/proc/self/fd") if target(fd).startswith(str(root))] == [], "none stays open"


def target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""  # that of the listing itself


def test_a_held_directory_that_went_is_not_in_its_place(root: Path) -> None:
    def swapped_for_a_link(root: Path) -> None:
        (root / "sub").rename(root / "before")
        (root / "sub").symlink_to(root / "before")

    def made_anew(root: Path) -> None:
        (root / "sub" / "deep").rename(root / "before")
        (root / "sub" / "deep").mkdir()

    changes: dict[str, Callable[[Path], object]] = {
        "moved": lambda root: (root / "sub" / "deep").rename(root / "deep"),
        "its parent moved": lambda root: (root / "sub").rename(root / "before"),
        "deleted": lambda root: (root / "sub" / "deep").rmdir(),
        "its parent became a link to where it is": swapped_for_a_link,
        "made anew": made_anew,
    }
    for what, change in changes.items():
        (root / what).mkdir()
        assert not held_and(change, root / what), what
    assert held_and(lambda root: (root / "sub" / "deep" / "a.png").touch(), root / "touched")


def test_a_held_directory_over_which_something_was_mounted_is_not_in_its_place(root: Path) -> None:
    said = subprocess.run(
        ["unshare", "--mount", "--map-root-user", sys.executable, "-c", MOUNTED_OVER, str(root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "mounted" not in said.stdout:
        pytest.skip(f"nothing can be mounted here: {said.stderr.strip()[-200:]}")
    assert said.stdout.split() == ["True", "mounted", "False", "True"]


MOUNTED_OVER = """
import os, subprocess, sys
from layerwatch import source
os.mkdir(sys.argv[1] + "/sub")
held = source.hold(sys.argv[1] + "/sub", sys.argv[1])
print(held.is_in_place())
subprocess.run(["mount", "-t", "tmpfs", "none", held.path], check=True)
print("mounted", held.is_in_place())
subprocess.run(["umount", held.path], check=True)
print(held.is_in_place())
"""


def test_no_link_is_followed_in_a_held_directory(root: Path) -> None:
    (root / "a.png").write_bytes(b"abc")
    (root / "link.png").symlink_to(root / "a.png")
    held = source.hold(str(root), str(root))
    assert held is not None
    with pytest.raises(OSError, match="symbolic link"):
        held.open_file("link.png")
    held.close()


def test_what_cannot_be_opened_may_be_readable_later_and_says_for_whom(root: Path) -> None:
    with pytest.raises(TryAgain, match=f"uid {os.geteuid()}, gid {os.getegid()}") as caught:
        source.opened(str(root / ("a" * 300)), str(root)).__enter__()
    assert caught.value.code is Code.UNREADABLE


# --- who it is --------------------------------------------------------------------------------------------------------


def test_another_size_time_or_inode_is_another_identity(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1_000_000_007))
    before = source.identity(path.stat())
    assert before == Identity(3, 1_000_000_007, path.stat().st_ino)
    os.utime(path, ns=(1, 1_000_000_008))
    assert source.identity(path.stat()) != before
    os.utime(path, ns=(1, 1_000_000_007))
    assert source.identity(path.stat()) == before
    (root / "b.png").write_bytes(b"xyz")
    os.utime(root / "b.png", ns=(1, 1_000_000_007))
    (root / "b.png").rename(path)
    assert source.identity(path.stat()) != before


WRITER = "import sys; file = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.read()"


def test_another_program_that_has_it_open_for_writing_is_seen(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(b"abc")
    with source.opened(str(path), str(root)) as fd:
        assert not source.being_written(fd)
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            assert source.being_written(fd)
            writer.communicate(b"")
        assert not source.being_written(fd)


def test_the_lease_is_given_back_so_that_no_writer_waits(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(b"abc")
    with source.opened(str(path), str(root)) as fd:
        assert not source.being_written(fd)
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # with the lease still held: BlockingIOError


def test_where_it_cannot_be_told_nobody_is_held_up() -> None:
    with open("/dev/null", "rb") as device:
        assert not source.being_written(device.fileno())


# --- hashes -----------------------------------------------------------------------------------------------------------


def test_the_hashes_are_the_ones_the_world_knows() -> None:
    with holding(b"123456789") as fd:
        digest = source.digest(fd, 9)
        assert source.md5(fd, 9).hex() == "25f9e794323b453885f5181f1b624d0b"
    assert digest is not None
    assert digest.crc32c == 0xE3069283
    assert digest.sha256 == "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"


contents = st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 2 * BLOCK + 5)).map(
    lambda pair: (pair[0] * (pair[1] // len(pair[0]) + 1))[: pair[1]]
)


@settings(deadline=None, max_examples=40)
@given(contents, st.floats(0, 1), st.floats(0, 1))
def test_blocks_are_the_bytes_and_the_hashes_are_of_them_alone(content: bytes, one: float, two: float) -> None:
    first, end = sorted((int(one * len(content)), int(two * len(content))))
    with holding(content) as fd:
        assert b"".join(source.blocks(fd, first, end)) == content[first:end]
        assert all(len(block) <= BLOCK for block in source.blocks(fd, first, end))
        digest = source.digest(fd, end)
        assert source.md5(fd, end) == hashlib.md5(content[:end]).digest()
        assert os.lseek(fd, 0, os.SEEK_CUR) == len(content)  # the descriptor never moves
    assert digest is not None
    assert digest.sha256 == hashlib.sha256(content[:end]).hexdigest()
    assert digest.crc32c == google_crc32c.value(content[:end])


def test_a_file_that_became_shorter_is_not_the_one_that_was_found() -> None:
    with holding(b"x" * 1000) as fd:
        for read in (lambda: source.digest(fd, 1001), lambda: source.md5(fd, 1001)):
            with pytest.raises(Superseded) as caught:
                read()
            assert caught.value.code is Code.CHANGED


def test_hashing_ends_when_it_is_time_to_end() -> None:
    answers = iter((False, True))
    with holding(b"x" * 3 * BLOCK) as fd:
        assert source.digest(fd, 3 * BLOCK, stopping=lambda: next(answers)) is None
    assert list(answers) == []


def test_a_fault_of_the_disk_in_mid_read_may_pass() -> None:
    fd = os.open("/proc/self/mem", os.O_RDONLY)  # nothing is mapped at address 0: EIO
    try:
        with pytest.raises(TryAgain) as caught:
            list(source.blocks(fd, 0, 10))
    finally:
        os.close(fd)
    assert caught.value.code is Code.UNREADABLE
