"""`[ledger.paths]`: what it may say, what it means for folders, and where it comes from."""

import json
from pathlib import Path

import pytest

from layerwatch.config import Settings, load
from layerwatch.errors import Problem, UserError

URL = "postgresql://layerwatch@db.example.org/layerwatch"
FOLDER = '[[folders]]\nname = "drop"\npath = "/srv/drop"\n'
RULE = '[[folders.rules]]\nname = "r"\nmatch = "*"\nmodel_id = "11111111-2222-3333-4444-555555555555"\n'


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAYERWATCH_LEDGER", "LAYERWATCH_LEDGER__URL", "LAYERWATCH_LEDGER__PATH", "LAYERWATCH_LEDGER__PATHS"):
        monkeypatch.delenv(name, raising=False)


def loaded(home: Path, paths: dict[str, str], folder: str = FOLDER, place: str = f'url = "{URL}"') -> Settings:
    config = home / "config.toml"
    lines = "\n".join(f"{json.dumps(here)} = {json.dumps(there)}" for here, there in paths.items())
    config.write_text(f"[ledger]\n{place}\n[ledger.paths]\n{lines}\n{folder}")
    return load(str(config), require_token=False)


def fault(home: Path, paths: dict[str, str], folder: str = FOLDER, place: str = f'url = "{URL}"') -> Problem:
    with pytest.raises(UserError) as caught:
        loaded(home, paths, folder, place)
    (problem,) = caught.value.problems
    assert problem.fix
    return problem


def test_it_says_what_files_are_called(tmp_path: Path) -> None:
    ledger = loaded(tmp_path, {"/Volumes/render": "/mnt/render"}).ledger
    assert ledger.paths == {"/Volumes/render": "/mnt/render"}
    assert ledger.names.outside("/Volumes/render/a.png") == "/mnt/render/a.png"
    assert ledger.names.here("/mnt/render/a.png") == "/Volumes/render/a.png"


def test_without_it_all_is_called_as_it_is(tmp_path: Path) -> None:
    assert loaded(tmp_path, {}).ledger.names.outside("/a") == "/a"
    assert loaded(tmp_path, {}, place='path = "/var/l.db"').ledger.names.outward == ()


def test_of_a_link_the_directory_that_it_leads_to_counts(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    (home / "volumes").mkdir()
    (home / "render").symlink_to("volumes")
    folder = FOLDER.replace("/srv/drop", str(home / "render/drop"))
    settings = loaded(home, {str(home / "render"): "/mnt/render"}, folder)
    assert settings.folders[0].root == str(home / "volumes/drop")
    assert settings.ledger.names.outside(settings.folders[0].root) == "/mnt/render/drop"
    # The others' name may itself be a link here: that says the same.
    settings = loaded(home, {str(home / "render"): str(home / "render")}, folder)
    assert settings.ledger.names.outside(settings.folders[0].root) == str(home / "render/drop")


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("render", "not an absolute path"),
        ("", "not an absolute path"),
        ("~/render", "not an absolute path"),
        ("/a\0b", "not an absolute path"),
        ("/", "the whole machine"),
        ("/a/", "a slash at the end"),
        ("//a", "a slash at the end, or //"),
        ("/a//b", "a slash at the end, or //"),
        ("/a/../b", ".."),
        ("/a/./b", "."),
    ],
)
@pytest.mark.parametrize("is_left", [True, False])
def test_a_side_that_is_no_place(path: str, reason: str, is_left: bool, tmp_path: Path) -> None:
    problem = fault(tmp_path, {path: "/mnt/render"} if is_left else {"/Volumes/render": path})
    assert "ledger.paths" in problem.where
    assert f"the {'left' if is_left else 'right'} side" in problem.reason
    assert reason in problem.reason


def test_not_with_a_ledger_in_a_file(tmp_path: Path) -> None:
    problem = fault(tmp_path, {"/a": "/b"}, place='path = "/var/l.db"')
    assert "ledger.paths" in problem.where
    assert "this host's alone" in problem.reason
    assert "url" in problem.fix


def test_two_with_one_name(tmp_path: Path) -> None:
    problem = fault(tmp_path, {"/a": "/m", "/b": "/m"})
    assert problem.where.startswith(f'{tmp_path}/config.toml: ledger.paths."/b"')
    assert "what it calls /a: /m" in problem.reason


def test_one_written_twice_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").mkdir()
    problem = fault(tmp_path, {f"{tmp_path}/real": "/m", f"{tmp_path}/link": "/n"})
    assert f"the same directory as {tmp_path}/real" in problem.reason


def test_names_inside_each_other_that_cannot_be_undone(tmp_path: Path) -> None:
    problem = fault(tmp_path, {"/a": "/m", "/b": "/m/x"})
    assert 'ledger.paths."/a"' in problem.where
    assert problem.reason == "the ledger would call /a/x what it calls /b: /m/x"


def test_names_inside_each_other_that_can(tmp_path: Path) -> None:
    for paths in ({"/a": "/m", "/b": "/m/x", "/a/x": "/n"}, {"/a": "/m", "/a/x": "/m/x"}, {"/a": "/b", "/b": "/a"}):
        names = loaded(tmp_path, paths).ledger.names
        assert [each for each in ("/a", "/a/x", "/b") if not names.has(each)] == []


def test_what_is_no_text_is_told_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[ledger]\nurl = "{URL}"\n[ledger.paths]\n"/a" = 3\n{FOLDER}')
    with pytest.raises(UserError) as caught:
        load(str(config), require_token=False)
    assert [problem.reason for problem in caught.value.problems] == ["must be text"]


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["/srv/drop", "/srv", "/srv/drop/inside"])
def test_a_folder_that_has_no_name_of_its_own(there: str, tmp_path: Path) -> None:
    problem = fault(tmp_path, {"/a": there})
    assert "folders[0].path" in problem.where
    assert "the ledger would call /srv/drop" in problem.reason
    assert "[ledger.paths]" in problem.fix
    assert loaded(tmp_path, {"/a": there, there: "/elsewhere"}).ledger.names.has("/srv/drop/inside/a.png")


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        (f'{FOLDER}{RULE}outputs = "out"\n', "folders[0].rules[0].outputs"),
        (f'{FOLDER}after_upload = "move"\nmove_to = "out"\n', "folders[0].move_to"),
    ],
)
def test_where_files_are_put_has_to_have_a_name_too(folder: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "drop/out").symlink_to(tmp_path / "other")
    folder = folder.replace("/srv/drop", f"{tmp_path}/drop")
    problem = fault(tmp_path, {"/a": f"{tmp_path}/other"}, folder)
    assert key in problem.where
    assert f"the ledger would call {tmp_path}/other what it calls /a" in problem.reason


# --- the environment --------------------------------------------------------------------------------------------------


def test_the_environments_takes_the_place_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_LEDGER__PATHS", '{"/Volumes/Render": "/mnt/render"}')
    assert loaded(tmp_path, {"/a": "/b"}).ledger.paths == {"/Volumes/Render": "/mnt/render"}
    monkeypatch.setenv("LAYERWATCH_LEDGER__PATHS", "{}")
    assert loaded(tmp_path, {"/a": "/b"}).ledger.paths == {}
    monkeypatch.delenv("LAYERWATCH_LEDGER__PATHS")
    monkeypatch.setenv("LAYERWATCH_LEDGER", '{"paths": {"/x": "/y"}}')
    settings = loaded(tmp_path, {"/a": "/b"})
    assert (settings.ledger.paths, settings.ledger.place) == ({"/x": "/y"}, URL)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"/a"', "is not JSON at character 6"),
        ("[" * 100_000, "is not JSON"),
        ("3", "must be a table"),
        ('{"/a": "b"}', "the right side is not an absolute path"),
        ('{"/a": "/\\udc41\\ud800"}', "the right side is not the path of a file"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(
    value: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERWATCH_LEDGER__PATHS", value)
    problem = fault(tmp_path, {})
    assert problem.where.startswith("LAYERWATCH_LEDGER__PATHS")
    assert reason in problem.reason


def test_hosts_that_are_no_json_are_told_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERWATCH_HTTP__HOSTS", "render-1")
    assert fault(tmp_path, {}).where == "LAYERWATCH_HTTP__HOSTS"
