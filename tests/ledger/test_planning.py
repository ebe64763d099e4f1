"""What is uploaded is shown to the rules once, and each thing to be paid for has one row, whatever comes twice, comes
late, comes back, or is interrupted."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from layerwatch.errors import Code, Superseded
from layerwatch.ledger import Held, Input, Ledger, LostClaim, Missing, Origin, Plan, Refusal, iso
from layerwatch.names import AS_THEY_ARE
from layerwatch.states import OPEN, Generation, Turn

from .builders import (
    RULE,
    T0,
    all_there_is,
    arrive,
    book,
    claimed,
    events_of,
    faulted,
    followed,
    planned_for,
    queue,
    raw,
    record,
    refusal,
    replayed,
    running,
    scans,
    shown,
    sqlite_alone,
    status_of,
    taken,
    upload,
    version,
    watched,
)

HELD = Held("over_daily", "too much", None, first=True)
ODD = "/drop/\udcff.png"
UNREADABLE = (Missing("prompt", "a.txt cannot be read: permission denied", "a.txt", optional=False, may_pass=True),)


def pending(ledger: Ledger, *folders: str) -> list[int]:
    return [each.id for each in ledger.planning.pending(folders or ("drop",), 99)]


def plan(ledger: Ledger, seen: Input, now: float = T0, **more: Any) -> tuple[int, Turn | None, Generation]:
    (planned,) = ledger.planning.plan(seen, [planned_for(seen, **more)], now)
    return planned.id, planned.event, planned.status


def sidecar(path: str = "/drop/a.txt", *, mtime_ns: int = 1) -> Refusal:
    return refusal(path, Code.SIDECAR, mtime_ns=mtime_ns)


def rows(ledger: Ledger) -> dict[int, str]:
    return {row.id: row.status for row in sorted(ledger.stories.some(), key=lambda row: row.id)}


def pair(ledger: Ledger, content: bytes = b"a") -> tuple[Input, Input]:
    """A file and what its rule wants with it, and the rules have seen both."""
    depth = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"depth"))
    ledger.planning.plan(depth, [], T0)
    return shown(ledger, arrive(ledger, content=content)), depth


# --- which files the rules are to see ---------------------------------------------------------------------------------


def test_an_upload_of_a_folder_with_rules_is_pending_until_they_have_seen_it(path: str) -> None:
    with Ledger(path) as ledger:
        id_ = arrive(watched(ledger))
    with Ledger(path) as ledger:  # a crash before they saw it
        (seen,) = ledger.planning.pending(["drop"], 9)
        assert seen == Input(id_, "drop", "/drop/a.png", version().digest.sha256, f"file-{id_}", 0)
        assert ledger.planning.unfinished()
        assert ledger.planning.plan(seen, [], T0) == []
    with Ledger(path) as ledger:
        assert pending(ledger) == []
        assert not ledger.planning.unfinished()


def test_an_upload_of_a_folder_without_rules_is_not(ledger: Ledger) -> None:
    record(ledger, version())
    upload(ledger)
    assert pending(ledger) == []


def test_the_oldest_come_first_of_the_folders_that_are_asked_for_up_to_a_limit(ledger: Ledger) -> None:
    watched(ledger, "other")
    ids = [arrive(ledger, f"/drop/{n}.png", b"%d" % n) for n in range(3)]
    other = arrive(ledger, "/other/a.png", b"other", folder="other")
    assert pending(ledger) == ids
    assert pending(ledger, "other", "drop") == [*ids, other]
    assert [each.id for each in ledger.planning.pending(["drop"], 2)] == ids[:2]
    assert ledger.planning.pending([], 9) == []


def test_what_is_pending_in_a_folder_that_is_not_configured_keeps_nobody_waiting(ledger: Ledger) -> None:
    arrive(ledger)
    ledger.facts.forget_folders_but([])
    assert not ledger.planning.unfinished()


def test_a_plan_that_breaks_off_has_not_been(ledger: Ledger, path: str) -> None:
    seen = shown(ledger, arrive(ledger))

    def plans() -> Iterator[Plan]:
        yield planned_for(seen)
        raise ZeroDivisionError

    before = all_there_is(path)
    with pytest.raises(ZeroDivisionError):
        ledger.planning.plan(seen, plans(), T0)
    assert all_there_is(path) == before
    assert pending(ledger) == [seen.id]


# --- one row for one thing --------------------------------------------------------------------------------------------


def test_a_complete_plan_is_a_generation_to_be_fired(ledger: Ledger) -> None:
    seen, depth = pair(ledger)
    id_, event, status = plan(ledger, seen, T0 + 1, companions={"depth": depth}, sidecars={"prompt": "oil"})
    assert (event, status) == (Turn.READY, Generation.QUEUED)
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.folder, row.rule, row.kind, row.target, row.path) == ("drop", RULE, "inference", "model", "/drop/a.png")
    assert (row.status, row.next_attempt_at, row.depth, row.booked) == ("queued", iso(T0 + 1), 1, None)
    assert [(each.role, each.file) for each in ledger.stories.inputs(id_)] == [("input", seen.id), ("depth", depth.id)]
    job = taken(ledger, T0 + 1)
    assert (job.file_ids, job.sidecars) == ({"input": seen.file_id, "depth": depth.file_id}, {"prompt": "oil"})
    assert (job.path, job.approved, job.attempts) == ("/drop/a.png", False, 0)
    assert events_of(ledger, id_) == ["ready"]


def unknown(ledger: Ledger) -> None:
    book(ledger, taken(ledger))
    ledger.firing.recover(T0)


def dropped(ledger: Ledger) -> None:
    unknown(ledger)
    assert ledger.firing.drop(1, T0, "")


def ended(event: Turn) -> Callable[[Ledger], None]:
    def end(ledger: Ledger) -> None:
        ledger.following.ended(running(ledger), event, T0, code="X", message="no", remote_state="failed")

    return end


# What may have become of generation 1 by the time that its file is seen again.
BECAME: dict[str, Callable[[Ledger], object]] = {
    "queued": lambda ledger: None,
    "claimed": taken,
    "blocked": lambda ledger: ledger.firing.hold(taken(ledger), Generation.QUEUED, HELD, None, T0),
    "submitting": lambda ledger: book(ledger, taken(ledger)),
    "unknown": unknown,
    "dropped": dropped,
    "running": running,
    "failed": ended(Turn.FAILED),
    "cancelled": ended(Turn.CANCELLED),
    "complete": lambda ledger: ledger.following.completed(running(ledger), [], None, None, T0, deliver=False),
}


@pytest.mark.parametrize("became", BECAME)
def test_what_was_planned_once_is_not_planned_again(ledger: Ledger, path: str, became: str) -> None:
    (id_,) = queue(ledger)
    BECAME[became](ledger)
    before = all_there_is(path)
    seen = shown(ledger, 1)
    assert plan(ledger, seen) == (id_, None, Generation(status_of(ledger, id_)))
    assert all_there_is(path) == before


def test_two_that_plan_at_once_make_one_generation_of_it(ledger: Ledger, path: str) -> None:
    seen = [shown(ledger, arrive(ledger, f"/drop/{n}.png", b"%d" % n)) for n in range(30)]
    barrier, events = threading.Barrier(4), list[Turn | None]()

    def work() -> None:
        with Ledger(path) as own:
            barrier.wait()
            for each in seen:
                events.extend(planned.event for planned in own.planning.plan(each, [planned_for(each)], T0))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event is None for event in events) == [False] * 30 + [True] * 90
    assert len(rows(ledger)) == 30


# --- what it waits for ------------------------------------------------------------------------------------------------


def test_what_misses_an_input_waits_and_goes_on_as_the_same_generation(path: str) -> None:
    with Ledger(path) as ledger:
        seen = shown(watched(ledger), arrive(watched(ledger)))
        id_, event, status = plan(ledger, seen, missing="depth", wait_s=60.0)
        assert (event, status) == (Turn.AWAITS, Generation.WAITING)
        assert plan(ledger, seen, T0 + 9, missing="depth", wait_s=60.0) == (id_, None, Generation.WAITING)
        assert [(need.role, need.glob, need.optional) for need in ledger.stories.needs(id_)] == [
            ("depth", "*_depth.png", False)
        ]
        assert ledger.planning.next_deadline() == iso(T0 + 60), "it waits no longer for being seen twice"
        assert ledger.firing.claim("early", T0 + 99) is None
    with Ledger(path) as ledger:  # and a restart later
        depth = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"depth", T0 + 30))
        assert ledger.planning.triggers_missing("drop", RULE, "a_mask.png") == []
        assert ledger.planning.triggers_missing("drop", "another", "a_depth.png") == []
        (trigger,) = ledger.planning.triggers_missing("drop", RULE, "a_depth.png")
        ledger.planning.plan(depth, [planned_for(trigger, companions={"depth": depth})], T0 + 30)
        assert rows(ledger) == {id_: "queued"}
        assert ledger.stories.needs(id_) == []
        assert ledger.planning.next_deadline() is None
        assert taken(ledger, T0 + 30).file_ids == {"input": seen.file_id, "depth": depth.file_id}
        assert events_of(ledger, id_) == ["awaits", "ready"]
        assert ledger.stories.history(id_)[0].detail == "waits for depth (*_depth.png)"


def test_what_may_be_called_many_things_is_looked_for_with_each_upload(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    ledger.planning.plan(seen, [planned_for(seen)], T0)
    other = shown(ledger, arrive(ledger, "/drop/b.png", b"b"))
    missing = (Missing("style", "style_*.png", None, optional=False),)
    ledger.planning.plan(other, [planned_for(other, missing=missing)], T0)
    assert [each.id for each in ledger.planning.triggers_missing("drop", RULE, "anything.png")] == [other.id]


def test_one_that_waited_long_enough_is_given_up_and_says_what_was_missing(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    id_, *_ = plan(ledger, seen, missing="depth", wait_s=60.0)
    assert ledger.planning.overdue(T0 + 59.9) == []
    assert ledger.planning.overdue(T0 + 60) == [(id_, RULE, shown(ledger, seen.id))]
    message = ledger.planning.give_up(id_, T0 + 60)
    assert message == "waited in vain for depth (*_depth.png)"
    row = ledger.stories.one(id_)
    assert row is not None
    assert (row.status, row.error_code, row.error) == ("failed", "input_missing", message)
    assert ledger.planning.overdue(T0 + 999) == []
    with pytest.raises(LostClaim):
        ledger.planning.give_up(id_, T0 + 61)
    assert replayed(ledger, id_) is Generation.FAILED


def test_what_was_given_up_waits_anew_once_its_file_is_seen_again(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    id_, *_ = plan(ledger, seen, missing="depth", wait_s=60.0)
    ledger.planning.give_up(id_, T0 + 60)
    new, event, _ = plan(ledger, seen, T0 + 70, missing="depth", wait_s=60.0)
    assert event is Turn.AWAITS
    assert rows(ledger) == {id_: "failed", new: "waiting"}


# --- what could not be read -------------------------------------------------------------------------------------------


def looks(ledger: Ledger, seen: Input, now: float) -> bool:
    """Whether it is time to look again; if so the rules do, and find nothing new."""
    if not ledger.planning.look_again(now, 50):
        return False
    assert pending(ledger) == [seen.id]
    plan(ledger, shown(ledger, seen.id), now, missing=UNREADABLE)
    assert pending(ledger) == []
    return True


def test_what_could_not_be_read_is_looked_at_again_at_longer_and_longer_intervals(path: str) -> None:
    with Ledger(path) as before:
        seen = shown(watched(before), arrive(before))
        plan(before, seen, missing=UNREADABLE)
    with Ledger(path) as after:
        looked = [s for s in range(0, 3601, 5) if looks(after, seen, T0 + s)]
        assert looked == [30, 60, 120, 240, 480, 960, 1860, 2760]
        assert rows(after) == {1: "waiting"}


def test_what_is_merely_not_there_is_not(ledger: Ledger) -> None:
    plan(ledger, shown(ledger, arrive(ledger)), missing="depth")
    assert ledger.planning.look_again(T0 + 99_999, 50) == 0
    assert pending(ledger) == []


def test_a_clock_that_was_set_back_keeps_no_look_waiting(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger, now=T0 + 99_999))
    plan(ledger, seen, T0 + 99_999, missing=UNREADABLE)
    assert ledger.planning.look_again(T0, 50) == 0
    ledger.files.hurry(T0)
    assert ledger.planning.look_again(T0, 50) == 1


@pytest.mark.parametrize("end", ["there", "given up", "a newer version is there"])
def test_what_waits_no_longer_is_not_looked_at_again(ledger: Ledger, end: str) -> None:
    seen = shown(ledger, arrive(ledger))
    id_, *_ = plan(ledger, seen, missing=UNREADABLE)
    if end == "there":
        assert plan(ledger, seen, T0 + 10) == (id_, Turn.READY, Generation.QUEUED)
        assert taken(ledger, T0 + 10).id == id_
    elif end == "given up":
        message = ledger.planning.give_up(id_, T0 + 10)
        assert message == "waited in vain for prompt (a.txt cannot be read: permission denied)"
    else:
        newer = shown(ledger, arrive(ledger, content=b"newer"))
        plan(ledger, newer)
    assert ledger.planning.look_again(T0 + 9999, 50) == 0


def test_no_more_are_looked_at_again_than_asked_for_and_the_longest_due_first(ledger: Ledger) -> None:
    for n in range(3):
        seen = shown(ledger, arrive(ledger, f"/drop/{n}.png", b"%d" % n))
        plan(ledger, seen, T0 - n, missing=UNREADABLE)
    assert [ledger.planning.look_again(T0 + 99, 2) for _ in range(3)] == [2, 1, 0]
    assert pending(ledger) == [1, 2, 3]


# --- newer versions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("became", ["waiting", *BECAME])
def test_a_newer_version_takes_the_place_of_what_was_not_paid_for(ledger: Ledger, became: str) -> None:
    if became == "waiting":
        plan(ledger, shown(ledger, arrive(ledger)), missing="depth")
    else:
        queue(ledger)
        BECAME[became](ledger)
    was = status_of(ledger, 1)
    seen = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    id_, event, _ = plan(ledger, seen, T0 + 1)
    assert event is Turn.READY
    if was == "waiting":
        assert (id_, rows(ledger)) == (1, {1: "queued"}), "it waited for this file, however it looks by now"
    else:
        assert rows(ledger) == {1: "cancelled" if was in OPEN else was, 2: "queued"}
    assert [replayed(ledger, each) for each in rows(ledger)] == [*rows(ledger).values()]


def test_what_is_superseded_in_the_hands_of_a_runner_is_not_fired(ledger: Ledger) -> None:
    queue(ledger)
    job = taken(ledger)
    plan(ledger, shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1)), T0 + 1)
    with pytest.raises(LostClaim):
        book(ledger, job)
    assert rows(ledger) == {1: "cancelled", 2: "queued"}
    row = ledger.stories.one(1)
    assert row is not None
    assert (row.error_code, row.booked) == ("superseded", None)


def test_a_newer_version_of_a_companion_is_another_generation(ledger: Ledger) -> None:
    seen, depth = pair(ledger)
    plan(ledger, seen, companions={"depth": depth})
    running(ledger)
    newer = shown(ledger, arrive(ledger, "/drop/a_depth.png", b"newer", T0 + 1))
    (trigger,) = ledger.planning.triggers_using("drop", RULE, newer.path)
    assert trigger.id == seen.id
    ledger.planning.plan(newer, [planned_for(trigger, companions={"depth": newer})], T0 + 1)
    assert rows(ledger) == {1: "running", 2: "queued"}
    assert ledger.planning.triggers_using("drop", "another", newer.path) == []


def test_old_versions_of_a_file_are_fired_for_no_newer_companion(ledger: Ledger) -> None:
    seen, depth = pair(ledger)
    plan(ledger, seen, companions={"depth": depth})
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    plan(ledger, newer, T0 + 1, companions={"depth": depth})
    arrive(ledger, "/drop/a_depth.png", b"newer", T0 + 2)
    assert [each.id for each in ledger.planning.triggers_using("drop", RULE, depth.path)] == [newer.id]


def test_an_old_version_takes_nothings_place_however_late_the_rules_see_it(ledger: Ledger) -> None:
    old = shown(ledger, arrive(ledger))
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    plan(ledger, newer, T0 + 1)
    for missing in ((), "depth"):
        assert ledger.planning.plan(old, [planned_for(old, missing=missing)], T0 + 2) == []
    assert rows(ledger) == {1: "queued"}
    assert pending(ledger) == []


def test_an_old_version_is_fired_again_for_a_person_beside_the_newer_one(ledger: Ledger) -> None:
    old = arrive(ledger)
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    plan(ledger, newer, T0 + 1)
    ledger.planning.again([old])
    assert plan(ledger, shown(ledger, old), T0 + 2) == (2, Turn.READY, Generation.QUEUED)
    assert plan(ledger, newer, T0 + 3) == (1, None, Generation.QUEUED)
    assert rows(ledger) == {1: "queued", 2: "queued"}


def test_an_old_version_that_waits_gives_way_to_the_newer_one_that_is_uploaded(ledger: Ledger) -> None:
    plan(ledger, shown(ledger, arrive(ledger)), missing="depth")
    newer = arrive(ledger, content=b"newer", now=T0 + 1)
    assert ledger.planning.triggers_missing("drop", RULE, "a_depth.png") == []
    plan(ledger, shown(ledger, newer), T0 + 1, missing="depth")
    assert [each.id for each in ledger.planning.triggers_missing("drop", RULE, "a_depth.png")] == [newer]
    assert rows(ledger) == {1: "waiting"}


def test_what_took_the_place_of_another_and_is_gone_again_leaves_it_to_that(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))

    def prompt(text: str) -> tuple[int, Turn | None, Generation]:
        return plan(ledger, seen, sidecars={"prompt": text}, fires_again_on=("prompt",))

    assert prompt("oil") == (1, Turn.READY, Generation.QUEUED)
    assert prompt("ink") == (2, Turn.READY, Generation.QUEUED)
    assert rows(ledger) == {1: "cancelled", 2: "queued"}
    assert prompt("oil") == (1, Turn.READY, Generation.QUEUED)
    assert rows(ledger) == {1: "queued", 2: "cancelled"}
    assert taken(ledger).sidecars == {"prompt": "oil"}
    assert (replayed(ledger, 1), replayed(ledger, 2)) == (Generation.QUEUED, Generation.CANCELLED)


def test_what_was_cancelled_for_good_is_not_brought_back(ledger: Ledger) -> None:
    queue(ledger)
    BECAME["dropped"](ledger)
    assert plan(ledger, shown(ledger, 1)) == (1, None, Generation.CANCELLED)


def test_while_it_was_being_submitted_a_newer_version_came(ledger: Ledger) -> None:
    for number, end in enumerate((held, not_started)):
        (id_,) = queue(ledger, f"file{number}")
        job = taken(ledger)
        book(ledger, job)
        newer = shown(ledger, arrive(ledger, job.path, b"newer", T0 + 1))
        plan(ledger, newer, T0 + 1)
        end(ledger, job)
        assert pending(ledger) == [newer.id]
        assert plan(ledger, shown(ledger, newer.id), T0 + 3) == (id_ + 1, None, Generation.QUEUED)
        assert status_of(ledger, id_) == "cancelled", "it may give way now"
        assert replayed(ledger, id_) is Generation.CANCELLED
        assert taken(ledger, T0 + 99).id == id_ + 1


def test_what_was_being_submitted_alone_is_not_looked_at_again(ledger: Ledger) -> None:
    for number, end in enumerate((held, not_started)):
        queue(ledger, f"file{number}")
        job = taken(ledger)
        book(ledger, job)
        end(ledger, job)
    assert pending(ledger) == []


def held(ledger: Ledger, job: Any) -> None:
    ledger.firing.hold(job, Generation.SUBMITTING, HELD, None, T0 + 2)


def not_started(ledger: Ledger, job: Any) -> None:
    ledger.firing.not_started(job, T0 + 5, T0 + 2, code="rate_limited", message="429")


# --- what lies beside it changes --------------------------------------------------------------------------------------


def test_a_sidecar_that_changes_no_key_changes_what_is_not_fired_yet(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    plan(ledger, seen, sidecars={"prompt": "oil"})
    assert plan(ledger, seen, sidecars={"prompt": "ink"}) == (1, None, Generation.QUEUED)
    book(ledger, job := taken(ledger))
    assert job.sidecars == {"prompt": "ink"}
    assert plan(ledger, seen, sidecars={"prompt": "chalk"}) == (1, None, Generation.SUBMITTING)
    assert raw(ledger.path, "SELECT sidecars FROM generations") == [('{"prompt": "ink"}',)]


@pytest.mark.parametrize("change", [{"sidecars": {"prompt": "ink"}}, {"target": "other"}, {"kind": "workflow"}])
def test_whoever_has_claimed_it_as_it_was_does_not_fire_it(ledger: Ledger, change: dict[str, Any]) -> None:
    seen = shown(ledger, arrive(ledger))
    plan(ledger, seen, sidecars={"prompt": "oil"})
    job = taken(ledger)
    plan(ledger, seen, sidecars={"prompt": "oil"})
    plan(ledger, seen, **{"sidecars": {"prompt": "oil"}, **change})
    with pytest.raises(LostClaim):
        book(ledger, job)
    assert taken(ledger, claim="next").id == job.id


@pytest.mark.parametrize(
    ("found", "is_seen"),
    [
        ("/drop/a.txt", True),
        ("/drop/a.json", True),
        ("/drop/b.txt", False),
        ("/drop/a.v2.txt", False),
        ("/drop/sub/a.txt", False),
        ("/dropped/a.txt", False),
    ],
)
def test_a_sidecar_shows_the_file_that_it_lies_beside_to_the_rules_again(
    ledger: Ledger, found: str, is_seen: bool
) -> None:
    queue(ledger, "a")
    assert pending(ledger) == []
    record(ledger, sidecar(found))
    assert pending(ledger) == [1] * is_seen
    assert ledger.planning.sidecars(found) == [found]
    assert ledger.planning.sidecars("/drop/other.txt") == []


def test_a_sidecar_is_found_whatever_the_case_of_its_ending_and_the_exact_one_first(ledger: Ledger) -> None:
    names = [f"/drop/{name}" for name in ("a.TXT", "A.txt", "a.v2.txt", "a.json", "a/b.txt", "a.Txt", "a.tx")]
    record(ledger, *map(sidecar, names))
    assert ledger.planning.sidecars("/drop/a.txt") == ["/drop/a.TXT", "/drop/a.Txt"]
    record(ledger, sidecar("/drop/a.txt"))
    assert ledger.planning.sidecars("/drop/a.txt") == ["/drop/a.txt", "/drop/a.TXT", "/drop/a.Txt"]
    record(ledger, refusal("/drop/b.TXT", Code.EMPTY))
    assert ledger.planning.sidecars("/drop/b.txt") == [], "refused, and no sidecar"


def test_a_sidecar_shows_no_file_with_a_longer_name(ledger: Ledger) -> None:
    queue(ledger, "a", "a.v2", "ab")
    record(ledger, sidecar("/drop/a.txt"))
    assert [ledger.planning.pending(["drop"], 9)[0].path, len(pending(ledger))] == ["/drop/a.png", 1]


def test_a_sidecar_beside_a_name_that_is_not_utf8(ledger: Ledger) -> None:
    queue(ledger, "\udcff", "\udcff.v2", "b")
    record(ledger, sidecar("/drop/\udcff.txt"))
    assert [each.path for each in ledger.planning.pending(["drop"], 9)] == [ODD]


def test_only_a_sidecar_that_has_changed_is_news(ledger: Ledger) -> None:
    queue(ledger)
    for found, is_news in (
        (sidecar(), True),
        (sidecar(), False),
        (sidecar(mtime_ns=2), True),
        (refusal("/drop/a.doc", Code.UNSUPPORTED_TYPE), False),
    ):
        record(ledger, found)
        assert pending(ledger) == [1] * is_news
        ledger.planning.plan(shown(ledger, 1), [], T0)


def test_a_sidecar_shows_the_newest_version_alone(ledger: Ledger) -> None:
    queue(ledger, "a")
    newer = arrive(ledger, "/drop/a.png", b"newer", T0 + 1)
    plan(ledger, shown(ledger, newer), T0 + 1)
    record(ledger, sidecar())
    assert pending(ledger) == [newer]


def test_a_file_that_was_uploaded_before_its_folder_had_rules_is_shown_to_none(ledger: Ledger) -> None:
    record(ledger, version())
    upload(ledger)
    record(ledger, sidecar())
    assert pending(ledger) == []


def test_a_rule_that_is_new_fires_for_no_old_file_because_something_beside_it_changed(ledger: Ledger) -> None:
    queue(ledger)
    record(ledger, sidecar())
    (seen,) = ledger.planning.pending(["drop"], 9)
    assert seen.recheck
    plans = [planned_for(seen, sidecars={"prompt": "ink"}), planned_for(seen, rule="new")]
    assert [each.id for each in ledger.planning.plan(seen, plans, T0)] == [1]
    assert taken(ledger).sidecars == {"prompt": "ink"}
    assert len(rows(ledger)) == 1
    ledger.planning.again([1])
    assert [each.event for each in ledger.planning.plan(*again_for(ledger, 1, "new"), T0)] == [Turn.READY]


def again_for(ledger: Ledger, id_: int, rule: str = RULE) -> tuple[Input, list[Plan]]:
    seen = shown(ledger, id_)
    assert seen.again
    return seen, [planned_for(seen, rule=rule)]


# --- versions that come back, and those that never come ---------------------------------------------------------------


def test_a_version_that_comes_back_is_the_one_that_counts(ledger: Ledger) -> None:
    first = arrive(ledger, "/drop/a_depth.png", b"first", T0)
    second = arrive(ledger, "/drop/a_depth.png", b"second", T0 + 1)
    for id_ in (first, second):
        ledger.planning.plan(shown(ledger, id_), [], T0)

    def newest() -> list[int]:
        exact = ledger.planning.exactly("drop", "a_depth.png", "/drop/a_depth.png")
        return [each.id for each in (exact, *ledger.planning.beginning_with("drop", "a_")) if each]

    assert newest() == [second, second, first]
    record(ledger, version("/drop/a_depth.png", b"second", mtime_ns=3), now=T0 + 2)
    assert pending(ledger) == [], "touched, that is all"
    record(ledger, version("/drop/a_depth.png", b"first", mtime_ns=4), now=T0 + 3)
    assert newest() == [first, first, second]
    assert pending(ledger) == [first]
    assert shown(ledger, first).recheck
    record(ledger, version("/drop/a_depth.png", b"second", mtime_ns=5), now=T0 + 4)
    assert newest()[0] == second
    assert [each.id for each in ledger.planning.pending(["drop"], 9)] == [first, second]


def test_what_was_superseded_by_a_version_that_is_gone_again_is_fired_after_all(ledger: Ledger) -> None:
    queue(ledger)
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    plan(ledger, newer, T0 + 1)
    record(ledger, version("/drop/a.png", b"a, restyle", mtime_ns=3), now=T0 + 2)
    (seen,) = ledger.planning.pending(["drop"], 9)
    assert plan(ledger, seen, T0 + 2) == (1, Turn.READY, Generation.QUEUED)
    assert rows(ledger) == {1: "queued", 2: "cancelled"}


@pytest.mark.parametrize("error", [Superseded(Code.VANISHED, "gone"), Superseded(Code.CHANGED, "changed")])
def test_what_waited_for_a_version_that_never_came_looks_at_what_there_is(ledger: Ledger, error: Superseded) -> None:
    depth = arrive(ledger, "/drop/a_depth.png", b"first")
    ledger.planning.plan(shown(ledger, depth), [], T0)
    record(ledger, version("/drop/a_depth.png", b"second"), now=T0 + 1)
    job = claimed(ledger, T0 + 1)
    assert ledger.planning.exactly("drop", "a_depth.png", "/drop/a_depth.png") is None, "a newer one is on its way"
    assert ledger.planning.beginning_with("drop", "a_d") == []
    faulted(ledger, job, error, T0 + 2)
    assert pending(ledger) == [depth]
    found = ledger.planning.exactly("drop", "a_depth.png", "/drop/a_depth.png")
    assert found is not None
    assert found.id == depth


def test_a_file_that_was_pushed_while_it_was_broken_is_itself_again(ledger: Ledger) -> None:
    (whole,) = queue(ledger)
    pushed = ledger.pushes.add(["/drop/a.png"], None, T0)
    (push,) = ledger.pushes.untaken(0, 9)
    ledger.pushes.taken([(push, refusal(mtime_ns=5))], T0 + 1)
    record(ledger, version("/drop/a.png", b"a, restyle", mtime_ns=6), now=T0 + 2)
    (outcome,) = ledger.pushes.outcomes(pushed)
    assert (outcome.file, outcome.status) == (whole, "uploaded")


def test_one_that_is_tried_again_is_still_on_its_way(ledger: Ledger) -> None:
    queue(ledger, "a")
    record(ledger, version("/drop/a.png", b"newer"), now=T0 + 1)
    job = claimed(ledger, T0 + 1)
    ledger.files.recover(T0 + 1, job.claim)
    assert pending(ledger) == []


# --- fired again, since a person wants it -----------------------------------------------------------------------------


@pytest.mark.parametrize("became", BECAME)
def test_what_a_person_wants_again_is_fired_once_more(ledger: Ledger, became: str) -> None:
    queue(ledger)
    BECAME[became](ledger)
    was = status_of(ledger, 1)
    assert ledger.planning.again([1, 999]) == [1]
    ledger.planning.plan(*again_for(ledger, 1), T0)
    assert rows(ledger) == ({1: was} if was in OPEN else {1: was, 2: "queued"})
    ledger.planning.plan(shown(ledger, 1), [planned_for(shown(ledger, 1))], T0)
    assert len(rows(ledger)) == (1 if was in OPEN else 2), "once for each time that it was asked for"


def test_each_time_that_a_person_wants_it_is_one_more(ledger: Ledger) -> None:
    queue(ledger)
    for number in range(1, 4):
        ledger.following.completed(running(ledger), [], None, None, T0, deliver=False)
        ledger.planning.again([1])
        ((planned),) = ledger.planning.plan(*again_for(ledger, 1), T0)
        assert (planned.id, planned.event) == (number + 1, Turn.READY)
    assert [*rows(ledger).values()] == ["complete", "complete", "complete", "queued"]


def test_what_a_person_wants_again_is_not_taken_back_by_a_look_at_the_file(ledger: Ledger) -> None:
    queue(ledger)
    running(ledger)
    ledger.planning.again([1])
    ledger.planning.plan(*again_for(ledger, 1), T0)
    record(ledger, sidecar())
    seen = shown(ledger, 1)
    assert plan(ledger, seen, sidecars={"prompt": "ink"}) == (2, None, Generation.QUEUED)
    assert rows(ledger) == {1: "running", 2: "queued"}
    assert taken(ledger).sidecars == {"prompt": "ink"}


def test_what_a_person_wants_again_is_remembered_while_it_waits(ledger: Ledger) -> None:
    seen, depth = pair(ledger)
    plan(ledger, seen, companions={"depth": depth})
    running(ledger)
    ledger.planning.again([seen.id])
    again = shown(ledger, seen.id)
    assert plan(ledger, again, missing="depth") == (2, Turn.AWAITS, Generation.WAITING)
    later = shown(ledger, seen.id)
    assert not later.again
    assert plan(ledger, later, companions={"depth": depth}) == (2, Turn.READY, Generation.QUEUED)
    assert rows(ledger) == {1: "running", 2: "queued"}


@pytest.mark.parametrize("asked", ["retried", "refired"])
def test_what_a_person_fires_anew_gives_way_to_news_alone(ledger: Ledger, asked: str) -> None:
    queue(ledger)
    if asked == "retried":
        BECAME["failed"](ledger)
    else:
        unknown(ledger)
    newer = shown(ledger, arrive(ledger, content=b"newer", now=T0 + 1))
    plan(ledger, newer, T0 + 1)
    done = ledger.firing.retry([1], T0 + 2, T0 + 2) or ledger.firing.refire(1, T0 + 2, "")
    assert done
    assert plan(ledger, newer, T0 + 3) == (2, None, Generation.QUEUED)
    assert rows(ledger) == {1: "queued", 2: "queued"}
    plan(ledger, shown(ledger, arrive(ledger, content=b"newest", now=T0 + 4)), T0 + 4)
    assert rows(ledger) == {1: "cancelled", 2: "cancelled", 3: "queued"}


def test_one_that_is_not_uploaded_cannot_be_fired_again(ledger: Ledger) -> None:
    (recorded,) = record(ledger, version())
    assert ledger.planning.again([recorded.id]) == []


# --- what is asked for while the rules look ---------------------------------------------------------------------------


def test_what_is_asked_for_while_the_rules_look_is_not_forgotten(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    ledger.planning.again([seen.id])
    assert plan(ledger, seen) == (1, Turn.READY, Generation.QUEUED)
    assert shown(ledger, seen.id).again

    seen = shown(ledger, seen.id)
    record(ledger, sidecar())
    plan(ledger, seen)
    (left,) = ledger.planning.pending(["drop"], 9)
    assert (left.again, left.recheck) == (False, True), "fired again is once, however often it is looked at"
    plan(ledger, left)
    assert pending(ledger) == []


def test_a_sidecar_does_not_make_a_new_file_an_old_one(ledger: Ledger) -> None:
    seen = shown(ledger, arrive(ledger))
    record(ledger, sidecar())
    ledger.planning.plan(seen, [], T0)
    (left,) = ledger.planning.pending(["drop"], 9)
    assert not left.recheck
    assert plan(ledger, left, rule="any")[1] is Turn.READY


# --- what may serve as an input ---------------------------------------------------------------------------------------


def test_a_companion_is_found_whatever_its_case_and_the_newest_first(ledger: Ledger) -> None:
    small = arrive(ledger, "/drop/a_depth.png", b"1", T0)
    large = arrive(ledger, "/drop/A_Depth.PNG", b"2", T0 + 1)
    other = arrive(ledger, "/drop/a_mask.png", b"3", T0 + 2)

    def exactly(key: str) -> int | None:
        found = ledger.planning.exactly("drop", key, f"/drop/{key}")
        return found.id if found else None

    assert [exactly(key) for key in ("a_depth.png", "a_mask.png", "a_normal.png")] == [large, other, None]
    assert ledger.planning.exactly("other", "a_depth.png", "/other/a_depth.png") is None
    assert [each.id for each in ledger.planning.beginning_with("drop", "a_")] == [other, large, small]
    assert [each.id for each in ledger.planning.beginning_with("drop", "a_d")] == [large, small]
    assert ledger.planning.beginning_with("other", "a_") == []
    assert len(ledger.planning.beginning_with("drop", "")) == 3


def test_what_was_uploaded_before_there_were_rules_is_found_by_its_exact_name(ledger: Ledger) -> None:
    record(ledger, version("/drop/a_depth.png"))
    upload(ledger)
    assert ledger.planning.exactly("drop", "a_depth.png", "/drop/a_depth.png") is not None
    assert ledger.planning.exactly("drop", "a_depth.png", "/drop/A_depth.png") is None


def test_a_companion_that_is_not_uploaded_is_not_there(ledger: Ledger) -> None:
    record(ledger, version("/drop/a_depth.png"), refusal("/drop/a_mask.png"))
    for name in ("a_depth.png", "a_mask.png"):
        assert ledger.planning.exactly("drop", name, f"/drop/{name}") is None


def test_names_that_are_not_utf8_are_as_good_as_others(ledger: Ledger) -> None:
    depth = shown(ledger, arrive(ledger, "/drop/\udcff_depth.png", b"depth"))
    seen = shown(ledger, arrive(ledger, ODD))
    assert ledger.planning.exactly("drop", "\udcff_depth.png", "/drop/\udcff_depth.png") == depth
    for prefix in ("\udcff_", ""):
        assert depth.path in [each.path for each in ledger.planning.beginning_with("drop", prefix)]
    missing = (Missing("depth", "\udcff_*.png", "\udcff_depth.png", optional=False),)
    id_, *_ = plan(ledger, seen, missing=missing, wait_s=1.0)
    assert ledger.stories.needs(id_)[0].glob == "\udcff_*.png"
    assert [each.path for each in ledger.planning.triggers_missing("drop", RULE, "\udcff_depth.png")] == [ODD]
    assert ledger.planning.give_up(id_, T0 + 9) == "waited in vain for depth (\udcff_*.png)"
    plan(ledger, seen, companions={"depth": depth})
    assert [each.path for each in ledger.planning.triggers_using("drop", RULE, depth.path)] == [ODD]
    assert [row.path for row in ledger.stories.of_path(ODD)] == [ODD, ODD]
    assert taken(ledger).path == ODD


# --- chains -----------------------------------------------------------------------------------------------------------


def result(ledger: Ledger, sha256: str, name: str) -> int:
    """A generation that brings these bytes."""
    (id_,) = queue(ledger, name)
    job = taken(ledger)
    book(ledger, job)
    ledger.firing.accepted(job, name, T0, price=None, poll_at=T0, deadline=T0)
    ledger.following.intend(followed(ledger), 1, f"/drop/out/{name}.png", sha256, 5)
    return id_


def test_a_result_is_known_for_what_it_is_before_anybody_sees_it(ledger: Ledger) -> None:
    bytes_ = version(content=b"result").digest.sha256
    assert ledger.planning.origin(bytes_) is None
    id_ = result(ledger, bytes_, "a")
    assert ledger.planning.origin(bytes_) == Origin(id_, 1, "drop", RULE)
    seen = shown(ledger, arrive(ledger, "/drop/out/a.png", b"result", origin=id_))
    assert seen.depth == 1
    next_, *_ = plan(ledger, seen, T0 + 1)
    row = ledger.stories.one(next_)
    assert row is not None
    assert row.depth == 2


def test_what_changes_nothing_does_not_go_round_for_ever(ledger: Ledger) -> None:
    """Each in the chain brings the very bytes that it was given."""
    bytes_ = version(content=b"same").digest.sha256
    result(ledger, bytes_, "0")
    for depth in range(1, 5):
        origin = ledger.planning.origin(bytes_)
        assert origin is not None
        assert origin.depth == depth
        seen = shown(ledger, arrive(ledger, f"/drop/out/{depth}.png", b"same", T0 + depth, origin=origin.id))
        plan(ledger, seen, T0 + depth)
        job = taken(ledger, T0 + depth)
        book(ledger, job)
        ledger.firing.accepted(job, f"r{depth}", T0, price=None, poll_at=T0, deadline=T0)
        ledger.following.intend(followed(ledger), 1, f"/drop/out/{depth + 1}.png", bytes_, 5)


# --- what it is known by ----------------------------------------------------------------------------------------------


def test_a_generation_is_known_by_what_goes_into_it_and_by_nothing_that_a_rule_says(ledger: Ledger) -> None:
    seen, depth = pair(ledger)
    other = shown(ledger, arrive(ledger, "/drop/b.png", b"a"))
    beside = {"prompt": "oil", "parameters": "{}"}
    plain = planned_for(seen, companions={"depth": depth}, sidecars=beside)
    the_same = [
        planned_for(seen, companions={"depth": depth}, sidecars={}),
        planned_for(seen, companions={"depth": depth}, kind="workflow", target="other", wait_s=1.0),
        planned_for(seen, companions={"depth": depth}, fires_again_on=("prompt",)),
    ]
    assert {each.key(AS_THEY_ARE) for each in the_same} == {plain.key(AS_THEY_ARE)}
    others = [
        planned_for(seen),
        planned_for(seen, rule="other", companions={"depth": depth}),
        planned_for(seen, companions={"mask": depth}),
        planned_for(seen, companions={"depth": other}),
        planned_for(other, companions={"depth": depth}),
        planned_for(seen, companions={"depth": depth}, sidecars=beside, fires_again_on=("prompt",)),
        planned_for(seen, companions={"depth": depth}, sidecars={"prompt": "ink"}, fires_again_on=("prompt",)),
        planned_for(seen, companions={"depth": depth}, sidecars=beside, fires_again_on=("prompt", "parameters")),
    ]
    assert len({each.key(AS_THEY_ARE) for each in (plain, *others)}) == len(others) + 1


# --- large ledgers ----------------------------------------------------------------------------------------------------

HASH = version().digest.sha256
QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "pending": lambda ledger: ledger.planning.pending(["drop", "other"], 50),
    "unfinished": lambda ledger: ledger.planning.unfinished(),
    "exactly": lambda ledger: ledger.planning.exactly("drop", "x.png", "/drop/x.png"),
    "beginning_with": lambda ledger: ledger.planning.beginning_with("drop", "x_"),
    "triggers_missing": lambda ledger: ledger.planning.triggers_missing("drop", RULE, "x.png"),
    "triggers_using": lambda ledger: ledger.planning.triggers_using("drop", RULE, "/drop/x.png"),
    "overdue": lambda ledger: ledger.planning.overdue(T0),
    "next_deadline": lambda ledger: ledger.planning.next_deadline(),
    "sidecars": lambda ledger: ledger.planning.sidecars("/drop/x.txt"),
    "look_again": lambda ledger: ledger.planning.look_again(T0 + 99, 50),
    "plan that looks again": lambda ledger: plan(ledger, shown(ledger, 1), missing=UNREADABLE),
    "origin": lambda ledger: ledger.planning.origin(HASH),
    "plan": lambda ledger: plan(ledger, shown(ledger, 1)),
    "plan with a new key": lambda ledger: plan(ledger, shown(ledger, 1), sidecars={"p": "x"}, fires_again_on=("p",)),
    "plan that waits": lambda ledger: plan(ledger, shown(ledger, 1), missing="depth"),
    "again": lambda ledger: ledger.planning.again([1]),
    "a sidecar": lambda ledger: record(ledger, sidecar()),
    "a version that is touched": lambda ledger: record(ledger, version("/drop/a.png", b"a, restyle", mtime_ns=9)),
}


@sqlite_alone
@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_through_a_large_ledger(ledger: Ledger, name: str) -> None:
    queue(ledger, "a")
    record(ledger, version("/drop/queued.png", b"queued"))
    assert scans(ledger, QUESTIONS[name]) == []


@sqlite_alone
def test_a_version_that_never_comes_is_answered_by_the_index(ledger: Ledger) -> None:
    queue(ledger, "a")
    record(ledger, version("/drop/a.png", b"newer"))
    job = claimed(ledger)
    assert scans(ledger, lambda ledger: faulted(ledger, job, Superseded(Code.VANISHED, "gone"))) == []
    assert pending(ledger) == [1]
