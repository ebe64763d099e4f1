"""Whatever others do between two steps, and wherever the program ends: no bytes of others are lost, those that were
uploaded only by `delete`, nothing is put over anything, and no link is followed."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwatch.aftermath import removing as aftermath
from layerwatch.aftermath.confirmed import PREFIX, Done, Left, Outcome, Reason, taken_by
from tests.aftermath.world import (
    BYTES,
    Crash,
    Points,
    World,
    check_exists,
    check_others,
    check_visible,
    crash,
    interferences,
    made,
    on_another_filesystem,
    policies,
    replace,
    without_renameat2,
)

DELETING = ("checked", "found", "taken", "verified", "removed")
MOVING = ("checked", "entered", "ready", "found", "taken", "verified", "shown", "durable", "removed")
COPYING = ("checked", "entered", "copying", *MOVING[2:])
BACK = ("returning", "returned")

points = {
    "keep": (),
    "delete": DELETING,
    "move inside": MOVING,
    "move outside": MOVING,
    "move to another filesystem": COPYING,
}
with_each = pytest.mark.parametrize("name", [*policies][1:])
on_both = pytest.mark.parametrize("can_rename", [True, False], ids=["renameat2", "links only"])
each_on_both = pytest.mark.parametrize(
    ("name", "can_rename"), [*((name, True) for name in [*policies][1:]), ("delete", False), ("move outside", False)]
)

pytestmark = on_another_filesystem


def ended(world: World, outcome: Outcome, policy: str) -> None:
    """What holds after a call that came to its end."""
    check_others(world)
    check_visible(world)
    if outcome == Done(None):
        assert policy == "delete"
    else:
        check_exists(world)
    if isinstance(outcome, Done) and outcome.path:
        path = Path(outcome.path)
        assert policy == "keep" or path.parent in world.places()


@with_each
def test_the_points_are_these(name: str) -> None:
    at = Points()
    with made() as world:
        policies[name](world, at)
    assert tuple(at.points) == points[name]


@each_on_both
@pytest.mark.parametrize("interference", [*interferences])
def test_whatever_others_do_between_two_steps(
    name: str, interference: str, can_rename: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_rename:
        without_renameat2(monkeypatch)
    for point in points[name]:
        with made() as world:
            at = Points({point: lambda: interferences[interference](world)})
            outcome = policies[name](world, at)
            writer_goes_on(world)
            if world.root.is_dir():
                ended(world, outcome, name)
            else:
                check_others(world)
                assert outcome == Done(None) or BYTES in world.files().values()


def writer_goes_on(world: World) -> None:
    for fd in world.fds:
        assert os.fstat(fd).st_nlink, "its bytes would go into a file that has no name any more"
        os.write(fd, b"more")
        world.extra.add(BYTES + b"more")
        world.destroyed = True


@each_on_both
def test_a_crash_between_any_two_steps_loses_nothing_and_the_same_call_goes_on(
    name: str, can_rename: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_rename:
        without_renameat2(monkeypatch)
    for first, second in itertools.product(points[name], points[name]):
        with made() as world:
            for point in (first, second):
                # The second may be one that is not come by any more: then the call ends.
                with suppress(Crash):
                    policies[name](world, Points({point: crash}))
                check_others(world)
                assert BYTES in world.files().values() or name == "delete"
            outcome = policies[name](world, Points())
            world.destroyed |= name == "delete"
            ended(world, outcome, name)
            assert not world.path.exists()
            if name == "delete":
                assert outcome == Done(None) or (isinstance(outcome, Left) and outcome.reason is Reason.GONE)
            else:
                assert isinstance(outcome, Done)
                assert outcome.path
                assert Path(outcome.path).name == "a.png"
                assert list(world.files().values()).count(BYTES) == 1


@each_on_both
@pytest.mark.parametrize("interference", [*interferences])
def test_a_crash_and_whatever_others_did_until_the_next_start(
    name: str, interference: str, can_rename: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_rename:
        without_renameat2(monkeypatch)
    for point, then in itertools.product(points[name], (name, "keep")):
        with made() as world:
            with pytest.raises(Crash):
                policies[name](world, Points({point: crash}))
            gone = BYTES not in world.files().values()
            interferences[interference](world)
            outcome = policies[then](world, Points())
            writer_goes_on(world)
            check_others(world)
            if not gone and outcome != Done(None):
                check_exists(world)
            if then == name and world.root.is_dir() and not world.shots.is_symlink():
                check_source_is_visible(world)


def check_source_is_visible(world: World) -> None:
    """It has its name, or a proper new one."""
    assert not [path for path in world.root.rglob(f"{PREFIX}*") if taken_by(path.name)]


@with_each
@pytest.mark.parametrize("interference", ["replace", "rewrite", "append_later", "make_it_a_link"])
def test_what_is_seen_to_be_another_is_neither_taken_nor_shown(name: str, interference: str) -> None:
    for point in points[name][: points[name].index("taken")]:
        with made() as world:
            at = Points({point: partial(interferences[interference], world)})
            assert isinstance(policies[name](world, at), Left)
            assert "shown" not in at.points
            assert ("taken" in at.points) == (point == "found")
            assert not [path for path in world.places() if path.is_dir() and list(path.iterdir())]


def test_a_copy_that_did_not_come_out_the_same_is_not_shown() -> None:
    with made() as world:
        at = Points({"copying": partial(interferences["rewrite_secretly"], world)})
        outcome = policies["move to another filesystem"](world, at)
        assert isinstance(outcome, Left)
        assert outcome.reason is Reason.FAILED
        assert "taken" not in at.points
        ended(world, outcome, "move to another filesystem")


@on_both
def test_a_crash_while_it_is_put_back(can_rename: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_rename:
        without_renameat2(monkeypatch)
    for point, then in itertools.product(("returning", "returned"), ("delete", "move outside", "keep")):
        with made() as world:
            with pytest.raises(Crash):
                policies["delete"](world, Points({"found": partial(replace, world), point: crash}))
            outcome = policies[then](world, Points())
            assert isinstance(outcome, Left) or then == "keep"
            assert world.path.read_bytes() == b"another version"
            check_visible(world)


@with_each
def test_a_crash_within_a_putting_back_that_takes_two_steps(name: str) -> None:
    with made() as world:
        os.link(world.path, world.shots / world.file.taken)
        assert isinstance(policies[name](world, Points()), Done)
        assert list(world.files().values()).count(BYTES) == (name != "delete")
        check_visible(world)


acts = st.lists(st.tuples(st.sampled_from(COPYING + BACK), st.sampled_from([*interferences])), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*policies]), acts, st.sampled_from([None, *COPYING])), max_size=3))
def test_anything_in_any_order(runs: list[tuple[str, list[tuple[str, str]], str | None]]) -> None:
    with made() as world:
        deleted = False
        for policy, what, end in runs:
            do: dict[str, Callable[[], object]] = {
                point: partial(interferences[interference], world) for point, interference in what
            }
            if end:
                do[end] = crash
            outcome: Outcome | None = None
            with suppress(Crash):
                outcome = policies[policy](world, Points(do))
            deleted |= policy == "delete" and not isinstance(outcome, Left)
            check_others(world)
            if not deleted:
                check_exists(world)


KILLED = """
import os, signal, sys
from pathlib import Path
from layerwatch.aftermath import removing as aftermath
from layerwatch.aftermath.confirmed import Confirmed
from layerwatch.source import Digest, Identity
file, policy, to, at = eval(sys.argv[1])
step = lambda point: os.kill(os.getpid(), signal.SIGKILL) if point == at else None
aftermath.move(file, to, step) if policy == "move" else aftermath.delete(file, step)
"""


@pytest.mark.parametrize("point", ["copying", "ready", "taken", "shown", "removed"])
def test_killed_for_good(point: str) -> None:
    with made() as world:
        call = repr((world.file, "move", str(world.elsewhere), point))
        killed = subprocess.run([sys.executable, "-c", KILLED, call], check=False)
        assert killed.returncode == -signal.SIGKILL
        check_exists(world)
        assert aftermath.move(world.file, str(world.elsewhere)) == Done(str(world.elsewhere / "shots" / "a.png"))
        ended(world, Done(None), "delete")
        assert list(world.files().values()).count(BYTES) == 1
