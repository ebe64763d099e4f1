"""`layerwatch resolve`: the three ways out of `unknown`, and what helps a person to choose."""

import json
import time
from typing import Any

import pytest

from layerwatch.ledger import GenerationRow, Ledger, seconds

from .conftest import HOSTILE, RULE, Place, harmless
from .terminal import Terminal


def generation(ledger: Ledger, id_: int) -> GenerationRow:
    row = ledger.stories.one(id_)
    assert row is not None
    return row


def refused(place: Place, *arguments: str) -> str:
    result = place.call("resolve", *arguments)
    assert result.exit_code == 2, result.output
    harmless(result.output)
    return result.stderr


# --- the three ways out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["g1", "1"])
def test_it_was_not_started_and_is_fired(place: Place, ledger: Ledger, given: str) -> None:
    place.unknown(ledger)
    (line,) = place.said("resolve", given, "--refire", "--reason", "not in Layer").splitlines()
    assert line == "g1, concepts/a.png by restyle: queued; next: it waits for the next `layerwatch run`"
    row, last = generation(ledger, 1), ledger.stories.history(1)[-1]
    assert (row.status, row.booked, row.error_code) == ("queued", None, None)
    assert (last.event, last.detail) == ("refired", "not in Layer")
    assert place.take(ledger).id == 1


def test_it_was_started_and_is_followed_for_as_long_as_its_rule_says(place: Place, ledger: Ledger) -> None:
    place.configure(RULE + 'time_limit = "30m"')
    place.unknown(ledger)
    before = time.time()
    lock = place.runs()
    assert "running; next: Layer is asked again now" in place.said("resolve", "g1", "--adopt", "remote-abc")
    lock.release()
    job = place.follow(ledger, 1)
    assert job.remote_id == "remote-abc"
    assert before + 1800 <= job.deadline <= time.time() + 1800
    assert generation(ledger, 1).booked == 10
    assert ledger.stories.history(1)[-1].detail == "remote-abc"


def test_without_its_rule_it_is_followed_for_an_hour(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger)
    place.said("resolve", "g1", "--adopt", "b7d7c2a0-0000-4000-8000-000000000001", "--reason", "seen")
    assert place.follow(ledger, 1).deadline == pytest.approx(time.time() + 3600, abs=60)
    assert ledger.stories.history(1)[-1].detail == "seen: b7d7c2a0-0000-4000-8000-000000000001"


def test_never_mind(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger)
    assert "cancelled; next: nothing by itself" in place.said("resolve", "g1", "--drop", "--reason", "a\x1bb\udcff")
    row, last = generation(ledger, 1), ledger.stories.history(1)[-1]
    assert (row.status, row.booked) == ("cancelled", 10)
    assert (last.event, last.detail) == ("dropped", "a\\x1bb\\udcff")


def test_scripts_get_the_row_as_it_is_then(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger, HOSTILE)
    document = place.told("resolve", "g1", "--drop")
    assert document["generation"]["status"] == "cancelled"
    assert document["generation"]["path"] == f"{place.root}/{HOSTILE}"


# --- for who has to decide --------------------------------------------------------------------------------------------


def test_without_a_choice_it_tells_what_helps_to_choose(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger, "a" + HOSTILE, at=time.time() - 180)
    result = place.call("resolve", "g1")
    assert result.exit_code == 2
    harmless(result.output)
    name = "a\\x1b[31m[red]b[|]\\x07\\n\\u202e"
    lines = result.stdout.splitlines()
    assert lines[0] == "g1 may have been started, and paid: Layer's answer never came"
    assert lines[1].startswith("  sent      3 min ago, at ")
    assert lines[2] == "  why       network: the connection to api.example broke"
    assert "  price     about 10 Creative Units" in lines
    assert f"  input     concepts/{name}\\udcff.png" in lines
    assert "            prompt = oil \\x1b[2J painting" in lines
    assert f"Look for it in Layer by the session name layerwatch g1 {name}?.png. Then one of:" in lines
    for choice in ("--adopt ID", "--refire", "--drop"):
        assert f"  layerwatch resolve g1 {choice}" in lines
    assert generation(ledger, 1).status == "unknown"


def test_and_scripts_too(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger)
    result = place.call("resolve", "--json", "1")
    assert result.exit_code == 2
    document: Any = json.loads(result.stdout)
    about = document["generation"]
    assert (about["status"], about["session_name"]) == ("unknown", "layerwatch g1 a.png")
    assert about["request"]["prompt"] == "oil \x1b[2J painting"
    assert about["sent_at"].endswith("Z")
    assert abs(seconds(about["sent_at"]) - time.time()) < 60
    assert about["inputs"][0]["role"] == "input"
    assert list(document["choices"]) == [f"layerwatch resolve g1 --{how}" for how in ("adopt ID", "refire", "drop")]


def test_the_requests_own_words_fit_a_terminal(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger)
    with Terminal(["resolve", "g1", "-c", str(place.config)]) as terminal:
        assert terminal.end() == 2
    (line,) = [line for line in terminal.seen() if "guidance_files" in line]
    assert len(line) <= 80
    assert line.endswith('-000000000001"}]')


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_what_is_not_unknown_is_told_with_what_does_apply(place: Place, ledger: Ledger) -> None:
    place.blocked(ledger, "a.png")
    place.failing(ledger, "b.png")
    place.running(ledger, "c.png", poll_in_s=60)
    for id_, status, instead in (
        (1, "blocked", "layerwatch approve g1"),
        (2, "failed", "layerwatch retry g2"),
        (3, "running", "layerwatch show g3"),
    ):
        for choice in ([], ["--refire"], ["--adopt", "remote-9"], ["--drop"]):
            said = refused(place, f"g{id_}", *choice)
            assert f"g{id_}: it is not unknown but {status}: there is nothing to settle" in said
            assert instead in said
        assert generation(ledger, id_).status == status
    assert "g99: there is no such generation" in refused(place, "g99", "--drop")


def test_an_id_that_is_another_generations_is_not_taken(place: Place, ledger: Ledger) -> None:
    place.running(ledger, "a.png", poll_in_s=60)
    id_ = place.unknown(ledger, "b.png")
    assert "that is g1, concepts/a.png by restyle, already" in refused(place, f"g{id_}", "--adopt", "remote-1")
    assert generation(ledger, id_).status == "unknown"


@pytest.mark.parametrize("remote_id", ["", " ", "a b", "a/b", "..", ".", "a\n", "a\x1b", "a?b", "é", "a" * 201])
def test_what_cannot_be_an_id_is_not_taken(place: Place, ledger: Ledger, remote_id: str) -> None:
    place.unknown(ledger)
    said = refused(place, "g1", "--adopt", remote_id)
    assert "is no id: copy it from Layer" in said.replace("\n", " ")
    assert generation(ledger, 1).status == "unknown"


@pytest.mark.parametrize(
    "arguments", [["--refire", "--drop"], ["--refire", "--adopt", "a"], ["--adopt", "a", "--drop"]]
)
def test_only_one_of_them_can_be_meant(place: Place, ledger: Ledger, arguments: list[str]) -> None:
    place.unknown(ledger)
    assert "Give one of --refire, --adopt and --drop." in refused(place, "g1", *arguments)
    assert generation(ledger, 1).status == "unknown"


@pytest.mark.usefixtures("ledger")
def test_only_a_generation_can_be_meant(place: Place) -> None:
    assert "is no generation: write g17, or 17" in refused(place, "a.png", "--drop")
    assert "Missing argument" in refused(place)
