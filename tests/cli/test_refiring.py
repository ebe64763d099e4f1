"""`layerwatch retry` of generations: what is fired again and costs again, what is only looked for, what is neither."""

import json
import os
import time
from typing import Any

import pytest

from layerwatch.advice import generation_advice
from layerwatch.ledger import Ledger, Missing
from layerwatch.states import Turn

from .conftest import HOSTILE, RULE, Place, harmless

UPSCALE = RULE.replace("restyle", "upscale")


@pytest.fixture(autouse=True)
def _configured(place: Place) -> None:
    place.configure(RULE + 'time_limit = "30m"\n')


def retried(place: Place, *arguments: str, exit_code: int = 0) -> Any:
    result = place.call("retry", "--json", *arguments)
    assert result.exit_code == exit_code, result.output
    assert result.stdout.isascii()
    return json.loads(result.stdout)


def outcomes(document: Any) -> dict[int, str]:
    return {each["id"]: each["outcome"] for each in document["generations"]}


def told(place: Place, *arguments: str, exit_code: int = 0) -> list[str]:
    result = place.call("retry", *arguments)
    assert result.exit_code == exit_code, result.output
    harmless(result.output)
    return result.stdout.splitlines()


def status(ledger: Ledger, id_: int) -> str:
    row = ledger.stories.one(id_)
    assert row is not None
    return row.status


# --- one by one -------------------------------------------------------------------------------------------------------


def test_what_layer_could_not_do_is_fired_again_and_costs_again(place: Place, ledger: Ledger) -> None:
    place.failing(ledger, HOSTILE)
    name = "\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png"
    code = "DOWNSTREAM_SERVICE_ERROR"
    assert told(place, "g1") == [
        f"g1, concepts/{name} by restyle: fired again, which costs again (about 10 Creative Units)",
        f"{code} (1), if it comes again: {generation_advice(code, 'failed')}",
    ]
    assert ledger.stories.history(1)[-1].event == "retried"
    job = place.take(ledger)
    assert (job.id, job.approved, job.attempts) == (1, False, 0)


def test_what_it_has_done_or_may_still_do_is_only_looked_for(place: Place, ledger: Ledger) -> None:
    place.failing(ledger, "a.png", code="disk", remote_state="complete")
    place.failing(ledger, "b.png", code="time_limit", remote_state=None)
    lines = told(place, "g1", "g2")
    assert lines[:3] == [
        "g1, concepts/a.png by restyle: looked for again, which costs nothing",
        "g2, concepts/b.png by restyle: looked for again, which costs nothing",
        "2 of 2 generations are retried; 2 only looked for, which costs nothing",
    ]
    assert ledger.stories.history(1)[-1].event == "resumed"
    job = place.follow(ledger, 1)
    assert job.deadline == pytest.approx(time.time() + 1800, abs=60)


def test_what_was_never_started_was_never_paid_for(place: Place, ledger: Ledger) -> None:
    place.queued(ledger)
    job = place.take(ledger)
    ledger.firing.refused(job, "queued", time.time(), code="rule", message="m")  # type: ignore[arg-type]
    assert "fired again, and nothing was paid for it before (no price known)" in told(place, "g1")[0]


def test_for_scripts(place: Place, ledger: Ledger) -> None:
    id_ = place.failing(ledger, HOSTILE)
    document = retried(place, f"g{id_}")
    assert (document["files"], document["queued"], document["left"]) == ([], 0, 0)
    assert document["generations"] == [
        {
            "given": "g1",
            "outcome": "fired_again",
            "id": 1,
            "folder": "concepts",
            "rule": "restyle",
            "path": f"{place.root}/{HOSTILE}",
            "was": "failed",
            "error_code": "DOWNSTREAM_SERVICE_ERROR",
            "estimated_price": 10,
            "reason": "fired again, which costs again (about 10 Creative Units)",
            "do": generation_advice("DOWNSTREAM_SERVICE_ERROR", "failed"),
        }
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("blocked", "it is not failed but blocked; `layerwatch approve g1` lets it go ahead"),
        ("unknown", "it is not failed but unknown; `layerwatch resolve g1` settles it"),
        ("complete", "it is not failed but complete; `layerwatch retry --again` with its file fires it again"),
        ("queued", "it is not failed but queued; it waits for the next `layerwatch run`"),
    ],
)
def test_what_has_not_failed_is_said_to_be_what_it_is(place: Place, ledger: Ledger, make: str, said: str) -> None:
    getattr(place, make)(ledger)
    assert told(place, "g1", exit_code=1) == [f"g1, concepts/a.png by restyle: not retried: {said}"]
    assert status(ledger, 1) == make
    assert outcomes(retried(place, "g1", exit_code=1)) == {1: "not_failed"}


def test_what_was_cancelled_is_fired_again_if_it_is_named(place: Place, ledger: Ledger) -> None:
    job = place.running(ledger)
    ledger.following.ended(job, Turn.CANCELLED, time.time(), code="cancelled", message="m", remote_state="cancelled")
    assert outcomes(retried(place, "--all-failed")) == {}
    assert outcomes(retried(place, "g1")) == {1: "fired_again"}


def test_without_its_rule_nothing_can_be_fired(place: Place, ledger: Ledger) -> None:
    place.failing(ledger)
    place.configure(UPSCALE)
    (line,) = told(place, "g1", exit_code=1)
    assert line.startswith("g1, concepts/a.png by restyle: not retried: ")
    assert line.endswith(": rule restyle of folder concepts is no longer configured: put it back first")
    assert status(ledger, 1) == "failed"


@pytest.mark.usefixtures("ledger")
def test_what_is_neither_a_generation_nor_a_file(place: Place) -> None:
    assert told(place, "g99", exit_code=1) == [
        "g99, not in the ledger: not queued: there is no such generation, and no such file"
    ]


def test_one_named_twice_is_retried_once(place: Place, ledger: Ledger) -> None:
    place.failing(ledger)
    assert outcomes(retried(place, "g1", "concepts/a.png", "g1")) == {1: "fired_again"}
    assert [line.event for line in ledger.stories.history(1)].count("retried") == 1


# --- by their file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["concepts/a.png", "1"])
def test_a_file_stands_for_its_failed_generations(place: Place, ledger: Ledger, given: str) -> None:
    trigger = place.input(ledger)
    place.configure(RULE + UPSCALE)
    for rule in ("restyle", "upscale"):
        place.plan(ledger, trigger, rule=rule)
        job = place.take(ledger)
        ledger.firing.refused(job, "queued", time.time(), code="rule", message="m")  # type: ignore[arg-type]
    document = retried(place, given)
    assert document["files"] == []
    assert outcomes(document) == {1: "fired_again", 2: "fired_again"}
    # Then there is nothing more to do, and that is said.
    (file,) = retried(place, given, exit_code=1)["files"]
    assert file["outcome"] == "not_failed"


def test_but_not_for_those_of_an_earlier_version(place: Place, ledger: Ledger) -> None:
    place.failing(ledger)
    place.record(ledger, "a.png", b"another", ago_s=-1)
    assert retried(place, "concepts/a.png", exit_code=1)["generations"] == []
    assert status(ledger, 1) == "failed"


def test_a_failed_file_is_queued_and_its_earlier_generations_stay(place: Place, ledger: Ledger) -> None:
    place.failing(ledger)
    place.record(ledger, "a.png", b"another")
    place.failure(ledger)
    document = retried(place, "concepts/a.png")
    assert [file["outcome"] for file in document["files"]] == ["queued"]
    assert document["generations"] == []


# --- all that has failed ----------------------------------------------------------------------------------------------


def test_all_that_has_failed_with_what_that_costs(place: Place, ledger: Ledger) -> None:
    place.failing(ledger, "a.png")
    place.failing(ledger, "b.png", code="time_limit", remote_state=None)
    place.failing(ledger, "c.png", price=2.5)
    place.unknown(ledger, "d.png")
    dropped = place.unknown(ledger, "e.png")
    ledger.firing.drop(dropped, time.time(), "")
    place.record(ledger, "f.png", b"f")
    place.failure(ledger)
    lines = told(place, "--all-failed")
    assert lines[:4] == [
        "1 of 1 failed files are queued again; the next `layerwatch run` takes them",
        "g1, concepts/a.png by restyle: fired again, which costs again (about 10 Creative Units)",
        "g2, concepts/b.png by restyle: looked for again, which costs nothing",
        "g3, concepts/c.png by restyle: fired again, which costs again (about 2.5 Creative Units)",
    ]
    cost = "2 fired again, to be paid for (about 12.5 Creative Units); 1 only looked for, which costs nothing"
    assert lines[4] == f"3 of 3 generations are retried; {cost}"
    assert [status(ledger, id_) for id_ in range(1, 6)] == ["queued", "running", "queued", "unknown", "cancelled"]
    assert told(place, "--all-failed") == ["nothing has failed: nothing to retry"]


def test_more_than_one_commit_full_of_them(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerwatch.cli.refiring.BATCH", 2)
    ids = [place.failing(ledger, f"{number}.png") for number in range(5)]
    assert outcomes(retried(place, "--all-failed")) == dict.fromkeys(ids, "fired_again")
    assert {status(ledger, id_) for id_ in ids} == {"queued"}


def test_those_of_one_folder_and_exit_code_0_whatever_cannot_be(place: Place, ledger: Ledger) -> None:
    place.failing(ledger, "a.png", rule="gone")
    assert outcomes(retried(place, "--all-failed", "--folder", "textures")) == {}
    assert outcomes(retried(place, "--all-failed", "--folder", "concepts")) == {1: "no_rule"}
    (line,) = told(place, "--all-failed")
    assert "not retried: rule gone of folder concepts is no longer configured" in line


# --- what has waited in vain ------------------------------------------------------------------------------------------


def in_vain(place: Place, ledger: Ledger, name: str = "a.png") -> int:
    id_ = place.waiting(ledger, name, wait_s=0)
    ledger.planning.give_up(id_, time.time())
    return id_


def test_what_has_waited_in_vain_is_planned_again_and_never_fired_as_it_is(place: Place, ledger: Ledger) -> None:
    in_vain(place, ledger)
    assert outcomes(retried(place, "g1")) == {1: "planned_again"}
    assert ledger.firing.claim("claim", time.time()) is None
    (pending,) = ledger.planning.pending(["concepts"], 9)
    assert (pending.id, pending.again, pending.recheck) == (1, False, True)
    assert ledger.stories.counts()["waiting"] == 1


def test_which_pays_for_no_other_one_once_more(place: Place, ledger: Ledger) -> None:
    trigger = place.input(ledger)
    place.plan(ledger, trigger, rule="upscale")
    ledger.firing.book(place.take(ledger), {}, 3, [], time.time())
    id_ = place.plan(ledger, trigger, Missing("depth", "d.png", "d.png", optional=False))
    ledger.planning.give_up(id_, time.time())
    (line, *_) = told(place, f"g{id_}")
    assert "its rule looks for its inputs again" in line
    (pending,) = ledger.planning.pending(["concepts"], 9)
    assert not pending.again


def test_but_not_where_a_newer_version_took_its_place(place: Place, ledger: Ledger) -> None:
    id_ = in_vain(place, ledger)
    place.input(ledger, content=b"newer")
    assert outcomes(retried(place, f"g{id_}", exit_code=1)) == {id_: "replaced"}


# --- all rules again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["1", "concepts/a.png"])
def test_the_rules_of_an_uploaded_file_fire_again(place: Place, ledger: Ledger, given: str) -> None:
    place.complete(ledger)
    assert told(place, "--again", given) == [
        "concepts/a.png, file 1: its rules fire again: restyle; what was paid for before costs again"
    ]
    (pending,) = ledger.planning.pending(["concepts"], 9)
    assert (pending.id, pending.again) == (1, True)
    document = retried(place, "--again", given)
    assert [file["outcome"] for file in document["files"]] == ["again"]
    assert (document["queued"], document["left"], document["generations"]) == (0, 0, [])


def test_of_several_versions_the_newest_is_meant(place: Place, ledger: Ledger) -> None:
    place.input(ledger, "a.png", b"one")
    place.input(ledger, "a.png", b"two")
    assert [file["id"] for file in retried(place, "--again", "concepts/a.png")["files"]] == [2]


def test_what_cannot_go_through_rules_is_told_why(place: Place, ledger: Ledger) -> None:
    place.record(ledger, "a.png")
    assert [file["outcome"] for file in retried(place, "--again", "1", exit_code=1)["files"]] == ["not_uploaded"]
    assert "not queued: it is not uploaded but queued; next: " in told(place, "--again", "1", exit_code=1)[0]
    place.upload(ledger)
    place.configure(RULE.replace("*.png", "*.jpg"))
    assert told(place, "--again", "1", exit_code=1)[0].endswith("not queued: no rule of folder concepts is for it")
    place.config.write_text(place.config.read_text().replace('name = "concepts"', 'name = "renamed"'))
    assert [file["outcome"] for file in retried(place, "--again", "1", exit_code=1)["files"]] == ["no_folder"]
    assert [file["outcome"] for file in retried(place, "--again", "99", exit_code=1)["files"]] == ["not_in_ledger"]
    assert ledger.planning.pending(["concepts"], 9) == []


@pytest.mark.parametrize("arguments", [["--again"], ["--again", "--all-failed"], ["--again", "g1"]])
def test_what_cannot_be_meant_is_a_usage_error(place: Place, ledger: Ledger, arguments: list[str]) -> None:
    place.failing(ledger)
    result = place.call("retry", *arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert status(ledger, 1) == "failed"


def test_a_file_that_is_called_like_a_generation(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    place.failing(ledger, "b.png")
    place.record(ledger, "g1")
    place.failure(ledger)
    monkeypatch.chdir(place.root)
    assert [file["path"] for file in retried(place, "./g1")["files"]] == [os.path.join(place.root, "g1")]
    assert outcomes(retried(place, "g1")) == {1: "fired_again"}
