"""`layerwatch init`: a starter that loads, never over another file, never readable for others."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from layerwatch.cli import cli
from layerwatch.config import load

WORKSPACE = "AAAAAAAA-0000-4000-8000-00000000000A"


def init(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments])


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("LAYER", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")):
            monkeypatch.delenv(name)


def test_it_writes_the_example_for_its_owner_only(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        result = init()
    finally:
        os.umask(previous)
    written = tmp_path / "config.toml"
    assert result.exit_code == 0
    assert written.read_bytes() == (Path(__file__).parent.parent / "config.example.toml").read_bytes()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["config.toml"]


def test_the_next_steps_are_three_lines_for_people() -> None:
    result = init("--output", "my config.toml")
    assert result.stdout == ""
    wrote, token, check = result.stderr.splitlines()
    assert wrote == "wrote my config.toml: put in workspace_id and your folders"
    assert "LAYER_TOKEN" in token
    assert "layerwatch check --config 'my config.toml'" in check


def test_folder_and_workspace_are_filled_in(tmp_path: Path) -> None:
    result = init("--folder", 'my "shots" é/', "--workspace", WORKSPACE)
    assert result.exit_code == 0, result.stderr
    assert "look it over" in result.stderr
    settings = load(str(tmp_path / "config.toml"), require_token=False)
    assert settings.api.workspace_id == WORKSPACE.lower()
    assert [(folder.name, folder.path) for folder in settings.folders] == [("my-shots", str(tmp_path / 'my "shots" é'))]


@pytest.mark.parametrize(("folder", "name"), [("/", "folder"), ("/ü", "folder"), ("/a/..b", "b"), ("~/x y", "x-y")])
def test_every_folder_gets_a_usable_name(folder: str, name: str) -> None:
    assert init("--folder", folder).exit_code == 0
    # "/" holds any ledger: only the name counts here.
    assert f'\nname = "{name}"\n' in Path("config.toml").read_text(encoding="utf-8")


def test_it_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    result = init()
    assert result.exit_code == 2
    assert "config.toml: is there already" in result.stderr
    assert "--force" in result.stderr
    assert (tmp_path / "config.toml").read_text() == "mine"
    assert os.listdir(tmp_path) == ["config.toml"]


def test_it_does_not_overwrite_what_a_dangling_link_names(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to("nowhere")
    assert init().exit_code == 2
    assert not (tmp_path / "nowhere").exists()


def test_force_overwrites_whole_and_private(tmp_path: Path) -> None:
    written = tmp_path / "config.toml"
    written.write_text("mine")
    written.chmod(0o644)
    assert init("--force").exit_code == 0
    assert written.read_text(encoding="utf-8").startswith("# Configuration of layerwatch")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--workspace", "concepts"), ("--workspace: is not a UUID", "copy it from Layer")),
        (("--folder", "a\nb"), ("--folder: has characters", "rename it")),
        (("--output", "missing/config.toml"), ("missing/config.toml: cannot be written", "mkdir -p missing")),
        (("--output", ".", "--force"), ("cannot be written", "--output")),
    ],
)
def test_refusals(arguments: tuple[str, ...], told: tuple[str, str], tmp_path: Path) -> None:
    result = init(*arguments)
    assert result.exit_code == 2
    assert all(words in result.stderr for words in told)
    assert os.listdir(tmp_path) == []
