"""Inferences, workflow runs and their results: the answers' shapes, what is refused and how, and what is paid."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from layerwatch.sandbox import Faults, Sandbox, catalogue

from .steps import Steps, code, picture

MODEL = {"model_id": catalogue.MODELS[0]["model_id"], "prompt": "oil"}
RELIGHT = catalogue.WORKFLOWS[1]["workflow_id"]


def until_done(steps: Steps, path: str) -> dict[str, Any]:
    """Poll until it has ended; `latency_s` paces it."""
    steps.sandbox.faults = replace(steps.sandbox.faults, latency_s=0.01)
    while True:
        answer: dict[str, Any] = steps.api("GET", path).json()
        if "polling_interval_seconds" not in answer:
            return answer


# --- inferences -------------------------------------------------------------------------------------------------------


def test_an_inference_is_reserved_then_charged_and_its_results_can_be_fetched(steps: Steps) -> None:
    file_id = steps.upload(picture(500))
    body = MODEL | {"batch_size": 2, "guidance_files": [{"file_id": file_id, "type": "INIT"}]}
    started = steps.api("POST", "/inferences", body).json()
    assert (started["status"], started["estimated_price_creative_units"]) == ("in_progress", 5.0)
    assert started["polling_interval_seconds"] > 0
    assert (steps.sandbox.balance.total, steps.sandbox.balance.reserved) == (1000.0, 5.0)
    done = until_done(steps, f"/inferences/{started['inference_id']}")
    assert (done["status"], done["creative_units_charged"], len(done["assets"])) == ("complete", 5.0, 2)
    assert (steps.sandbox.balance.total, steps.sandbox.balance.reserved) == (995.0, 0.0)
    pictures = [steps.http.get(asset["url"]) for asset in done["assets"]]
    assert all(picture.content.startswith(b"\x89PNG") for picture in pictures)
    assert pictures[0].content != pictures[1].content
    assert pictures[0].headers["content-type"] == done["assets"][0]["content_type"]


def test_flat_and_nested_bodies_are_the_same(steps: Steps) -> None:
    rest = {"prompt": "oil", "width": 64, "batch_size": 1, "session_name": "s"}
    flat = steps.api("POST", "/inferences", MODEL | rest).json()
    nested = steps.api("POST", "/inferences", MODEL | {"parameters": rest}).json()
    assert flat["parameters"] == nested["parameters"]
    assert [made.body for made in steps.sandbox.generations] == [MODEL | rest, MODEL | {"parameters": rest}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"model_id": "mine"},
        {"model_id": None},
        {"batch_size": 0},
        {"batch_size": 17},
        {"batch_size": "2"},
        {"prompt": "x" * 100_001},
        {"prompt_strength": 1.5},
        {"guidance_files": [{}] * 21},
        {"guidance_files": "all"},
        {"session_name": "x" * 256},
        {"parameters": []},
    ],
)
def test_an_invalid_inference_costs_nothing(steps: Steps, wrong: dict[str, Any]) -> None:
    assert code(steps.api("POST", "/inferences", MODEL | wrong)) == (422, "VALIDATION_ERROR")
    assert steps.api("POST", "/inferences", MODEL | {"model_id": catalogue.UNKNOWN_ID}).status_code == 404
    assert not steps.sandbox.generations


@pytest.mark.parametrize(
    "place", [lambda i: {"guidance_files": [{"file_id": i}]}, lambda i: {"parameters": {"mask": {"fileId": i}}}]
)
def test_a_file_must_be_uploaded_before_it_is_used(steps: Steps, place: Callable[[str], dict[str, Any]]) -> None:
    unfinished = steps.ticket(10)["file_id"]
    assert code(steps.api("POST", "/inferences", MODEL | place(unfinished))) == (422, "FILE_NOT_FOUND")
    mistyped = steps.upload(b"GIF89a....")
    assert code(steps.api("POST", "/inferences", MODEL | place(mistyped))) == (400, "UPLOAD_FAILED")
    assert steps.api("POST", "/inferences", MODEL | place(steps.upload(picture(10)))).status_code == 201


def test_a_balance_that_does_not_cover_it(steps: Steps) -> None:
    body = MODEL | {"batch_size": 16}
    video = {"model_id": catalogue.MODELS[2]["model_id"], "prompt": "oil", "batch_size": 16}
    for expensive in (video, video, video):
        assert steps.api("POST", "/inferences", expensive).status_code == 201
    estimate = steps.api("POST", "/inferences/estimate", video).json()
    assert estimate["estimated_price_creative_units"] == 320.0
    assert estimate["estimated_remaining_balance_creative_units"] < 0
    assert not estimate["has_sufficient_creative_units"]
    assert code(steps.api("POST", "/inferences", video)) == (402, "PAYMENT_REQUIRED")
    assert steps.api("POST", "/inferences", body).status_code == 201


def test_failures_cost_nothing_and_go_through_the_codes(steps: Steps) -> None:
    steps.sandbox.faults = Faults(failures=1.0, slow_s=0.0)
    ids = [steps.api("POST", "/inferences", MODEL).json()["inference_id"] for _ in range(5)]
    ends = [steps.api("GET", f"/inferences/{inference_id}").json() for inference_id in ids]
    assert {end["status"] for end in ends} == {"failed"}
    assert len({end["error"]["code"] for end in ends}) == 5
    assert (steps.sandbox.balance.total, steps.sandbox.balance.reserved) == (1000.0, 0.0)


def test_the_other_spelling_of_the_status(steps: Steps) -> None:
    steps.sandbox.faults = Faults(upper_status=True)
    started = steps.api("POST", "/inferences", MODEL).json()
    assert started["status"] == "IN_PROGRESS"
    assert until_done(steps, f"/inferences/{started['inference_id']}")["status"] == "COMPLETED"


def test_a_lost_post_was_paid_all_the_same(steps: Steps) -> None:
    steps.sandbox.faults = Faults(lost_posts=1.0)
    with pytest.raises(httpx.RemoteProtocolError):
        steps.api("POST", "/inferences", MODEL)
    assert [made.body for made in steps.sandbox.generations] == [MODEL]
    assert steps.sandbox.balance.reserved == 10.0


def test_a_balance_can_be_set(steps: Steps) -> None:
    assert steps.api("POST", "/inferences", MODEL).status_code == 201
    steps.sandbox.balance = 10.0
    assert (steps.sandbox.balance.reserved, steps.sandbox.balance.available) == (10.0, 0.0)
    assert code(steps.api("POST", "/inferences", MODEL)) == (402, "PAYMENT_REQUIRED")
    steps.sandbox.balance = 20.0
    assert steps.api("POST", "/inferences", MODEL).status_code == 201


@pytest.mark.parametrize(
    ("number", "body", "reason"),
    [
        (0, {}, "prompt is required"),
        (0, {"prompt": 3}, "prompt must be a string of at most 100000 characters"),
        (2, {"prompt": "a", "duration_seconds": "3"}, "duration_seconds must be a number"),
        (2, {"prompt": "a", "duration_seconds": True}, "duration_seconds must be a number"),
        (4, {"prompt": "a"}, "mask is required"),
        (4, {"prompt": "a", "mask": "x"}, "file_id x is not an uploaded file"),
        (4, {"prompt": "a", "mask": {"id": "x"}}, "file_id None is not an uploaded file"),
        (4, {"prompt": "a", "mask": 1}, "mask must be a file"),
    ],
)
def test_a_model_takes_what_it_says_that_it_takes(steps: Steps, number: int, body: dict[str, Any], reason: str) -> None:
    answer = steps.api("POST", "/inferences", body | {"model_id": catalogue.MODELS[number]["model_id"]})
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, reason)
    assert not steps.sandbox.generations


def test_a_mask_is_a_file_id_or_has_one(steps: Steps) -> None:
    file_id = steps.upload(picture(500))
    for mask in (file_id, {"file_id": file_id}):
        body = {"model_id": catalogue.MODELS[4]["model_id"], "prompt": "a", "mask": mask}
        assert steps.api("POST", "/inferences", body).status_code == 201


def test_an_unknown_inference(steps: Steps) -> None:
    assert code(steps.api("GET", "/inferences/nothing")) == (404, "NOT_FOUND")


# --- result files -----------------------------------------------------------------------------------------------------


def test_a_result_is_for_its_signed_url_only(sandbox: Sandbox, steps: Steps) -> None:
    sandbox.faults = Faults(slow_s=0.0)
    made = steps.api("POST", "/inferences", MODEL).json()
    url = steps.api("GET", f"/inferences/{made['inference_id']}").json()["assets"][0]["url"]
    assert steps.http.get(url + "0").status_code == 403
    assert steps.rules() == []
    assert steps.http.get(url, headers={"authorization": "Bearer sandbox-token"}).status_code == 400
    assert steps.rules() == ["token_to_storage"]
    sandbox.faults = Faults(asset_404=1.0)
    assert steps.http.get(url).status_code == 404
    sandbox.faults = Faults(errors=1.0)
    assert steps.http.get(url).status_code >= 500


# --- workflows --------------------------------------------------------------------------------------------------------


def test_a_workflow_run(steps: Steps) -> None:
    inputs = {"inputs": {"image": steps.upload(picture(500))}, "session_name": "shot 12"}
    estimate = steps.api("POST", f"/workflows/{RELIGHT}/runs/estimate", inputs).json()
    assert (estimate["estimated_price_creative_units"], estimate["expected_output_count"]) == (6.0, 1)
    started = steps.api("POST", f"/workflows/{RELIGHT}/runs", inputs).json()
    assert (started["status"], started["session_id"] is not None) == ("running", True)
    done = until_done(steps, f"/workflows/{RELIGHT}/runs/{started['run_id']}")
    assert (done["status"], done["creative_units_charged"], len(done["assets"])) == ("success", 6.0, 1)


def test_a_run_that_fails(steps: Steps) -> None:
    steps.sandbox.faults = Faults(failures=1.0, slow_s=0.0)
    mine = "12345678-0000-4000-8000-000000000000"  # any well-formed id is a workflow of one's own
    run_id = steps.api("POST", f"/workflows/{mine}/runs", {}).json()["run_id"]
    failed = steps.api("GET", f"/workflows/{mine}/runs/{run_id}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failure", "CONTENT_POLICY_VIOLATION")
    assert steps.api("GET", f"/workflows/{RELIGHT}/runs/{run_id}").status_code == 404


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, (422, "VALIDATION_ERROR")),
        ([], (422, "VALIDATION_ERROR")),
        ({"image": 3}, (422, "VALIDATION_ERROR")),
        ({"image": {"file_id": "x"}}, (422, "VALIDATION_ERROR")),
        ({"image": "x", "lihgt": "dawn"}, (422, "VALIDATION_ERROR")),
        ({"image": "x"}, (422, "FILE_NOT_FOUND")),
    ],
)
def test_inputs_that_do_not_match_the_schema(steps: Steps, inputs: Any, expected: tuple[int, str]) -> None:
    assert code(steps.api("POST", f"/workflows/{RELIGHT}/runs", {"inputs": inputs})) == expected


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 201),
        ({"strength": 1, "keep_alpha": False}, 201),
        ({"strength": "1"}, 422),
        ({"strength": True}, 422),
        ({"keep_alpha": 1}, 422),
        ({"depth": "x"}, 422),
    ],
)
def test_inputs_of_every_kind(steps: Steps, more: dict[str, Any], status: int) -> None:
    inputs = {"beauty": steps.upload(picture(500))} | more
    clean_up = catalogue.WORKFLOWS[3]["workflow_id"]
    assert steps.api("POST", f"/workflows/{clean_up}/runs", {"inputs": inputs}).status_code == status
    used = [made.parameters["strength"] for made in steps.sandbox.generations]
    assert used == ([more.get("strength", 0.5)] if status == 201 else [])
