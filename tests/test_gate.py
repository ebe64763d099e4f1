"""While the API refuses everybody nobody hammers it, one asks for all, and everybody goes on as soon as it answers."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from layerwatch.errors import ApiDown, Code
from layerwatch.pacing import PROBE_FIRST_S, PROBE_MOST_S, Gate, Pass

DOWN = ApiDown(Code.NETWORK, "connection refused")
LIMITED = ApiDown(Code.RATE_LIMITED, "429", 120.0)


def gate() -> Gate:
    return Gate(threading.Lock())


def closed_at(now: float, error: ApiDown = DOWN) -> Gate:
    closed = gate()
    closed.down(Pass(now, probe=False), error, now)
    return closed


def probe(closed: Gate, now: float) -> Pass:
    given = closed.admit(now)
    assert given is not None
    assert given.probe
    return given


def test_an_open_gate_admits_everybody() -> None:
    assert [gate().admit(0.0) for _ in range(3)] == [Pass(0.0, probe=False)] * 3
    assert gate().wait_s(0.0) == 0.0


def test_a_closed_gate_admits_nobody_before_the_time_and_then_one_at_a_time() -> None:
    closed = closed_at(100.0)
    assert closed.hold is not None
    assert (closed.hold.code, closed.hold.since, closed.hold.until) == (Code.NETWORK, 100.0, 100.5)
    assert closed.admit(100.4) is None
    given = probe(closed, 102.0)
    assert closed.admit(200.0) is None, "the probe has not come back"
    closed.unused(given)
    probe(closed, 200.0)


def test_the_time_the_server_asked_for_is_kept_whatever_comes_after() -> None:
    closed = closed_at(0.0, LIMITED)
    closed.down(Pass(0.0, probe=False), DOWN, 1.0)
    assert closed.admit(119.0) is None
    probe(closed, 120.0)


def test_a_probe_that_told_nothing_does_not_lengthen_the_wait() -> None:
    closed = closed_at(0.0)
    for _ in range(20):
        closed.unused(probe(closed, 2.0))
    assert closed.hold is not None
    assert closed.hold.probes == 0
    probe(closed, 2.0)


def test_only_failed_probes_lengthen_it_up_to_a_minute_and_the_beginning_is_kept() -> None:
    closed, now, waits = closed_at(0.0), 0.0, []
    for _ in range(9):
        waits.append(closed.wait_s(now))
        now += waits[-1]
        hold = closed.down(probe(closed, now), DOWN, now)
        assert hold.since == 0.0
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    before = closed.hold
    closed.down(Pass(now, probe=False), DOWN, now)
    assert before is not None
    assert closed.hold is not None
    assert closed.hold.probes == before.probes, "an upload that had been under way is no probe"


def test_who_got_through_opens_it_for_all() -> None:
    closed = closed_at(0.0)
    assert closed.up(probe(closed, 2.0))
    assert closed.hold is None
    assert [closed.admit(3.0) for _ in range(3)] == [Pass(3.0, probe=False)] * 3
    assert not closed.up(Pass(3.0, probe=False)), "it was open"
    assert closed.down(Pass(3.0, probe=False), DOWN, 10.0).until == 10.0 + PROBE_FIRST_S


def test_an_upload_that_began_before_it_was_closed_does_not_open_it() -> None:
    closed = closed_at(10.0, LIMITED)
    assert not closed.up(Pass(9.0, probe=False))
    assert closed.admit(11.0) is None


@given(st.lists(st.tuples(st.sampled_from(("ask", "down", "up", "unused", "limit")), st.floats(0, 90)), max_size=40))
def test_while_it_is_closed_the_next_look_is_never_far_and_never_two_at_once(steps: list[tuple[str, float]]) -> None:
    closed, now = closed_at(0.0), 0.0
    out: list[Pass] = []
    for what, pause_s in steps:
        now += pause_s
        if what == "ask" and (given := closed.admit(now)):
            out.append(given)
        elif out and what == "down":
            closed.down(out.pop(), DOWN, now)
        elif out and what == "limit":
            closed.down(out.pop(), ApiDown(Code.RATE_LIMITED, "429", 30.0), now)
        elif out and what == "up":
            closed.up(out.pop())
        elif out and what == "unused":
            closed.unused(out.pop())
        if closed.hold is not None:
            assert sum(given.probe for given in out) <= 1
            assert closed.wait_s(now) <= PROBE_MOST_S


def test_of_many_threads_one_is_admitted() -> None:
    for _ in range(50):
        closed = closed_at(0.0)
        admitted: list[Pass | None] = []
        barrier = threading.Barrier(6)

        def ask(closed: Gate, barrier: threading.Barrier, admitted: list[Pass | None]) -> None:
            barrier.wait()
            admitted.append(closed.admit(10.0))

        threads = [threading.Thread(target=ask, args=(closed, barrier, admitted)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(given is not None for given in admitted) == 1
