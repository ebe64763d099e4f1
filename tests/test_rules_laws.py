"""What holds of every rule, whatever files are called and whatever their authors write."""

import copy
import json
import posixpath
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from layerwatch.config import Kind, Rule
from layerwatch.placeholders import names
from layerwatch.rules import Fit, Need, body, fit, key_of, may_fill, needs

MODEL = "11111111-2222-3333-4444-555555555555"
WORKFLOW = "66666666-7777-8888-9999-000000000000"
OPTIONAL = ("mask", "prompt")
patient = settings(deadline=None)  # the machine may be busy

# Names as disks have them: with what globs, templates and regular expressions make something of, in and out of UTF-8.
_ODD = st.sampled_from("aAzZ019_-. {}[]*?!^$\\()|+~#\n'\"%ß\u017f\u0130\u0131\u212aée\u0301\udcff")
part = st.text(st.one_of(_ODD, st.characters(exclude_characters="/\0", exclude_categories=())), min_size=1, max_size=8)
directory = part.filter(lambda name: name not in (".", ".."))
GLOBS = (
    "{shot}_depth.png",
    "{shot}*",
    "{stem}_?.png",
    "**{shot}.png",
    "*",
    "{name}",
    "{name}.{shot}",
    "{folder}{shot}",
    "[!x]{shot}.png",
    "[{shot}",
    "{{{shot}}}",
    "depth/{shot}.png",
    "**/{shot}.png",
    "{shot}/*/{stem}.png",
    "{shot}/{name}",
)


@dataclass(frozen=True)
class Case:
    rule: Rule
    fit: Fit
    glob: str
    need: Need


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A file somewhere below the folder, and a rule that fits it and needs one more."""
    match = draw(st.sampled_from(["{shot}_b.png", "{shot}.*", "{shot}-{frame}", "**/{shot}_b.png"]))
    name = match.removeprefix("**/").replace("{shot}", draw(part)).replace("{frame}", draw(part)).replace("*", "png")
    relative = "/".join([*draw(st.lists(directory, max_size=2)), name])
    glob = draw(st.sampled_from(GLOBS))
    rule = Rule.model_validate({"name": "r", "match": match, "model_id": MODEL, "with": {"depth": glob}})
    found = fit(rule, "concepts", relative)
    assert found is not None, "made to fit"
    (need,) = needs(rule, found)
    return Case(rule, found, glob, need)


@st.composite
def cases_and_paths(draw: st.DrawFn) -> tuple[Case, str]:
    """Another file, one that often is what is needed: the glob as it might be written out, in any spelling."""
    case = draw(cases())
    filled = case.need.glob
    for wildcard in ("**/", "**", "*", "?", "[!x]"):
        filled = filled.replace(wildcard, draw(st.sampled_from(["", "y", "y/", "a/b", "_b.png"])))
    moved = "/".join([*draw(st.lists(directory, max_size=1)), posixpath.basename(filled)])
    path = draw(st.sampled_from([filled, moved, case.fit.relative, case.fit.relative + "x"]))
    return case, draw(st.sampled_from([path, path.upper(), path.lower(), path.swapcase()]))


@patient
@given(cases())
def test_what_is_captured_is_in_the_name(case: Case) -> None:
    assert all(captured in case.fit.relative for captured in case.fit.captures.values())
    assert case.fit.values["name"] == posixpath.basename(case.fit.relative)
    assert case.fit.values["name"].startswith(case.fit.values["stem"])


@patient
@given(cases())
def test_the_literal_is_what_the_pattern_matches(case: Case) -> None:
    event("literal" if case.need.literal else "open")
    if case.need.literal is not None:
        assert case.need.pattern.fullmatch(case.need.literal)
        assert case.need.literal == case.need.glob


@patient
@given(cases_and_paths())
def test_a_key_finds_what_the_pattern_matches_and_nothing_else(found: tuple[Case, str]) -> None:
    case, path = found
    if case.need.key is not None:
        assert bool(case.need.pattern.fullmatch(path)) == (key_of(path) == case.need.key)


@patient
@given(cases_and_paths())
def test_who_fills_a_need_may_have_its_role(found: tuple[Case, str]) -> None:
    case, path = found
    matches = bool(case.need.pattern.fullmatch(path))
    event(f"matches: {matches}")
    assert may_fill(case.rule, path) in ({"depth"}, set())
    assert may_fill(case.rule, path) == {"depth"} or not matches


@patient
@given(cases_and_paths())
def test_companions_lie_beside_the_file_unless_the_glob_has_a_slash(found: tuple[Case, str]) -> None:
    case, path = found
    if "/" not in case.glob and case.need.pattern.fullmatch(path):
        assert key_of(posixpath.dirname(path)) == key_of(posixpath.dirname(case.fit.relative))


@patient
@given(cases_and_paths())
def test_no_file_is_its_own_companion(found: tuple[Case, str]) -> None:
    case, path = found
    assert not case.need.pattern.fullmatch(case.fit.relative)
    assert case.need.key != key_of(case.fit.relative)
    assert not (key_of(path) == key_of(case.fit.relative) and case.need.pattern.fullmatch(path))


@patient
@given(cases(), st.sampled_from([".txt", ".json", ".[x]*", ".{shot}"]))
def test_sidecars_are_told_by_their_ending_alone(case: Case, suffix: str) -> None:
    asked = case.rule.model_copy(update={"with_": {}, "prompt_from": suffix})
    (need,) = needs(asked, case.fit)
    assert need.literal is not None
    assert need.pattern.fullmatch(need.literal)
    assert need.literal.endswith(case.fit.values["stem"] + suffix)
    assert posixpath.dirname(need.literal) == posixpath.dirname(case.fit.relative)


# --- the request ------------------------------------------------------------------------------------------------------

PLACEHOLDERS = ("file_id", "depth.file_id", "mask.file_id", "shot", "stem", "name", "folder", "prompt")
text = st.lists(
    st.one_of(st.sampled_from([f"{{{name}}}" for name in PLACEHOLDERS]), st.sampled_from(["{{", "}}", "a", ", "])),
    max_size=4,
).map("".join)
leaves = st.one_of(text, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
keys = st.sampled_from(["a", "b", "{shot}", "prompt", "guidance_files", "session_name", "nested"])
trees = st.dictionaries(
    keys,
    st.recursive(
        leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))
    ),
    max_size=4,
).map(lambda tree: tree | {"guidance_files": [tree["guidance_files"]]} if "guidance_files" in tree else tree)


@st.composite
def requests(draw: st.DrawFn, files: st.SearchStrategy[str]) -> dict[str, Any]:
    """The arguments of `body`: any rule, with or without what is optional."""
    kind = draw(st.sampled_from(["inference", "workflow"]))
    keys: dict[str, Any] = {"nested": draw(st.booleans())} if kind == "inference" else {}
    rule = Rule.model_validate(
        {
            "name": "r",
            "kind": kind,
            "model_id" if kind == "inference" else "workflow_id": MODEL if kind == "inference" else WORKFLOW,
            "match": "{shot}.png",
            "with": {"depth": "{shot}_d.png", "mask": "{shot}_m.png"},
            "prompt_from": ".txt",
            "parameters_from": ".json",
            "optional": list(OPTIONAL),
            "wait": 60,
            "parameters": draw(trees),
        }
        | keys
    )
    relative = draw(files) + ".png"
    found = fit(rule, "concepts", relative)
    assert found is not None
    file_ids = {"input": "id-in", "depth": "id-depth"} | ({"mask": "id-mask"} if draw(st.booleans()) else {})
    return {
        "rule": rule,
        "fit": found,
        "file_ids": file_ids,
        "prompt": draw(st.one_of(st.none(), files)),
        "overrides": draw(st.one_of(st.none(), trees)),
        "session_name": "layerwatch 7",
    }


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


@patient
@given(requests(part))
def test_a_body_can_be_sent_and_leaves_what_it_is_made_of_alone(arguments: dict[str, Any]) -> None:
    before = copy.deepcopy((arguments["rule"].parameters, arguments["overrides"]))
    sent = body(**arguments)
    encoded = json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(encoded) == sent
    assert (arguments["rule"].parameters, arguments["overrides"]) == before
    assert body(**arguments) == sent, "the same again: what fires is told by it"


@patient
@given(requests(st.just("s1")))
def test_no_placeholder_is_left(arguments: dict[str, Any]) -> None:
    written = [*texts(arguments["rule"].parameters), *texts(arguments["overrides"])]
    assume(not any("{{" in text or "}}" in text for text in written))
    assert [text for text in texts(body(**arguments)) if "{" in text or "}" in text] == []


@patient
@given(requests(st.sampled_from(["{file_id}", "{nobody}", "{{", "}"])))
def test_what_is_filled_in_is_never_read_again(arguments: dict[str, Any]) -> None:
    """The file's name and the prompt look like placeholders: they arrive as they are."""
    shot = arguments["fit"].captures["shot"]
    values = {**arguments["fit"].values, "prompt": arguments["prompt"] or ""}
    rule = arguments["rule"].model_copy(
        update={"parameters": {"x": "<{shot}|{name}>", "y": ["<{prompt}>"], "z": "{file_id}"}}
    )
    sent = body(**arguments | {"rule": rule, "overrides": {"o": "<{stem}>"}})
    found = texts(sent)
    assert f"<{shot}|{values['name']}>" in found
    assert f"<{values['stem']}>" in found
    assert (f"<{values['prompt']}>" in found) == (arguments["prompt"] is not None)


@patient
@given(requests(st.just("s1")))
def test_only_what_is_missing_is_left_out(arguments: dict[str, Any]) -> None:
    templates = {**arguments["rule"].parameters, **(arguments["overrides"] or {})}
    sent = body(**arguments)
    got = sent.get("inputs", sent.get("parameters", sent) if arguments["rule"].nested else sent)
    absent = {f"{role}.file_id" for role in ("mask",) if role not in arguments["file_ids"]}
    absent |= {"prompt"} if arguments["prompt"] is None else set()
    for key, template in templates.items():
        used = set().union(*(names(text) for text in texts(template)))
        if not used & absent and not (key == "session_name" and "inputs" not in sent):
            assert key in got
    assert sent["session_name"].endswith(("layerwatch 7", "(layerwatch 7)"))
    assert len(sent["session_name"]) <= 255


@patient
@given(requests(st.just("s1")))
def test_the_file_always_goes_to_a_model(arguments: dict[str, Any]) -> None:
    """Unless it goes with something optional that is missing, or a sidecar says otherwise."""
    written = {
        key: value for key, value in arguments["rule"].parameters.items() if key not in ("prompt", "session_name")
    }
    rule = arguments["rule"].model_copy(update={"parameters": written, "kind": Kind.INFERENCE, "model_id": MODEL})
    file_ids = arguments["file_ids"] | {"mask": "id-mask"}
    sent = body(**arguments | {"rule": rule, "file_ids": file_ids, "prompt": "a cat", "overrides": None})
    assert any("id-in" in text for text in texts(sent))
