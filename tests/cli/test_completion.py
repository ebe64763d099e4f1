"""Shell completion: what TAB suggests, in the shells that are here, and what that costs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from layerwatch.cli import COMMANDS, cli
from layerwatch.ledger import Ledger

from .conftest import HOSTILE, Place
from .terminal import Terminal

HEAVY = ("httpx", "pydantic", "rich", "sqlite_utils", "watchdog")
BIN = os.path.dirname(sys.executable)


def environment(**more: str) -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "LANG": "C.UTF-8", **more}


def asked(*words: str, **more: str) -> list[tuple[str, str, str]]:
    """Kind, value and help of each suggestion for the last of these words, as the script for zsh asks for it."""
    about = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1), "_LAYERWATCH_COMPLETE": "zsh_complete"}
    command = [sys.executable, "-m", "layerwatch"]
    done = subprocess.run(command, env=environment(**about, **more), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    lines = done.stdout.rstrip("\n").splitlines()
    return list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))


def values(place: Place, *words: str) -> list[str]:
    return [value for _, value, _ in asked("layerwatch", words[0], "-c", str(place.config), *words[1:])]


def kinds(place: Place, *words: str) -> set[str]:
    return {kind for kind, _, _ in asked("layerwatch", words[0], "-c", str(place.config), *words[1:])}


# --- what is suggested ------------------------------------------------------------------------------------------------


def test_commands_come_with_what_they_do() -> None:
    assert asked("layerwatch", "") == [("plain", name, what) for name, what in COMMANDS.items()]
    assert [value for _, value, _ in asked("layerwatch", "re")] == ["retry", "resolve"]


def test_options_and_their_values(place: Place, ledger: Ledger) -> None:
    assert {"--status", "--folder", "--csv"} <= set(values(place, "ls", "--"))
    assert values(place, "ls", "--status", "up") == ["uploading", "uploaded"]
    for command in ("ls", "push", "audit", "approve", "retry"):
        assert values(place, command, "--folder", "") == ["concepts", "textures"]
    assert values(place, "ls", "--folder", "c") == ["concepts"]


def test_folders_are_known_before_there_is_a_ledger(place: Place) -> None:
    assert values(place, "push", "--folder", "") == ["concepts", "textures"]
    assert not os.path.exists(place.path)


def test_a_folder_that_is_no_longer_configured_is_still_suggested(place: Place, ledger: Ledger) -> None:
    place.config.write_text(place.config.read_text().replace('"textures"', '"renamed"'))
    assert values(place, "ls", "--folder", "") == ["concepts", "renamed", "textures"]


def test_ids_come_with_what_they_are(place: Place, ledger: Ledger) -> None:
    id_ = place.unknown(ledger, "a.png")
    place.record(ledger, HOSTILE, b"b")
    place.failure(ledger)
    shown = asked("layerwatch", "show", "-c", str(place.config), "g")
    assert shown == [("plain", f"g{id_}", "restyle of a.png in concepts: unknown")]
    ((kind, value, help_),) = asked("layerwatch", "retry", "-c", str(place.config), "")
    assert (kind, value) == ("plain", "2")
    assert help_.startswith("\\x1b[31m[red]b[|]\\x07\\n")
    assert values(place, "show", "1") == ["1"]
    assert values(place, "resolve", "") == [f"g{id_}"]
    assert values(place, "approve", "") == []
    blocked = place.blocked(ledger, "c.png")
    assert values(place, "approve", "g") == [f"g{blocked}"]


def test_paths_are_left_to_the_shell(place: Place, ledger: Ledger) -> None:
    place.queued(ledger)
    for words in (
        ("push", ""),
        ("show", "con"),
        ("show", ""),
        ("retry", ""),
        ("retry", "--again", ""),
        ("ls", "-c", ""),
    ):
        assert kinds(place, *words) == {"file"}


@pytest.mark.parametrize("said", [None, "[[folders", 'folders = "x"', "[[folders]]\nname = 7\n", "\x00"])
def test_without_a_usable_configuration_there_is_nothing_and_no_message(place: Place, said: str | None) -> None:
    if said is None:
        place.config.unlink()
    else:
        place.config.write_text(said)
    assert values(place, "ls", "--folder", "") == []
    assert values(place, "resolve", "") == []


# --- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "p", "status --", "push ", "ls --folder ", "show g"])
def test_nothing_heavy_is_imported(place: Place, ledger: Ledger, words: str) -> None:
    place.unknown(ledger)
    script = (
        "import sys\nfrom layerwatch.__main__ import main\n"
        "try:\n main()\nexcept SystemExit as end:\n assert not end.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\nassert not found, found"
    )
    at = str(len(words.split(" ")))
    about = {"COMP_WORDS": f"layerwatch {words}", "COMP_CWORD": at, "_LAYERWATCH_COMPLETE": "bash_complete"}
    about["LAYERWATCH_CONFIG"] = str(place.config)
    done = subprocess.run([sys.executable, "-c", script], env=environment(**about), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_whoever_asks_for_completion_pushes_nothing(place: Place, ledger: Ledger) -> None:
    path = place.write("a.png")
    about = environment(COMP_WORDS="layerwatch pu", COMP_CWORD="1", _LAYERWATCH_COMPLETE="bash_complete")
    command = [sys.executable, "-m", "layerwatch", "push", "-c", str(place.config), path]
    done = subprocess.run(command, env=about, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,push\n"
    assert ledger.pushes.untaken(0, 9) == []


# --- the shells -------------------------------------------------------------------------------------------------------


def test_bash(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    id_ = place.unknown(ledger)
    (tmp_path / "a file.png").touch()
    script = tmp_path / "try.bash"
    script.write_text(
        'eval "$(layerwatch completion)" || exit 1\n'
        'tab() { COMP_WORDS=(layerwatch "$@"); COMP_CWORD=$#; COMPREPLY=(); _layerwatch_completion layerwatch\n'
        '  echo "${COMPREPLY[*]}"; }\n'
        "tab st; tab ls --status fa; tab push --folder con; tab show g; complete -p layerwatch\n"
    )
    about = environment(LAYERWATCH_CONFIG=str(place.config), SHELL="/bin/bash")
    done = subprocess.run(["bash", "--norc", script], env=about, capture_output=True, text=True, check=True)
    *found, set_up = done.stdout.splitlines()
    assert found == ["status", "failed", "concepts", f"g{id_}"]
    assert set_up == "complete -o nosort -F _layerwatch_completion layerwatch"
    assert done.stderr == ""


def test_bash_as_somebody_types(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "render.png").write_bytes(b"r")
    startup = tmp_path / "rc"
    startup.write_text('PS1="ready> "\neval "$(layerwatch completion bash)"\n')
    about = environment(LAYERWATCH_CONFIG=str(place.config), HOME=str(tmp_path), INPUTRC="/dev/null")
    with Terminal(["--rcfile", str(startup), "-i"], about, program="bash") as terminal:
        terminal.wait_for("ready> ")
        terminal.enter("layerwatch pus\t--fol\tcon\tren\t\n")
        terminal.wait_for("1 file recorded")
        assert "layerwatch push --folder concepts render.png" in terminal.text
        terminal.enter("exit\n")
        terminal.end()
    assert [push.folder for push in ledger.pushes.untaken(0, 9)] == ["concepts"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    id_ = place.unknown(ledger)
    lines = "layerwatch completion fish | source\n" + "".join(
        f'complete -C "layerwatch {words}"\n' for words in ("stat", "ls --folder con", "show g")
    )
    about = environment(LAYERWATCH_CONFIG=str(place.config), HOME=str(tmp_path))
    done = subprocess.run(["fish", "--no-config", "-c", lines], env=about, capture_output=True, text=True, check=True)
    what = f"g{id_}\trestyle of a.png in concepts: unknown"
    assert done.stdout.splitlines() == [f"status\t{COMMANDS['status']}", "concepts", what]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_as_somebody_types(place: Place, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / ".zshrc").write_text(
        'PS1="ready> "\nautoload -Uz compinit; compinit -D -u\neval "$(layerwatch completion zsh)"\n'
    )
    about = environment(LAYERWATCH_CONFIG=str(place.config), HOME=str(tmp_path), ZDOTDIR=str(tmp_path))
    with Terminal(["-d", "-i"], about, program="zsh") as terminal:
        terminal.wait_for("ready> ")
        terminal.enter("layerwatch ls --fol\tcon\t--stat\tfail\t\n")
        terminal.wait_for("no files")
        terminal.enter("exit\n")
        terminal.end()


def test_the_shell_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell, mark in (("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --no-files")):
        monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
        by_variable = CliRunner().invoke(cli, ["completion"]).stdout
        assert by_variable == CliRunner().invoke(cli, ["completion", shell]).stdout
        assert mark in by_variable


@pytest.mark.parametrize("said", ["/bin/dash\x1b[2J", ""])
def test_another_shell_is_told_which_there_are(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", said)
    result = CliRunner().invoke(cli, ["completion"])
    assert result.exit_code == 2
    assert "bash, zsh, fish" in result.stderr
    assert "\x1b" not in result.stderr
