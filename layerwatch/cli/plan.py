"""`layerwatch plan`: what a run would do now, and what that would cost. Changes nothing, and sends nothing that costs.

Prices are in Creative Units, days are UTC, as the budget's are.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from layerwatch.cli import forecast, options
from layerwatch.cli.paging import paged
from layerwatch.cli.tables import emit, page
from layerwatch.notices import name_text

if TYPE_CHECKING:
    from layerwatch.api import Layer
    from layerwatch.config import Settings

READ_S = 15.0
DRAW_S = 0.1


@click.command("plan")
@options.config
@options.as_json
@click.option("--offline", is_flag=True, help="Ask Layer nothing: prices stay unknown.")
@click.option("--all", "everything", is_flag=True, help=f"List all of each, not only the first {forecast.MOST}.")
def command(config: str | None, as_json: bool, offline: bool, everything: bool) -> None:
    """What a run would do now: uploads, re-used file_ids, generations with their price, what would be held back.

    The files are read, as a run would, and Layer is asked for prices; nothing else is sent, and nothing is changed.
    What other rules would make of the results is not foreseen. Exit code 2 where a run would not begin.
    """
    from layerwatch.config import load
    from layerwatch.ledger import holder
    from layerwatch.preview import preview

    settings = load(config, require_token=False)
    pid = holder(settings.ledger.place)
    layer, trouble = _layer(settings, offline=offline)
    try:
        with _signals(), _progress() as progress:
            found = preview(settings, layer, runs=pid is not None, wall=time.time, trouble=trouble, progress=progress)
    finally:
        if layer:
            layer.close()
    for line in "\n".join(f"note: {text}" for text in found.warnings).splitlines():
        page(err=True).say(name_text(line))
    if as_json:
        emit(forecast.document(found) | {"ledger": settings.ledger.shown, "daemon": pid})
        return
    with paged() as out:
        for line in forecast.lines(out, found, None if everything else forecast.MOST):
            out.say(line)


def _layer(settings: "Settings", *, offline: bool) -> tuple["Layer | None", str]:
    """Whom to ask for prices, or why nobody can be asked."""
    from layerwatch.errors import UserError

    if offline:
        return None, "Layer is not asked (--offline)"
    try:
        token, workspace_id = settings.token().get_secret_value(), settings.workspace()
    except UserError as error:
        return None, "; ".join(problem.reason for problem in error.problems)
    from layerwatch import redact
    from layerwatch.api import Layer, tls_context

    redact.register(token)
    return Layer(settings.api.base_url, token, workspace_id, tls_context(), read_s=READ_S), ""


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: the copy of the ledger must not stay. SIGIO, by which the kernel tells the holder
    of a lease, must not end it: see source.being_written."""
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)),
        signal.SIGIO: signal.signal(signal.SIGIO, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what takes so long; nothing where that is no terminal."""
    out = page(err=True)
    if out.width is None:
        yield lambda _: None
        return
    drawn_at = 0.0

    def draw(text: str) -> None:
        nonlocal drawn_at
        if time.monotonic() - drawn_at >= DRAW_S:
            drawn_at = time.monotonic()
            sys.stderr.write(f"\r{out.fit(name_text(text), 1)}\x1b[J")
            sys.stderr.flush()

    try:
        yield draw
    finally:
        sys.stderr.write("\r\x1b[J")
        sys.stderr.flush()
