"""A folder that went away is not an empty one, and one that came back is the same again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerwatch.ledger import FolderState
from layerwatch.mounts import mount_of
from layerwatch.roots import Found, Lost, Root


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    drop = tmp_path.resolve() / "drop"
    drop.mkdir()
    return drop


def in_use() -> bool:
    return True


def unused() -> bool:
    return False


def emptied_anew(drop: Path) -> None:
    """Another, empty folder under the same name: the old one is kept, so that its inode is not given away again."""
    drop.rename(drop.with_name("the old one"))
    drop.mkdir()


def lost(root: Root, *, used: bool = True) -> Lost:
    found = root.check(in_use if used else unused)
    assert isinstance(found, Lost), found
    assert not root.present
    return found


def test_a_folder_that_is_there_is_found_once_with_its_mount(drop: Path) -> None:
    root = Root(str(drop), None)
    assert not root.present
    assert root.check(in_use) == Found(mount_of(str(drop)), again=False)
    assert root.present
    assert root.check(in_use) is None


def test_an_empty_folder_that_was_never_seen_is_there(drop: Path) -> None:
    assert isinstance(Root(str(drop), None).check(in_use), Found)


def test_a_link_is_resolved_and_followed_when_it_is_turned(drop: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(drop)
    root = Root(str(link), None)
    assert root.path == str(drop)
    root.check(in_use)
    other = tmp_path.resolve() / "other"
    other.mkdir()
    (other / "a.png").touch()
    link.unlink()
    link.symlink_to(other)
    assert isinstance(found := root.check(in_use), Found)
    assert (found.again, root.path) == (True, str(other))


def test_a_missing_folder_is_away_and_said_so_once(drop: Path) -> None:
    drop.rmdir()
    root = Root(str(drop), None)
    assert lost(root) == Lost(FolderState.AWAY, f"{drop}: no such file or directory")
    assert root.check(in_use) is None
    assert not root.present


def test_another_trouble_is_said_again(drop: Path) -> None:
    drop.rmdir()
    root = Root(str(drop), None)
    lost(root)
    drop.touch()
    assert lost(root) == Lost(FolderState.AWAY, f"{drop} is not a folder")


def test_a_folder_that_was_missing_or_away_is_found_again(drop: Path) -> None:
    drop.rmdir()
    root = Root(str(drop), None)
    lost(root)
    drop.mkdir()
    assert isinstance(found := root.check(unused), Found)
    assert found.again
    hidden = drop.rename(drop.with_name("hidden"))
    lost(root)
    hidden.rename(drop)
    assert isinstance(found := root.check(in_use), Found)
    assert found.again
    assert root.present


def test_the_same_folder_emptied_is_just_empty(drop: Path) -> None:
    (drop / "a.png").touch()
    root = Root(str(drop), None)
    root.check(in_use)
    (drop / "a.png").unlink()
    assert root.check(in_use) is None


def test_another_empty_folder_in_its_place_is_not_it_until_something_lies_there(drop: Path) -> None:
    root = Root(str(drop), None)
    root.check(in_use)
    emptied_anew(drop)
    assert "empty, and not the folder that it was" in lost(root).trouble
    assert root.check(in_use) is None
    (drop / "a.png").touch()
    assert isinstance(found := root.check(in_use), Found)
    assert found.again


def test_another_empty_folder_in_the_place_of_one_never_used_is_it(drop: Path) -> None:
    root = Root(str(drop), None)
    root.check(unused)
    emptied_anew(drop)
    assert isinstance(root.check(unused), Found)


def test_an_empty_folder_on_another_mount_than_in_an_earlier_run_is_an_unmounted_share(drop: Path) -> None:
    root = Root(str(drop), "/mnt/share")
    assert "/mnt/share, where it was mounted, is not" in lost(root, used=False).trouble
    (drop / "a.png").touch()
    assert root.check(unused) == Found(mount_of(str(drop)), again=True)


def test_an_empty_folder_on_the_mount_of_an_earlier_run_is_just_empty(drop: Path) -> None:
    assert isinstance(Root(str(drop), mount_of(str(drop)).point).check(in_use), Found)


UNREADABLE = """
import os, sys
from layerwatch.roots import Root
if os.geteuid() == 0:  # permission bits do not bind root
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(Root(sys.argv[1], None).check(lambda: True))
"""


def test_a_folder_that_cannot_be_read_is_not_away(drop: Path) -> None:
    drop.chmod(0)
    said = subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(drop)], capture_output=True, text=True, check=True
    ).stdout
    drop.chmod(0o700)
    assert "FolderState.UNREADABLE" in said
    assert f"{drop} cannot be read (layerwatch runs as uid " in said


MOUNTED = """
import os, subprocess, sys
from layerwatch.roots import Root
drop = sys.argv[1]
def mount(*command): subprocess.run(command, check=True)
mount("mount", "-t", "tmpfs", "tmpfs", drop)
root = Root(drop, None)
print(root.check(lambda: False))
mount("umount", drop)
print(root.check(lambda: False))
print(root.check(lambda: False))
mount("mount", "-t", "tmpfs", "tmpfs", drop)
print(root.check(lambda: False))
"""


def test_a_share_that_is_unmounted_is_away_until_it_is_mounted_again(drop: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    command = ["unshare", "-rm", sys.executable, "-c", MOUNTED, str(drop)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}).stdout.splitlines()
    assert said == [
        f"Found(mount=Mount(point='{drop}', fstype='tmpfs'), again=False)",
        f"Lost(state=<FolderState.AWAY: 'away'>, trouble='{drop} is empty, and {drop}, where it was mounted, is not')",
        "None",
        f"Found(mount=Mount(point='{drop}', fstype='tmpfs'), again=True)",
    ]
