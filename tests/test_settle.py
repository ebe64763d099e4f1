"""A path is due when it has held still for its quiet time, never before, and sooner or later always."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from layerwatch.settle import RESTLESS, Candidate, Settle
from layerwatch.source import Identity

A, B = Identity(10, 1, 1), Identity(20, 2, 1)


def due_paths(settle: Settle, now: float) -> list[str]:
    found = []
    while candidate := settle.due(now):
        found.append(candidate.path)
        settle.drop(candidate.path)
    return found


def test_due_after_its_quiet_time_and_not_before() -> None:
    settle = Settle()
    settle.see("a", A, now=100, quiet_s=2)
    assert settle.next_due_at() == 102
    assert settle.due(101.99) is None
    candidate = settle.due(102)
    assert candidate is not None
    assert (candidate.path, candidate.identity, candidate.quiet_since) == ("a", A, 100)


def test_a_change_starts_the_quiet_time_again() -> None:
    settle = Settle()
    for second in range(10):
        settle.see("a", Identity(second, second, 1), now=second, quiet_s=2)
        assert settle.due(second) is None
    assert due_paths(settle, 10.9) == []
    assert due_paths(settle, 11) == ["a"]


def test_the_age_of_a_file_does_not_count() -> None:
    settle = Settle()
    settle.see("a", Identity(1, mtime_ns=0, inode=1), now=1e6, quiet_s=2)
    assert settle.due(1e6 + 1) is None


def test_looking_again_at_the_same_file_does_not_put_it_back() -> None:
    settle = Settle()
    for second in range(6):
        settle.see("a", A, now=second, quiet_s=5)
    assert due_paths(settle, 5) == ["a"]


def test_a_stronger_sign_shortens_the_wait_from_when_it_was_last_changed() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=5)
    settle.see("a", A, now=1, quiet_s=0.2)
    assert settle.next_due_at() == 0.2
    assert due_paths(settle, 1) == ["a"]


def test_a_weaker_sign_does_not_lengthen_it() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=0.2)
    settle.see("a", A, now=0.1, quiet_s=5)
    assert due_paths(settle, 0.2) == ["a"]


def test_the_one_that_is_due_longest_comes_first() -> None:
    settle = Settle()
    settle.see("late", A, now=0, quiet_s=3)
    settle.see("soon", A, now=0, quiet_s=1)
    settle.see("next", A, now=0, quiet_s=2)
    assert due_paths(settle, 10) == ["soon", "next", "late"]


def test_what_was_put_off_is_looked_at_ever_more_rarely_but_at_least_every_30_s() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=2)
    now, waits = 2.0, []
    for _ in range(8):
        candidate = settle.due(now)
        assert candidate is not None
        settle.put_off(candidate, now, "PNG ends before its IEND chunk")
        after = settle.next_due_at()
        assert after is not None
        waits.append(after - now)
        assert settle.due(after - 0.01) is None
        now = after
    assert waits == [2, 4, 8, 16, 30, 30, 30, 30]


def test_what_was_put_off_is_waiting_and_no_longer_settling() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=2)
    settle.see("b", A, now=0, quiet_s=3)
    assert (settle.settling, settle.waiting) == (2, [])
    candidate = settle.due(2)
    assert candidate is not None
    settle.put_off(candidate, 2, "no end")
    assert (settle.settling, [one.waiting_for for one in settle.waiting]) == (1, ["no end"])


def test_a_change_of_what_was_put_off_begins_anew() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=2)
    candidate = settle.due(2)
    assert candidate is not None
    settle.put_off(candidate, 2, "no end")
    settle.see("a", B, now=3, quiet_s=2)
    assert (settle.settling, settle.waiting) == (1, [])
    assert due_paths(settle, 4.9) == []
    assert due_paths(settle, 5) == ["a"]


def test_the_full_wait_counts_from_the_last_change() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=0.2)
    candidate = settle.due(0.2)
    assert candidate is not None
    settle.wait_for_all(candidate, 0.3, quiet_s=2)
    assert settle.next_due_at() == 2
    assert due_paths(settle, 2) == ["a"]


def test_what_has_to_be_quiet_for_longer_after_it_was_put_off_is_settling_again() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=0.2)
    candidate = settle.due(0.2)
    assert candidate is not None
    settle.put_off(candidate, 0.2, "open for writing")
    again = settle.due(0.5)
    assert again is not None
    settle.wait_for_all(again, 0.5, quiet_s=2)
    assert (settle.settling, settle.waiting) == (1, [])


def test_nobody_waits_for_the_end_of_a_file_that_somebody_goes_on_writing() -> None:
    settle = Settle()
    for second in range(RESTLESS + 1):
        assert settle.settling == (second > 0)
        settle.see("a", Identity(second, second, 1), now=second, quiet_s=2)
    assert settle.settling == 0
    assert due_paths(settle, RESTLESS + 2) == ["a"]


def test_what_is_dropped_or_cleared_is_forgotten() -> None:
    settle = Settle()
    for path in ("a", "b", "c"):
        settle.see(path, A, now=0, quiet_s=1)
    settle.drop("a")
    settle.drop("never seen")
    assert "a" not in settle
    assert due_paths(settle, 1) == ["b", "c"]
    settle.see("d", A, now=0, quiet_s=1)
    settle.clear()
    assert (len(settle), settle.next_due_at(), settle.due(99)) == (0, None, None)


def test_what_was_due_and_not_decided_comes_again_when_it_is_seen_again() -> None:
    settle = Settle()
    settle.see("a", A, now=0, quiet_s=1)
    assert settle.due(1) is not None  # and whoever took it could not write down what it is
    settle.see("a", A, now=60, quiet_s=1)
    assert due_paths(settle, 62) == ["a"]


def test_what_a_scan_sees_together_is_due_together_in_its_order_and_known_to_be_unknown() -> None:
    settle = Settle()
    settle.see("b", A, now=0, quiet_s=9)
    settle.see_all([("c", A), ("b", A), ("a", B)], {"c"}, now=1, quiet_s=2)
    assert settle.next_due_at() == 2  # `b` has been quiet since 0
    found = []
    while candidate := settle.due(3):
        found.append((candidate.path, candidate.identity, candidate.unknown, candidate.regular))
    # Of `b`, which an event told of, nobody knows more than that.
    assert found == [("b", A, True, False), ("c", A, True, False), ("a", B, True, True)]
    settle.see("a", A, now=4, quiet_s=2)
    changed = settle.due(6)
    assert changed is not None
    assert not changed.unknown  # nobody has asked for what it is now
    assert not changed.regular


def test_what_is_dropped_or_changes_is_passed_over_among_those_that_are_due_together() -> None:
    settle = Settle()
    settle.see_all([(name, A) for name in "abcd"], (), now=0, quiet_s=2)
    settle.drop("a")
    settle.see("c", B, now=1, quiet_s=2)
    assert due_paths(settle, 2) == ["b", "d"]
    assert settle.next_due_at() == 3
    assert due_paths(settle, 3) == ["c"]


def test_what_is_given_back_is_due_again_unless_it_was_decided_meanwhile() -> None:
    settle = Settle()
    settle.see_all([(name, A) for name in "abc"], (), now=0, quiet_s=0)
    taken = [candidate for _ in range(3) if (candidate := settle.due(0))]
    assert settle.due(5) is None
    settle.drop("b")
    settle.give_back(taken, now=5)
    assert settle.next_due_at() == 5
    assert due_paths(settle, 5) == ["a", "c"]


def test_busy_is_whether_any_will_hold_still() -> None:
    settle = Settle()
    assert not settle.busy
    settle.see("a", A, now=0, quiet_s=0)
    assert settle.busy
    candidate = settle.due(0)
    assert candidate is not None
    assert settle.busy  # taken, and not decided
    settle.put_off(candidate, 0, "no end")
    assert not settle.busy


class Quiet(RuleBasedStateMachine):
    """Many paths, any order of looks and decisions, against the plainest model: when each was last changed."""

    def __init__(self) -> None:
        super().__init__()
        self.settle = Settle()
        self.now = 0.0
        self.changed: dict[str, tuple[Identity, float, float]] = {}  # identity, since, shortest quiet time asked for
        self.restless: dict[str, int] = {}  # how often it was another file at the next look
        self.held: Candidate | None = None

    @rule(path=st.sampled_from("abc"), size=st.integers(0, 2), quiet_s=st.sampled_from((0.2, 2.0, 5.0)))
    def look(self, path: str, size: int, quiet_s: float) -> None:
        identity = Identity(size, 0, 0)
        before = self.changed.get(path)
        same = before is not None and before[0] == identity
        since, shortest = (before[1], min(before[2], quiet_s)) if before and same else (self.now, quiet_s)
        self.restless[path] = self.restless.get(path, -1) + (not same)
        self.changed[path] = identity, since, shortest
        self.settle.see(path, identity, self.now, quiet_s)
        self.held = None

    @rule(seconds=st.floats(0, 10))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.held is None)
    @rule()
    def take(self) -> None:
        self.held = self.settle.due(self.now)
        if self.held is not None:
            identity, since, quiet_s = self.changed[self.held.path]
            assert self.held.identity == identity
            assert self.now - since >= quiet_s - 1e-9

    @precondition(lambda self: self.held is not None)
    @rule(decision=st.sampled_from(("drop", "put off", "wait for all")))
    def decide(self, decision: str) -> None:
        assert self.held is not None
        if decision == "drop":
            self.settle.drop(self.held.path)
            del self.changed[self.held.path], self.restless[self.held.path]
        elif decision == "put off":
            self.settle.put_off(self.held, self.now, "not whole")
        else:
            self.settle.wait_for_all(self.held, self.now, 5.0)
        self.held = None

    @invariant()
    def remembers_exactly_what_is_undecided(self) -> None:
        assert len(self.settle) == len(self.changed)
        assert all(path in self.settle for path in self.changed)
        waiting = {candidate.path for candidate in self.settle.waiting}
        restless = {path for path, changes in self.restless.items() if changes >= RESTLESS}
        assert self.settle.settling == len(set(self.changed) - waiting - restless)

    def teardown(self) -> None:
        for path, (identity, _, _) in self.changed.items():
            self.settle.see(path, identity, self.now, 5.0)
        assert set(due_paths(self.settle, self.now + 31)) == set(self.changed)


TestQuiet = Quiet.TestCase
TestQuiet.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
