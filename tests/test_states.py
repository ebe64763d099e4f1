"""The table of moves is the one that is drawn, and a fault means for a file what is promised."""

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch import states
from layerwatch.errors import ApiDown, Code, Final, FolderAway, JobError, NewUrl, NotTheApi, Superseded, TryAgain
from layerwatch.states import (
    BACKOFF_FIRST_S,
    BACKOFF_MOST_S,
    OPEN,
    Event,
    File,
    Generation,
    IllegalMove,
    Turn,
    allows,
    backoff_s,
    judge,
    move,
    turn,
)

Move = tuple[File | None, Event, File]
EVERY_STATUS: tuple[File | None, ...] = (None, *File)

attempts = st.integers(0, 100)
jitter = st.floats(0, 1)
passing = st.sampled_from((TryAgain, NewUrl))
not_the_files = st.sampled_from((ApiDown, NotTheApi, FolderAway))


def possible() -> set[Move]:
    pairs = itertools.product(EVERY_STATUS, Event)
    return {(status, event, move(status, event)) for status, event in pairs if allows(status, event)}


def test_the_turns_of_a_generation_are_those_in_the_diagram() -> None:
    turns = set()
    for status, event in itertools.product((None, *Generation), Turn):
        try:
            turns.add((status, event, turn(status, event)))
        except IllegalMove:
            continue
    drawn = set()
    for line in (states.generations.__doc__ or "").splitlines():
        for start, events, end in re.findall(r"(?=(?<!\w)(\(new\)|\w+) --([a-z_/]+)--> (\w+))", line):
            drawn |= {
                (None if start == "(new)" else Generation(start), Turn(event), Generation(end))
                for event in events.split("/")
            }
    assert turns == drawn
    assert {event for _, event, _ in turns} == set(Turn)


def test_only_a_proof_or_a_person_leads_back_from_what_may_have_been_paid_for() -> None:
    paid = (Generation.SUBMITTING, Generation.RUNNING, Generation.UNKNOWN, Generation.COMPLETE)
    back = set()
    for status, event in itertools.product(paid, Turn):
        try:
            if turn(status, event) in OPEN:
                back.add((status, event))
        except IllegalMove:
            continue
    assert back == {
        (Generation.SUBMITTING, Turn.NOT_STARTED),
        (Generation.SUBMITTING, Turn.HELD),
        (Generation.UNKNOWN, Turn.REFIRED),
    }


def drawn() -> Iterator[Move]:
    """The moves in the diagram that the module opens with."""
    for line in (states.files.__doc__ or "").splitlines():
        # An arrow may begin where the one before it ends.
        for start, events, end in re.findall(r"(?=(?<!\w)(\(new\)|\w+) --([a-z/]+)--> (\w+))", line):
            for event in events.split("/"):
                yield None if start == "(new)" else File(start), Event(event), File(end)


def test_the_moves_are_those_in_the_diagram() -> None:
    assert possible() == set(drawn())


def test_uploaded_is_the_only_end() -> None:
    left = {start for start, _, end in possible() if start != end}
    assert set(EVERY_STATUS) - left == {File.UPLOADED}


def test_every_status_is_reached_by_a_new_file_and_every_event_is_used() -> None:
    reached: set[File | None] = {None}
    for _ in EVERY_STATUS:
        reached |= {end for start, _, end in possible() if start in reached}
    assert reached == set(EVERY_STATUS)
    assert {event for _, event, _ in possible()} == set(Event)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("status", EVERY_STATUS)
def test_what_is_not_allowed_raises_and_names_both(status: File | None, event: Event) -> None:
    if allows(status, event):
        return
    with pytest.raises(IllegalMove, match=f"{status or 'new'} cannot be {event}"):
        move(status, event)


def test_only_what_is_queued_can_be_claimed_and_only_what_is_claimed_can_be_stored() -> None:
    assert [status for status in EVERY_STATUS if allows(status, Event.CLAIMED)] == [File.QUEUED]
    for event in (Event.STORED, Event.REUSED, Event.POSTPONED, Event.FAILED, Event.SUPERSEDED, Event.RECOVERED):
        assert [status for status in EVERY_STATUS if allows(status, event)] == [File.UPLOADING]


# --- back-off ---------------------------------------------------------------------------------------------------------


@given(attempts, jitter)
def test_backoff_lies_in_the_upper_half_and_never_above_the_most(count: int, spread: float) -> None:
    most = backoff_s(count, 1.0)
    assert most / 2 == backoff_s(count, 0.0) <= backoff_s(count, spread) <= most <= BACKOFF_MOST_S


def test_backoff_doubles_up_to_64_seconds() -> None:
    assert [backoff_s(count, 1.0) for count in range(10)] == [0.5, 1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert backoff_s(10**6, 1.0) == 64


# --- judge ------------------------------------------------------------------------------------------------------------


def judged(error: JobError, before: int = 0, most: int = 8, *, progressed: bool = False) -> states.Verdict:
    return judge(error, attempts=before, progressed=progressed, max_attempts=most, jitter=1.0)


@given(attempts, st.booleans())
def test_a_version_that_is_gone_is_superseded_and_costs_no_attempt(before: int, progressed: bool) -> None:
    verdict = judged(Superseded(Code.VANISHED, "gone"), before, progressed=progressed)
    assert (verdict.event, verdict.attempts, verdict.code) == (Event.SUPERSEDED, before, Code.VANISHED)


@given(attempts, st.booleans())
def test_a_final_fault_fails_at_once(before: int, progressed: bool) -> None:
    verdict = judged(Final(Code.REJECTED, "no"), before, progressed=progressed)
    assert (verdict.event, verdict.attempts, verdict.message) == (Event.FAILED, before + 1, "no")


@given(not_the_files, attempts, st.integers(1, 10), st.booleans())
def test_what_is_not_the_files_fault_is_not_counted_and_never_ends_it(
    kind: type[TryAgain], before: int, most: int, progressed: bool
) -> None:
    verdict = judged(kind(Code.NETWORK, "down"), before, most, progressed=progressed)
    assert (verdict.event, verdict.attempts) == (Event.POSTPONED, before)


@given(passing, attempts, st.integers(1, 100), st.booleans())
def test_passing_faults_are_counted_from_the_last_progress(
    kind: type[TryAgain], before: int, most: int, progressed: bool
) -> None:
    verdict = judged(kind(Code.SERVER, "503"), before, most, progressed=progressed)
    assert verdict.attempts == (1 if progressed else before + 1)
    assert verdict.event is (Event.FAILED if verdict.attempts >= most else Event.POSTPONED)
    assert verdict.code is Code.SERVER
    assert verdict.message.startswith("503")


@given(st.integers(1, 50))
def test_the_last_attempt_that_is_allowed_is_made_and_no_more(most: int) -> None:
    made, verdict = 0, None
    while verdict is None or verdict.event is Event.POSTPONED:
        verdict = judged(TryAgain(Code.NETWORK, "reset"), verdict.attempts if verdict else 0, most)
        made += 1
    assert made == most
    assert f"given up after {most} attempts" in verdict.message


@given(st.integers(2, 50))
def test_an_upload_that_gets_on_a_little_each_time_is_never_given_up(most: int) -> None:
    before = 0
    for _ in range(3 * most):
        verdict = judged(TryAgain(Code.NETWORK, "reset"), before, most, progressed=True)
        assert verdict.event is Event.POSTPONED
        before = verdict.attempts


@given(passing | not_the_files, st.integers(0, 6), st.floats(0, 10**5), jitter)
def test_the_wait_is_what_the_server_asked_for_else_the_back_off(
    kind: type[TryAgain], before: int, asked: float, spread: float
) -> None:
    told = judge(kind(Code.SERVER, "x", asked), attempts=before, progressed=False, max_attempts=8, jitter=spread)
    assert told.delay_s == asked
    untold = judge(kind(Code.SERVER, "x"), attempts=before, progressed=False, max_attempts=8, jitter=spread)
    assert untold.delay_s == backoff_s(max(untold.attempts - 1, 0), spread) > 0


def test_a_session_that_is_about_to_expire_is_not_slept_away() -> None:
    def delay_s(error: JobError, life_s: float | None) -> float:
        return judge(error, attempts=9, progressed=False, max_attempts=20, jitter=1.0, life_s=life_s).delay_s

    passing = TryAgain(Code.SERVER, "503")
    assert delay_s(passing, None) == delay_s(passing, 900.0) == BACKOFF_MOST_S
    assert delay_s(passing, 40.0) == 10.0
    assert delay_s(passing, 0.1) == BACKOFF_FIRST_S
    assert delay_s(NewUrl(Code.EXPIRED, "gone"), 40.0) == BACKOFF_MOST_S, "of a lost session nothing is to be saved"
    assert delay_s(TryAgain(Code.SERVER, "503", 30.0), 40.0) == 30.0, "what the server asks for counts more"
