"""The promises about money, over any order of uploads, plans, bookings, answers, crashes, people and clocks that jump.

Nothing is fired twice but by a person's word; nothing that is there to be fired is forgotten; the day's budget is never
exceeded; what may have been paid for is never taken for what was not. The machine keeps books of its own, and plans as
the planner does: one rule for each shot alone, which fires again for another prompt, and one that wants its depth, too.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from layerwatch.errors import Code, Superseded
from layerwatch.ledger import (
    Firing,
    Following,
    Held,
    Input,
    Ledger,
    Limits,
    LostClaim,
    Missing,
    Plan,
    iso,
    seconds,
)
from layerwatch.ledger.budget import BURST, BURST_S, OVER_DAILY, day_of
from layerwatch.names import AS_THEY_ARE, bound, unbound
from layerwatch.rules import key_of
from layerwatch.states import OPEN, Event, Generation, Turn
from tests.ledgers import new_ledger

from .builders import (
    T0,
    WORKSPACE,
    all_there_is,
    book,
    faulted,
    planned_for,
    queue,
    raw,
    refusal,
    replayed,
    shown,
    taken,
    version,
    watched,
)

DAY = 86400.0
SHOTS = ("a", "\udcff")
ALONE, DEEP = "alone", "deep"
LIMITS = Limits(daily=10.0, burst=3)
WAIT_S = 50.0
MAY_HAVE_BEEN_PAID = (Generation.RUNNING, Generation.COMPLETE, Generation.UNKNOWN, Generation.SUBMITTING)

shots = st.sampled_from(SHOTS)
files = st.builds("/drop/{}{}.png".format, shots, st.sampled_from(("", "_depth")))
contents = st.sampled_from((b"one", b"two"))
prompts = st.sampled_from(("oil", "ink"))
prices = st.sampled_from((0.0, 1.0, 4.0, 6.0))
ANSWERS = ("accepted", "not started", "refused", "lost", "unpaid")
ENDS = ("complete", "again", "failed", "cancelled", "given up", "no result")
# How far a job gets, at which price, and whether the budget has a limit just then.
jobs = st.lists(
    st.tuples(
        st.sampled_from(("claimed", "put off", "rule gone", "sent", "complete", "complete", *ANSWERS)),
        prices,
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
which = st.integers(0, 9)


@dataclass
class Account:
    """What the machine's own books say of one generation; `before`: of the times before it was fired anew."""

    amount: float | None = None
    at: float = 0.0
    approved: bool = False
    before: list[tuple[float, float]] = field(default_factory=list)


class Crash(Exception):
    pass


class GenerationLaws(RuleBasedStateMachine):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.ledger = watched(new_ledger(self.path, durable=False))
        self.now = T0
        self.claims = map(str, itertools.count(1))
        self.disk: dict[str, bytes] = {}
        self.prompts: dict[str, str] = {}
        self.mtimes = itertools.count(1)
        self.firing: list[Firing] = []  # claimed, and not sent
        self.sent: list[Firing] = []  # the paid request is on its way
        self.following: list[Following] = []
        self.lost: list[Firing | Following] = []
        self.posts: Counter[int] = Counter()  # what may have been started, by generation
        self.asked: Counter[int] = Counter()  # how often a person wanted it fired anew
        self.again: Counter[str] = Counter()  # how often a person wanted a file's generations once more
        self.accounts: dict[int, Account] = {}
        self.held_at = -1e9  # the last time that something was held for being too much at once

    def teardown(self) -> None:
        try:
            if self.disk:
                self.all_is_seen_through_and_nothing_was_forgotten()
        finally:
            self.ledger.close()

    # --- files --------------------------------------------------------------------------------------------------------

    @initialize(found=st.dictionaries(files, contents, min_size=2, max_size=4), jobs=jobs)
    def a_first_day(self, found: dict[str, bytes], jobs: list[Any]) -> None:
        for path, content in found.items():
            self.a_file_is_written(path, content)
        self.upload(1.0)
        self.plan(9)
        self.fire(jobs)

    @rule(path=files, content=contents | st.none())
    def a_file_is_written(self, path: str, content: bytes | None) -> None:
        """A new one, a new version, one that comes back; or, without content, the same is touched."""
        if content is None and path not in self.disk:
            return
        self.disk[path] = self.disk[path] if content is None else content
        self.ledger.files.record([version(path, self.disk[path], mtime_ns=next(self.mtimes))], self.now)

    @rule(shot=shots, text=prompts)
    def a_prompt_is_written(self, shot: str, text: str) -> None:
        path = f"/drop/{shot}.txt"
        self.prompts[path] = text
        self.ledger.files.record([refusal(path, Code.SIDECAR, mtime_ns=next(self.mtimes))], self.now)

    @rule(
        share=st.sampled_from((0.0, 0.5, 1.0)),
        number=st.integers(0, 9),
        crashes=st.booleans(),
        meanwhile=st.sampled_from(("", "", "another prompt", "a person")),
    )
    def upload_and_plan(self, share: float, number: int, crashes: bool, meanwhile: str) -> None:
        self.upload(share)
        self.plan(number, crashes=crashes, meanwhile=meanwhile)

    def upload(self, share: float) -> None:
        """So much of what is queued; a version that is no longer there is not."""
        due = self.ledger.reports.files(status="queued")
        for _ in range(round(len(due) * share)):
            job = self.ledger.files.claim(next(self.claims), WORKSPACE, self.now)
            if job is None:
                return  # the clock was set back: it is not due yet
            content = self.disk[job.path]
            if version(job.path, content).digest != job.digest:
                faulted(self.ledger, job, Superseded(Code.CHANGED, "another version lies there"), self.now)
                continue
            event = Event.REUSED if job.twin else Event.STORED
            key = key_of(job.path.removeprefix("/drop/"))
            file_id = job.twin.file_id if job.twin else f"f{job.id}"
            self.ledger.files.uploaded(
                job, event, self.now, file_id=file_id, workspace_id=WORKSPACE, verified="md5", rule_key=key
            )

    # --- the rules, as the planner shows files to them ----------------------------------------------------------------

    def plan(self, number: int, *, crashes: bool = False, meanwhile: str = "") -> None:
        """Show so many uploads to the rules. It may break off; and something may happen before it is written down."""
        seen = self.ledger.planning.pending(["drop"], number)
        if crashes and seen:
            before = all_there_is(self.path)
            with pytest.raises(Crash):
                self.ledger.planning.plan(seen[0], self.breaking_off(seen[0]), self.now)
            assert all_there_is(self.path) == before
        for upload in seen:
            plans = list(self.plans(upload))
            if meanwhile == "another prompt":
                self.a_prompt_is_written(self.shot_of(upload.path)[0], f"oil, {next(self.mtimes)}")
            elif meanwhile == "a person":
                self.ledger.planning.again([upload.id])
                self.again[upload.path] += 1
            meanwhile = ""
            for planned in self.ledger.planning.plan(upload, plans, self.now):
                assert (planned.event is None) or planned.status in (Generation.WAITING, Generation.QUEUED)
        for id_, _, _ in self.ledger.planning.overdue(self.now):
            self.ledger.planning.give_up(id_, self.now)

    def breaking_off(self, upload: Input) -> Iterator[Plan]:
        yield from self.plans(upload)
        raise Crash

    def plans(self, upload: Input) -> Iterator[Plan]:
        shot, is_depth = self.shot_of(upload.path)
        if not is_depth:
            yield self.alone(upload)
            yield self.deep(upload)
            return
        planning = self.ledger.planning
        key = key_of(upload.path.removeprefix("/drop/"))
        triggers = {each.id: each for each in planning.triggers_missing("drop", DEEP, key)}
        triggers |= {each.id: each for each in planning.triggers_using("drop", DEEP, upload.path)}
        for trigger in triggers.values():
            if self.shot_of(trigger.path)[0] == shot:
                yield self.deep(trigger)

    def alone(self, trigger: Input) -> Plan:
        return planned_for(trigger, rule=ALONE, sidecars=self.sidecars(trigger), fires_again_on=("prompt",))

    def deep(self, trigger: Input) -> Plan:
        name = f"{self.shot_of(trigger.path)[0]}_depth.png"
        depth = self.ledger.planning.exactly("drop", key_of(name), f"/drop/{name}")
        return planned_for(
            trigger,
            rule=DEEP,
            sidecars=self.sidecars(trigger),
            companions={"depth": depth} if depth else {},
            missing=() if depth else (Missing("depth", name, key_of(name), optional=False),),
            wait_s=WAIT_S,
        )

    def sidecars(self, trigger: Input) -> dict[str, str]:
        path = f"/drop/{self.shot_of(trigger.path)[0]}.txt"
        return {"prompt": self.prompts[path]} if self.ledger.planning.sidecars(path) else {}

    def shot_of(self, path: str) -> tuple[str, bool]:
        name = path.removeprefix("/drop/").removesuffix(".png")
        return name.removesuffix("_depth"), name.endswith("_depth")

    # --- money --------------------------------------------------------------------------------------------------------

    @rule(jobs=jobs)
    def fire(self, jobs: list[tuple[str, float, bool]]) -> None:
        """Claim; book; send; and whatever Layer answers: each job gets so far, and the last ones no further."""
        for end, price, is_limited in jobs:
            job = self.ledger.firing.claim(next(self.claims), self.now)
            if job is None:
                return
            assert job.id not in {other.id for other in (*self.held(), *self.sent)}
            self.firing.append(job)
            if end in ("put off", "rule gone"):
                self.it_cannot_be_sent_now(job, end)
            elif end != "claimed" and self.book(job, price, is_limited=is_limited) and end != "sent":
                self.layer_answers(len(self.sent) - 1, "accepted" if end == "complete" else end, price)
                if end == "complete":
                    self.follow([("complete", price)])

    def held(self) -> list[Firing]:
        """Those that are still their claimants': a plan takes one away when it is not what was claimed any more."""
        claims = dict(self.ask("SELECT id, claim FROM generations WHERE status = 'queued' AND claim IS NOT NULL"))
        self.lost += [job for job in self.firing if claims.get(job.id) != job.claim]
        self.firing = [job for job in self.firing if claims.get(job.id) == job.claim]
        return self.firing

    @precondition(lambda self: self.held())
    @rule(pick=which, price=prices, is_limited=st.booleans())
    def go_on_firing(self, pick: int, price: float, is_limited: bool) -> None:
        self.book(self.firing[pick % len(self.firing)], price, is_limited=is_limited)

    def book(self, job: Firing, price: float, *, is_limited: bool) -> bool:
        self.firing.remove(job)
        spent, burst = self.spent(self.now), self.fired_at_once()
        held = self.ledger.firing.book(job, {"n": job.id}, price, [LIMITS] if is_limited else [], self.now)
        if held is None:
            assert raw(self.path, "SELECT status, claim FROM generations WHERE id = ?", job.id) == [
                ("submitting", job.claim)
            ], "on disk before the request leaves, for all to see"
            self.posts[job.id] += 1
            self.sent.append(job)
            self.account(job.id).amount, self.account(job.id).at = price, self.now
            self.account(job.id).approved = job.approved
            if is_limited and not job.approved:
                assert spent + price <= 10.0
                assert burst < 3
                assert not self.now - BURST_S <= self.held_at
            return True
        assert is_limited
        assert not job.approved
        self.lost.append(job)
        if held.code == OVER_DAILY:
            assert spent + price > 10.0
        else:
            assert held.code == BURST
            self.held_at = self.now
        return False

    def it_cannot_be_sent_now(self, job: Firing, end: str) -> None:
        self.firing.remove(job)
        self.lost.append(job)
        if end == "put off":
            self.ledger.firing.put_off(job, self.now + 5, attempts=job.attempts + 1, code="network", message="down")
        else:
            self.ledger.firing.refused(job, Generation.QUEUED, self.now, code="rule_gone", message="no")

    @precondition(lambda self: self.sent)
    @rule(pick=which, answer=st.sampled_from(ANSWERS), price=prices)
    def layer_answers(self, pick: int, answer: str, price: float) -> None:
        job, now, firing = self.sent.pop(pick % len(self.sent)), self.now, self.ledger.firing
        self.lost.append(job)
        account = self.account(job.id)
        match answer:
            case "accepted":
                amount = None if price == 0.0 else price
                firing.accepted(job, f"r{job.id}", now, price=amount, poll_at=now, deadline=now + 99)
                account.amount = account.amount if amount is None else amount
            case "lost":
                firing.lost(job, now, "no answer", "network")
            case "not started":
                firing.not_started(job, now + 5, now, code="rate_limited", message="429")
            case "refused":
                firing.refused(job, Generation.SUBMITTING, now, code="invalid", message="no")
            case "unpaid":
                held = Held("insufficient_units", "not enough", now + 900, first=True)
                firing.hold(job, Generation.SUBMITTING, held, None, now)
        if answer in ("not started", "refused", "unpaid"):
            self.posts[job.id] -= 1  # the answer proves it
            account.amount = None

    # --- following ----------------------------------------------------------------------------------------------------

    @rule(ends=st.lists(st.tuples(st.sampled_from(("taken", *ENDS)), st.none() | prices), min_size=1, max_size=3))
    def follow(self, ends: list[tuple[str, float | None]]) -> None:
        for end, price in ends:
            job = self.ledger.following.claim(next(self.claims), self.now)
            if job is None:
                return
            assert job.id not in {other.id for other in self.following}
            self.following.append(job)
            if end != "taken":
                self.layer_tells(len(self.following) - 1, end, price)

    @precondition(lambda self: self.following)
    @rule(pick=which, end=st.sampled_from(ENDS), price=st.none() | prices)
    def layer_tells(self, pick: int, end: str, price: float | None) -> None:
        job, now, following = self.following.pop(pick % len(self.following)), self.now, self.ledger.following
        self.lost.append(job)
        if end == "again":
            following.again(job, now + 1)
            return
        if end == "complete":
            following.completed(job, [], price, None, now, deliver=True)
        else:
            states = {"failed": "failed", "cancelled": "cancelled", "no result": "complete", "given up": None}
            event = Turn.CANCELLED if end == "cancelled" else Turn.FAILED
            following.ended(job, event, now, code="X", message="no", remote_state=states[end], price=price)
        if price is not None:
            self.account(job.id).amount = price

    # --- people, time, and the end of the process ---------------------------------------------------------------------

    @precondition(lambda self: self.with_status(Generation.BLOCKED))
    @rule()
    def approve_all(self) -> None:
        blocked = self.with_status(Generation.BLOCKED)
        assert self.ledger.firing.approve(range(99), self.now) == blocked

    @precondition(lambda self: self.with_status(Generation.UNKNOWN))
    @rule(pick=which, decision=st.sampled_from(("refire", "adopt", "drop")))
    def resolve(self, pick: int, decision: str) -> None:
        unknown = self.with_status(Generation.UNKNOWN)
        id_, firing = unknown[pick % len(unknown)], self.ledger.firing
        if decision == "refire":
            assert firing.refire(id_, self.now, "not there")
            self.asked[id_] += 1
            self.account(id_).amount = None
        elif decision == "adopt":
            assert firing.adopt(id_, f"r{id_}", self.now, "found it", self.now + 99)
        else:
            assert firing.drop(id_, self.now, "never mind")

    @precondition(lambda self: self.with_status(Generation.FAILED, Generation.CANCELLED))
    @rule(pick=which)
    def retry(self, pick: int) -> None:
        ended = self.with_status(Generation.FAILED, Generation.CANCELLED)
        id_ = ended[pick % len(ended)]
        for _, event in self.ledger.firing.retry([id_], self.now, self.now + 99):
            if event is Turn.RETRIED:
                self.asked[id_] += 1
                account = self.account(id_)
                account.before += [] if account.amount is None else [(account.amount, account.at)]
                account.amount = None

    @rule(pick=which)
    def fire_a_file_again(self, pick: int) -> None:
        uploaded = self.ledger.reports.files(status="uploaded")
        current = [row for row in uploaded if version(row.path, self.disk[row.path]).digest.sha256 == row.hash]
        if current:
            row = current[pick % len(current)]
            assert self.ledger.planning.again([row.id]) == [row.id]
            self.again[row.path] += 1

    @rule(jump_s=st.sampled_from((1.0, 10.0, BURST_S + 1, DAY, -3600.0)))
    def the_clock_goes_on_or_jumps(self, jump_s: float) -> None:
        self.now = round(self.now + jump_s, 3)
        if jump_s < 0:
            self.ledger.files.hurry(self.now)
            self.held_at = min(self.held_at, self.now)
        if jump_s == DAY:
            due = [row.id for row in self.blocked() if row.next_attempt_at and row.next_attempt_at <= iso(self.now)]
            assert self.ledger.firing.release(self.now) == len(due)
            assert due == [id_ for id_ in due if self.status(id_) is Generation.QUEUED]

    @rule()
    def end_and_start_again(self) -> None:
        """At any point: what was claimed is nobody's, and what was sent is unknown."""
        self.ledger.close()
        self.ledger = Ledger(self.path, durable=False)
        self.ledger.files.recover(self.now)
        assert self.ledger.firing.recover(self.now) == sorted(job.id for job in self.sent)
        self.ledger.deliveries.recover()
        self.lost += [*self.firing, *self.sent, *self.following]
        self.firing, self.sent, self.following = [], [], []

    @precondition(lambda self: self.lost)
    @rule(pick=which, what=which)
    def somebody_who_lost_his_claim_comes_late(self, pick: int, what: int) -> None:
        job = self.lost[pick % len(self.lost)]
        if job in self.held():
            return
        before = all_there_is(self.path)
        with pytest.raises(LostClaim):
            self.come_late(job, what)
        assert all_there_is(self.path) == before

    def come_late(self, job: Firing | Following, what: int) -> None:
        firing, following, now = self.ledger.firing, self.ledger.following, self.now
        if isinstance(job, Following):
            moves: list[Callable[[], object]] = [
                lambda: following.again(job, now),
                lambda: following.intend(job, 1, "/drop/out/a.png", "aa", 1),
                lambda: following.completed(job, [], 1.0, None, now, deliver=True),
                lambda: following.ended(job, Turn.FAILED, now, code="x", message="x", remote_state=None),
            ]
        else:
            moves = [
                lambda: firing.book(job, {}, 0.0, [], now),
                lambda: firing.accepted(job, "late", now, price=1.0, poll_at=now, deadline=now),
                lambda: firing.not_started(job, now, now, code="x", message="x"),
                lambda: firing.refused(job, Generation.SUBMITTING, now, code="x", message="x"),
                lambda: firing.put_off(job, now, attempts=1, code="x", message="x"),
                lambda: firing.lost(job, now, "x", "x"),
            ]
        moves[what % len(moves)]()

    # --- what holds in the end ----------------------------------------------------------------------------------------

    @rule()
    def all_is_seen_through_and_nothing_was_forgotten(self) -> None:
        queued = self.ledger.reports.files(status="queued")
        self.now = max([self.now, *(seconds(row.next_attempt_at) for row in queued if row.next_attempt_at)])
        while self.ledger.reports.files(status="queued"):
            self.upload(1.0)
        while self.ledger.planning.pending(["drop"], 9):
            self.plan(9)
        assert not self.ledger.planning.unfinished()
        for shot in SHOTS:
            if f"/drop/{shot}.png" in self.disk:
                self.has_what_it_is_to_have(shot)

    def has_what_it_is_to_have(self, shot: str) -> None:
        """A generation of each rule for what lies there now, and none that waits to be fired for anything else."""
        path = f"/drop/{shot}.png"
        trigger = self.uploaded(path)
        for plan in (self.alone(trigger), self.deep(trigger)):
            mine = [row for row in self.rows() if row["rule"] == plan.rule and row["path"] == path]
            unasked = [row for row in mine if row["status"] in OPEN and not row["again"]]
            assert len(unasked) <= 1
            if plan.missing:
                assert [row for row in mine if row["status"] == "waiting" or row["error_code"] == "input_missing"]
                assert {row["status"] for row in unasked} <= {"waiting"}
                continue
            wanted = [row for row in mine if row["key"] and row["key"][:64] == plan.key(AS_THEY_ARE)]
            given_up = [row for row in mine if row["error_code"] == "input_missing"]
            assert given_up or [row for row in wanted if row["error_code"] != "superseded"], "forgotten"
            assert {row["key"][:64] if row["key"] else None for row in unasked} <= {plan.key(AS_THEY_ARE)}

    def uploaded(self, path: str) -> Input:
        digest = version(path, self.disk[path]).digest.sha256
        ((id_,),) = raw(self.path, "SELECT id FROM files WHERE path = ? AND hash = ?", bound(path), digest)
        return shown(self.ledger, id_)

    # --- what holds, always -------------------------------------------------------------------------------------------

    def ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return self.ledger._store.rows(question, *values)

    def rows(self) -> list[dict[str, Any]]:
        names = "id, rule, path, key, status, error_code, again, booked, booked_at, next_attempt_at, claim"
        asked = self.ask(f"SELECT {names} FROM generations ORDER BY id")
        rows = [dict(zip(names.split(", "), row, strict=True)) for row in asked]
        return [row | {"path": unbound(row["path"])} for row in rows]

    def with_status(self, *statuses: Generation) -> list[int]:
        return [row["id"] for row in self.rows() if row["status"] in statuses]

    def blocked(self) -> list[Any]:
        return sorted(self.ledger.stories.some(status=Generation.BLOCKED), key=lambda row: row.id)

    def status(self, id_: int) -> Generation:
        ((status,),) = self.ask("SELECT status FROM generations WHERE id = ?", id_)
        return Generation(status)

    def account(self, id_: int) -> Account:
        return self.accounts.setdefault(id_, Account())

    def spent(self, now: float) -> float:
        """Today; and what was booked by a clock that was ahead."""
        books = [each for account in self.accounts.values() for each in account.before]
        books += [(each.amount, each.at) for each in self.accounts.values() if each.amount is not None]
        return sum(amount for amount, at in books if at >= day_of(now))

    def fired_at_once(self) -> int:
        since = self.now - BURST_S
        accounts = self.accounts.values()
        return sum(each.amount is not None and each.at >= since and not each.approved for each in accounts)

    @invariant()
    def nothing_is_fired_twice_but_by_a_persons_word(self) -> None:
        families: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows():
            assert self.posts[row["id"]] <= 1 + self.asked[row["id"]]
            if row["key"]:
                families.setdefault(row["key"][:64], []).append(row)
        for family in families.values():
            assert len(family) <= 1 + self.again[family[0]["path"]]
        for row in self.rows():
            lines = Counter(line.event for line in self.ledger.stories.history(row["id"]))
            assert lines["submitted"] >= self.posts[row["id"]]

    @invariant()
    def what_may_have_been_paid_for_is_never_taken_for_what_was_not(self) -> None:
        assert set(self.with_status(Generation.SUBMITTING)) == {job.id for job in self.sent}
        for row in self.rows():
            if row["status"] in MAY_HAVE_BEEN_PAID:
                assert self.posts[row["id"]] >= 1
            if row["status"] in (*OPEN, "failed", "cancelled"):
                assert row["id"] not in {job.id for job in self.sent}

    @invariant()
    def the_books_are_those_of_the_machine(self) -> None:
        for row in self.rows():
            account = self.account(row["id"])
            assert row["booked"] == account.amount
            assert row["booked_at"] == (None if account.amount is None else iso(account.at))
        before = [each for account in self.accounts.values() for each in account.before]
        written = self.ask("SELECT booked, booked_at FROM earlier_bookings")
        assert sorted(written) == sorted((amount, iso(at)) for amount, at in before)
        total = sum(row.booked for row in self.ledger.stories.spend())
        assert total == sum(account.amount or 0.0 for account in self.accounts.values()) + sum(a for a, _ in before)

    @invariant()
    def the_history_replayed_gives_the_row(self) -> None:
        for row in self.rows():
            assert replayed(self.ledger, row["id"]) == row["status"]

    @invariant()
    def one_claim_at_a_time_and_it_is_for_what_is_written(self) -> None:
        holders: list[Firing | Following] = [*self.held(), *self.sent, *self.following]
        claims = {(row["id"], row["claim"]) for row in self.rows() if row["claim"] is not None}
        assert claims == {(job.id, job.claim) for job in holders}
        for job in self.firing:
            inputs = {each.role: each.file_id for each in self.ledger.stories.inputs(job.id)}
            assert inputs == job.file_ids
            ((sidecars,),) = self.ask("SELECT sidecars FROM generations WHERE id = ?", job.id)
            assert json.loads(sidecars or "{}") == job.sidecars
            assert set(inputs) == ({"input"} if job.rule == ALONE else {"input", "depth"})

    @invariant()
    def what_is_to_be_done_will_be_due(self) -> None:
        for row in self.rows():
            if row["status"] in ("queued", "running"):
                assert row["next_attempt_at"] is not None
            if row["status"] == "queued":
                assert row["key"] is not None, "nothing is fired without its inputs"
            if row["status"] in ("complete", "failed", "cancelled", "unknown", "submitting"):
                assert row["next_attempt_at"] is None


# What the laws are about is the same on each engine, but for what a statement does there: that takes fewer examples.
EXAMPLES, BURSTS = {"sqlite": 40, "postgresql": 8}, {"sqlite": 25, "postgresql": 5}


def test_the_laws_of_generations(engine: str, place: Callable[[], str]) -> None:
    laws = settings(max_examples=EXAMPLES[engine], stateful_step_count=30, deadline=None)
    run_state_machine_as_test(lambda: GenerationLaws(place()), settings=laws)  # type: ignore[arg-type]


def test_of_all_that_come_at_once_exactly_a_burst_is_fired(engine: str, place: Callable[[], str]) -> None:
    """However long Layer takes for each; and then none until a minute has brought none."""

    @settings(max_examples=BURSTS[engine], deadline=None)
    @given(burst=st.integers(0, 4), pauses=st.lists(st.floats(0.0, BURST_S - 1), min_size=1, max_size=8))
    def law(burst: int, pauses: list[float]) -> None:
        with new_ledger(place(), durable=False) as ledger:
            exactly_a_burst_is_fired(watched(ledger), burst, pauses)

    law()


def exactly_a_burst_is_fired(ledger: Ledger, burst: int, pauses: list[float]) -> None:
    queue(ledger, *map(str, range(len(pauses))))
    now, helds = T0, list[Held | None]()
    for pause in pauses:
        now += pause
        helds.append(book(ledger, taken(ledger, now), None, now, Limits(burst=burst)))
    assert [held is None for held in helds] == [number < burst for number in range(len(pauses))]
    queue(ledger, "late", now=now)
    held = book(ledger, taken(ledger, now), None, now, Limits(burst=burst))
    assert held is not None or len(pauses) < burst or now > T0 + BURST_S
    now += BURST_S + 1
    queue(ledger, "quiet", now=now)
    assert (book(ledger, taken(ledger, now), None, now, Limits(burst=burst)) is None) == (burst > 0)
