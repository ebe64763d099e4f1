"""Directories are entered through no link, and no name is given that is taken."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerwatch.aftermath import placing
from layerwatch.aftermath.placing import (
    NAME_MAX,
    entered,
    exchange,
    give_free_name,
    give_name,
    look,
    numbered,
    sync,
    take,
)
from tests.aftermath.world import without_renameat2


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture(params=[True, False], ids=["renameat2", "links only"])
def fd(request: pytest.FixtureRequest, top: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if not request.param:
        without_renameat2(monkeypatch)
    with entered(str(top)) as fd:
        yield fd


# --- directories ------------------------------------------------------------------------------------------------------


def test_a_directory_is_entered_as_it_is(top: Path) -> None:
    (top / "a\udcff").mkdir()
    for path in (top, top / "a\udcff", Path("/")):
        with entered(str(path)) as fd:
            assert os.path.samestat(os.fstat(fd), path.stat())
            sync(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_no_part_of_the_way_may_be_a_link_or_lead_back(top: Path) -> None:
    (top / "real" / "sub").mkdir(parents=True)
    (top / "link").symlink_to("real")
    (top / "file").touch()
    before = os.listdir("/proc/self/fd")
    for path in ("link", "link/sub", "file", "file/sub", "missing", "real/../real", "real/./sub"):
        with pytest.raises(OSError, match=r"."), entered(f"{top}/{path}"):
            pass
    with pytest.raises(OSError, match="absolute"), entered("real"):
        pass
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_what_is_missing_is_made_below_what_must_be_there(top: Path) -> None:
    (top / "base").mkdir()
    with entered(str(top / "base" / "a" / "b"), below=str(top / "base")) as fd:
        assert os.path.samestat(os.fstat(fd), (top / "base" / "a" / "b").stat())
    for path in ("missing", "missing/a"):
        with pytest.raises(FileNotFoundError), entered(str(top / path), below=str(top / "missing")):
            pass
    assert os.listdir(top) == ["base"]


def test_what_is_entered_stays_entered_whatever_takes_its_name(top: Path) -> None:
    (top / "real").mkdir()
    (top / "secret").mkdir()
    with entered(str(top / "real")) as fd:
        (top / "real").rename(top / "before")
        (top / "real").symlink_to("secret")
        (top / "before" / "a").touch()
        give_name(fd, "a", "b")
    assert os.listdir(top / "before") == ["b"]
    assert os.listdir(top / "secret") == []


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_given(top: Path, fd: int) -> None:
    (top / "a").write_bytes(b"a")
    give_name(fd, "a", "b\udcff\n")
    assert os.listdir(top) == ["b\udcff\n"]
    assert give_free_name(fd, "b\udcff\n", "c") == "c"
    take(fd, "c", "d")
    assert os.listdir(top) == ["d"]
    assert (top / "d").stat().st_nlink == 1


def test_a_name_that_is_not_there_cannot_be_given_away(fd: int) -> None:
    for act in (give_name, give_free_name, take):
        with pytest.raises(FileNotFoundError):
            act(fd, "a", "b")


@pytest.mark.parametrize("new", ["file", "link", "folder", "full folder"])
@pytest.mark.parametrize("old", ["file", "link", "folder", "full folder"])
def test_nothing_is_replaced(top: Path, fd: int, old: str, new: str) -> None:
    for name, kind in (("old", old), ("new", new)):
        match kind:
            case "file":
                (top / name).write_text(name)
            case "link":
                (top / name).symlink_to(f"to {name}")
            case _:
                (top / name).mkdir()
                if kind == "full folder":
                    (top / name / name).touch()
    before = {path: path.lstat().st_ino for path in top.rglob("*")}
    with pytest.raises(FileExistsError):
        give_name(fd, "old", "new")
    assert {path: path.lstat().st_ino for path in top.rglob("*")} == before
    assert give_free_name(fd, "old", "new") == "new (2)"
    assert (top / "new (2)").lstat().st_ino == before[top / "old"]
    assert (top / "new").lstat().st_ino == before[top / "new"]


def test_not_even_a_private_name_is_taken_twice(top: Path) -> None:
    for name in ("a", "private"):
        (top / name).write_text(name)
    with entered(str(top)) as fd, pytest.raises(FileExistsError):
        take(fd, "a", "private")
    assert (top / "private").read_text() == "private"


def test_two_names_are_swapped_at_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "a").write_bytes(b"a")
    (top / "b").write_bytes(b"b")
    with entered(str(top)) as fd:
        assert exchange(fd, "a", "b")
        assert (top / "a").read_bytes() == b"b"
        with pytest.raises(FileNotFoundError):
            exchange(fd, "a", "c")
        without_renameat2(monkeypatch)
        assert not exchange(fd, "a", "b")
    assert (top / "b").read_bytes() == b"a"


def test_what_the_filesystem_cannot_do_has_not_happened(top: Path) -> None:
    (top / "a").touch()
    with entered(str(top)) as fd:
        assert placing._renamed(fd, "a", "b", 0xFF) is False  # flags that no filesystem knows
    assert os.listdir(top) == ["a"]


def test_who_has_a_name(top: Path, fd: int) -> None:
    (top / "link").symlink_to("nowhere")
    status = look(fd, "link")
    assert status
    assert os.path.samestat(status, (top / "link").lstat())
    assert look(fd, "nowhere") is None


def test_the_names_that_are_tried() -> None:
    assert list(islice(numbered("a.b.png"), 3)) == ["a.b.png", "a.b (2).png", "a.b (3).png"]
    assert list(islice(numbered(".hidden"), 2)) == [".hidden", ".hidden (2)"]
    assert len(set(numbered("a.png"))) == 1000


names = st.binary(min_size=1, max_size=NAME_MAX).filter(lambda name: not {0, ord("/")} & set(name)).map(os.fsdecode)


@example("a." + "x" * 253, 20)
@given(names, st.integers(1, 20))
def test_every_name_that_is_tried_can_be_one(name: str, how_many: int) -> None:
    tried = list(islice(numbered(name), how_many))
    assert len(set(tried)) == how_many
    assert all(len(os.fsencode(each)) <= NAME_MAX for each in tried)
