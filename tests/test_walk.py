"""A walk finds every file that is somebody's work, and follows nothing out of the folder."""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwatch import source
from layerwatch.errors import LedgerTrouble
from layerwatch.ignore import Selection
from layerwatch.walk import Directory, walk

ALL = Selection()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def walked(
    root: Path, start: Path | None = None, selection: Selection = ALL, *, recursive: bool = True
) -> list[Directory]:
    return list(walk(str(start or root), str(root), selection, recursive=recursive))


def names(directories: list[Directory], root: Path) -> set[str]:
    return {os.path.relpath(path, root) for directory in directories for path, _ in directory.files}


def test_each_file_comes_with_its_directory_and_who_it_is(root: Path) -> None:
    top, deep = put(root / "a.png", b"abc"), put(root / "sub" / "deep" / "b.png")
    found = {directory.path: directory for directory in walked(root)}
    assert set(found) == {str(root), str(root / "sub"), str(root / "sub" / "deep")}
    assert found[str(root)].files == [(str(top), source.identity(top.stat()))]
    assert found[str(deep.parent)].files == [(str(deep), source.identity(deep.stat()))]
    assert all(not directory.error for directory in found.values())


def test_the_files_of_a_directory_come_by_name_in_whatever_order_they_were_made(root: Path) -> None:
    frames = [f"{number:04}.png" for number in range(50)]
    for name in random.Random(1).sample(frames, len(frames)):
        put(root / "shot" / name)
    (found,) = [directory for directory in walked(root) if directory.files]
    assert [os.path.basename(path) for path, _ in found.files] == frames


def test_not_recursive_means_the_folder_alone(root: Path) -> None:
    put(root / "a.png")
    put(root / "sub" / "b.png")
    assert names(walked(root, recursive=False), root) == {"a.png"}


def test_it_may_begin_below_the_root_and_judges_by_the_path_from_there(root: Path) -> None:
    put(root / "a.png")
    put(root / "shots" / "b.png")
    put(root / "shots" / "old" / "c.png")
    selection = Selection(exclude=("shots/old",))
    assert names(walked(root, root / "shots", selection), root) == {"shots/b.png"}


def test_what_is_nobodys_work_is_neither_listed_nor_entered(root: Path) -> None:
    for name in ("a.png", ".a.png", "a.part", ".git/b.png", "generated/c.png", "sub/d.png", "sub/d.gif"):
        put(root / name)
    selection = Selection(include=("*.png",), own=("generated",))
    found = walked(root, selection=selection)
    assert names(found, root) == {"a.png", "sub/d.png"}
    assert {directory.path for directory in found} == {str(root), str(root / "sub")}


def test_links_and_pipes_are_listed_as_files_and_no_link_is_walked(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    put(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "nowhere").symlink_to(root / "missing")
    os.mkfifo(root / "pipe")
    found = walked(root)
    assert [directory.path for directory in found] == [str(root)]
    assert names(found, root) == {"folder", "loop", "nowhere", "pipe"}
    assert found[0].irregular == {path for path, _ in found[0].files}


def test_what_is_no_regular_file_is_told_apart(root: Path) -> None:
    file = put(root / "a.png")
    (root / "link.png").symlink_to(file)
    (found,) = walked(root)
    assert {path for path, _ in found.files} == {str(file), str(root / "link.png")}
    assert found.irregular == {str(root / "link.png")}


def test_a_directory_that_becomes_a_link_before_it_is_listed_is_not_followed(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    put(outside / "secret.png")
    put(root / "sub" / "a.png")
    walking = walk(str(root), str(root), ALL, recursive=True)
    assert next(walking).files == []
    (root / "sub").rename(root / "before")
    (root / "sub").symlink_to(outside)
    (found,) = walking
    assert (found.path, found.files, found.error) == (str(root / "sub"), [], "not a directory")


def test_names_that_are_not_utf8_come_through(root: Path) -> None:
    name = os.fsencode(root) + b"/\xff\n\xe9.png"
    Path(os.fsdecode(name)).write_bytes(b"x")
    ((path, _),) = walked(root)[0].files
    assert os.fsencode(path) == name


def test_what_is_not_there_or_no_directory_says_why_and_ends_nothing(root: Path) -> None:
    (missing,) = walked(root, root / "missing")
    assert (missing.files, missing.error) == ([], "no such file or directory")
    (file,) = walked(root, put(root / "a.png"))
    assert (file.files, file.error) == ([], "not a directory")


# Permission bits do not bind root: who is root becomes nobody for this.
UNREADABLE = """
import os, sys
from layerwatch.ignore import Selection
from layerwatch.walk import walk
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for directory in walk(sys.argv[1], sys.argv[1], Selection(), recursive=True):
    print(directory.path, [path for path, _ in directory.files], directory.error)
"""


def test_a_directory_that_cannot_be_read_says_so_and_the_others_are_walked() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(os.path.realpath(temporary))
        put(root / "open" / "a.png")
        put(root / "shut" / "b.png")
        for path, mode in ((root, 0o755), (root / "shut", 0)):
            path.chmod(mode)
        command = [sys.executable, "-c", UNREADABLE, str(root)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        (root / "shut").chmod(0o700)
    assert f"{root}/shut [] permission denied" in said
    assert f"{root}/open ['{root}/open/a.png'] \n" in said


def test_a_file_that_goes_while_it_is_walked_is_passed_over(root: Path) -> None:
    for number in range(300):
        put(root / f"sub{number % 3}" / f"{number}.png")
    found = 0
    for directory in walk(str(root), str(root), ALL, recursive=True):
        assert not directory.error
        found += len(directory.files)
        for path, _ in directory.files:
            os.unlink(path)
    assert found == 300


parts = st.lists(st.sampled_from(("a", "b", ".git", "old")), max_size=3)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(parts, st.sampled_from(("x.png", "y.gif", "z.tmp"))), max_size=12), st.booleans())
def test_what_is_walked_is_exactly_what_the_selection_takes(
    files: list[tuple[list[str], str]], recursive: bool
) -> None:
    selection = Selection(include=("*.png", "*.tmp"), exclude=("a/old",))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(os.path.realpath(temporary))
        there = {"/".join((*parents, name)) for parents, name in files}
        for relative in there:
            put(root / relative)
        expected = {path for path in there if selection.why_not(path) is None and (recursive or "/" not in path)}
        found = [
            path for directory in walked(root, selection=selection, recursive=recursive) for path, _ in directory.files
        ]
        assert sorted(os.path.relpath(path, root) for path in found) == sorted(expected)


@pytest.mark.parametrize("inside", ["done", "done/deeper", ".hidden/deeper", "skip/deeper"])
def test_a_walk_that_begins_where_nothing_is_taken_takes_nothing(tmp_path: Path, inside: str) -> None:
    """An event tells of a directory deep in one that is not to be looked into: of what we have moved there, say."""
    place = tmp_path / inside
    place.mkdir(parents=True)
    (place / "a.png").write_bytes(b"a")
    selection = Selection(exclude=("skip",), own=("done",))
    assert list(walk(str(place), str(tmp_path), selection, recursive=True)) == []
    other = tmp_path / "taken" / "deeper"
    other.mkdir(parents=True)
    (other / "a.png").write_bytes(b"a")
    (found,) = walk(str(other), str(tmp_path), selection, recursive=True)
    assert [os.path.basename(path) for path, _ in found.files] == ["a.png"]


# --- what is known already --------------------------------------------------------------------------------------------


def seen(path: Path) -> source.Seen:
    return (str(path), *source.identity(path.stat()))


def news(root: Path, known: Mapping[str, list[source.Seen]], selection: Selection = ALL) -> set[str]:
    return names(list(walk(str(root), str(root), selection, recursive=True, known=lambda _: known)), root)


def test_of_what_is_known_only_another_version_is_listed(root: Path) -> None:
    same, touched, new = put(root / "same.png"), put(root / "touched.png"), put(root / "new.png")
    known = {str(path): [(str(path), 9, 9, 9), seen(path)] for path in (same, touched)}
    assert news(root, known) == {"new.png"}
    os.utime(touched, (1, 1))
    assert news(root, known) == {"new.png", "touched.png"}
    assert news(root, {}) == {"new.png", "same.png", "touched.png"}
    assert new.exists()


def test_another_version_of_what_is_no_longer_wanted_is_not_listed(root: Path) -> None:
    path = put(root / "a.gif")
    known = {str(path): [seen(path)]}
    put(path, b"changed")
    assert news(root, known) == {"a.gif"}
    assert news(root, known, Selection(include=("*.png",))) == set()


def test_nothing_is_asked_about_a_directory_that_has_no_file(root: Path) -> None:
    put(root / "sub" / "deeper" / "a.png")
    asked: list[str] = []

    def known(directory: str) -> dict[str, list[source.Seen]]:
        asked.append(directory)
        return {}

    assert names(list(walk(str(root), str(root), ALL, recursive=True, known=known)), root) == {"sub/deeper/a.png"}
    assert asked == [str(root / "sub" / "deeper")]


def test_what_keeps_the_ledger_from_telling_ends_the_walk(root: Path) -> None:
    put(root / "a.png")

    def known(_: str) -> dict[str, list[source.Seen]]:
        raise LedgerTrouble("held")

    with pytest.raises(LedgerTrouble):
        list(walk(str(root), str(root), ALL, recursive=True, known=known))
