"""Comma-separated values for spreadsheets and scripts (RFC 4180, UTF-8, the names in the first line)."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from layerwatch.notices import name_text
from layerwatch.redact import redact

FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # what a spreadsheet takes for the beginning of one
SOME_BYTES = 64 * 1024


def sheet(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print the rows, values as JSON has them: no value is an empty cell, a list is JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow(map(_cell, row))
        if text.tell() > SOME_BYTES:
            _print(text)
    _print(text)


def _print(text: io.StringIO) -> None:
    """Bytes that are not UTF-8 are written as in JSON: `\\udcff`."""
    click.echo(text.getvalue().encode("utf-8", "backslashreplace"), nl=False)
    text.seek(0)
    text.truncate()


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value)
    return harmless(redact(value)) if isinstance(value, str) else value


def harmless(cell: str) -> str:
    """A text that a spreadsheet would take for a formula is told to be text; on a terminal nothing steers it."""
    if sys.stdout.isatty():
        cell = name_text(cell)
    return f"'{cell}" if cell.startswith(FORMULA) else cell
