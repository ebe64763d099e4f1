"""The API's endpoints but for generations: who may, upload URLs, lists."""

from typing import Any

import pytest

from layerwatch.sandbox import catalogue

from .steps import Steps, code

MODEL = {"model_id": catalogue.MODELS[0]["model_id"]}
RELIGHT = catalogue.WORKFLOWS[1]["workflow_id"]


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "sandbox-token", "bearer"])
def test_a_token_is_needed(steps: Steps, authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization else {}
    answer = steps.http.get(steps.sandbox.base_url + "/v1/workspaces", headers=headers)
    assert code(answer) == (401, "UNAUTHORIZED")


def test_the_token_can_change_while_it_runs(steps: Steps) -> None:
    steps.sandbox.token = "another"
    assert steps.api("GET", "").status_code == 200
    assert steps.api("GET", "", token="sandbox-token").status_code == 401


def test_another_workspace_is_forbidden(steps: Steps) -> None:
    steps.workspace = "/v1/workspaces/00000000-0000-0000-0000-000000000000"
    assert code(steps.api("GET", "")) == (403, "FORBIDDEN")


def test_unknown_paths_and_methods(steps: Steps) -> None:
    assert code(steps.api("GET", "/uploads")) == (404, "NOT_FOUND")
    assert code(steps.api("DELETE", "/inferences")) == (405, "METHOD_NOT_ALLOWED")


def test_the_workspace(steps: Steps) -> None:
    workspace = steps.api("GET", "").json()
    assert workspace["workspace_id"] == steps.sandbox.workspace_id
    assert workspace["available_creative_units"] == workspace["balance_creative_units"] == 1000.0
    assert workspace.keys() >= {"slug", "name", "reserved_creative_units", "last_active_at"}
    headers = {"authorization": "Bearer sandbox-token"}
    listed = steps.http.get(steps.sandbox.base_url + "/v1/workspaces", headers=headers).json()
    assert [entry["workspace_id"] for entry in listed["workspaces"]] == [steps.sandbox.workspace_id]


# --- upload URLs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"content_type": "image/gif"}, 422),
        ({"content_type": None}, 422),
        ({"file_size_bytes": 0}, 422),
        ({"file_size_bytes": -1}, 422),
        ({"file_size_bytes": "10"}, 422),
        ({"file_size_bytes": True}, 422),
        ({"file_size_bytes": 1.5}, 422),
        ({"file_size_bytes": None}, 422),
        ({"file_size_bytes": 64 * 1024 * 1024 + 1}, 413),
        ({"file_name": 3}, 422),
        ({"file_name": None}, 200),
        ({"file_size_bytes": 64 * 1024 * 1024}, 200),
    ],
)
def test_what_an_upload_url_is_issued_for(steps: Steps, change: dict[str, Any], status: int) -> None:
    body = {"content_type": "image/png", "file_size_bytes": 10, "file_name": "a.png"} | change
    answer = steps.api("POST", "/files/upload-url", body)
    assert answer.status_code == status
    if status == 200:
        assert answer.json().keys() == {"file_id", "upload_url", "content_type"}


def test_a_body_that_is_not_a_json_object(steps: Steps) -> None:
    url = f"{steps.sandbox.base_url}{steps.workspace}/files/upload-url"
    headers = {"authorization": "Bearer sandbox-token", "content-type": "application/json"}
    assert code(steps.http.post(url, content=b"{", headers=headers)) == (400, "INVALID_JSON")
    assert steps.http.post(url, content=b"[]", headers=headers).status_code == 422
    assert steps.http.post(url, content=b" " * 2_000_000, headers=headers).status_code == 413
    assert steps.http.post(url, data={"a": "b"}, headers={"authorization": "Bearer sandbox-token"}).status_code == 415


# --- lists ------------------------------------------------------------------------------------------------------------


def test_lists_are_paged(steps: Steps) -> None:
    names, cursor = [], ""
    while True:
        answer = steps.api("GET", f"/models?limit=3{cursor}").json()
        names += [model["name"] for model in answer["models"]]
        pagination = answer["pagination"]
        assert pagination["total_count"] == len(catalogue.MODELS)
        if not pagination["has_more_results"]:
            break
        cursor = f"&cursor={pagination['next_cursor']}"
    assert names == [model["name"] for model in catalogue.MODELS]
    assert pagination["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=there"])
def test_a_wrong_page_is_refused(steps: Steps, query: str) -> None:
    assert steps.api("GET", f"/workflows?{query}").status_code == 422


def test_models_and_workflows(steps: Steps) -> None:
    assert steps.api("GET", f"/models/{MODEL['model_id']}").json()["inputs"][1]["name"] == "guidance_files"
    assert steps.api("GET", f"/models/{catalogue.UNKNOWN_ID}").status_code == 404
    (found,) = steps.api("GET", "/workflows?search=RELIGHT").json()["workflows"]
    assert found["workflow_id"] == RELIGHT
    assert found["inputs"][0].keys() >= {"name", "type", "required", "value_schema", "display_name", "default"}
