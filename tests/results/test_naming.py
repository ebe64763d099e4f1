"""A result is named after its source, its rule and its bytes; nothing that a server says leads anywhere."""

import os
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerwatch.aftermath.placing import MOST, NAME_MAX, numbered
from layerwatch.ignore import RECEIPT_SUFFIX, Selection
from layerwatch.results import Place
from layerwatch.results.naming import extension


def place(source: str = "sub/a_beauty.png", rule: str = "restyle", outputs: str = "generated", **more: int) -> Place:
    return Place("/drop", outputs, source, rule, more.pop("generation", 7), **more)


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "source", "directory"),
    [
        ("generated", "a.png", "/drop/generated"),
        ("generated", "sub/deep/a.png", "/drop/generated/sub/deep"),
        ("out/put/", "sub/a.png", "/drop/out/put/sub"),
        (".", "sub/a.png", "/drop/sub"),
        ("generated", "sub/a..b/..c.png", "/drop/generated/sub/a..b"),
    ],
)
def test_results_lie_in_the_directories_of_their_source(outputs: str, source: str, directory: str) -> None:
    assert place(source, outputs=outputs).directory == directory


@pytest.mark.parametrize("path", ["../a.png", "sub/../../a.png", "..", "/etc/a.png"])
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(ValueError, match="not a path below"):
        place(source=path)
    with pytest.raises(ValueError, match="not a path below"):
        place(outputs=path)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "number", "of", "name"),
    [
        ("a_beauty.png", 1, 1, "a_beauty.restyle.png"),
        ("a_beauty.png", 2, 4, "a_beauty.restyle.2.png"),
        ("a_beauty.png", 7, 16, "a_beauty.restyle.07.png"),
        ("sub/a.v2.exr", 100, 100, "a.v2.restyle.100.png"),
        ("sub/no extension", 1, 1, "no extension.restyle.png"),
        ("caf\udce9.png", 1, 1, "caf\udce9.restyle.png"),
    ],
)
def test_a_name_tells_source_and_rule_and_which_of_several(source: str, number: int, of: int, name: str) -> None:
    assert place(source, number=number, of=of).name("png") == name


def test_a_rule_is_no_path() -> None:
    assert place("a.png", rule="../../etc/passwd\n").name("png") == "a..._.._etc_passwd_.png"


def test_a_long_name_is_cut_between_characters_and_keeps_its_end() -> None:
    name = place("ä" * 126 + ".png", number=3, of=12).name("webp")
    assert name.endswith("ä.restyle.03.webp")
    assert 235 <= len(name.encode()) <= 237
    assert place("a.png", rule="ü" * 200).name("png") == f"a.{'ü' * 40}.png"


names = st.binary(min_size=1, max_size=NAME_MAX).filter(lambda name: not {0, ord("/")} & set(name)).map(os.fsdecode)


@example("x" * 251 + ".png", "r" * 200, 999)
@example("\udcff" * 255, "\udcff", 1)
@given(names.filter(lambda name: name != ".."), st.text(min_size=1), st.integers(1, 999))
def test_every_name_can_be_one_with_its_provenance_however_often_it_is_taken(source: str, rule: str, of: int) -> None:
    name = place(source, rule=rule, number=of, of=of).name("webp")
    assert "/" not in name
    assert name.endswith(".webp")
    for each in (name, *islice(numbered(name), MOST - 1, MOST)):
        assert len(os.fsencode(each + RECEIPT_SUFFIX)) <= NAME_MAX


def test_provenance_is_never_taken_for_a_file() -> None:
    assert Selection().why_not("generated/" + place("a.png").name("png") + RECEIPT_SUFFIX)


# --- extensions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sniffed", "head", "announced", "expected"),
    [
        ("image/png", b"\x89PNG", "image/jpeg", "png"),
        ("image/jpeg", b"", None, "jpg"),
        ("audio/mpeg", b"", "text/html", "mp3"),
        (None, b"glTF\2\0\0\0", "application/octet-stream", "glb"),
        (None, b"GIF89a", "image/png", "gif"),
        (None, b"\0\0\0\x14ftypqt  ", "video/mp4", "mov"),
        (None, b"<svg", "image/svg+xml", "svg"),
        (None, b"\x1a\x45\xdf\xa3", "Video/WebM; codecs=vp9", "webm"),
        (None, b"{}", "application/json;charset=utf-8", "json"),
        (None, b"PK\3\4", "application/zip", "zip"),
        (None, b"....ftypxyz1", "video/mp4", "mp4"),
        (None, b"\0\1\2", "application/octet-stream", "bin"),
        (None, b"\0\1\2", "../../evil; x=sh", "bin"),
        (None, b"", "", "bin"),
        (None, b"", None, "bin"),
    ],
)
def test_the_extension_is_what_the_bytes_are_then_what_was_announced(
    sniffed: str | None, head: bytes, announced: str | None, expected: str
) -> None:
    assert extension(sniffed, head, announced) == expected
