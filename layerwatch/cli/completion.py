"""`layerwatch completion`: the script that makes a shell complete what is typed, by what `suggestions` has."""

import os

import click
from click.shell_completion import get_completion_class

from layerwatch.notices import name_text

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LAYERWATCH_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def command(shell: str | None) -> None:
    """Print the script that makes a shell complete commands, options, folders and ids [default: for $SHELL].

    \b
    bash: eval "$(layerwatch completion bash)"      in ~/.bashrc
    zsh:  eval "$(layerwatch completion zsh)"       in ~/.zshrc, after compinit
    fish: layerwatch completion fish > ~/.config/fish/completions/layerwatch.fish
    """
    click.echo(_script(shell or _own_shell()), nl=False)


def _own_shell() -> str:
    said = os.environ.get("SHELL", "")
    name = os.path.basename(said)
    if name not in SHELLS:
        why = f"$SHELL is {name_text(said)}" if said else "$SHELL is not set"
        raise click.UsageError(f"For which shell? {why}: write one of {', '.join(SHELLS)}.")
    return name


def _script(shell: str) -> str:
    from layerwatch.cli import cli

    of = get_completion_class(shell)
    assert of is not None, "click knows all of SHELLS"
    script = of(cli, {}, "layerwatch", VARIABLE).source()
    # click's own for fish cuts what it says of a name at the first comma.
    return script.replace('string split ","', 'string split -m 1 ","')
