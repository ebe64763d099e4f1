"""Which mount a path lies on, and whether the kernel sees every change there. Reads `/proc/self/mountinfo` only."""

import os
import re
from dataclasses import dataclass

# Other machines change these behind the kernel's back, so inotify stays silent.
NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "pvfs2",
     "orangefs", "ncpfs", "davfs", "virtiofs", "vboxsf")
)  # fmt: skip
# FUSE filesystems that are on this machine all the same.
LOCAL_FUSE = frozenset(("fuse.ntfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.mergerfs", "fuse.overlayfs", "fuse.bindfs"))


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount point and its filesystem type."""

    point: str
    fstype: str

    @property
    def is_network(self) -> bool:
        if self.fstype in LOCAL_FUSE:
            return False
        return self.fstype in NETWORK or self.fstype == "fuse" or self.fstype.startswith("fuse.")


def mount_of(path: str, mountinfo: str | None = None) -> Mount:
    """The mount that the real path `path` lies on. `mountinfo` is the text of that file, read when it is not given."""
    if mountinfo is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            mountinfo = file.read()
    best = Mount("/", "")
    for line in filter(None, mountinfo.split("\n")):  # not `splitlines`: a name may hold any other kind of line end
        before, _, after = line.partition(" - ")
        point = _unescape(before.split(" ")[4])
        # What was mounted last over a point is what is seen there.
        if _below(path, point) and len(point) >= len(best.point):
            best = Mount(point, after.split(" ")[0])
    return best


def _below(path: str, point: str) -> bool:
    return point == "/" or path == point or path.startswith(point + "/")


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: os.fsdecode(bytes([int(octal[1], 8)])), text)
