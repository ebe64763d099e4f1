"""Rules: which files they fit, what these wait for, and the request that is made of them."""

import copy
import re
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from layerwatch.config import Rule
from layerwatch.placeholders import PlaceholderError
from layerwatch.rules import RuleError, body, fit, key_of, may_fill, needs

MODEL = "11111111-2222-3333-4444-555555555555"
WORKFLOW = "66666666-7777-8888-9999-000000000000"
OURS = "layerwatch 7"
BEAUTY = "{shot}_beauty.png"


def rule(match: str = BEAUTY, *, companions: dict[str, str] | None = None, **keys: Any) -> Rule:
    ids = {"workflow_id": WORKFLOW} if keys.get("kind") == "workflow" else {"model_id": MODEL}
    return Rule.model_validate({"name": "r", "match": match, "with": companions or {}} | ids | keys)


def request(
    rule: Rule,
    relative: str = "sub/s1_beauty.png",
    *,
    prompt: str | None = None,
    overrides: object = None,
    session_name: str = OURS,
    **file_ids: str,
) -> dict[str, Any]:
    found = fit(rule, "concepts", relative)
    assert found is not None
    all_ids = {"input": "id-in"} | file_ids
    return body(rule, found, all_ids, prompt=prompt, overrides=overrides, session_name=session_name)


def parameters(rule: Rule, relative: str = "sub/s1_beauty.png", **keys: Any) -> dict[str, Any]:
    """What is sent besides the ids and the session's name."""
    sent = request(rule, relative, **keys)
    return {key: value for key, value in sent.items() if key not in ("model_id", "session_name")}


# --- which files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "relative", "captures"),
    [
        (BEAUTY, "s1_beauty.png", {"shot": "s1"}),
        (BEAUTY, "a/b/s1_beauty.png", {"shot": "s1"}),
        (BEAUTY, "a/S1_BEAUTY.PNG", {"shot": "S1"}),
        (BEAUTY, "s1_depth.png", None),
        (BEAUTY, "s1_beauty.png/x.png", None),
        ("*.png", "a/b.png", {}),
        ("{shot}/beauty.png", "s1/beauty.png", {"shot": "s1"}),
        ("{shot}/beauty.png", "a/s1/beauty.png", None),
        ("**/{shot}/beauty.png", "a/b/s1/beauty.png", {"shot": "s1"}),
    ],
)
def test_fit(match: str, relative: str, captures: dict[str, str] | None) -> None:
    found = fit(rule(match), "concepts", relative)
    assert (found.captures if found else None) == captures


@pytest.mark.parametrize(
    ("relative", "stem", "name"),
    [("a/s1.tar.png", "s1.tar", "s1.tar.png"), ("s1", "s1", "s1"), (".png", ".png", ".png"), ("a.b/c", "c", "c")],
)
def test_what_is_known_of_a_file(relative: str, stem: str, name: str) -> None:
    found = fit(rule("*"), "concepts", relative)
    assert found is not None
    assert found.values == {"stem": stem, "name": name, "folder": "concepts"}


@pytest.mark.parametrize(
    ("glob", "relative", "literal", "fits", "others"),
    [
        (
            "{shot}_depth.png",
            "sub/s1_beauty.png",
            "sub/s1_depth.png",
            ["sub/S1_Depth.PNG"],
            ["s1_depth.png", "sub/x/s1_depth.png", "sub/s2_depth.png"],
        ),
        ("{shot}_depth.png", "s1_beauty.png", "s1_depth.png", [], ["sub/s1_depth.png"]),
        ("depth/{shot}.png", "sub/s1_beauty.png", "depth/s1.png", [], ["sub/depth/s1.png"]),
        ("{folder}.png", "sub/s1_beauty.png", "sub/concepts.png", [], []),
        ("{stem}.exr.png", "s1_beauty.png", "s1_beauty.exr.png", [], []),
        ("{{{shot}}}.png", "s1_beauty.png", "{s1}.png", [], ["s1.png"]),
        ("[{shot}.png", "s1_beauty.png", "[s1.png", [], []),
        ("{shot}_v*.png", "a/s1_beauty.png", None, ["a/s1_v1.png", "a/s1_v.png"], ["a/s1_v/1.png", "s1_v1.png"]),
        ("{shot}_v[0-9].png", "s1_beauty.png", None, ["s1_v1.png"], ["s1_vx.png", "s1_v[0-9].png"]),
        ("{shot}_v?.png", "s1_beauty.png", None, ["s1_v1.png"], ["s1_v12.png"]),
        ("**.png", "a/s1_beauty.png", None, ["a/x.png"], ["a/b/x.png", "x.png", "a/s1_beauty.png"]),
        ("**/{shot}_d.png", "a/s1_beauty.png", None, ["s1_d.png", "b/c/s1_d.png"], ["b/s2_d.png"]),
        # A directory's name is no glob and no template.
        ("{shot}_d.png", "a*[b]{c}/s1_beauty.png", "a*[b]{c}/s1_d.png", [], ["axb{c}/s1_d.png", "a*b{c}/s1_d.png"]),
        ("{shot}_d.png", "{shot}*_beauty.png", "{shot}*_d.png", [], ["{shot}x_d.png"]),
        ("*_d.png", "{file_id}/s1_beauty.png", None, ["{file_id}/x_d.png"], ["x_d.png"]),
    ],
)
def test_companions(glob: str, relative: str, literal: str | None, fits: list[str], others: list[str]) -> None:
    asked = rule(companions={"depth": glob})
    found = fit(asked, "concepts", relative)
    assert found is not None
    (need,) = needs(asked, found)
    assert (need.role, need.literal, need.optional, need.sidecar) == ("depth", literal, False, False)
    assert need.key == (literal and literal.lower())
    assert [path for path in [*fits, *([literal] if literal else [])] if not need.pattern.fullmatch(path)] == []
    assert [path for path in others if need.pattern.fullmatch(path)] == []


@pytest.mark.parametrize("glob", ["{name}", "{shot}_beauty.png", "{shot}_BEAUTY.png", "sub/{shot}_beauty.png"])
def test_a_file_is_not_its_own_companion(glob: str) -> None:
    asked = rule(companions={"depth": glob})
    found = fit(asked, "concepts", "sub/s1_beauty.png")
    assert found is not None
    (need,) = needs(asked, found)
    assert (need.literal, need.key) == (None, None)
    assert not need.pattern.fullmatch("sub/s1_beauty.png")


def test_what_people_are_told_of_a_need() -> None:
    asked = rule(companions={"a": "{shot}_v*.png", "b": "x/{shot}.png"})
    found = fit(asked, "concepts", "sub/s1_beauty.png")
    assert found is not None
    assert [need.glob for need in needs(asked, found)] == ["sub/s1_v*.png", "x/s1.png"]


def test_needs_in_their_order_and_the_sidecars_last() -> None:
    asked = rule(
        prompt_from=".txt",
        parameters_from=".layer",
        optional=["normal", "prompt"],
        wait="10m",
        companions={"normal": "{shot}_n.png", "depth": "{shot}_d.png"},
    )
    found = fit(asked, "concepts", "sub/s1_beauty.png")
    assert found is not None
    assert [(need.role, need.literal, need.optional, need.sidecar) for need in needs(asked, found)] == [
        ("normal", "sub/s1_n.png", True, False),
        ("depth", "sub/s1_d.png", False, False),
        ("prompt", "sub/s1_beauty.txt", True, True),
        ("parameters", "sub/s1_beauty.layer", False, True),
    ]
    assert needs(asked, found)[2].pattern.fullmatch("sub/S1_beauty.TXT")


def test_without_companions_nothing_is_needed() -> None:
    found = fit(rule(), "concepts", "s1_beauty.png")
    assert found is not None
    assert needs(rule(), found) == ()


@pytest.mark.parametrize(
    ("relative", "roles"),
    [
        ("s1_depth.png", {"depth"}),
        ("a/S1_DEPTH.png", {"depth"}),
        ("normals/s1.png", {"normal"}),
        ("a/normals/s1.png", set()),
        ("s1_beauty.png", set()),
        ("_depth.png", set()),
        ("a1b.png", {"twice"}),
        ("anything.jpg", {"loose"}),
    ],
)
def test_the_roles_that_a_file_may_have(relative: str, roles: set[str]) -> None:
    companions = {
        "depth": "{shot}_depth.png",
        "normal": "normals/{shot}.png",
        "twice": "a{shot}b.png",
        "loose": "*.jpg",
    }
    assert may_fill(rule(companions=companions), relative) == roles


def test_captures_that_touch_may_be_filled_by_anything() -> None:
    asked = rule("{shot}.{frame}.png", companions={"depth": "{shot}{frame}{shot}.png"})
    assert may_fill(asked, "s10001s1.png") == {"depth"}
    assert may_fill(asked, "abc.png") == {"depth"}


def test_keys_are_the_same_exactly_where_patterns_match() -> None:
    """Of every letter that has case, in all of Unicode."""
    cased = [char for char in map(chr, range(sys.maxunicode + 1)) if {char.lower(), char.upper()} != {char}]
    everything = "".join(cased)
    by_key: dict[str, set[str]] = {}
    for char in cased:
        by_key.setdefault(key_of(char), set()).add(char)
    for char in cased:
        assert set(re.findall(re.escape(char), everything, re.IGNORECASE)) == by_key[key_of(char)]


def test_a_key_is_that_of_each_letter() -> None:
    assert key_of("Sub/STRAßE.PNG") == key_of("sub/straße.png") != key_of("sub/strasse.png")
    assert key_of("ΟΔΟΣ") == key_of("οδος")
    assert key_of("A/İ") == "a/i"
    assert key_of("a\udcff.PNG") == "a\udcff.png"


# --- the request ------------------------------------------------------------------------------------------------------


def test_the_rule_of_the_readme() -> None:
    asked = rule(
        companions={"depth": "{shot}_depth.png"},
        parameters={
            "prompt": "oil painting, {shot}",
            "guidance_files": [
                {"file_id": "{file_id}", "type": "INIT"},
                {"file_id": "{depth.file_id}", "type": "DEPTH"},
            ],
        },
    )
    assert request(asked, depth="id-depth") == {
        "model_id": MODEL,
        "prompt": "oil painting, s1",
        "guidance_files": [{"file_id": "id-in", "type": "INIT"}, {"file_id": "id-depth", "type": "DEPTH"}],
        "session_name": OURS,
    }


def test_every_text_is_filled_in_and_nothing_else() -> None:
    written = {
        "a{shot}": ["{shot}", 1, 2.5, True, {"deep": [["{stem}|{name}|{folder}"]]}],
        "alone": "{shot}",
        "braces": "{{{shot}}}",
        "image": "{file_id}",
    }
    asked = rule(parameters=copy.deepcopy(written))
    assert parameters(asked) == {
        "a{shot}": ["s1", 1, 2.5, True, {"deep": [["s1_beauty|s1_beauty.png|concepts"]]}],
        "alone": "s1",
        "braces": "{s1}",
        "image": "id-in",
    }
    assert asked.parameters == written


def test_a_body_shares_nothing_with_its_rule() -> None:
    asked = rule(parameters={"image": "{file_id}", "deep": {"list": [{"x": 1}]}})
    parameters(asked)["deep"]["list"][0]["x"] = 2
    assert asked.parameters["deep"] == {"list": [{"x": 1}]}


def test_what_is_filled_in_is_not_read_again() -> None:
    asked = rule("*.png", prompt_from=".txt", parameters={"image": "{file_id}", "text": "{stem}, {prompt}"})
    assert parameters(asked, "{file_id}.png", prompt="{{x}} {stem} {") == {
        "image": "id-in",
        "text": "{file_id}, {{x}} {stem} {",
    }


def test_names_that_are_not_utf_8_can_be_sent() -> None:
    asked = rule("*.png", parameters={"image": "{file_id}", "text": "{stem}"})
    assert parameters(asked, "a\udcff.png", overrides={"k\ud800": "v\ud800"}) == {
        "image": "id-in",
        "text": "a\ufffd",
        "k\ufffd": "v\ufffd",
    }


COMPANIONS = {"depth": "{shot}_d.png", "mask": "{shot}_m.png"}
DEPTH, MASK = {"file_id": "{depth.file_id}"}, {"file_id": "{mask.file_id}"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {"guidance_files": ["in", "depth", "mask"]}),
        ({"seed": 1}, {"seed": 1, "guidance_files": ["in", "depth", "mask"]}),
        ({"guidance_files": [{"file_id": "fixed"}]}, {"guidance_files": ["in", "fixed", "depth", "mask"]}),
        ({"guidance_files": [MASK]}, {"guidance_files": ["in", "id-mask", "depth"]}),
        ({"m": "{mask.file_id}"}, {"m": "id-mask", "guidance_files": ["in", "depth"]}),
        ({"image": "{file_id}"}, {"image": "id-in"}),
        (
            {"prompt": "like {file_id}", "guidance_files": [DEPTH]},
            {"prompt": "like id-in", "guidance_files": ["depth"]},
        ),
    ],
)
def test_where_the_files_go_when_nothing_says_it(written: dict[str, Any], expected: dict[str, Any]) -> None:
    sent = parameters(rule(companions=COMPANIONS, parameters=written), depth="id-depth", mask="id-mask")
    if "guidance_files" in sent:
        assert all(list(entry) == ["file_id"] for entry in sent["guidance_files"])
        sent["guidance_files"] = [entry["file_id"].removeprefix("id-") for entry in sent["guidance_files"]]
        expected = expected | {"guidance_files": [each.removeprefix("id-") for each in expected["guidance_files"]]}
    assert sent == expected


def test_a_workflow_has_no_usual_place_for_files() -> None:
    assert request(rule(kind="workflow", parameters={"style": "x"})) == {"inputs": {"style": "x"}, "session_name": OURS}


@pytest.mark.parametrize("written", ["{stem}", {"file_id": "x"}, 3])
def test_guidance_files_that_are_no_list(written: Any) -> None:
    with pytest.raises(RuleError, match="guidance_files is not a list"):
        request(rule(parameters={"guidance_files": written}))
    sent = parameters(rule(parameters={"guidance_files": written, "image": "{file_id}"}))
    assert "guidance_files" in sent


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"list": ["a", "{mask.file_id}", "b"]}, {"list": ["a", "b"]}),
        ({"list": [{"id": "{mask.file_id}", "type": "MASK"}, {"id": "x"}]}, {"list": [{"id": "x"}]}),
        ({"list": [{"deep": {"deeper": "{mask.file_id}"}}]}, {"list": []}),
        ({"list": [["{mask.file_id}", "x"], "y"]}, {"list": [["x"], "y"]}),
        ({"mask": "{mask.file_id}", "seed": 1}, {"seed": 1}),
        ({"table": {"mask": "{mask.file_id}", "x": 1}, "seed": 1}, {"seed": 1}),
        ({"table": {"masks": ["{mask.file_id}"], "x": 1}}, {"table": {"masks": [], "x": 1}}),
        ({"prompt": "see {mask.file_id} and {shot}"}, {}),
        ({"literal": "{{mask.file_id}}"}, {"literal": "{mask.file_id}"}),
    ],
)
def test_an_optional_file_that_is_not_there(written: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = rule(companions={"mask": "{shot}_m.png"}, optional=["mask"], wait=1, parameters={"image": "{file_id}"})
    asked = asked.model_copy(update={"parameters": asked.parameters | written})
    assert parameters(asked) == {"image": "id-in"} | expected


def test_an_optional_file_that_is_there() -> None:
    asked = rule(companions={"mask": "m.png"}, optional=["mask"], wait=1, parameters={"a": ["{mask.file_id}"]})
    assert parameters(asked, mask="id-mask") == {"a": ["id-mask"], "guidance_files": [{"file_id": "id-in"}]}


def test_an_optional_file_is_not_made_up_where_nothing_says_where_files_go() -> None:
    asked = rule(companions=COMPANIONS, optional=["depth"], wait=1)
    assert parameters(asked, mask="id-mask") == {"guidance_files": [{"file_id": "id-in"}, {"file_id": "id-mask"}]}


def test_a_file_that_is_not_optional_must_be_there() -> None:
    with pytest.raises(PlaceholderError, match=r"depth\.file_id"):
        request(rule(companions=COMPANIONS, parameters={"a": ["{depth.file_id}"]}))


# --- prompts and parameters beside the file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "prompt", "overrides", "expected"),
    [
        ({}, "a cat", None, {"prompt": "a cat"}),
        ({"prompt": "a dog"}, "a cat", None, {"prompt": "a cat"}),
        ({"prompt": "{prompt}, {shot}"}, "a cat", None, {"prompt": "a cat, s1"}),
        ({"texts": ["{prompt}"]}, "a cat", None, {"texts": ["a cat"]}),
        ({"texts": ["{prompt}"]}, "a cat", {"texts": []}, {"texts": []}),
        ({"prompt": "a dog"}, None, None, {"prompt": "a dog"}),
        ({"prompt": "{prompt}, {shot}"}, None, None, {}),
        ({"texts": ["{prompt}", "x"]}, None, None, {"texts": ["x"]}),
        ({}, None, None, {}),
        ({}, "a cat", {"prompt": "a cow"}, {"prompt": "a cow"}),
        ({}, "a cat", {"prompt": "{prompt}!"}, {"prompt": "a cat!"}),
        ({"prompt": "a dog"}, "a cat", {"title": "{prompt}"}, {"prompt": "a dog", "title": "a cat"}),
        ({"seed": 1}, "a cat", {"seed": 2}, {"prompt": "a cat", "seed": 2}),
    ],
)
def test_prompts(
    written: dict[str, Any], prompt: str | None, overrides: Mapping[str, Any] | None, expected: dict[str, Any]
) -> None:
    asked = rule(prompt_from=".txt", optional=["prompt"], wait=1, parameters={"image": "{file_id}"} | written)
    assert parameters(asked, prompt=prompt, overrides=overrides) == {"image": "id-in"} | expected


def test_a_capture_may_be_called_prompt_where_no_file_has_it() -> None:
    asked = rule("{prompt}.png", parameters={"image": "{file_id}", "text": "{prompt}"})
    assert parameters(asked, "cat.png") == {"image": "id-in", "text": "cat"}


@pytest.mark.parametrize(
    ("written", "overrides", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3}}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": 1}, {}, {"a": 1}),
        ({}, {"a": ["{shot}", "{depth.file_id}"]}, {"a": ["s1", "id-depth"]}),
        ({"mask": "fixed"}, {"mask": "{mask.file_id}"}, {}),
        ({}, {"a": ["{mask.file_id}", "x"]}, {"a": ["x"]}),
    ],
)
def test_parameters_beside_the_file(
    written: dict[str, Any], overrides: dict[str, Any], expected: dict[str, Any]
) -> None:
    asked = rule(companions=COMPANIONS, optional=["mask"], wait=1, parameters={"image": "{file_id}"} | written)
    before = copy.deepcopy(overrides)
    assert parameters(asked, depth="id-depth", overrides=overrides) == {"image": "id-in"} | expected
    assert overrides == before


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"image": "{file_id}"}, {"image": "id-in"}),
        ({"guidance_files": [{"file_id": "x"}]}, {"guidance_files": [{"file_id": "id-in"}, {"file_id": "x"}]}),
    ],
)
def test_parameters_beside_the_file_may_say_where_it_goes(overrides: object, expected: dict[str, Any]) -> None:
    assert parameters(rule(), overrides=overrides) == expected


def test_what_the_rule_said_about_the_file_can_be_overridden() -> None:
    asked = rule(parameters={"guidance_files": [{"file_id": "{file_id}"}]})
    assert parameters(asked, overrides={"guidance_files": [{"file_id": "x"}]}) == {"guidance_files": [{"file_id": "x"}]}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], "not a JSON object"),
        ("prompt", "not a JSON object"),
        (False, "not a JSON object"),
        ({"model_id": MODEL}, "model_id: it is for the rule to say"),
        ({"a": ["{nobody}"]}, r"a: nothing defines \{nobody\}"),
        ({"a": "{prompt}"}, r"a: nothing defines \{prompt\}"),
        ({"a": "{depth.file_id}"}, r"a: nothing defines \{depth.file_id\}"),
        ({"a": "{input.file_id}"}, r"a: nothing defines \{input.file_id\}"),
        ({"a": "{"}, "a: a single { stands alone"),
        ({"a": float("nan")}, "a: nan cannot be sent"),
        ({"a": [{"b": float("-inf")}]}, "a: -inf cannot be sent"),
    ],
)
def test_parameters_beside_the_file_that_cannot_be_used(overrides: object, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        request(rule(), overrides=overrides)


@pytest.mark.parametrize("depth", [64, 500_000])
def test_parameters_beside_the_file_that_are_too_deep(depth: int) -> None:
    with pytest.raises(RuleError, match="more than 64 deep"):
        request(rule(), overrides={"a": nested(depth)})


def test_deep_parameters() -> None:
    assert parameters(rule(), overrides={"a": nested(60)})["a"] == nested(60)


def test_an_input_of_a_workflow_may_be_called_model_id() -> None:
    asked = rule(kind="workflow", parameters={"image": "{file_id}"})
    sent = request(asked, overrides={"model_id": "x"})
    assert sent == {"inputs": {"image": "id-in", "model_id": "x"}, "session_name": OURS}


# --- the form of the request ------------------------------------------------------------------------------------------


def test_flat_nested_and_workflow() -> None:
    written = {"image": "{file_id}", "session_name": "mine {shot}", "seed": 1}
    filled = {"image": "id-in", "seed": 1}
    named = {"session_name": f"mine s1 ({OURS})"}
    assert request(rule(parameters=written)) == {"model_id": MODEL} | filled | named
    assert request(rule(parameters=written, nested=True)) == {"model_id": MODEL, "parameters": filled} | named
    assert request(rule(parameters=written, kind="workflow")) == {
        "inputs": filled | {"session_name": "mine s1"},
        "session_name": OURS,
    }


@pytest.mark.parametrize("nested", [False, True])
def test_the_model_is_the_rules(nested: bool) -> None:
    sent = request(rule(parameters={"model_id": "other", "image": "{file_id}"}, nested=nested))
    assert sent["model_id"] == MODEL
    assert "model_id" not in sent.get("parameters", {})


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ("mine", OURS, f"mine ({OURS})"),
        ("  ", OURS, OURS),
        (7, OURS, OURS),
        ("x" * 300, "o" * 10, "x" * 242 + " (" + "o" * 10 + ")"),
        ("x" * 241 + " yz", "o" * 10, "x" * 241 + " (" + "o" * 10 + ")"),
        ("mine", "o" * 255, "o" * 255),
        ("mine", "o" * 251, "m (" + "o" * 251 + ")"),
        ("mine", "o" * 252, "o" * 252),
    ],
)
def test_session_names(theirs: object, ours: str, expected: str) -> None:
    sent = request(rule(parameters={"session_name": theirs}), session_name=ours)
    assert sent["session_name"] == expected


def test_a_session_may_be_named_beside_the_file() -> None:
    sent = request(rule(parameters={"session_name": "a"}), overrides={"session_name": "b"})
    assert sent["session_name"] == f"b ({OURS})"
