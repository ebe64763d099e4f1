"""`layerwatch init`: write a commented starter configuration. Asks nothing, and never overwrites unasked."""

import click


@click.command("init")
@click.option("--output", default="config.toml", show_default=True, metavar="PATH", help="Where to write it.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@click.option("--folder", metavar="PATH", help="The first folder to watch.")
@click.option("--workspace", metavar="UUID", help="The workspace to upload to.")
def command(output: str, force: bool, folder: str | None, workspace: str | None) -> None:
    """Write a commented starter config.toml."""
    from layerwatch import starter

    starter.write(output, starter.text(folder, workspace), force=force)
    for line in starter.next_steps(output, folder, workspace):
        click.echo(line, err=True)
