"""What `show`, `ls` and `status` tell of generations."""

import json
import os
import time
from typing import Any

import pytest

from layerwatch.advice import generation_advice
from layerwatch.cli.generations import public, units
from layerwatch.ledger import FolderState, Ledger
from layerwatch.states import Turn

from .conftest import HOSTILE, MODEL, RULE, SIGNED, Place, harmless
from .terminal import Terminal

NAME = "\\x1b[31m[red]b[|]\\x07\\n\\u202e\\udcff.png"


def shown(place: Place, given: str) -> Any:
    (generation,) = place.told("show", given)["generations"]
    return generation


def timeless(lines: list[str]) -> list[str]:
    """Without the times of a history, or of what was sent when."""
    return [line[12:] if line[2:4].isdigit() else line.partition("sent      ")[0] for line in lines]


# --- show: one generation ---------------------------------------------------------------------------------------------


def test_the_whole_story(place: Place, ledger: Ledger) -> None:
    place.configure(RULE)
    place.complete(ledger, HOSTILE)
    assert timeless(place.said("show", "g1").splitlines()) == [
        f"{place.root}/{NAME}",
        "",
        "g1: complete: Layer has done it",
        "  rule      restyle of folder concepts",
        f"  runs      inference {MODEL}",
        "  remote id remote-1",
        f"  input     {place.root}/{NAME}",
        "            file 1, file_id f1d00000-0000-4000-8000-000000000001",
        "  price     estimated 10, booked 8, charged 8 Creative Units",
        "  ",
        "  request   {",
        f'              "model_id": "{MODEL}",',
        '              "prompt": "oil \\u001b[2J painting",',
        '              "guidance_files": [',
        "                {",
        '                  "file_id": "f1d00000-0000-4000-8000-000000000001"',
        "                }",
        "              ],",
        '              "session_name": "layerwatch g1 \\u001b[31m[red]b[|]\\u0007\\n\\u202e?.png"',
        "            }",
        f"  result    {place.root}/generated/{NAME}.restyle.png, 6 B",
        "ready",
        "submitted",
        "accepted   inference remote-1",
        "completed  1 results",
        "  next      nothing: it is done",
    ]


def test_json_has_all_of_it(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, HOSTILE)
    told = place.told("show", "g1")
    assert (told["path"], told["folder"], told["reason"]) == (f"{place.root}/{HOSTILE}", "concepts", None)
    assert told["files"] == []
    (generation,) = told["generations"]
    assert (generation["status"], generation["price"], generation["remote_id"]) == ("complete", 8, "remote-1")
    assert generation["inputs"][0].keys() == {"role", "file", "path", "hash", "file_id", "size"}
    assert generation["request"]["prompt"] == "oil \x1b[2J painting"
    assert [line["event"] for line in generation["history"]] == ["ready", "submitted", "accepted", "completed"]
    assert [result["state"] for result in generation["results"]] == ["there"]
    assert generation["outputs"][0]["path"] == f"{place.root}/generated/{HOSTILE}.restyle.png"


@pytest.mark.parametrize(("become", "state"), [("gone", "no longer there"), ("changed", "of another size now")])
def test_results_that_are_not_what_they_were(place: Place, ledger: Ledger, become: str, state: str) -> None:
    place.complete(ledger)
    path = place.root / "generated/a.png.restyle.png"
    path.unlink() if become == "gone" else path.write_bytes(b"another one")
    assert f"{path}, 6 B, {state}" in place.said("show", "g1")
    assert shown(place, "g1")["results"][0]["state"] == become
    os.rename(place.root, place.home / "elsewhere")
    assert "cannot be looked at" in place.said("show", "g1")


def test_no_signature_of_an_address_is_shown(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, saved=False)
    for arguments in (["show", "g1"], ["show", "1"], ["ls", "--generations"], ["status"], ["audit"], ["spend"]):
        for how in ([], ["--json"]):
            result = place.call(*arguments, *how)
            assert result.stdout
            harmless(result.output)
    assert "  result    https://cdn.example/r.png?[redacted]" in place.said("show", "g1").splitlines()
    assert shown(place, "g1")["outputs"][0]["url"] == "https://cdn.example/r.png?[redacted]"


@pytest.mark.parametrize(
    "query",
    ["X-Amz-Signature=SECRET", "Expires=9&Signature=SECRET", "sig=SECRET", "se=9&token=SECRET", "AWSAccessKeyId=S"],
)
def test_nor_that_of_another_storage(query: str) -> None:
    url = f"https://cdn.example/r.png?{query}"
    found = public({"a": [{"url": url}, "https://cdn.example/r.png?v=2", "SECRET of a prompt?sig=1", 3, None]})
    assert found["a"][0] == {"url": "https://cdn.example/r.png?[redacted]"}
    assert found["a"][1:] == ["https://cdn.example/r.png?v=2", "SECRET of a prompt?sig=1", 3, None]
    assert "SECRET" not in json.dumps(public([SIGNED]))


def test_what_it_waits_for_and_until_when(place: Place, ledger: Ledger) -> None:
    place.configure(RULE)
    place.waiting(ledger, "a.png", wait_s=3010)
    place.waiting(ledger, "b.png", wait_s=3010, optional=True)
    place.waiting(ledger, "c.png")
    assert "  depth     missing: a.png_depth" in place.said("show", "g1").splitlines()
    assert "  depth     missing: b.png_depth, which it can do without" in place.said("show", "g2").splitlines()
    strict, optional, forever = (shown(place, f"g{id_}") for id_ in (1, 2, 3))
    assert strict["next"].startswith("it waits for depth (a.png_depth); it fails in 50 min, at ")
    assert optional["next"].startswith("it waits for depth (b.png_depth, optional); it goes ahead without in 50 min")
    assert forever["next"] == "it waits for depth (c.png_depth)"
    assert strict["needs"] == [{"role": "depth", "glob": "a.png_depth", "optional": False}]
    assert strict["meaning"] == "not all of its inputs are there yet; nothing was paid"


def every_status(place: Place, ledger: Ledger) -> dict[str, int]:
    place.configure(RULE)
    ids = {"waiting": place.waiting(ledger, "waiting.png"), "blocked": place.blocked(ledger, "blocked.png")}
    ids |= {"burst": place.blocked(ledger, "burst.png", burst=0), "unknown": place.unknown(ledger, "unknown.png")}
    ids |= {"failed": place.failing(ledger, "failed.png"), "complete": place.complete(ledger, "complete.png")}
    ids |= {"late": place.failing(ledger, "late.png", code="time_limit", remote_state=None)}
    ids |= {"unfetched": place.failing(ledger, "unfetched.png", code="disk", remote_state="complete", charged=4)}
    dropped = place.unknown(ledger, "dropped.png")
    ledger.firing.drop(dropped, time.time(), "")
    cancelled = place.running(ledger, "cancelled.png")
    ledger.following.ended(
        cancelled, Turn.CANCELLED, time.time(), code="cancelled", message="m", remote_state="cancelled"
    )
    refused, now = place.submitting(ledger, "refused.png"), time.time()
    ledger.firing.refused(refused, "submitting", now, code="rejected", message="the API answered 422")  # type: ignore[arg-type]
    ids |= {"dropped": dropped, "cancelled": cancelled.id, "refused": refused.id}
    fetching = place.running(ledger, "fetching.png")
    ledger.following.again(fetching, now + 100, code="disk", message="full", remote_state="complete")
    ids |= {"fetching": fetching.id, "running": place.running(ledger, "running.png", poll_in_s=100).id}
    put_off = place.queued(ledger, "put_off.png")
    ledger.firing.put_off(place.take(ledger), now + 100, attempts=1, code="network", message="no route")
    ids |= {"put_off": put_off, "submitting": place.submitting(ledger, "submitting.png").id}
    return ids | {"queued": place.queued(ledger, "queued.png")}


MEANINGS = {
    "blocked": "it is held back; nothing was paid",
    "unknown": "it may have been started, and paid: only a person can find out",
    "failed": "Layer could not do it",
    "complete": "Layer has done it",
    "late": "it was given up before Layer was done with it",
    "unfetched": "Layer has done it, and its results could not be fetched",
    "dropped": "somebody dropped it; what it may have cost stays in the books",
    "cancelled": "it was cancelled in Layer",
    "refused": "it was never started; nothing was paid",
    "fetching": "Layer has done it; its results are being fetched",
    "running": "Layer works on it",
    "put_off": "it is to be fired; nothing is paid yet",
    "submitting": "its request is on its way to Layer",
    "queued": "it is to be fired; nothing is paid yet",
}
NEXT = {
    "blocked": "it is looked at again in ",
    "burst": "nothing by itself: it waits for `layerwatch approve`",
    "unknown": "nothing by itself: it waits for `layerwatch resolve g4`",
    "failed": "nothing by itself",
    "complete": "nothing: it is done",
    "dropped": "nothing by itself",
    "fetching": "Layer is asked again in 2 min, at ",
    "running": "Layer is asked again in 2 min, at ",
    "put_off": "it is tried again in 2 min, at ",
    "submitting": "Layer's answer is waited for",
    "queued": "it is fired as soon as its turn comes",
}


def test_every_status_in_words_with_what_comes_next_and_what_to_do(place: Place, ledger: Ledger) -> None:
    ids = every_status(place, ledger)
    lock = place.runs()
    told = {name: shown(place, f"g{id_}") for name, id_ in ids.items()}
    hold = {"code": "network", "message": "cannot connect\x07"}
    ledger.facts.note("hold", hold, time.time())
    held = {name: shown(place, f"g{id_}")["next"] for name, id_ in ids.items()}
    lock.release()
    assert {name: told[name]["meaning"] for name in MEANINGS} == MEANINGS
    assert all(told[name]["next"].startswith(expected) for name, expected in NEXT.items()), told
    assert "; it is given up in 60 min, at " in told["running"]["next"]
    assert {name for name, said in held.items() if "as everything does: cannot connect\\x07" in said} == {
        "queued", "put_off", "running", "fetching"
    }  # fmt: skip
    assert {name: told[name]["do"] for name in told} == {
        "waiting": "", "submitting": "", "complete": "", "queued": "", "running": "",
        **{name: generation_advice(code, told[name]["status"]) for name, code in (
            ("blocked", "over_daily"), ("burst", "burst"), ("unknown", None), ("late", "time_limit"),
            ("failed", "DOWNSTREAM_SERVICE_ERROR"), ("unfetched", "disk"), ("refused", "rejected"),
            ("cancelled", "cancelled"), ("dropped", "network"), ("fetching", "disk"), ("put_off", "network"),
        )},
    }  # fmt: skip


def test_without_a_daemon_nobody_does_anything(place: Place, ledger: Ledger) -> None:
    ids = every_status(place, ledger)
    told = {name: shown(place, f"g{ids[name]}")["next"] for name in ("queued", "running", "submitting")}
    assert told["queued"] == told["running"] == "it waits for the next `layerwatch run`"
    assert told["submitting"] == "the next `layerwatch run` calls it unknown, for nobody has Layer's answer"


@pytest.mark.parametrize(("given", "is_a_name"), [("g99", True), ("g0", True), ("G1", False), ("g1x", False)])
def test_there_is_no_such_generation(place: Place, ledger: Ledger, given: str, is_a_name: bool) -> None:
    place.queued(ledger)
    result = place.call("show", given)
    assert result.exit_code == 1
    assert ("there is no such generation, and no such file" in result.stdout) is is_a_name
    assert json.loads(place.call("show", "--json", given).stdout)["generations"] == []


def test_a_file_may_be_called_like_a_generation(place: Place, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    place.queued(ledger, "g1")
    place.record(ledger, "g7", b"7")
    monkeypatch.chdir(place.root)
    assert [file["id"] for file in place.told("show", "./g1")["files"]] == [1]
    assert [file["id"] for file in place.told("show", "g7")["files"]] == [2]
    assert shown(place, "g1")["id"] == 1


# --- show: a file -----------------------------------------------------------------------------------------------------


def test_a_file_is_told_with_what_was_made_of_it(place: Place, ledger: Ledger) -> None:
    trigger = place.input(ledger)
    place.plan(ledger, trigger, rule="restyle")
    ledger.firing.book(place.take(ledger), {}, 3, [], time.time())
    place.complete(ledger, "other.png")
    place.failing(ledger, "b.png", charged=2)
    place.complete(ledger, "c.png", saved=False)
    place.waiting(ledger, "w.png")
    assert place.said("show", "concepts/other.png").splitlines()[-3:] == [
        "generations",
        "  g2: complete, restyle, 8 Creative Units",
        f"    result: {place.root}/generated/other.png.restyle.png, 6 B",
    ]
    assert place.said("show", "concepts/b.png").splitlines()[-3:] == [
        "  g3: failed, restyle, 2 Creative Units",
        "    DOWNSTREAM_SERVICE_ERROR: it did not \\x1b[2J work",
        "    next: nothing by itself",
    ]
    assert "    result: https://cdn.example/r.png?[redacted]" in place.said("show", "concepts/c.png").splitlines()
    assert place.said("show", "concepts/w.png").splitlines()[-2] == "    waits for depth (w.png_depth)"
    (about,) = place.told("show", "concepts/w.png")["generations"]
    assert (about["id"], about["status"], about["needs"][0]["role"]) == (5, "waiting", "depth")
    assert "history" not in about
    assert place.told("show", "concepts/a.png")["generations"][0]["id"] == 1


def test_an_id_is_told_with_what_was_made_of_that_version_alone(place: Place, ledger: Ledger) -> None:
    place.plan(ledger, place.input(ledger, "a.png", b"one"))
    place.take(ledger)
    ledger.firing.recover(time.time())
    place.write("a.png", b"two")
    place.plan(ledger, place.input(ledger, "a.png", b"two"), rule="upscale")
    assert [each["id"] for each in place.told("show", "concepts/a.png")["generations"]] == [2, 1]
    assert [each["id"] for each in place.told("show", "1")["generations"]] == [1]
    assert [each["id"] for each in place.told("show", "2")["generations"]] == [2]


def test_a_result_is_told_to_be_one(place: Place, ledger: Ledger) -> None:
    place.configure(RULE + 'outputs = "generated"')
    place.complete(ledger)
    path = "concepts/generated/a.png.restyle.png"
    assert "is not in the ledger: it is a result of g1: see `layerwatch show g1`" in place.said("show", path)
    os.unlink(place.root / "generated/a.png.restyle.png")
    assert "it is a result of g1" in place.told("show", path)["reason"]


# --- ls ---------------------------------------------------------------------------------------------------------------


def test_a_row_for_each_the_latest_change_first(place: Place, ledger: Ledger) -> None:
    place.complete(ledger, "a.png")
    place.blocked(ledger, "b" + HOSTILE, price=2.5)
    lines = place.said("ls", "--generations").splitlines()
    assert lines[0].split()[:4] == ["g2", "blocked", "restyle", f"concepts/b{NAME}"]
    assert "over_daily: 2.5 Creative Units more than the 8 of today" in lines[0]
    assert lines[1].split()[:5] == ["g1", "complete", "restyle", "concepts/a.png", "8"]
    assert lines[1].endswith("remote-1")


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), [3, 2, 1]),
        (("--status", "blocked"), [2]),
        (("--status", "unknown"), [3]),
        (("--status", "cancelled"), []),
        (("--folder", "textures"), []),
        (("--folder", "concepts", "--limit", "2"), [3, 2]),
        (("--limit", "0"), [3, 2, 1]),
    ],
)
def test_what_is_listed_can_be_chosen(place: Place, ledger: Ledger, arguments: tuple[str, ...], ids: list[int]) -> None:
    place.complete(ledger, "a.png")
    place.blocked(ledger, "b.png")
    place.unknown(ledger, "c.png")
    document = place.told("ls", "--generations", *arguments)
    assert [row["id"] for row in document["generations"]] == ids
    assert document.keys() == {"generations"}


@pytest.mark.usefixtures("ledger")
def test_a_status_that_only_the_others_have_is_a_usage_error(place: Place) -> None:
    result = place.call("ls", "--status", "blocked")
    assert result.exit_code == 2
    assert "files are never blocked" in result.stderr
    result = place.call("ls", "--generations", "--status", "uploaded")
    assert result.exit_code == 2
    assert "generations are never uploaded" in result.stderr
    assert "no generations yet" in place.call("ls", "--generations").stderr
    assert "no generations\n" in place.call("ls", "--generations", "--status", "failed").stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_rows_fit_a_terminal(place: Place, ledger: Ledger, columns: int) -> None:
    place.complete(ledger, "x" * 200 + ".png", rule="a-long-name-of-a-rule-" * 3)
    place.blocked(ledger, "名" * 60 + ".png", price=1234.5678)
    with Terminal(["ls", "--generations", "-c", str(place.config)], columns=columns) as terminal:
        assert terminal.end() == 0
    head, *rows = [line for line in terminal.seen(columns) if line]
    assert head.split()[:4] == ["id", "status", "rule", "file"]
    assert [row.split()[0] for row in rows] == ["g2", "g1"]
    assert "\x1b[33mblocked" in terminal.text


# --- status -----------------------------------------------------------------------------------------------------------


def sections(said: str) -> dict[str, list[str]]:
    found = (part.splitlines() for part in said.split("\n\n"))
    return {lines[0]: lines[1:] for lines in found}


def test_all_of_it_at_once(place: Place, ledger: Ledger) -> None:
    place.configure(RULE, budget="daily = 100")
    place.waiting(ledger, "w.png", wait_s=3000)
    place.blocked(ledger, "b1.png", price=100)
    place.blocked(ledger, "b2.png", price=50.5)
    place.blocked(ledger, "b3.png", burst=0)
    place.unknown(ledger, "u" + HOSTILE, at=time.time() - 180)
    place.failing(ledger, "f.png")
    place.running(ledger, "r1.png", poll_in_s=60, at=time.time() - 700)
    place.running(ledger, "r2.png", poll_in_s=60)
    place.complete(ledger, "c.png")
    lock = place.runs()
    said = sections(place.said("status"))
    lock.release()
    first = next(iter(said.values()))
    assert (
        first[-2:]
        == [
            "rules     9 generations: 1 waiting, 2 running, 1 complete, 1 failed, 3 blocked, 1 unknown",
            "spent     48 of 100 Creative Units today (UTC)",
        ]
        or time.gmtime().tm_hour == 0
    )
    (name, waits) = said["waiting for inputs"]
    assert name == "  g1, concepts/w.png by restyle"
    assert waits.startswith("    waits: depth (w.png_depth), for ")
    assert "; until " in waits
    held = said["held back"]
    assert held[0].startswith("  over_daily: 2, about 150.5 Creative Units; looked at again in ")
    assert held[1] == f"    do: {generation_advice('over_daily', 'blocked')}"
    assert held[2:] == [
        "  burst: 1, about 10 Creative Units", f"    do: {generation_advice('burst', 'blocked')}"
    ]  # fmt: skip
    assert said["unknown: may have been started, and paid"] == [
        f"  g5, concepts/u{NAME} by restyle  sent 3 min ago", "    do: layerwatch resolve g5"
    ]  # fmt: skip
    assert said["running in Layer"] == ["  2, the oldest for 12 min:", "  g7, concepts/r1.png by restyle"]
    assert said["failed generations, not fired again by themselves"] == [
        "  g6, concepts/f.png by restyle",
        "    DOWNSTREAM_SERVICE_ERROR: it did not \\x1b[2J work",
        f"    do: {generation_advice('DOWNSTREAM_SERVICE_ERROR', 'failed')}",
    ]
    assert "running in Layer; nobody looks" in place.said("status")


def test_json_has_it_under_stable_names(place: Place, ledger: Ledger) -> None:
    place.configure(RULE, budget="daily = 100")
    place.waiting(ledger, "w.png")
    place.blocked(ledger, "b1.png", price=None, per_generation=3)
    place.unknown(ledger, "u.png")
    place.failing(ledger, "f.png")
    place.running(ledger, "r.png", poll_in_s=60)
    told = place.told("status")
    assert told["generations"] == {
        "waiting": 1, "queued": 0, "submitting": 0, "running": 1, "complete": 0, "failed": 1, "cancelled": 0,
        "blocked": 1, "unknown": 1,
    }  # fmt: skip
    assert [(row["id"], row["needs"][0]["glob"]) for row in told["waiting"]] == [(1, "w.png_depth")]
    assert told["blocked"] == [
        {
            "error_code": "price_unknown",
            "count": 1,
            "estimated_price": 0,
            "without_price": 1,
            "until": None,
            "do": generation_advice("price_unknown", "blocked"),
        }
    ]
    assert [(row["id"], row["do"]) for row in told["unknown"]] == [(3, generation_advice(None, "unknown"))]
    assert (told["running"]["count"], told["running"]["oldest"]["id"]) == (1, 5)
    assert [row["id"] for row in told["failed_generations"]] == [4]
    assert told["spend_today"]["daily"] == 100
    assert told["spend_today"]["booked"] == 30


@pytest.mark.usefixtures("ledger")
def test_where_nothing_is_generated_nothing_is_said_of_it(place: Place) -> None:
    assert "rules" not in place.said("status")
    assert "spent" not in place.said("status")
    told = place.told("status")
    assert not any(told["generations"].values())
    assert (told["waiting"], told["blocked"], told["unknown"], told["failed_generations"]) == ([], [], [], [])
    assert told["running"] == {"count": 0, "oldest": None}
    place.configure(RULE)
    assert "rules     no generation yet" in place.said("status").splitlines()
    assert "spent     0 Creative Units today (UTC)" in place.said("status").splitlines()


def test_many_are_cut_off_with_a_hint(place: Place, ledger: Ledger) -> None:
    for number in range(12):
        place.waiting(ledger, f"{number}.png")
    said = place.said("status")
    assert said.count("    waits: ") == 10
    assert "  and 2 more; `layerwatch ls --generations --status waiting` lists all" in said
    assert len(place.told("status")["waiting"]) == 10


def test_status_fits_a_terminal(place: Place, ledger: Ledger) -> None:
    place.unknown(ledger, "x" * 240 + ".png")
    every_status(place, ledger)
    with Terminal(["status", "-c", str(place.config)]) as terminal:
        assert terminal.end() == 0
    lines = terminal.seen()
    (at,) = [at for at, line in enumerate(lines) if line.startswith("rules ")]
    assert lines[at].endswith(",")
    assert lines[at + 1].startswith(" " * 10)
    assert any("…" in line and line.endswith("ago") and len(line) <= 80 for line in lines)
    assert "\x1b[35m2 unknown" in terminal.text


def test_a_folder_that_is_away_does_not_hinder_it(place: Place, ledger: Ledger) -> None:
    place.complete(ledger)
    os.rename(place.root, place.home / "elsewhere")
    ledger.facts.folder("concepts", str(place.root), FolderState.AWAY, time.time(), detail="gone", mount=None)
    for arguments in (["status"], ["show", "g1"], ["show", "1"], ["ls", "--generations"]):
        assert place.said(*arguments)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (0.1 + 0.2, "0.3"), (12.5, "12.5"), (1e6, "1000000"), (100, "100"), (1 / 3, "0.3333")],
)
def test_creative_units_as_people_write_them(amount: float, text: str) -> None:
    assert units(amount) == text
