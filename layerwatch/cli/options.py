"""Options that several commands share."""

import click

from layerwatch.cli import suggestions

config = click.option(
    "-c",
    "--config",
    metavar="PATH",
    shell_complete=suggestions.paths,
    help="The configuration [default: $LAYERWATCH_CONFIG, ./config.toml, the user's, /etc/layerwatch/config.toml].",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
