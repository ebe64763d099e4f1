"""What a model or a workflow will not like about a rule, and that a description nobody understands is passed over."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwatch.config import Rule
from layerwatch.schemas import SchemaProblem, problems_with_model, problems_with_workflow

ID = "11111111-2222-3333-4444-555555555555"


def rule(parameters: dict[str, Any] | None = None, *, companions: dict[str, str] | None = None, **keys: Any) -> Rule:
    asked = {"name": "r", "match": "{shot}.png", "model_id": ID, "with": companions or {}}
    return Rule.model_validate(asked | {"parameters": parameters or {}} | keys)


def workflow_rule(parameters: dict[str, Any], **keys: Any) -> Rule:
    return Rule.model_validate(
        {"name": "r", "match": "{shot}.png", "kind": "workflow", "workflow_id": ID, "parameters": parameters} | keys
    )


def told(problems: list[SchemaProblem]) -> list[tuple[str, str]]:
    assert all(problem.reason and problem.fix for problem in problems)
    return [(problem.severity, problem.key.removeprefix("parameters.")) for problem in problems]


PROMPT = {"name": "prompt", "type": "string", "required": True}
GUIDANCE = {"name": "guidance_files", "type": "array", "item_fields": ["file_id", "type", "weight"]}
STEPS = {"name": "steps", "type": "integer", "value_schema": {"type": "integer", "minimum": 1, "maximum": 50}}
STYLE = {"name": "style", "type": "string", "value_schema": {"type": "string", "enum": ["oil", "ink", "{x}"]}}
IMAGE = {"name": "image", "type": "file", "required": True}


def model(*inputs: dict[str, Any]) -> dict[str, Any]:
    return {"model_id": ID, "inputs": list(inputs)}


# --- missing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "asked", "expected"),
    [
        ([PROMPT], rule({"prompt": "x"}), []),
        ([PROMPT], rule(), [("error", "prompt")]),
        ([PROMPT], rule(prompt_from=".txt"), []),
        ([PROMPT], rule({"title": "{prompt}"}, prompt_from=".txt"), [("error", "prompt"), ("warning", "title")]),
        ([PROMPT], rule(prompt_from=".txt", optional=["prompt"], wait=1), [("warning", "prompt")]),
        ([PROMPT], rule({"prompt": "{prompt}"}, prompt_from=".txt", optional=["prompt"]), [("warning", "prompt")]),
        ([PROMPT], rule({"prompt": "x"}, prompt_from=".txt", optional=["prompt"]), []),
        ([PROMPT], rule(parameters_from=".json"), [("warning", "prompt")]),
        ([PROMPT | {"default": "x"}], rule(), []),
        ([PROMPT | {"default": None}], rule(), [("error", "prompt")]),
        ([PROMPT | {"value_schema": {"default": "x"}}], rule(), []),
        ([PROMPT | {"required": False}], rule(), []),
        ([PROMPT | {"required": "yes"}], rule(), []),
        ([GUIDANCE | {"required": True}], rule(), []),
        ([GUIDANCE | {"required": True}], rule({"mask": "{file_id}"}), [("error", "guidance_files")]),
        ([IMAGE], rule(), [("error", "image")]),
        ([IMAGE], rule({"image": "{file_id}"}), []),
        ([{"name": "session_name", "required": True}, {"name": "model_id", "required": True}], rule(), []),
    ],
)
def test_missing(inputs: list[dict[str, Any]], asked: Rule, expected: list[tuple[str, str]]) -> None:
    assert told(problems_with_model(asked, model(*inputs))) == expected


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("{mask.file_id}", [("warning", "mask")]),
        ({"id": "{mask.file_id}"}, [("warning", "mask")]),
        (["{mask.file_id}"], []),
        ("fixed", []),
    ],
)
def test_what_is_required_but_only_there_with_an_optional_file(mask: object, expected: list[tuple[str, str]]) -> None:
    asked = rule(
        {"mask": mask, "image": "{file_id}"}, companions={"mask": "{shot}_m.png"}, optional=["mask"], wait="1m"
    )
    assert told(problems_with_model(asked, model({"name": "mask", "required": True}, IMAGE))) == expected


def test_what_is_said_of_a_missing_file() -> None:
    (problem,) = problems_with_model(rule(), model(IMAGE))
    assert problem == SchemaProblem(
        "error",
        "parameters.image",
        "is missing, and the model requires it",
        'add image = "{file_id}" under [folders.rules.parameters]',
    )
    (problem,) = problems_with_model(rule(companions={"image": "{shot}_i.png"}), model(IMAGE))
    assert problem.fix == 'add image = "{image.file_id}" under [folders.rules.parameters]'


# --- unknown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("prompt", None),
        ("negative_prompt", None),
        ("seed", None),
        ("session_name", None),
        ("session_id", None),
        ("mask", None),
        ("stpes", "did you mean steps?"),
        ("Steps", "did you mean steps?"),
        ("negativ_prompt", "did you mean negative_prompt?"),
        ("xyz", "it takes: steps"),
    ],
)
def test_unknown_names_of_a_model(name: str, fix: str | None) -> None:
    problems = problems_with_model(rule({name: "x", "image": "{file_id}"}), model(STEPS, IMAGE | {"name": "image"}))
    if fix is None:
        assert problems == []
    else:
        (problem,) = problems
        assert (problem.severity, problem.key) == ("warning", f"parameters.{name}")
        assert problem.fix.startswith(fix)


@pytest.mark.parametrize(
    ("name", "fix"),
    [("iamge", "did you mean image?"), ("seed", "it takes: image, light"), ("session_name", "it takes: image, light")],
)
def test_unknown_names_of_a_workflow(name: str, fix: str) -> None:
    workflow = {"inputs": [IMAGE | {"required": False}, {"name": "light", "type": "string"}]}
    (problem,) = problems_with_workflow(workflow_rule({name: "{file_id}"}), workflow)
    assert (problem.severity, problem.key, problem.fix) == ("error", f"parameters.{name}", fix)


def test_unknown_fields_of_list_entries() -> None:
    entries = [{"file_id": "{file_id}", "type": "INIT"}, {"fileid": "x"}, "text", {"file_id": "y", "wieght": 1}]
    problems = problems_with_model(rule({"guidance_files": entries}), model(GUIDANCE))
    assert [(problem.severity, problem.key, problem.fix) for problem in problems] == [
        ("warning", "parameters.guidance_files[1].fileid", "did you mean file_id?"),
        ("warning", "parameters.guidance_files[3].wieght", "did you mean weight?"),
    ]


@pytest.mark.parametrize("fields", [["fileId", "type"], [{"name": "fileId"}, {"name": "type"}]])
def test_a_model_that_calls_the_id_of_a_file_something_else(fields: list[Any]) -> None:
    """Nothing says where the files go: what layerwatch does by itself is held against the model, too."""
    asked = rule({"guidance_files": [{"fileId": "x"}]}, companions={"depth": "{shot}_d.png"})
    problems = problems_with_model(asked, model(GUIDANCE | {"item_fields": fields}))
    assert [(problem.key, problem.fix) for problem in problems] == [
        ("parameters.guidance_files[1].file_id", "did you mean fileId?"),
        ("parameters.guidance_files[2].file_id", "did you mean fileId?"),
    ]


# --- wrong kinds and values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "fine", "wrong"),
    [
        ({"type": "string"}, ["x", "{shot}", ""], [1, 1.5, True, ["x"], {"x": "y"}]),
        ({"type": "TEXT"}, ["x"], [1]),
        ({"type": "number"}, [1, 1.5, -1], ["1", "{shot}", True, [1], {}]),
        ({"type": "float"}, [1, 1.5], ["1"]),
        ({"type": "integer"}, [1, 2.0], ["1", 1.5, False]),
        ({"type": "boolean"}, [True, False], ["true", 0]),
        ({"type": "array"}, [[], ["x"]], ["x", {}]),
        ({"type": "object"}, [{}, {"a": 1}], ["x", []]),
        ({"type": "file"}, ["{file_id}", ["{file_id}"], {"id": "{file_id}"}], [1, True]),
        ({"type": "image"}, ["{file_id}"], [1.5]),
        ({"type": ["string", "null"]}, ["x"], [1]),
        ({"type": "string", "value_schema": {"type": "integer"}}, [1], ["x"]),
        ({"type": "number", "value_schema": {"description": "x"}}, [1], ["x"]),
        ({"type": "file", "value_schema": {"type": "string"}}, ["x"], [["x"]]),
        # Nobody understands these, or they say nothing.
        ({"type": "string", "value_schema": {"anyOf": [{"type": "number"}]}}, [1, "x"], []),
        ({"type": "mesh"}, [1, "x", []], []),
        ({"type": ["string", "mesh"]}, [1, "x"], []),
        ({"type": ["string", 3]}, [1, "x"], []),
        ({"type": {"of": "string"}}, [1, "x"], []),
        ({"type": []}, [1, "x"], []),
        ({}, [1, "x"], []),
    ],
)
def test_kinds(declared: dict[str, Any], fine: list[object], wrong: list[object]) -> None:
    inputs = [{"name": "x"} | declared]
    for values, expected in ((fine, []), (wrong, [("error", "x")])):
        for value in values:
            assert told(problems_with_workflow(workflow_rule({"x": value}), {"inputs": inputs})) == expected, value
            assert told(problems_with_model(rule({"x": value}), model(*inputs))) == expected, value


@pytest.mark.parametrize(
    ("schema", "fine", "wrong"),
    [
        ({"enum": ["oil", "ink", "{x}"]}, ["oil", "{{x}}", "{shot}"], ["Oil", "", 1]),
        ({"enum": [1, 2]}, [1, 2.0], [3, "1"]),
        ({"enum": []}, ["x"], []),
        ({"enum": "oil"}, ["ink"], []),
        ({"minimum": 1, "maximum": 50}, [1, 50, 2.5, "{shot}", "0", False, []], [0, 51, 0.5, -1e9]),
        ({"minimum": "1", "maximum": None}, [0], []),
        ({"minimum": True}, [0], []),
    ],
)
def test_values(schema: dict[str, Any], fine: list[object], wrong: list[object]) -> None:
    inputs = [{"name": "x", "value_schema": schema}]
    for values, expected in ((fine, []), (wrong, [("error", "x")])):
        for value in values:
            assert told(problems_with_workflow(workflow_rule({"x": value}), {"inputs": inputs})) == expected, value


def test_one_mistake_is_told_once() -> None:
    schema = {"type": "integer", "enum": [1, 2], "minimum": 1}
    assert (
        len(problems_with_workflow(workflow_rule({"x": "1"}), {"inputs": [{"name": "x", "value_schema": schema}]})) == 1
    )


@pytest.mark.parametrize(
    ("declared", "value", "reason", "fix"),
    [
        (
            {"type": "integer"},
            "7",
            "is text, and the workflow takes a whole number",
            "write a whole number, without quotes",
        ),
        ({"type": "array"}, "x", "is text, and the workflow takes a list", "write a list"),
        ({"type": "string"}, 7, "is a whole number, and the workflow takes text", "write text"),
        ({"type": "file"}, True, "is true or false, and the workflow takes text or a list or a table", None),
        (
            {"value_schema": {"enum": ["oil", 2]}},
            "x",
            "is none of those that the workflow takes",
            "write one of: oil, 2",
        ),
        ({"value_schema": {"minimum": 1}}, 0, "is less than the workflow takes", "write 1 or more"),
        ({"value_schema": {"maximum": 1.5}}, 2, "is more than the workflow takes", "write 1.5 or less"),
    ],
)
def test_what_is_said(declared: dict[str, Any], value: object, reason: str, fix: str | None) -> None:
    (problem,) = problems_with_workflow(workflow_rule({"x": value}), {"inputs": [{"name": "x"} | declared]})
    assert (problem.reason, problem.fix) == (reason, fix or problem.fix)


# --- what nobody understands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["inputs", "parameters", "input_schema"])
def test_where_the_inputs_of_a_model_may_be(key: str) -> None:
    assert told(problems_with_model(rule(), {"model_id": ID, key: [PROMPT]})) == [("error", "prompt")]
    assert told(problems_with_model(rule(), {"inputs": None, key: [PROMPT]})) == [("error", "prompt")]


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"inputs": []},
        {"inputs": None},
        {"inputs": {"prompt": PROMPT}},
        {"inputs": ["prompt"]},
        {"inputs": [PROMPT, "seed"]},
        {"inputs": [PROMPT, {"id": "x", "required": True}]},
        {"inputs": [{"name": 3, "required": True}]},
    ],
)
def test_a_description_that_is_not_understood(description: dict[str, Any]) -> None:
    assert problems_with_model(rule({"xyz": 1}), description) == []
    assert problems_with_workflow(workflow_rule({"xyz": 1}), description) == []


json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(["string"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["type", "enum", "name", "minimum", "default", "x"]), inner, max_size=4),
    ),
)
entries = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "prompt", "guidance_files"])},
    optional={
        "type": json,
        "required": json,
        "default": json,
        "item_fields": json,
        "value_schema": st.one_of(
            json,
            st.fixed_dictionaries({}, optional={"type": json, "enum": json, "minimum": json, "maximum": json}),
        ),
    },
)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["", "{shot}", "{{", "x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "file_id"]), inner, max_size=2)
    ),
)
parameters = st.dictionaries(st.sampled_from(["a", "b", "prompt", "guidance_files"]), values)


@settings(deadline=None)
@given(parameters, st.one_of(json, st.lists(entries)))
def test_any_description_is_read_or_passed_over(written: dict[str, Any], inputs: object) -> None:
    for problems in (
        problems_with_model(rule(written), {"inputs": inputs}),
        problems_with_workflow(workflow_rule(written), {"inputs": inputs}),
    ):
        told(problems)


KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


@settings(deadline=None)
@given(parameters)
def test_a_rule_that_sends_what_is_declared_has_no_problems(written: dict[str, Any]) -> None:
    declared = [{"name": key, "type": KINDS[type(value)], "required": True} for key, value in written.items()]
    assert problems_with_workflow(workflow_rule(written), {"inputs": declared}) == []
    assert problems_with_model(rule(written | {"mask": "{file_id}"}), {"inputs": declared}) == []


@settings(deadline=None)
@given(parameters, st.integers(-5, 5), st.integers(-5, 5))
def test_bounds_are_kept_to(written: dict[str, Any], low: int, high: int) -> None:
    declared = [{"name": key, "value_schema": {"minimum": low, "maximum": high}} for key in written]
    numbers = [value for value in written.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    expected = sum((value < low) + (value > high) for value in numbers if not math.isnan(value))
    assert len(problems_with_workflow(workflow_rule(written), {"inputs": declared})) == expected
