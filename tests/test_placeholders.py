"""Placeholders: which, filled with what, captured how."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from layerwatch.placeholders import PlaceholderError, compile_match, fill, names

NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
LITERAL = st.text().map(lambda text: text.replace("{", "{{").replace("}", "}}"))
# No slash (a capture stays in one directory), and nothing that case-folds into something of another length.
PART = st.text(st.characters(codec="ascii", exclude_characters="/-"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("oil painting, {shot}", {"shot"}),
        ("{a}{b}{a}", {"a", "b"}),
        ("{depth.file_id}", {"depth.file_id"}),
        ("{{not_one}}", set()),
        ("{{{one}}}", {"one"}),
        ('{{"json": "{value}"}}', {"value"}),
    ],
)
def test_names(text: str, expected: set[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    "text", ["{", "}", "a } b", "{}", "{a b}", "{1}", "{a.b.c}", "{.a}", "{a", "{{a}", "{a!r}", "{a[0]}"]
)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(PlaceholderError):
        names(text)
    with pytest.raises(PlaceholderError):
        fill(text, {"a": "x"})


def test_fill() -> None:
    values = {"shot": "sh010", "depth.file_id": "d-1"}
    assert fill("{{{shot}}} {depth.file_id} {{shot}}", values) == "{sh010} d-1 {shot}"


def test_what_is_filled_in_is_not_read_again() -> None:
    assert fill("{a}{b}", {"a": "{b}", "b": "{{x"}) == "{b}{{x"


def test_an_undefined_placeholder_is_refused_by_name() -> None:
    with pytest.raises(PlaceholderError, match=r"\{b\} is not defined"):
        fill("{a}{b}", {"a": "x"})


@given(LITERAL)
def test_escaped_text_comes_back(text: str) -> None:
    assert names(text) == set()
    assert fill(text, {}).replace("{", "{{").replace("}", "}}") == text


@given(st.lists(st.tuples(LITERAL, NAME), max_size=5), st.data())
def test_filling_needs_exactly_the_names(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    text = "".join(f"{literal}{{{name}}}" for literal, name in parts)
    used = names(text)
    assert used == {name for _, name in parts}
    values = {name: data.draw(st.text()) for name in used}
    expected = "".join(fill(literal, {}) + values[name] for literal, name in parts)
    assert fill(text, values) == expected


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    for read in (names, compile_match):
        try:
            read(text)
        except PlaceholderError as error:
            assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("glob", "path", "captured"),
    [
        ("{shot}_beauty.png", "sh010_beauty.png", {"shot": "sh010"}),
        ("{shot}_beauty.png", "sh010_depth.png", None),
        ("{shot}_beauty.png", "_beauty.png", None),
        ("{shot}_beauty.png", "a/sh010_beauty.png", None),
        ("{shot}_beauty.png", "SH010_Beauty.PNG", {"shot": "SH010"}),
        ("{shot}_{layer}.png", "sh010_a_b.png", {"shot": "sh010", "layer": "a_b"}),
        ("{shot}/{shot}_{frame}.png", "s1/s1_0001.png", {"shot": "s1", "frame": "0001"}),
        ("{shot}/{shot}_{frame}.png", "s1/s2_0001.png", None),
        ("*.png", "a.png", {}),
        ("*.png", "a/b.png", None),
        ("**/*.png", "a/b/c.png", {}),
        ("**/*.png", "c.png", {}),
        ("**/{shot}.png", "a/b/c.png", {"shot": "c"}),
        ("a**", "a/b", {}),
        ("v??.png", "v01.png", {}),
        ("v?.png", "v/.png", None),
        ("[a-c]x[!0-9].png", "bxy.png", {}),
        ("[a-c]x[!0-9].png", "bx1.png", None),
        ("[!a]", "/", None),
        ("[]]", "]", {}),
        ("[[&&~~-]", "-", {}),
        ("[^a]b", "ab", None),
        ("[", "[", {}),
        ("{{a}}_{b}", "{a}_c", {"b": "c"}),
        ("a.png", "aXpng", None),
        ("a\nb", "a\nb", {}),
    ],
)
def test_globs(glob: str, path: str, captured: dict[str, str] | None) -> None:
    found = compile_match(glob).fullmatch(path)
    assert (found.groupdict() if found else None) == captured


@pytest.mark.parametrize(
    ("glob", "reason"),
    [
        ("{a}{b}.png", "nothing says where {a} ends"),
        ("{a}*.png", "nothing says where"),
        ("**{a}", "nothing says where"),
        ("{}.png", "cannot capture"),
        ("{a.b}.png", "cannot capture"),
        ("{1}.png", "cannot capture"),
        ("{a", "stands alone"),
        ("a}", "stands alone"),
        ("[z-a]", "range z-a is empty"),
    ],
)
def test_globs_that_are_refused(glob: str, reason: str) -> None:
    with pytest.raises(PlaceholderError) as caught:
        compile_match(glob)
    assert reason in str(caught.value)


def test_known_names_stand_for_themselves_and_may_touch() -> None:
    pattern = compile_match("{shot}*{rest}_depth.png", {"shot": "a[1]*", "rest": "."})
    assert pattern.fullmatch("a[1]*x._depth.png")
    assert not pattern.fullmatch("a1*x._depth.png")
    assert pattern.groupindex == {}


@given(PART, PART)
def test_captures_put_the_path_together_again(one: str, two: str) -> None:
    found = compile_match("{one}-{two}/x").fullmatch(f"{one}-{two}/x")
    assert found is not None
    assert found.groupdict() == {"one": one, "two": two}


@given(st.text(st.characters(codec="ascii", exclude_characters="[]{}*?"), min_size=1), st.text())
def test_plain_text_matches_itself_only(glob: str, other: str) -> None:
    assume(other.lower() != glob.lower() and other.isascii())
    pattern = compile_match(glob)
    assert pattern.fullmatch(glob)
    assert not pattern.fullmatch(other)
