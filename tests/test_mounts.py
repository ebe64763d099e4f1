"""Which mount a path lies on is read as the kernel writes it, and network filesystems are known by their type."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch.mounts import Mount, mount_of


def line(point: str, fstype: str, *, optional: str = " shared:1") -> str:
    escaped = "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in point)
    return f"36 35 98:0 / {escaped} rw,noatime{optional} - {fstype} /dev/x rw,errors=continue\n"


def test_the_deepest_mount_above_a_path_is_the_one() -> None:
    text = line("/", "ext4") + line("/srv", "xfs") + line("/srv/drop", "nfs4") + line("/srv/other", "btrfs")
    assert mount_of("/srv/drop", text) == Mount("/srv/drop", "nfs4")
    assert mount_of("/srv/drop/a/b.png", text) == Mount("/srv/drop", "nfs4")
    assert mount_of("/srv/x", text) == Mount("/srv", "xfs")
    assert mount_of("/home", text) == Mount("/", "ext4")


def test_a_name_that_only_begins_like_a_mount_point_is_not_below_it() -> None:
    assert mount_of("/srv/dropbox", line("/", "ext4") + line("/srv/drop", "nfs4")).point == "/"


def test_what_was_mounted_last_over_a_point_is_what_is_there() -> None:
    text = line("/", "ext4") + line("/srv", "autofs") + line("/srv", "nfs")
    assert mount_of("/srv/a", text) == Mount("/srv", "nfs")


def test_lines_without_optional_fields_or_with_several_are_read() -> None:
    for optional in ("", " shared:1 master:2", " propagate_from:3"):
        assert mount_of("/srv", line("/srv", "cifs", optional=optional)).fstype == "cifs"


odd = st.text(min_size=1, max_size=6).filter(lambda name: "/" not in name and "\0" not in name)


@given(odd, odd)
def test_a_mount_point_of_any_name_is_found_and_hides_no_other(name: str, other: str) -> None:
    text = line("/", "ext4") + line(f"/{name} - x", "ext3") + line("/srv/drop", "nfs")
    assert mount_of("/srv/drop/a", text) == Mount("/srv/drop", "nfs")
    assert mount_of(f"/{name} - x/{other}", text) == Mount(f"/{name} - x", "ext3")


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=4), max_size=8), st.lists(st.sampled_from("ab"), max_size=5))
def test_no_mount_that_is_named_is_nearer(points: list[list[str]], parts: list[str]) -> None:
    text = line("/", "0") + "".join(line("/" + "/".join(point), str(n)) for n, point in enumerate(points, 1))
    above = [(len(point), n) for n, point in enumerate(points, 1) if parts[: len(point)] == point]
    _, nearest = max(above, default=(0, 0))
    assert mount_of("/" + "/".join(parts), text).fstype == str(nearest)


@pytest.mark.parametrize(
    "fstype", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.rclone", "fuse", "ceph", "afs"]
)
def test_other_machines_change_these_behind_the_kernels_back(fstype: str) -> None:
    assert Mount("/srv", fstype).is_network


@pytest.mark.parametrize(
    "fstype", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", "fuse.mergerfs", "fuse.ntfs-3g", ""]
)
def test_the_kernel_sees_every_change_of_these(fstype: str) -> None:
    assert not Mount("/srv", fstype).is_network


def test_this_machines_own_mounts_are_read() -> None:
    assert mount_of("/proc/self/mountinfo") == Mount("/proc", "proc")
    assert os.path.ismount(mount_of(os.path.realpath(__file__)).point)
