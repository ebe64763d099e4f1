"""A drop folder with one uploaded file, bystanders all around it, and what others may do while it is dealt with."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layerwatch import source
from layerwatch.aftermath import placing
from layerwatch.aftermath import removing as aftermath
from layerwatch.aftermath.confirmed import PREFIX, At, Confirmed, Outcome

BYTES = b"uploaded " * 40_000  # more than one block
SHM = Path("/dev/shm")

on_another_filesystem = pytest.mark.skipif(
    not SHM.is_dir() or SHM.stat().st_dev == Path("/tmp").stat().st_dev,
    reason="/dev/shm and the temporary directory are one filesystem",
)


class Crash(BaseException):
    """The program ends here."""


@dataclass
class World:
    """`base` holds `drop/shots/a.png`, which was uploaded, `secret/`, which is nobody's to touch, and `done/`."""

    base: Path
    elsewhere: Path
    extra: set[bytes] = field(default_factory=set)  # bytes of others that must be somewhere at the end
    destroyed: bool = False  # somebody else has removed, or written over, the uploaded version
    fds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, content in {
            self.path: BYTES,
            self.shots / "b.png": b"a neighbour",
            self.secret / "a.png": b"a secret",
            self.done / "x.png": b"in the archive",
            self.elsewhere / "y.png": b"in the other archive",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with self.path.open("rb") as file:
            digest = source.digest(file.fileno(), len(BYTES))
        assert digest
        self.file = Confirmed(
            id=12,
            folder="drop",
            root=str(self.root),
            path=str(self.path),
            identity=source.identity(self.path.stat()),
            digest=digest,
            content_type="image/png",
            file_id="f-1",
            workspace_id="w-1",
            uploaded_at="2025-01-02T03:04:05Z",
        )

    @property
    def root(self) -> Path:
        return self.base / "drop"

    @property
    def shots(self) -> Path:
        return self.root / "shots"

    @property
    def path(self) -> Path:
        return self.shots / "a.png"

    @property
    def secret(self) -> Path:
        return self.base / "secret"

    @property
    def done(self) -> Path:
        return self.base / "done"

    def places(self) -> list[Path]:
        """Where a move may put it."""
        return [base / "shots" for base in (self.root / "done", self.done, self.elsewhere)]

    def files(self) -> dict[Path, bytes]:
        """Every regular file, by its path."""
        found = {}
        for top in (self.base, self.elsewhere):
            for path, _, names in os.walk(top):
                for name in names:
                    if not (file := Path(path, name)).is_symlink():
                        found[file] = file.read_bytes()
        return found

    def add(self, path: Path, content: bytes) -> None:
        """Somebody's file under a name that is free, as far as its directory is there."""
        through_link = any(part.is_symlink() for part in path.parents)
        if path.parent.is_dir() and not through_link and not os.path.lexists(path):
            path.write_bytes(content)
            self.extra.add(content)

    def there(self) -> bool:
        """Whether the file's folder is what it was: nobody here goes through a link either."""
        return self.shots.is_dir() and not self.shots.is_symlink()

    def is_source(self) -> bool:
        """Whether the uploaded file is under its own name now."""
        return self.there() and os.path.lexists(self.path) and self.path.lstat().st_ino == self.file.identity.inode

    def discard(self) -> None:
        """Somebody does away with what is under the file's name."""
        if self.path.is_symlink():
            self.path.unlink()
        elif self.path.is_dir():
            self.path.rename(self.path.with_name("a folder"))
        elif self.path.exists():
            self.destroyed |= self.is_source()
            self.extra.discard(self.path.read_bytes())
            self.path.unlink()


@contextmanager
def made() -> Iterator[World]:
    """A folder in memory, where a sync costs nothing, and `elsewhere` on another filesystem."""
    base, elsewhere = Path(tempfile.mkdtemp(dir=SHM)), Path(tempfile.mkdtemp()).resolve()
    world = World(base, elsewhere)
    try:
        yield world
    finally:
        for fd in world.fds:
            os.close(fd)
        shutil.rmtree(base)
        shutil.rmtree(elsewhere)


# --- what becomes of it -----------------------------------------------------------------------------------------------

Policy = Callable[[World, At], Outcome]

policies: dict[str, Policy] = {
    "keep": lambda world, at: aftermath.keep(world.file, at),
    "delete": lambda world, at: aftermath.delete(world.file, at),
    "move inside": lambda world, at: aftermath.move(world.file, "done", at),
    "move outside": lambda world, at: aftermath.move(world.file, str(world.done), at),
    "move to another filesystem": lambda world, at: aftermath.move(world.file, str(world.elsewhere), at),
}


# --- what others may do meanwhile -------------------------------------------------------------------------------------


def nothing(_: World) -> None:
    pass


def replace(world: World) -> None:
    if world.there():
        world.discard()
        fresh = world.base / "fresh"
        fresh.write_bytes(b"another version")
        fresh.rename(world.path)
        world.extra.add(b"another version")


def add_new(world: World) -> None:
    if world.there():
        world.add(world.path, b"a new file")


def add_the_same(world: World) -> None:
    if world.there():
        world.add(world.path, BYTES)
    world.extra.discard(BYTES)  # it may be told from the other by nobody


def delete(world: World) -> None:
    if world.there():
        world.discard()


def rewrite(world: World) -> None:
    if world.is_source():
        world.extra.discard(world.path.read_bytes())
        content = b"Rewritten" * 40_000
        world.path.write_bytes(content)
        world.destroyed = True
        world.extra.add(content)


def rewrite_secretly(world: World) -> None:
    """In place, same size, same time."""
    if world.is_source():
        before = world.path.read_bytes()
        world.extra.discard(before)
        with world.path.open("r+b") as file:
            file.write(b"U")
        identity = world.file.identity
        os.utime(world.path, ns=(identity.mtime_ns, identity.mtime_ns))
        world.destroyed = True
        world.extra.add(b"U" + before[1:])


def append_later(world: World) -> None:
    """Opened for writing now, and kept open to the end; perhaps by who had looked the name up before it was taken."""
    for path in (world.path, world.shots / world.file.taken):
        if world.there() and path.exists() and path.lstat().st_ino == world.file.identity.inode:
            world.fds.append(os.open(path, os.O_WRONLY | os.O_APPEND))


def make_it_a_link(world: World) -> None:
    delete(world)
    if world.there():
        world.path.symlink_to(world.secret / "a.png")


def make_it_a_folder(world: World) -> None:
    delete(world)
    if world.there():
        world.path.mkdir()
        world.add(world.path / "c.png", b"in a folder")


def lead_astray(world: World) -> None:
    """The file's folder becomes a link to one outside, where the very same file lies."""
    if world.there():
        if world.is_source():
            with suppress(FileExistsError):
                os.link(world.path, world.secret / "linked.png")
        world.shots.rename(world.root / f"shots before {len(os.listdir(world.root))}")
        world.shots.symlink_to(world.secret)


def take_the_root_away(world: World) -> None:
    if world.root.is_dir():
        world.root.rename(world.base / "drop away")


def occupy_the_place(world: World) -> None:
    for place in world.places():
        world.add(place / "a.png", b"somebody else's")
        world.add(place / "a (2).png", b"somebody else's second")


def occupy_the_place_with_the_same(world: World) -> None:
    for place in world.places():
        world.add(place / "a.png", BYTES)
    world.extra.discard(BYTES)


def make_the_place_a_link(world: World) -> None:
    for place in world.places():
        step_aside(place)
        if place.parent.is_dir():
            place.symlink_to(world.secret)
        elif place.parent.parent.is_dir():
            place.parent.symlink_to(world.secret)


def make_the_place_a_file(world: World) -> None:
    for place in world.places():
        step_aside(place)
        world.add(place, b"no folder")


def step_aside(place: Path) -> None:
    if os.path.lexists(place) and not place.parent.is_symlink():
        place.rename(place.with_name(f"shots before {len(os.listdir(place.parent))}"))


interferences: dict[str, Callable[[World], None]] = {
    act.__name__: act
    for act in (
        nothing,
        replace,
        add_new,
        add_the_same,
        delete,
        rewrite,
        rewrite_secretly,
        append_later,
        make_it_a_link,
        make_it_a_folder,
        lead_astray,
        take_the_root_away,
        occupy_the_place,
        occupy_the_place_with_the_same,
        make_the_place_a_link,
        make_the_place_a_file,
    )
}


# --- points -----------------------------------------------------------------------------------------------------------


class Points:
    """Notes the points, and does something at some of them, the first time only."""

    def __init__(self, what: dict[str, Callable[[], object]] | None = None) -> None:
        self.points: list[str] = []
        self._what = dict(what or {})

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if act := self._what.pop(point, None):
            act()


def crash() -> None:
    raise Crash


def without_renameat2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS: the filesystem can only link, and rename over."""
    monkeypatch.setattr(placing, "_renameat2", None)


# --- the laws ---------------------------------------------------------------------------------------------------------


def check_others(world: World) -> None:
    """Nothing of anybody else's is lost, changed, or led astray."""
    files = world.files()
    contents = set(files.values())
    assert files[world.secret / "a.png"] == b"a secret"
    assert {path.name for path in files if path.parent == world.secret} <= {"a.png", "linked.png"}
    assert {b"a neighbour", b"in the archive", b"in the other archive"} | world.extra <= contents


def check_exists(world: World) -> None:
    """The uploaded bytes are somewhere, or it was not us."""
    assert world.destroyed or BYTES in world.files().values()


def check_visible(world: World) -> None:
    """Nothing is left under a hidden name."""
    assert [path for top in (world.base, world.elsewhere) for path in top.rglob(f"{PREFIX}*")] == []
