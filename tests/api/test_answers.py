"""Reading what Layer answers, pure: every name and spelling that its reference leaves open."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch.api import Asset, Estimate, Kind, Progress, answers
from layerwatch.api.answers import Remote, accepted, estimate, progress, remote, usable_id

URL = "https://cdn.invalid/a.png"
NAMES = st.sampled_from(
    [*answers.PRICES, *answers.INTERVALS, "id", "run_id", "status", "error", "data", "run", "assets", "url", "code"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | NAMES, inner, max_size=6),
    max_leaves=30,
)


def told(body: dict[str, Any]) -> Remote:
    return remote(Kind.INFERENCE, body)


@pytest.mark.parametrize("spelled", [str, str.upper, str.title, lambda word: f" {word} "])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, Progress.COMPLETE) for word in ("complete", "completed", "success", "succeeded", "done")),
        *((word, Progress.FAILED) for word in ("failed", "failure", "error", "errored")),
        *((word, Progress.CANCELLED) for word in ("cancelled", "canceled", "deleted")),
        *((word, Progress.RUNNING) for word in ("pending", "queued", "running", "in_progress", "in-progress")),
        *((word, Progress.RUNNING) for word in ("in progress", "post_processing", "never heard of")),
    ],
)
def test_status_words(word: str, expected: Progress, spelled: Any) -> None:
    assert progress(spelled(word)) is expected
    assert told({"status": spelled(word)}).progress is expected


def test_the_word_is_kept_as_it_was_said() -> None:
    assert told({"status": "IN_PROGRESS"}).word == "IN_PROGRESS"
    assert told({}).word == ""
    assert told({}).progress is Progress.RUNNING
    assert len(told({"status": "x" * 1000}).word) == 64


@pytest.mark.parametrize("name", answers.INTERVALS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, 2.0), (0.5, 0.5), ("3", 3.0), (0, 0.01), (1e9, 3600.0), (-1, None), (True, None), ("soon", None), (None, None),
     (float("nan"), None), (float("inf"), None), ("nan", None), ([], None), (10**400, None)],
)  # fmt: skip
def test_intervals(name: str, value: Any, expected: float | None) -> None:
    assert told({name: value}).poll_after_s == expected


def test_prices() -> None:
    assert told({"creative_units_charged": 0, "price": 9}).price == 0.0
    assert told({"estimated_price_creative_units": 9}).price is None, "an estimate is not what was charged"
    for name in answers.CHARGED:
        assert told({name: "4.5"}).price == 4.5
        assert told({name: -1}).price is None
        assert told({name: True}).price is None
    for name in answers.PRICES:
        made = accepted(Kind.INFERENCE, {"id": "a", name: 2})
        assert made
        assert made.price == 2.0


def test_estimates() -> None:
    body = {"estimated_price_creative_units": 5, "workspace_balance_creative_units": -2}
    assert estimate(body) == Estimate(5.0, -2.0, None)
    assert estimate({"data": body | {"has_sufficient_creative_units": False}}) == Estimate(5.0, -2.0, sufficient=False)
    assert estimate({"has_sufficient_creative_units": "yes"}) == Estimate(None, None, None)


ASSET = Asset(URL, None, None, None)


@pytest.mark.parametrize("field", ["assets", "files", "outputs", "images"])
@pytest.mark.parametrize(
    "value",
    [
        [URL],
        [{"url": URL}],
        [{"asset_url": URL}],
        [{"download_url": URL}],
        [{"file_url": URL}],
        [[{"url": URL}]],
        [{"name": "output_1", "assets": [{"url": URL}]}],
        {"output_1": [URL]},
        {"output_1": {"url": URL}},
        [{"url": URL}, {"url": URL}],
        [{"url": URL}, {"url": None}, 3, None, "not a url", {"url": "file:///etc/passwd"}],
    ],
)
def test_assets_wherever_they_are(field: str, value: Any) -> None:
    assert told({field: value}).assets == (ASSET,)


def test_what_is_told_of_an_asset() -> None:
    entry = {"url": URL, "name": "../../evil.png", "content_type": "image/png", "size_bytes": 12}
    assert told({"assets": [entry]}).assets == (Asset(URL, "../../evil.png", "image/png", 12),)
    other = {"file_url": URL, "file_name": "a", "mime_type": "image/png", "size": "12", "url": None}
    assert told({"assets": [other]}).assets == (Asset(URL, "a", "image/png", 12),)
    strange: dict[str, Any] = {"url": URL, "name": {}, "content_type": [], "size": -1}
    assert told({"assets": [strange]}).assets == (ASSET,)
    assert [asset.url[-1] for asset in told({"assets": [URL + "?1", URL + "?2", URL + "?1"]}).assets] == ["1", "2"]


def test_the_url_of_an_asset_is_not_shown() -> None:
    assert URL not in repr(told({"assets": [URL]}))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"code": "IMAGE_TOO_SMALL", "message": "too small"}}, ("IMAGE_TOO_SMALL", "too small")),
        ({"error_code": "IMAGE_TOO_SMALL", "error_message": "too small"}, ("IMAGE_TOO_SMALL", "too small")),
        ({"error": "too small"}, (None, "too small")),
        ({"error": "too small", "error_code": "IMAGE_TOO_SMALL"}, ("IMAGE_TOO_SMALL", "too small")),
        ({"error": {"code": "x y", "detail": "d"}}, (None, "d")),
        ({"error": None}, (None, None)),
        ({"error": {"message": f"{URL}?sig=1 is too small"}}, (None, f"{URL}?[redacted] is too small")),
        ({"error": {"message": "x" * 5000}}, (None, "x" * 1000)),
    ],
)
def test_errors(body: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    found = told({"status": "failed", **body})
    assert (found.error_code, found.error) == expected


def test_envelopes() -> None:
    inner = {"run_id": "r", "status": "success", "assets": [URL]}
    for body in (inner, {"run": inner}, {"data": {"run": inner}}, {"status": "ok", "data": inner}):
        assert remote(Kind.WORKFLOW, body).progress is Progress.COMPLETE
    embedding = {"run_id": "r", "status": "running", "inference": {"inference_id": "i", "status": "complete"}}
    assert remote(Kind.WORKFLOW, embedding).progress is Progress.RUNNING, "one step of a run is not the run"
    assert told({"status": "running", "inference": {"parameters": {}}}).word == "running"


def test_ids() -> None:
    both = {"inference_id": "i", "run_id": "r"}
    found = [accepted(kind, both) for kind in Kind]
    assert [made.remote_id for made in found if made] == ["i", "r"]
    made = accepted(Kind.INFERENCE, {"id": 17, "session_id": "s"})
    assert made == answers.Accepted("17", None, None, "s")


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "a?b", "a#b", "a%2fb", "ä", "a\n", "x" * 201])
def test_what_is_no_id(text: str) -> None:
    assert not usable_id(text)


@given(JSON, st.sampled_from(Kind))
def test_no_answer_whatsoever_raises(body: Any, kind: Kind) -> None:
    made = accepted(kind, body)
    assert made is None or usable_id(made.remote_id)
    if isinstance(body, dict):
        found = remote(kind, body)
        assert found.poll_after_s is None or 0.01 <= found.poll_after_s <= 3600
        assert found.price is None or found.price >= 0
        estimate(body)
