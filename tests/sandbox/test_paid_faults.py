"""The faults of generations and their results: that each strikes when asked for, and what it leaves behind."""

from typing import Any

import httpx
import pytest

from layerwatch.sandbox import Faults, catalogue
from layerwatch.sandbox.faults import STATUSES

from .steps import Steps, code

MODEL = {"model_id": catalogue.MODELS[0]["model_id"], "prompt": "oil", "batch_size": 1}
MINE = "12345678-0000-4000-8000-000000000000"


def started(steps: Steps, **faults: Any) -> dict[str, Any]:
    steps.sandbox.faults = Faults(slow_s=0.0, **faults)
    answer: dict[str, Any] = steps.api("POST", "/inferences", MODEL).raise_for_status().json()
    return answer


def finished(steps: Steps, **faults: Any) -> dict[str, Any]:
    made = started(steps, **faults)
    answer: dict[str, Any] = steps.api("GET", f"/inferences/{made.get('inference_id', made.get('id'))}").json()
    return answer


def fetched(steps: Steps, **faults: Any) -> httpx.Response:
    url = finished(steps, **faults)["assets"][0]["url"]
    return steps.http.get(url, follow_redirects=False)


# --- the paid POST ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_refused_posts_start_nothing(steps: Steps, status: int) -> None:
    steps.sandbox.faults = Faults(refuse_posts=status)
    answers = [
        steps.api("POST", "/inferences", MODEL),
        steps.api("POST", f"/workflows/{MINE}/runs", {}),
    ]
    assert {answer.status_code for answer in answers} == {status}
    assert {answer.headers.get("retry-after") for answer in answers} == {"1" if status == 429 else None}
    assert (steps.sandbox.generations, steps.sandbox.counters["fault_refuse_posts"]) == ([], 2)
    assert steps.api("POST", "/inferences/estimate", MODEL).status_code == 200


@pytest.mark.parametrize(("status", "expected"), [(429, "3"), (503, "3"), (500, None)])
def test_when_to_come_back(steps: Steps, status: int, expected: str | None) -> None:
    steps.sandbox.faults = Faults(refuse_posts=status, retry_after=2.5)
    assert steps.api("POST", "/inferences", MODEL).headers.get("retry-after") == expected


def test_broken_posts_start_nothing_and_lost_ones_do(steps: Steps) -> None:
    for name, faults, count in (
        ("broken_posts", Faults(broken_posts=1.0), 0),
        ("lost_posts", Faults(lost_posts=1.0), 1),
    ):
        steps.sandbox.faults = faults
        with pytest.raises(httpx.RemoteProtocolError):
            steps.api("POST", "/inferences", MODEL)
        assert (len(steps.sandbox.generations), steps.sandbox.counters[f"fault_{name}"]) == (count, 1)


def test_a_price_for_everything(steps: Steps) -> None:
    steps.sandbox.faults = Faults(price=10.0)
    assert (
        steps.api("POST", "/inferences/estimate", MODEL | {"batch_size": 3}).json()["estimated_price_creative_units"]
        == 10.0
    )
    steps.api("POST", "/inferences", MODEL | {"batch_size": 3})
    steps.api("POST", f"/workflows/{MINE}/runs", {})
    assert [made.price for made in steps.sandbox.generations] == [10.0, 10.0]


def test_no_estimates(steps: Steps) -> None:
    steps.sandbox.faults = Faults(no_estimate=True)
    assert code(steps.api("POST", "/inferences/estimate", MODEL)) == (404, "NOT_FOUND")
    assert code(steps.api("POST", f"/workflows/{MINE}/runs/estimate", {})) == (404, "NOT_FOUND")


# --- how they end -----------------------------------------------------------------------------------------------------


def test_cancelled_generations_cost_nothing(steps: Steps) -> None:
    done = finished(steps, cancels=1.0)
    assert (done["status"], done["creative_units_charged"]) == ("cancelled", 0.0)
    assert "error" not in done
    assert "assets" not in done
    assert steps.sandbox.balance.available == 1000.0
    assert finished(steps, cancels=1.0, upper_status=True)["status"] == "CANCELLED"


def test_failures_with_one_code(steps: Steps) -> None:
    assert {finished(steps, failures=1.0, fail_code="IMAGE_TOO_LARGE")["error"]["code"] for _ in range(3)} == {
        "IMAGE_TOO_LARGE"
    }
    assert finished(steps, failures=1.0, fail_code="NEW_ONE")["error"]["message"] == "Something went wrong."
    assert finished(steps, fail_code="NEW_ONE")["status"] == "complete", "how often is for `failures` to say"


# --- how they are told ------------------------------------------------------------------------------------------------


def test_bare_answers(steps: Steps) -> None:
    assert started(steps, bare=True).keys() == {"inference_id", "status"}
    assert finished(steps, bare=True).keys() == {"inference_id", "status", "assets"}
    assert finished(steps, bare=True)["assets"][0].keys() == {"url"}
    assert finished(steps, bare=True, failures=1.0).keys() == {"inference_id", "status", "error"}


def test_renamed_answers(steps: Steps) -> None:
    assert started(steps, renamed=True).keys() >= {"id", "price", "poll_interval_seconds"}
    done = finished(steps, renamed=True, asset_name="a.png")
    assert (done["id"], done["price"]) == (steps.sandbox.generations[-1].id, 2.5)
    assert done["outputs"][0].keys() == {"asset_id", "download_url", "mime_type", "file_name"}
    failed = finished(steps, renamed=True, failures=1.0, fail_code="IMAGE_TOO_SMALL")
    assert (failed["error_code"], failed["price"], "error" in failed) == ("IMAGE_TOO_SMALL", 0.0, False)


# --- result files -----------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_to_be_trusted(steps: Steps) -> None:
    assert finished(steps, asset_name="../../evil.png")["assets"][0]["name"] == "../../evil.png"
    said = fetched(steps, asset_name='../"é\\.png').headers["content-disposition"]
    assert said == 'attachment; filename="../\\"?\\\\.png"; filename*=UTF-8\'\'../%22%C3%A9%5C.png'


def test_a_result_behind_a_redirect(steps: Steps) -> None:
    answer = fetched(steps, asset_redirect=True)
    assert answer.status_code == 302
    assert steps.http.get(answer.headers["location"]).content.startswith(b"\x89PNG")


@pytest.mark.parametrize("size", [1, 300, 300_000, 3_000_000])
def test_results_of_a_size(steps: Steps, size: int) -> None:
    assert len(fetched(steps, asset_bytes=size).content) == size
    assert fetched(steps).status_code == 200, "and the connection is good for more"


@pytest.mark.parametrize("size", [None, 300_000, 3_000_000])
def test_results_that_break_off(steps: Steps, size: int | None) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        fetched(steps, asset_short=1.0, asset_bytes=size)
    assert steps.sandbox.counters["fault_asset_short"] == 1


def test_results_of_other_kinds(steps: Steps) -> None:
    for number, content_type in ((2, "video/mp4"), (3, "audio/wav")):
        steps.sandbox.faults = Faults(slow_s=0.0)
        body = MODEL | {"model_id": catalogue.MODELS[number]["model_id"]}
        made = steps.api("POST", "/inferences", body).json()["inference_id"]
        (asset,) = steps.api("GET", f"/inferences/{made}").json()["assets"]
        assert asset["content_type"] == steps.http.get(asset["url"]).headers["content-type"] == content_type
        steps.sandbox.faults = Faults(asset_bytes=300_000)
        assert len(steps.http.get(asset["url"]).content) == 300_000
