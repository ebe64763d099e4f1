"""The provenance beside a result: whole or not there, this generation's or left alone."""

import errno
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from layerwatch.aftermath import placing
from layerwatch.errors import Final, FolderAway, TryAgain
from layerwatch.results import origin, provenance, sweep
from tests.results.world import World

FACTS: dict[str, Any] = {
    "rule": "restyle",
    "generation": 7,
    "price": 1.5,
    "inputs": [{"path": "sub/ä\udce9.png", "role": "input", "file_id": "f-1"}],
    "parameters": {"prompt": "oil \N{ARTIST PALETTE}", "seed": -1},
}
FOREIGN = b'{"generation": 8}'


def beside(world: World) -> Path:
    return Path(f"{world.result}.layer.json")


def write(world: World, **changes: Any) -> str:
    return provenance(str(world.result), str(world.root), FACTS | changes)


def said(world: World, key: str = "price") -> object:
    return json.loads(beside(world).read_bytes())[key]


def test_it_says_all_there_is_to_know(world: World) -> None:
    world.save()
    assert write(world) == str(beside(world))
    text = beside(world).read_bytes().decode()
    inputs = [{"path": "sub/ä\\udce9.png", "role": "input", "file_id": "f-1"}]
    assert json.loads(text) == FACTS | {"inputs": inputs}
    assert text.endswith("\n}\n")
    assert [*json.loads(text)] == sorted(FACTS)
    assert "\N{ARTIST PALETTE}" in text
    assert not world.hidden()


def test_anybody_may_read_it_who_may_read_the_result(world: World) -> None:
    world.save()
    write(world)
    assert beside(world).stat().st_mode == world.result.stat().st_mode


def test_the_longest_name_of_a_result_leaves_room_for_it(world: World) -> None:
    for _ in range(3):
        found = world.save(place=world.place(source="x" * 251 + ".png"))
        assert os.path.exists(provenance(found.path, str(world.root), FACTS))


def test_one_of_the_same_generation_is_replaced_where_it_can_be_done_at_once(world: World) -> None:
    world.save()
    write(world)
    write(world, price=2)
    assert said(world) == (2 if placing._renameat2 else 1.5)
    assert not world.hidden()


def foreign(path: Path) -> None:
    path.write_bytes(FOREIGN)


def a_receipt(path: Path) -> None:
    path.write_text('{"file_id": "f-9"}')


def a_list(path: Path) -> None:
    path.write_text("[7]")


def not_json(path: Path) -> None:
    path.write_bytes(b"\xff[")


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 200_000)


def a_flag(path: Path) -> None:
    path.write_text('{"generation": true}')


def a_link_to_one(path: Path) -> None:
    (path.parent / "real").write_text('{"generation": 7}')
    path.symlink_to("real")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


others: list[Callable[[Path], object]] = [
    foreign, a_receipt, a_list, not_json, deep, a_flag, a_link_to_one, a_link_to_nothing, Path.mkdir, Path.touch,
    os.mkfifo,
]  # fmt: skip


@pytest.mark.parametrize("other", others)
def test_what_is_none_of_ours_is_not_touched(world: World, other: Callable[[Path], object]) -> None:
    world.save()
    other(beside(world))
    before, names = beside(world).lstat(), sorted(os.listdir(world.directory))
    with pytest.raises(Final, match="is not this generation's") as caught:
        write(world)
    assert caught.value.code == "exists"
    assert beside(world).lstat().st_ino == before.st_ino
    assert beside(world).lstat().st_mtime_ns == before.st_mtime_ns
    assert sorted(os.listdir(world.directory)) == names


@pytest.mark.parametrize("earlier", [True, False], ids=["replaced", "new"])
def test_what_comes_to_its_place_meanwhile_is_not_lost(
    world: World, earlier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.save()
    if earlier:
        write(world)
    theirs = world.directory / "theirs"
    theirs.write_bytes(FOREIGN)
    name = "exchange" if earlier else "give_name"
    real = getattr(origin, name)

    def late(*args: object) -> object:
        if theirs.exists():
            theirs.rename(beside(world))
        return real(*args)

    monkeypatch.setattr(origin, name, late)
    with nullcontext() if earlier else pytest.raises(Final):
        write(world, price=2)
    contents = [path.read_bytes() for path in world.directory.iterdir()]
    assert FOREIGN in contents
    assert not world.hidden()


def test_it_never_leaves_the_folder(world: World) -> None:
    found = world.save()
    with pytest.raises(ValueError, match="does not lie below"):
        provenance(str(world.secret / "a.png"), str(world.root), FACTS)
    world.directory.rename(world.root / "before")
    world.directory.symlink_to(world.secret)
    with pytest.raises(TryAgain, match="not followed") as caught:
        provenance(found.path, str(world.root), FACTS)
    assert caught.value.code == "disk"
    assert os.listdir(world.secret) == []
    world.root.rename(world.base / "away")
    with pytest.raises(FolderAway):
        provenance(found.path, str(world.root), FACTS)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_earlier_one(world: World, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.save()
    write(world)

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(TryAgain, match="no space left") as caught:
            write(world, price=2)
    assert caught.value.code == "disk"
    assert said(world) == 1.5
    assert not world.hidden()


def test_what_a_crash_leaves_of_it_is_swept(world: World) -> None:
    world.save()
    (world.directory / ".layerwatch-result-7-0-0123abcd.part").write_bytes(b'{"gen')
    sweep(str(world.root), "generated", 7)
    write(world)
    assert not world.hidden()
    assert len(os.listdir(world.directory)) == 2
