"""`layerwatch sandbox`: run the stand-in for Layer and its storage on loopback until it is told to stop.

Never listens beyond this machine: whoever reaches it can read every object and change its faults without a token.
"""

import contextlib
import ipaddress
import json
import shlex
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from layerwatch.sandbox import Faults, Sandbox

DEFAULT_PORT = 9754


class _Refused(click.ClickException):
    exit_code = 2


class _Command(click.Command):
    """Lists the faults below the options, from the one place that knows them; only `--help` needs to import it."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from layerwatch.sandbox.faults import KEYS

        super().format_epilog(ctx, formatter)
        with formatter.section("Faults (rates are 0..1; all off by default)"):
            formatter.write_dl([(key, what) for key, (_, what) in KEYS.items()])


def _loopback(_ctx: click.Context, _parameter: click.Parameter, host: str) -> str:
    try:
        fits = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        fits = False
    if not fits:
        raise click.UsageError(
            f"--host {host}: only loopback addresses (127.0.0.1, ::1, localhost): the sandbox shows what it holds to "
            "anyone who reaches it."
        )
    return host


def _faults(text: str, seed: int | None) -> "Faults":
    from layerwatch.sandbox.faults import change, parse

    try:
        faults = parse(text)
    except ValueError as refusal:
        raise click.UsageError(f"--faults: {refusal}") from None
    return faults if seed is None else change(faults, {"seed": seed})


@click.command("sandbox", cls=_Command)
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, callback=_loopback, help="A loopback address.")
@click.option("--token", default="sandbox-token", show_default=True, help="The token that clients must send.")
@click.option("--store", metavar="DIR", help="Keep uploaded objects here. Default: a temporary directory.")
@click.option("--balance", default=1000.0, show_default=True, help="Creative Units to begin with.")
@click.option(
    "--faults", "faults_text", default="", metavar="KEY=VALUE,...", help='Faults, as in "errors=0.1,drop=0.2".'
)
@click.option("--seed", type=int, help="Of the random numbers that deal the faults.")
@click.option("--json", "as_json", is_flag=True, help="Print base URL, token and workspace as JSON once it listens.")
@click.option("--verbose", is_flag=True, help="One line per request.")
@click.pass_context
def command(
    ctx: click.Context,
    port: int,
    host: str,
    token: str,
    store: str | None,
    balance: float,
    faults_text: str,
    seed: int | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """A stand-in for the Layer API and its storage, to try folders and rules without an account or spending.

    Runs until SIGINT or SIGTERM, then says what it got; exit code 1 if a client broke the upload protocol.
    """
    faults = _faults(faults_text, seed)
    from layerwatch.sandbox import Sandbox

    log = (lambda line: click.echo(line, err=True)) if verbose else None
    try:
        sandbox = Sandbox(port=port, host=host, token=token, store=store, balance=balance, faults=faults, log=log)
    except OSError as error:
        raise _Refused(f"--store {store}: {error.strerror}") from None
    with _stop_signal() as stop:
        try:
            sandbox.start()
        except OSError as error:
            raise _Refused(f"cannot listen on {host} port {port}: {error.strerror}; try another --port") from None
        with sandbox:
            _introduce(sandbox, as_json)
            stop.wait()
    _summarise(sandbox)
    ctx.exit(1 if sandbox.violations else 0)


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _introduce(sandbox: "Sandbox", as_json: bool) -> None:
    if as_json:
        about = {"base_url": sandbox.base_url, "token": sandbox.token, "workspace_id": sandbox.workspace_id}
        click.echo(json.dumps(about))
        return
    click.echo(f"The sandbox listens on {sandbox.base_url}. To use it:\n", err=True)
    click.echo(f"  export LAYERWATCH_API__BASE_URL={sandbox.base_url}", err=True)
    click.echo(f"  export LAYER_TOKEN={shlex.quote(sandbox.token)}", err=True)
    click.echo(f"  export LAYER_WORKSPACE_ID={sandbox.workspace_id}", err=True)
    click.echo(f"\nWhat it holds: {sandbox.base_url.removesuffix('/api')}/sandbox. Ctrl-C stops it.", err=True)


def _summarise(sandbox: "Sandbox") -> None:
    stored_bytes = sum(stored.size for stored in sandbox.objects)
    broken = sandbox.violations
    click.echo(
        f"{len(sandbox.objects)} objects, {stored_bytes} bytes, {len(sandbox.generations)} generations, "
        f"{len(broken)} violations of the upload protocol",
        err=True,
    )
    for violation in broken:
        click.echo(f"  {violation.rule}: {violation.detail}", err=True)
