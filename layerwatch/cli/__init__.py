"""The command line. Each command is a module of its own, imported only when it is called: start-up time counts."""

from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from layerwatch import __version__
from layerwatch.errors import EnvironmentProblem, LedgerTrouble, UserError
from layerwatch.redact import redact

COMMANDS = {
    "run": "Watch, upload, fire rules, until told to stop.",
    "push": "Name files to upload, from a hook or by hand.",
    "status": "What is going on: counts, what is in flight, what waits and why.",
    "ls": "List the ledger.",
    "show": "The whole story of a file or a generation: why is it (not) there?",
    "retry": "Put failed files and generations back in the queue.",
    "plan": "What a run would do now: uploads, generations and their price.",
    "approve": "Let generations that the budget holds back go ahead.",
    "resolve": "Settle a generation that may have been started: a person decides.",
    "spend": "Creative Units by day, folder and rule.",
    "audit": "The ledger against the disk: what is missing, changed, stuck?",
    "check": "Could layerwatch work here? Every problem with what to do about it.",
    "ledger": "Move the ledger from a file to a server, or back.",
    "init": "Write a commented starter config.toml.",
    "completion": "Make a shell complete commands, options, folders and ids.",
    "sandbox": "A stand-in for Layer's API on this machine, to try things for free.",
    "demo": "See the whole job done, against the sandbox.",
}


class _Commands(click.Group):
    """Knows the names and what they do by heart; imports only the one that is called."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            for problem in error.problems:
                click.echo(f"{click.style('error:', fg='red', bold=True)} {redact(str(problem))}", err=True)
            ctx.exit(error.exit_code)
        except LedgerTrouble as error:
            click.echo(f"{click.style('error:', fg='red', bold=True)} {redact(str(error))}", err=True)
            ctx.exit(EnvironmentProblem.exit_code)

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"layerwatch.cli.{name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        named = [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="layerwatch")
def cli() -> None:
    """Every file dropped into a folder, uploaded to Layer once, its generations fired once, and all accounted for.

    \b
    Exit codes: 0 done - 1 something failed - 2 usage or configuration error -
    3 another instance holds the ledger - 4 the API refused the credentials.
    """


def main() -> None:
    """The console script."""
    cli.main(prog_name="layerwatch")
