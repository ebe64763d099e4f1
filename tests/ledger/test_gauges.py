"""What monitoring asks every few seconds is told right, and by a look at an index."""

import pytest

from layerwatch.errors import Code, Final, Superseded
from layerwatch.ledger import Ledger, Queued
from layerwatch.ledger.gauges import _CHARGED, _QUEUED, _RETRIED, LOOKED_AT
from layerwatch.states import Turn

from .builders import (
    RULE,
    T0,
    changed,
    claimed,
    faulted,
    passing,
    queue,
    record,
    refusal,
    running,
    sqlite_alone,
    sqlite_connection,
    stored,
    version,
    watched,
)

HERE = ["drop"]


def oldest(ledger: Ledger) -> tuple[str, float] | None:
    found = ledger.gauges.oldest_queued(HERE)
    return (found.path.rpartition("/")[2], found.since - T0) if found else None


def lay(ledger: Ledger, name: str, since: float, now: float = 0.0, *, folder: str = "drop") -> int:
    """A file is found at T0 + `now` that lay there since T0 + `since`; its id."""
    found = version(f"/drop/{name}", name.encode(), folder=folder)
    (recorded,) = record(ledger, found._replace(seen_at=T0 + since), now=T0 + now)
    return recorded.id


def test_of_an_empty_queue_none_is_the_oldest(ledger: Ledger) -> None:
    record(ledger, refusal())
    assert oldest(ledger) is None
    id_ = lay(ledger, "b.png", -1)
    assert ledger.gauges.oldest_queued(HERE) == Queued(id_, "drop", "/drop/b.png", T0 - 1)
    stored(ledger, claimed(ledger))
    assert oldest(ledger) is None


def test_the_oldest_lay_there_first_whichever_was_recorded_first(ledger: Ledger) -> None:
    lay(ledger, "a.png", -10)
    lay(ledger, "b.png", -30)
    lay(ledger, "c.png", -20)
    assert oldest(ledger) == ("b.png", -30)


def test_a_file_that_a_person_retried_waits_since_the_last_time(ledger: Ledger) -> None:
    id_ = lay(ledger, "a.png", -10)
    for at in (100, 200):
        faulted(ledger, claimed(ledger, T0 + at), Final(Code.REJECTED, "no"))
        assert ledger.files.retry([id_], T0 + at) == [id_]
        assert oldest(ledger) == ("a.png", at)
    lay(ledger, "b.png", 150, 160)
    assert oldest(ledger) == ("b.png", 150)


def test_attempts_in_between_make_nobody_younger(ledger: Ledger) -> None:
    lay(ledger, "a.png", -10)
    for attempt in range(5):
        faulted(ledger, claimed(ledger, T0 + 3600 * attempt), passing(), T0 + 3600 * attempt)
    assert oldest(ledger) == ("a.png", -10)


def test_a_file_that_came_back_waits_since_it_came_back(ledger: Ledger) -> None:
    id_ = lay(ledger, "a.png", -10)
    faulted(ledger, claimed(ledger), Superseded(Code.VANISHED, "gone"))
    assert lay(ledger, "a.png", 500, 510) == id_
    assert oldest(ledger) == ("a.png", 500)


def test_what_an_older_layerwatch_recorded_waits_since_it_was_recorded(ledger: Ledger) -> None:
    lay(ledger, "a.png", -10, 5)
    changed(ledger.path, "UPDATE files SET seen_at = NULL")
    assert oldest(ledger) == ("a.png", 5)


def test_files_of_a_folder_that_is_not_configured_any_more_wait_for_nobody(ledger: Ledger) -> None:
    watched(ledger, "gone")
    for number in range(LOOKED_AT + 1):
        lay(ledger, f"{number}.png", -100, folder="gone")
    assert oldest(ledger) is None
    lay(ledger, "a.png", -10)
    assert oldest(ledger) == ("a.png", -10)
    assert ledger.gauges.oldest_queued([]) is None


# --- money ------------------------------------------------------------------------------------------------------------


def charge(ledger: Ledger, name: str, price: float | None, *, rule: str = RULE, now: float = T0) -> int:
    """A generation is fired, cancelled in Layer, and charged; its id."""
    (id_,) = queue(ledger, name, now=now, rule=rule)
    job = running(ledger, now, 3.0)
    ledger.following.ended(job, Turn.CANCELLED, now, code="X", message="no", remote_state="cancelled", price=price)
    return id_


def test_what_was_charged_is_what_spend_says_by_folder_and_rule(ledger: Ledger) -> None:
    assert ledger.gauges.charged() == {}
    first = charge(ledger, "a", 1.5)
    charge(ledger, "b", 2.0)
    charge(ledger, "c", None)
    charge(ledger, "d", 4.0, rule="inpaint")
    assert ledger.gauges.charged() == {("drop", RULE): 3.5, ("drop", "inpaint"): 4.0}

    assert ledger.firing.retry([first], T0 + 9, T0 + 99) == [(first, Turn.RETRIED)]
    assert ledger.gauges.charged()["drop", RULE] == 3.5, "what was fired anew was paid for before"
    running(ledger, T0 + 9, 3.0)
    assert ledger.gauges.charged()["drop", RULE] == 3.5
    told: dict[tuple[str, str], float] = {}
    for row in ledger.stories.spend():
        told[row.folder, row.rule] = told.get((row.folder, row.rule), 0.0) + row.charged
    assert told == ledger.gauges.charged()


# --- cost -------------------------------------------------------------------------------------------------------------


@sqlite_alone
@pytest.mark.parametrize("statistics", [False, True])
def test_what_is_queued_comes_by_the_index_in_its_order_and_charges_are_summed_up_without_a_row(
    ledger: Ledger, statistics: bool
) -> None:
    """With and without what SQLite knows of the tables after somebody's ANALYZE."""
    charge(ledger, "a", 2.0)
    lay(ledger, "b.png", -10)
    if statistics:
        sqlite_connection(ledger).execute("ANALYZE")
    queued = explained(ledger, _QUEUED.format(folders="?, ?"), "drop", "pushed", LOOKED_AT)
    assert queued == ["SEARCH files USING INDEX files_status (status=?)"]
    assert explained(ledger, _RETRIED, 1) == ["SEARCH history USING INDEX history_item (item=? AND item_id=?)"]
    walked = [step for step in explained(ledger, _CHARGED) if " generations" in step]
    assert walked == ["SCAN generations USING COVERING INDEX generations_charged"]


def explained(ledger: Ledger, question: str, *values: object) -> list[str]:
    return [str(step) for *_, step in ledger._store.rows(f"EXPLAIN QUERY PLAN {question}", *values)]
