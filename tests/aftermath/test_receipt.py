"""The receipt beside an uploaded file: whole or not there, ours or left alone."""

import itertools
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from layerwatch import aftermath, ignore
from layerwatch.aftermath.confirmed import PREFIX, Done, Left, Reason
from layerwatch.aftermath.receipt import KEYS, write_receipt
from layerwatch.source import identity
from tests.aftermath.world import BYTES, Crash, Points, World, crash, without_renameat2

FRESH = ("examined", "writing", "ready", "shown", "cleared")
FOREIGN = b'{"file_id": "not ours"}'


@pytest.fixture(params=[True, False], ids=["renameat2", "links only"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    if not request.param:
        without_renameat2(monkeypatch)
    return new_world(tmp_path)


def new_world(top: Path) -> World:
    return World(top.resolve() / "base", top.resolve() / "elsewhere")


def place(world: World) -> Path:
    return world.shots / "a.png.layer.json"


def write(world: World, at: Callable[[str], None] = lambda _: None, **changes: str) -> Done | Left:
    return write_receipt(replace(world.file, **changes), str(world.path), at)  # type: ignore[arg-type]


def said(world: World) -> object:
    return json.loads(place(world).read_text())["file_id"]


def nothing_hidden(world: World) -> bool:
    return not [name for name in os.listdir(world.shots) if name.startswith(PREFIX)]


# --- what it says -----------------------------------------------------------------------------------------------------


def test_it_says_all_there_is_to_know(world: World) -> None:
    assert write(world) == Done(str(place(world)))
    assert json.loads(place(world).read_bytes()) == {
        "file_id": "f-1",
        "workspace_id": "w-1",
        "sha256": world.file.digest.sha256,
        "size_bytes": len(BYTES),
        "content_type": "image/png",
        "folder": "drop",
        "path": str(world.path),
        "uploaded_at": "2025-01-02T03:04:05Z",
    }
    assert nothing_hidden(world)
    assert ignore.Selection().why_not("shots/a.png.layer.json")


def test_a_name_that_is_not_utf8_is_escaped(world: World) -> None:
    path = str(world.shots / "\udcff\n.png")
    outcome = write_receipt(replace(world.file, path=path), path)
    assert outcome == Done(f"{path}.layer.json")
    assert json.loads(Path(f"{path}.layer.json").read_bytes())["path"] == str(world.shots / "\\udcff\n.png")


def test_it_lies_beside_the_moved_file(world: World) -> None:
    outcome = aftermath.move(world.file, "done")
    assert isinstance(outcome, Done)
    assert outcome.path
    assert write_receipt(world.file, outcome.path) == Done(f"{outcome.path}.layer.json")


def test_anybody_may_read_it_who_may_read_what_is_made_there(world: World) -> None:
    write(world)
    (world.shots / "plain").touch()
    assert place(world).stat().st_mode == (world.shots / "plain").stat().st_mode


# --- what is there already --------------------------------------------------------------------------------------------


def test_an_earlier_one_is_replaced_and_a_later_one_stays(world: World) -> None:
    for file_id, uploaded_at, stays in [
        ("f-2", "2025-01-03", "f-2"),
        ("f-1", "2025-01-02", "f-2"),
        ("f-3", "2026", "f-3"),
    ]:
        assert isinstance(write(world, file_id=file_id, uploaded_at=uploaded_at), Done)
        assert said(world) == stays
        assert nothing_hidden(world)


def test_one_of_another_file_that_had_the_name_is_replaced(world: World) -> None:
    write(world, file_id="f-2", uploaded_at="2026", path=str(world.shots / "other.png"))
    write(world)
    assert said(world) == "f-1"


def foreign(path: Path) -> None:
    path.write_bytes(FOREIGN)


def not_json(path: Path) -> None:
    path.write_bytes(b"\xff[")


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 60_000)


def a_list(path: Path) -> None:
    path.write_text(json.dumps(list(KEYS)))


def a_link_to_one(path: Path) -> None:
    (path.parent / "real").write_text(json.dumps(dict.fromkeys(KEYS, "")))
    path.symlink_to("real")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


others: list[Callable[[Path], object]] = [
    foreign, not_json, deep, a_list, a_link_to_one, a_link_to_nothing, Path.mkdir, Path.touch, os.mkfifo
]  # fmt: skip


@pytest.mark.parametrize("other", others)
def test_what_is_none_of_ours_is_not_touched(world: World, other: Callable[[Path], object]) -> None:
    other(place(world))
    before = identity(place(world).lstat())
    names = sorted(os.listdir(world.shots))
    outcome = write(world)
    assert isinstance(outcome, Left)
    assert outcome.reason is Reason.EXISTS
    assert identity(place(world).lstat()) == before
    assert sorted(os.listdir(world.shots)) == names


def test_where_it_cannot_be(world: World) -> None:
    (world.root / "link").symlink_to(world.shots)
    long = world.shots / ("x" * 245)
    for beside in (long, world.root / "away" / "a.png", world.root / "link" / "a.png", world.path / "a.png"):
        outcome = write_receipt(world.file, str(beside))
        assert isinstance(outcome, Left)
        assert outcome.reason is Reason.FAILED
    assert sorted(os.listdir(world.shots)) == ["a.png", "b.png"]
    assert isinstance(write_receipt(world.file, str(long)[:-1]), Done)


# --- crashes and races ------------------------------------------------------------------------------------------------


def ours_or_none(world: World) -> None:
    if place(world).exists():
        assert said(world) in ("f-0", "f-1")


def test_the_points_are_these(tmp_path: Path) -> None:
    world, at = new_world(tmp_path), Points()
    write(world, at)
    assert tuple(at.points) == FRESH


@pytest.mark.parametrize("earlier", [True, False], ids=["replaced", "new"])
def test_a_crash_between_any_two_steps(world: World, earlier: bool, request: pytest.FixtureRequest) -> None:
    steps = (*FRESH, "aside") if earlier and "links only" in request.node.name else FRESH
    for first, second in itertools.product(steps, steps):
        place(world).unlink(missing_ok=True)
        if earlier:
            write(world, file_id="f-0", uploaded_at="2024")
        for point in (first, second):
            with suppress(Crash):  # after `aside` there is none that could be put aside again
                write(world, Points({point: crash}))
            ours_or_none(world)
            if "aside" not in steps and earlier:
                assert place(world).exists()
            # So that the second has to do all that the first did.
            if place(world).exists() and earlier:
                place(world).unlink()
                place(world).write_text(json.dumps(dict.fromkeys(KEYS, "") | {"file_id": "f-0"}))
        assert isinstance(write(world), Done)
        assert said(world) == "f-1"
        assert nothing_hidden(world)


@pytest.mark.parametrize("earlier", [True, False], ids=["replaced", "new"])
@pytest.mark.parametrize("end", [True, False], ids=["crash", "no crash"])
def test_what_comes_to_its_place_meanwhile_is_not_lost(world: World, earlier: bool, end: bool) -> None:
    def come() -> None:
        (world.shots / "theirs").write_bytes(FOREIGN)
        (world.shots / "theirs").rename(place(world))

    for point, last in itertools.product(("examined", "writing", "ready", "aside"), (*FRESH, "aside")):
        for name in os.listdir(world.shots):
            (world.shots / name).unlink()
        if earlier:
            write(world, file_id="f-0", uploaded_at="2024")
        what: dict[str, Callable[[], object]] = {point: come}
        if end and last != point:
            what[last] = crash
        at = Points(what)
        try:
            write(world, at)
        except Crash:
            write(world)
        if point in at.points:
            contents = [path.read_bytes() for path in world.shots.iterdir()]
            assert FOREIGN in contents
            assert nothing_hidden(world)


def test_it_is_written_while_the_file_itself_is_replaced_or_gone(world: World) -> None:
    at = Points({"ready": partial(os.unlink, world.path)})
    assert isinstance(write(world, at), Done)
    assert said(world) == "f-1"
