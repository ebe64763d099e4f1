"""What the command line says of itself, and what that costs."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from layerwatch.cli import COMMANDS, cli

HEAVY = ("httpx", "pydantic", "rich", "sqlite_utils", "watchdog")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_under_its_name_with_its_options_explained(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0


def test_the_list_names_all_of_them_with_what_they_do() -> None:
    said = " ".join(CliRunner().invoke(cli, ["--help"]).stdout.split())
    assert all(f"{name} {what}" in said for name, what in COMMANDS.items())


def loaded(*arguments: str) -> set[str]:
    """The heavy libraries that a command has imported by its end."""
    script = (
        "import sys\nfrom layerwatch.cli import cli\n"
        f"try:\n cli.main({list(arguments)!r})\nexcept SystemExit as end:\n assert not end.code\n"
        f"print('|', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("|")[2].split())


def test_help_imports_none_of_the_heavy_libraries() -> None:
    assert loaded("--help") == set()


@pytest.mark.parametrize("name", ["status", "ls", "show", "retry", "approve", "resolve", "spend"])
def test_nor_does_the_help_of_a_command_that_only_reads(name: str) -> None:
    assert loaded(name, "--help") == set()
