"""`layerwatch approve`: what goes ahead, what that may cost, and who was asked."""

import json
import os
import time
from typing import Any

import pytest

from layerwatch.ledger import Ledger

from .conftest import HOSTILE, RULE, Place, harmless
from .terminal import Terminal


def status(ledger: Ledger, id_: int) -> str:
    row = ledger.stories.one(id_)
    assert row is not None
    return row.status


def approved(place: Place, *arguments: str, exit_code: int = 0) -> Any:
    result = place.call("approve", "--json", *arguments)
    assert result.exit_code == exit_code, result.output
    harmless(result.output)
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_all_of_them_after_saying_how_many_and_what_they_may_cost(place: Place, ledger: Ledger) -> None:
    ids = [
        place.blocked(ledger, "a.png"),
        place.blocked(ledger, "b.png", price=2.5),
        place.blocked(ledger, "c.png", price=None, per_generation=1),
    ]
    assert place.said("approve").splitlines() == [
        "3 blocked, about 12.5 Creative Units, and 1 without a known price",
        "  over_daily: 2, about 12.5 Creative Units",
        "  price_unknown: 1, no price known",
        "3 approved",
        "the next `layerwatch run` fires them",
    ]
    for id_ in ids:
        assert status(ledger, id_) == "queued"
        assert ledger.stories.history(id_)[-1].event == "approved"
        assert place.take(ledger).approved


def test_scripts_get_one_document_and_people_the_rest(place: Place, ledger: Ledger) -> None:
    id_ = place.blocked(ledger)
    result = place.call("approve", "--json")
    assert json.loads(result.stdout) == {"approved": [id_], "estimated_price": 10.0, "left": []}
    assert "1 blocked, about 10 Creative Units" in result.stderr


def test_some_by_name_and_the_others_are_said_to_be_what_they_are(place: Place, ledger: Ledger) -> None:
    first, second = place.blocked(ledger, "a.png"), place.blocked(ledger, "b" + HOSTILE)
    running = place.running(ledger, "c.png", poll_in_s=60).id
    result = place.call("approve", f"g{second}", str(running), "g99", f"g{second}")
    assert result.exit_code == 2
    harmless(result.output)
    assert result.stdout.splitlines() == [
        "g2, concepts/b\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png by restyle: approved, about 10 Creative Units",
        "g3, concepts/c.png by restyle: not approved: it is not blocked but running",
        "g99: not approved: there is no such generation",
        "the next `layerwatch run` fires them",
    ]
    assert (status(ledger, first), status(ledger, second)) == ("blocked", "queued")
    document = approved(place, "g1", "g2", exit_code=2)
    assert document["approved"] == [1]
    assert document["left"] == [{"id": 2, "status": "queued", "reason": "it is not blocked but queued"}]


def test_with_a_daemon_it_is_fired_by_that(place: Place, ledger: Ledger) -> None:
    place.blocked(ledger)
    lock = place.runs()
    assert place.said("approve").endswith("the daemon fires them within seconds\n")
    lock.release()


def test_they_can_be_narrowed_down(place: Place, ledger: Ledger) -> None:
    restyled, upscaled = place.blocked(ledger, "a.png"), place.blocked(ledger, "b.png", rule="upscale")
    assert approved(place, "--rule", "upscale")["approved"] == [upscaled]
    assert approved(place, "--folder", "textures")["approved"] == []
    assert approved(place, "--folder", "concepts", "--rule", "restyle")["approved"] == [restyled]


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("arguments", [(), ("--folder", "concepts")])
def test_nothing_is_blocked(place: Place, arguments: tuple[str, ...]) -> None:
    assert place.said("approve", *arguments) == "nothing is blocked\n"
    assert approved(place, *arguments) == {"approved": [], "estimated_price": 0, "left": []}


def test_a_folder_or_a_rule_that_there_is_not(place: Place, ledger: Ledger) -> None:
    place.configure(RULE)
    place.blocked(ledger)
    for option, known in (("--folder", "concepts, textures"), ("--rule", "restyle")):
        result = place.call("approve", option, "nope\x1b")
        assert result.exit_code == 2
        assert f"there is no such {option[2:]}" in result.stderr
        assert f"give one of: {known}" in result.stderr
        assert "\x1b" not in result.stderr
    assert place.said("approve", "--rule", "restyle")


@pytest.mark.parametrize("arguments", [("nope",), ("g",), ("-1",), ("g1", "--folder", "concepts"), ("g\u0661",)])
def test_what_cannot_be_meant_is_a_usage_error(place: Place, ledger: Ledger, arguments: tuple[str, ...]) -> None:
    id_ = place.blocked(ledger)
    result = place.call("approve", *arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert status(ledger, id_) == "blocked"


def test_more_than_one_commit_full_of_them(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerwatch.cli.approve.BATCH", 2)
    ids = [place.blocked(ledger, f"{number}.png") for number in range(5)]
    assert approved(place)["approved"] == ids


@pytest.mark.parametrize(
    ("answer", "exit_code", "after"), [("y", 0, "queued"), ("n", 1, "blocked"), ("", 1, "blocked")]
)
def test_on_a_terminal_it_asks(place: Place, ledger: Ledger, answer: str, exit_code: int, after: str) -> None:
    id_ = place.blocked(ledger)
    with Terminal(["approve", "-c", str(place.config)]) as terminal:
        terminal.wait_for("[y/N]: ")
        assert status(ledger, id_) == "blocked"
        terminal.enter(f"{answer}\n")
        assert terminal.end() == exit_code
    assert status(ledger, id_) == after
    lines = terminal.seen()
    assert lines[0] == "1 blocked, about 10 Creative Units"
    assert all(len(line) <= 80 for line in lines)
    assert ("nothing is approved" in lines) is (exit_code == 1)


@pytest.mark.parametrize("arguments", [["--yes"], ["g1"]])
def test_it_does_not_ask_who_has_said_it(place: Place, ledger: Ledger, arguments: list[str]) -> None:
    id_ = place.blocked(ledger)
    with Terminal(["approve", *arguments, "-c", str(place.config)]) as terminal:
        assert terminal.end() == 0
    assert status(ledger, id_) == "queued"
    assert "\x1b[36m" in terminal.text


def test_what_somebody_else_approves_meanwhile_is_left_alone(place: Place, ledger: Ledger) -> None:
    """Blocked when it was asked about, and not any more when the answer came."""
    first, second = place.blocked(ledger, "a.png"), place.blocked(ledger, "b.png")
    with Terminal(["approve", "-c", str(place.config)]) as terminal:
        terminal.wait_for("[y/N]: ")
        ledger.firing.approve([first], time.time())
        assert place.take(ledger).id == first
        late = place.blocked(ledger, "c.png")
        terminal.enter("y\n")
        assert terminal.end() == 0
    assert "1 approved" in terminal.text
    assert (status(ledger, second), status(ledger, late)) == ("queued", "blocked")


def test_no_ledger_is_told_with_what_to_do(place: Place) -> None:
    result = place.call("approve")
    assert result.exit_code == 2
    assert "there is no ledger yet" in result.stderr
    assert not os.path.exists(place.path)
