"""A quiet file is judged by what it is at that moment, and a file that moves under the look is never taken."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest

from layerwatch.errors import Code
from layerwatch.examine import SMALL_BYTES, Changed, Finding, Gone, Limits, NotYet, examine, examine_listed, look
from layerwatch.ledger import Refusal, Version
from layerwatch.samples import KINDS, sample
from layerwatch.source import Identity, hold

TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def examined(
    path: Path,
    *,
    expected: Identity | None = None,
    settled: bool = True,
    patient: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> Finding:
    seen = look(str(path))
    identity = expected or (seen[0] if seen else Identity(0, 0, 0))
    limits = Limits(max_size=MIB, settled=settled, patient=patient)
    return examine("drop", str(path), str(path.parent), identity, limits, stopping)


def code(finding: Finding) -> str:
    assert isinstance(finding, Refusal), finding
    return finding.code


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_a_version_with_its_hashes_and_its_own_type(root: Path, kind: str) -> None:
    content = sample(kind, 1, 5000)
    path = root / "a.bin"  # the name decides nothing
    path.write_bytes(content)
    found = examined(path)
    assert isinstance(found, Version)
    assert (found.folder, found.path, found.content_type) == ("drop", str(path), TYPES[kind])
    assert found.identity.size == len(content)
    assert found.digest.sha256 == hashlib.sha256(content).hexdigest()
    assert found.digest.crc32c == google_crc32c.value(content)


@pytest.mark.parametrize(
    ("content", "expected", "said"),
    [
        (b"", Code.EMPTY, "empty"),
        (b"just some words", Code.UNSUPPORTED_TYPE, "text; Layer takes JPEG"),
        (b"%PDF-1.7\n", Code.UNSUPPORTED_TYPE, "PDF document"),
        (sample("png", 1, MIB + 1), Code.TOO_LARGE, f"{MIB + 1} bytes; [upload] max_file_size is {MIB}"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_and_told_why(root: Path, content: bytes, expected: Code, said: str) -> None:
    (root / "a.png").write_bytes(content)
    found = examined(root / "a.png")
    assert code(found) is expected
    assert isinstance(found, Refusal)
    assert said in found.message


def test_a_file_of_exactly_the_largest_size_is_taken(root: Path) -> None:
    (root / "a.png").write_bytes(sample("png", 1, MIB))
    assert isinstance(examined(root / "a.png"), Version)


def test_links_pipes_and_sockets_are_refused(root: Path) -> None:
    (root / "a.png").write_bytes(sample("png", 1))
    (root / "link.png").symlink_to(root / "a.png")
    (root / "dangling.png").symlink_to(root / "b.png")
    os.mkfifo(root / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.png"))
        for name in ("link", "dangling", "fifo", "socket"):
            assert code(examined(root / f"{name}.png")) is Code.UNSUPPORTED_TYPE, name


def test_a_file_behind_a_link_out_of_the_folder_is_refused(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.png").write_bytes(sample("png", 1))
    (root / "sub").symlink_to(outside)
    path = str(root / "sub" / "a.png")
    seen = look(path)
    assert seen is not None
    limits = Limits(MIB, settled=True, patient=True)
    found = examine("drop", path, str(root), seen[0], limits, lambda: False)
    assert code(found) is Code.UNSUPPORTED_TYPE


# --- not yet ----------------------------------------------------------------------------------------------------------


def test_a_file_whose_end_is_missing_waits_and_is_refused_only_after_very_long(root: Path) -> None:
    (root / "a.png").write_bytes(sample("png", 1)[:-5])
    assert examined(root / "a.png") == NotYet("PNG ends before its IEND chunk")
    assert code(examined(root / "a.png", patient=True)) is Code.INCOMPLETE


def test_a_file_that_somebody_still_writes_waits_though_it_is_whole(root: Path) -> None:
    with open(root / "a.png", "wb") as writer:
        writer.write(sample("png", 1))
        writer.flush()
        assert examined(root / "a.png") == NotYet("a program still has it open for writing")
        assert isinstance(examined(root / "a.png", patient=True), Version)
    assert isinstance(examined(root / "a.png"), Version)


def test_a_file_that_cannot_be_proved_whole_has_to_be_quiet_for_the_full_time(root: Path) -> None:
    (root / "a.mp3").write_bytes(sample("mp3", 1))
    early = examined(root / "a.mp3", settled=False)
    assert isinstance(early, NotYet)
    assert early.settling
    assert isinstance(examined(root / "a.mp3"), Version)


def test_a_file_that_is_proved_whole_need_not(root: Path) -> None:
    (root / "a.png").write_bytes(sample("png", 1))
    assert isinstance(examined(root / "a.png", settled=False), Version)


def test_it_is_put_down_when_it_is_time_to_end(root: Path) -> None:
    (root / "a.png").write_bytes(sample("png", 1))
    assert isinstance(examined(root / "a.png", stopping=lambda: True), NotYet)


# --- it moves under the look ------------------------------------------------------------------------------------------


def test_what_is_gone_is_gone(root: Path) -> None:
    assert examined(root / "a.png") == Gone()
    assert look(str(root / "a.png")) is None


def test_another_identity_than_the_quiet_one_is_a_change(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(sample("png", 1))
    now = look(str(path))
    assert now is not None
    for other in (
        Identity(now[0].size - 1, now[0].mtime_ns, now[0].inode),
        Identity(now[0].size, now[0].mtime_ns - 1, now[0].inode),
        Identity(now[0].size, now[0].mtime_ns, now[0].inode + 1),
    ):
        assert examined(path, expected=other) == Changed(now[0])


def meanwhile(change: Callable[[], object]) -> Callable[[], bool]:
    """What is asked before each block is hashed, and lets something happen then, once."""
    left = [change]

    def stopping() -> bool:
        if left:
            left.pop()()
        return False

    return stopping


def test_a_file_that_changes_while_it_is_hashed_is_not_taken(root: Path) -> None:
    path = root / "a.png"

    def appended() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def replaced() -> None:
        (root / "b.tmp").write_bytes(sample("png", 2))
        (root / "b.tmp").rename(path)

    def truncated() -> None:
        os.truncate(path, 10)

    def touched() -> None:
        os.utime(path, ns=(0, 0))

    for change in (appended, replaced, truncated, touched):
        path.write_bytes(sample("png", 1, 600_000))
        found = examined(path, stopping=meanwhile(change))
        now = look(str(path))
        assert now is not None
        assert found == Changed(now[0]), change.__name__


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, SMALL_BYTES + 1])
def test_what_changes_after_it_was_read_is_not_taken_whether_it_is_read_at_once_or_in_blocks(
    root: Path, size_bytes: int
) -> None:
    path, content = root / "a.png", sample("png", 1, size_bytes)
    assert len(content) == size_bytes

    def rewritten() -> None:
        path.write_bytes(content[:-20] + b"x" * 8 + content[-12:])

    path.write_bytes(content)
    found = examined(path)
    assert isinstance(found, Version)
    assert found.digest.sha256 == hashlib.sha256(content).hexdigest()
    assert found.digest.crc32c == google_crc32c.value(content)
    found = examined(path, stopping=meanwhile(rewritten))
    now = look(str(path))
    assert now is not None
    assert found == Changed(now[0])
    assert examined(path, stopping=lambda: True) == NotYet("layerwatch is ending", settling=True)


def test_a_file_that_is_deleted_while_it_is_hashed_is_gone(root: Path) -> None:
    path = root / "a.png"
    path.write_bytes(sample("png", 1, 600_000))
    assert examined(path, stopping=meanwhile(path.unlink)) == Gone()


# --- one of those that a scan has seen --------------------------------------------------------------------------------


def listed(
    path: Path, *, expected: Identity | None = None, stopping: Callable[[], bool] = lambda: False
) -> Finding | None:
    held = hold(str(path.parent), str(path.parent))
    seen = look(str(path))
    assert held is not None
    try:
        identity = expected or (seen[0] if seen else Identity(1, 0, 0))
        limits = Limits(MIB, settled=True, patient=False)
        return examine_listed("drop", str(path), held, identity, limits, stopping)
    finally:
        held.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_listed_file_is_found_to_be_the_same_as_any_other(root: Path, kind: str) -> None:
    for size_bytes in (5000, SMALL_BYTES + 2):
        (root / "a.bin").write_bytes(sample(kind, 1, size_bytes))
        found = listed(root / "a.bin")
        assert isinstance(found, Version)
        assert found == examined(root / "a.bin")


def test_a_listed_file_that_is_not_whole_or_none_of_the_six_is_told_as_any_other(root: Path) -> None:
    for content in (sample("png", 1)[:-5], b"just some words"):
        (root / "a.png").write_bytes(content)
        found = listed(root / "a.png")
        assert isinstance(found, NotYet | Refusal)
        assert found == examined(root / "a.png")
    with open(root / "a.png", "wb") as writer:
        writer.write(sample("png", 1))
        writer.flush()
        assert listed(root / "a.png") == NotYet("a program still has it open for writing")
    assert listed(root / "a.png", stopping=lambda: True) == NotYet("layerwatch is ending", settling=True)


def test_whatever_is_not_as_listed_is_left_to_the_closer_look(root: Path) -> None:
    png, expected = root / "a.png", Identity(5, 1, 1)
    png.write_bytes(sample("png", 1))
    (root / "link.png").symlink_to(png)
    os.mkfifo(root / "fifo.png")
    (root / "folder.png").mkdir()
    (root / "empty.png").touch()
    (root / "large.png").write_bytes(sample("png", 1, MIB + 1))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.png"))
        for name in ("a", "link", "fifo", "folder", "socket", "missing"):
            assert listed(root / f"{name}.png", expected=expected) is None, name
    for name in ("link", "fifo", "folder", "empty", "large", "missing"):
        assert listed(root / f"{name}.png") is None, name


def test_a_listed_file_that_moves_under_the_look_is_left_to_the_closer_look(root: Path) -> None:
    path = root / "a.png"

    def replaced() -> None:
        (root / "b.tmp").write_bytes(sample("png", 2))
        (root / "b.tmp").rename(path)

    changes = (replaced, path.unlink, lambda: os.truncate(path, 10), lambda: os.utime(path, ns=(0, 0)))
    for change in changes:
        for size_bytes in (5000, 600_000):
            path.write_bytes(sample("png", 1, size_bytes))
            assert listed(path, stopping=meanwhile(change)) is None


def test_what_cannot_be_read_is_refused_for_now_and_ends_nothing() -> None:
    # A regular file of this machine's own whose reads fail, as those of a dying disk or a hung share do.
    path = Path(os.path.realpath("/sys/class/net/lo/speed"))
    if not path.is_file():
        pytest.skip("no /sys/class/net/lo/speed here, and no other file whose reads always fail")
    found = examined(path)
    assert code(found) is Code.UNREADABLE
    assert isinstance(found, Refusal)
    assert "invalid argument" in found.message
