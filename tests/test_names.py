"""What files are called in a ledger of several hosts: every path has its own name, and comes back as it was."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from layerwatch.ledger.postgres.dialect import values
from layerwatch.names import AS_THEY_ARE, Names, bound, unbound

MAC = Names.of({"/Volumes/render": "/mnt/render"})
# Few of them, so that one often lies in another; bytes that are no UTF-8, and the mark of such names.
PART = st.sampled_from(["a", "b", "ab", "a.b", "\udcff", "a\udcfe", "\x01", "\x01ff", "é"])
PATH = st.lists(PART, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
MAPS = (
    st.dictionaries(PATH, PATH, max_size=4).filter(lambda paths: len(set(paths.values())) == len(paths)).map(Names.of)
)


def lies_in(path: str, directories: list[str]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in directories)


def is_sound(names: Names) -> bool:
    """As the configuration has it: what lies in a left side has its own name."""
    return all(names.nameless(here) is None for here, _ in names.outward)


@given(names=MAPS, path=PATH)
def test_every_path_that_is_not_shadowed_comes_back(names: Names, path: str) -> None:
    assume(is_sound(names))
    shadowed = lies_in(path, [there for _, there in names.outward])
    if lies_in(path, [here for here, _ in names.outward]) or not shadowed:
        text = names.to_text(path)
        assert names.has(path)
        assert names.to_path(text) == path
        (in_postgres,) = values([text])
        assert isinstance(in_postgres, str)
        in_postgres.encode()
        assert names.to_path(in_postgres) == path
        assert path == text or names.differ(text)


@given(names=MAPS, one=PATH, other=PATH)
def test_two_paths_that_have_names_never_have_the_same(names: Names, one: str, other: str) -> None:
    if one != other and names.has(one) and names.has(other):
        assert names.to_text(one) != names.to_text(other)


@given(names=MAPS, root=st.one_of(PATH, st.just("/")), below=st.lists(PART, max_size=3))
def test_a_place_where_all_have_names_is_told_from_others(names: Names, root: str, below: list[str]) -> None:
    found = names.nameless(root)
    if found is None:
        assert names.has("/".join([root.rstrip("/"), *below]) or "/")
    else:
        assert lies_in(found, [root]) or root == "/"
        assert not names.has(found)


@given(names=MAPS, stem=PATH, ending=st.sampled_from([".png", ".txt", ".\udcff", "", "x", "/a.png"]))
def test_what_lies_beside_is_found_by_the_order_of_names(names: Names, stem: str, ending: str) -> None:
    assume(is_sound(names) and names.has(stem) and stem not in dict(names.outward))
    first, after = names.beside(stem)
    name, is_beside = names.to_text(f"{stem}{ending}"), ending.startswith(".") and "/" not in ending
    if isinstance(first, str) == isinstance(name, str):  # text and bytes are in two orders
        assert (first < name < after) == is_beside  # type: ignore[operator]


@given(path=PATH)
def test_without_a_map_all_is_as_it_was(path: str) -> None:
    assert AS_THEY_ARE.outside(path) == AS_THEY_ARE.here(path) == path
    assert AS_THEY_ARE.to_path(AS_THEY_ARE.to_text(path)) == path
    assert AS_THEY_ARE.has(path)
    assert not AS_THEY_ARE.covers(path)
    assert AS_THEY_ARE.nameless(path) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/Volumes/render/a.png", "/mnt/render/a.png"),
        ("/Volumes/render", "/mnt/render"),
        ("/Volumes/render2/a.png", "/Volumes/render2/a.png"),
        ("/srv/a.png", "/srv/a.png"),
        ("/Volumes/render/\udcff.png", b"/mnt/render/\xff.png"),
    ],
)
def test_what_a_path_is_called(path: str, name: str | bytes) -> None:
    assert MAC.to_text(path) == name
    assert MAC.to_path(name) == path


def test_what_has_no_place_here_is_called_as_it_is_there() -> None:
    assert MAC.to_path("/mnt/other/a.png") == "/mnt/other/a.png"


def test_the_longest_wins() -> None:
    names = Names.of({"/a": "/m", "/a/x": "/n", "/b": "/m/x"})
    assert [names.to_text(path) for path in ("/a/f", "/a/x/f", "/b/f")] == ["/m/f", "/n/f", "/m/x/f"]
    assert [names.to_path(name) for name in ("/m/f", "/n/f", "/m/x/f")] == ["/a/f", "/a/x/f", "/b/f"]
    assert is_sound(names)


def test_a_place_of_its_own_beside_the_share_can_have_another_name() -> None:
    names = Names.of({"/Volumes/render": "/mnt/render", "/mnt/render": "/render-3/render"})
    assert is_sound(names)
    assert names.to_text("/mnt/render/a.png") == "/render-3/render/a.png"
    assert names.nameless("/mnt") is None
    assert names.nameless("/render-3/render") == "/render-3/render"


@pytest.mark.parametrize(
    ("root", "found"),
    [("/mnt/render", "/mnt/render"), ("/mnt/render/a", "/mnt/render/a"), ("/mnt", "/mnt/render"), ("/Volumes", None)],
)
def test_what_would_take_the_name_of_another_place(root: str, found: str | None) -> None:
    assert MAC.nameless(root) == found


def test_a_name_that_another_place_takes_within_a_place_that_is_called_otherwise() -> None:
    names = Names.of({"/p/a": "/m", "/b": "/m/x"})
    assert names.nameless("/p") == names.nameless("/p/a") == "/p/a/x"
    assert names.nameless("/b") is None


def test_what_is_told_below_a_folder_has_no_other_name() -> None:
    assert unbound(bound("b\udcff.png")) == "b\udcff.png"
    assert bound("\x01ff") == b"\x01ff"
