"""Nobody's work is left alone, by its name only; what a folder asks for is taken."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwatch.ignore import LITTER, RECEIPT_SUFFIX, Names, Selection

EVERYTHING = Selection()

plain = st.text("abcdefghij0123456789_", min_size=1, max_size=12)
directories = st.lists(plain, max_size=3)
any_name = st.text(min_size=1, max_size=12).filter(lambda name: "/" not in name)


def spelled(pattern: str) -> str:
    """A name that `pattern` is for."""
    return pattern.replace("*", "shot1")


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.png",
        ".shot1.png.X7fQ2a",  # rsync
        ".~lock.shot1.png#",
        "~$shot1.png",
        "shot1.png~",
        "#shot1.png#",
        "shot1.png.part",
        "shot1.png.filepart",
        "shot1.png.crdownload",
        "shot1.tmp",
        "shot1.png.swp",
        "Thumbs.db",
        "desktop.ini",
        "Icon\r",
        f"shot1.png{RECEIPT_SUFFIX}",
    ],
)
def test_temporary_hidden_and_system_names_are_left_out(name: str) -> None:
    assert "temporary, hidden or system name" in (EVERYTHING.why_not(name) or "")
    assert EVERYTHING.why_not(f"sub/{name}")


@pytest.mark.parametrize(
    "name", ["$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "__MACOSX", ".git"]
)
def test_system_folders_are_not_entered_nor_is_anything_in_them_taken(name: str) -> None:
    assert EVERYTHING.why_not_enter(f"sub/{name}", name)
    assert EVERYTHING.why_not(f"sub/{name}/deeper/shot1.png")


@pytest.mark.parametrize(
    "name", ["shot1.png", "part.png", "tmp", "tmp.jpg", "backup.bak.png", "a~b.png", "Icon", "a.b", "-", " "]
)
def test_names_that_only_resemble_them_are_taken(name: str) -> None:
    assert EVERYTHING.why_not(name) is None
    assert EVERYTHING.why_not(f"sub/{name}") is None


@given(st.sampled_from(LITTER), directories, st.sampled_from((str.lower, str.upper, str.title)))
def test_litter_is_litter_in_any_case_at_any_depth(pattern: str, parents: list[str], spell: object) -> None:
    name = spelled(pattern)
    name = spell(name) if callable(spell) else name
    assert EVERYTHING.why_not("/".join([*parents, name]))
    assert EVERYTHING.why_not_enter("/".join([*parents, name]), name)


@given(directories, plain, st.sampled_from(("png", "JPG", "mp4", "layer", "json")))
def test_a_plain_name_is_taken_at_any_depth(parents: list[str], stem: str, suffix: str) -> None:
    assert EVERYTHING.why_not("/".join([*parents, f"{stem}.{suffix}"])) is None


# --- include and exclude ----------------------------------------------------------------------------------------------


def test_only_what_is_included_is_taken_whatever_its_case() -> None:
    selection = Selection(include=("*.png", "*.jpg"))
    assert selection.why_not("sub/DSC0001.JPG") is None
    assert "none of the folder's `include` patterns" in (selection.why_not("sub/a.gif") or "")


def test_exclude_wins_over_include() -> None:
    selection = Selection(include=("*.png",), exclude=("*_wip*",))
    assert selection.why_not("a.png") is None
    assert "`exclude` patterns" in (selection.why_not("a_WIP2.png") or "")


def test_litter_wins_over_include() -> None:
    assert Selection(include=("*.tmp", ".*")).why_not("a.tmp")
    assert Selection(include=("*.tmp", ".*")).why_not(".a")


def test_a_pattern_with_a_slash_is_for_the_path_and_one_without_for_the_name() -> None:
    by_path = Selection(include=("final/*.png",))
    assert by_path.why_not("final/a.png") is None
    assert by_path.why_not("a.png")
    assert by_path.why_not("draft/a.png")
    by_name = Selection(exclude=("draft*",))
    assert by_name.why_not("final/draft1.png")
    assert by_name.why_not("final/a.png") is None


def test_a_leading_slash_means_the_top_of_the_folder() -> None:
    selection = Selection(exclude=("/a.png",))
    assert selection.why_not("a.png")
    assert selection.why_not("sub/a.png") is None


def test_an_excluded_folder_is_not_entered_nor_is_anything_in_it_taken() -> None:
    for selection in (Selection(exclude=("old",)), Selection(exclude=("shots/old",))):
        assert selection.why_not_enter("shots/old", "old")
        assert selection.why_not("shots/old/deep/a.png")
        assert selection.why_not_enter("shots/older", "older") is None
        assert selection.why_not("shots/a.png") is None


def test_a_folder_need_not_be_included_for_what_lies_in_it() -> None:
    selection = Selection(include=("*.png",))
    assert selection.why_not_enter("shots", "shots") is None
    assert selection.why_not("shots/a.png") is None


def test_where_results_are_saved_is_not_entered() -> None:
    selection = Selection(own=("generated", "out/final"))
    assert "results" in (selection.why_not("generated/a.png") or "")
    assert "results" in (selection.why_not("out/final/deep/a.png") or "")
    assert selection.why_not("shots/generated/a.png") is None
    assert selection.why_not("out/a.png") is None


def test_letters_of_a_pattern_that_mean_something_elsewhere_mean_themselves() -> None:
    selection = Selection(include=("a+b(1)|.png",))
    assert selection.why_not("a+b(1)|.png") is None
    assert selection.why_not("aab1.png")


patterns = st.lists(st.text("ab*?[]!/._", min_size=1, max_size=6), max_size=3)


@given(patterns, st.text("abAB[]!._", min_size=1, max_size=6))
def test_names_match_as_a_shell_would_have_it_whatever_the_case(many: list[str], name: str) -> None:
    expected = any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in many)
    assert Names(many).match(name) == expected


@given(patterns, patterns, patterns, st.lists(any_name, min_size=1, max_size=4))
def test_excluding_more_never_takes_more(
    include: list[str], exclude: list[str], more: list[str], parts: list[str]
) -> None:
    relative = "/".join(parts)
    before, after = Selection(include, exclude), Selection(include, exclude + more)
    assert before.why_not(relative) is None or after.why_not(relative) is not None


@given(patterns, patterns, st.lists(plain, min_size=1, max_size=4))
def test_what_is_taken_lies_only_in_folders_that_are_entered(
    include: list[str], exclude: list[str], parts: list[str]
) -> None:
    selection = Selection(include, exclude)
    if selection.why_not("/".join(parts)) is None:
        for depth in range(1, len(parts)):
            assert selection.why_not_enter("/".join(parts[:depth]), parts[depth - 1]) is None


@given(st.lists(any_name, min_size=1, max_size=4))
def test_any_name_at_all_is_judged(parts: list[str]) -> None:
    reason = EVERYTHING.why_not("/".join(parts))
    assert reason is None or reason
