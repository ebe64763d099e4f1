"""What TAB suggests: folders, ids and paths. Nothing, and no message, where that cannot be found out.

A shell waits for it: neither the settings models nor anything of HTTP is imported.
"""

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from layerwatch.ledger import FileRow, GenerationRow, Ledger

T = TypeVar("T")
MOST = 200  # of the latest
Suggested = list[CompletionItem[str]]


def paths(_ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """The shell knows them best."""
    return _paths(incomplete)


def folders(ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """Those that are configured, or that the daemon knows."""
    known = _asked(ctx, lambda ledger: [folder.name for folder in ledger.facts.folders()])
    names = dict.fromkeys([*_configured(ctx), *known])
    return _beginning([CompletionItem(name) for name in names], incomplete)


def items(ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """Of all files and generations: what a number, or g and a number, begins; else paths."""
    found: Suggested = []
    if re.fullmatch(r"g[0-9]*", incomplete):
        found = _generations(ctx, None)
    elif incomplete.isdecimal():
        found = _files(ctx, None)
    return _beginning(found, incomplete) or _paths(incomplete)


def failed(ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """Files and generations that can be tried again; else paths."""
    found = [] if ctx.params.get("again") else [*_files(ctx, "failed"), *_generations(ctx, "failed")]
    return _beginning(found, incomplete) or _paths(incomplete)


def blocked(ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """Generations that the budget holds back."""
    return _beginning(_generations(ctx, "blocked"), incomplete)


def unknown(ctx: click.Context, _: click.Parameter, incomplete: str) -> Suggested:
    """Generations that a person has to settle."""
    return _beginning(_generations(ctx, "unknown"), incomplete)


def _paths(incomplete: str) -> Suggested:
    return [CompletionItem(incomplete, type="file")]


def _beginning(found: Suggested, incomplete: str) -> Suggested:
    return [item for item in found if item.value.startswith(incomplete)]


# --- where it is found out --------------------------------------------------------------------------------------------


def _files(ctx: click.Context, status: str | None) -> Suggested:
    rows = _asked(ctx, lambda ledger: ledger.reports.files(status=status, limit=MOST))
    return [CompletionItem(str(row.id), help=_about(row)) for row in rows]


def _generations(ctx: click.Context, status: str | None) -> Suggested:
    rows = _asked(ctx, lambda ledger: ledger.stories.some(status=status, limit=MOST))
    return [CompletionItem(f"g{row.id}", help=f"{row.rule} of {_about(row)}") for row in rows]


def _about(row: "FileRow | GenerationRow") -> str:
    from layerwatch.notices import name_text

    return name_text(f"{os.path.basename(row.path)} in {row.folder}: {row.status}")


def _asked(ctx: click.Context, question: Callable[["Ledger"], list[T]]) -> list[T]:
    from layerwatch import locate
    from layerwatch.ledger import Ledger

    try:
        path, table = _configuration(ctx)
        with Ledger(locate.ledger_url(table) or locate.ledger_path(table, path), create=False) as ledger:
            return question(ledger)
    except _unanswered():
        return []


def _configured(ctx: click.Context) -> list[str]:
    try:
        said = _configuration(ctx)[1].get("folders")
    except _unanswered():
        return []
    names = [each.get("name") for each in said if isinstance(each, dict)] if isinstance(said, list) else []
    return [name for name in names if isinstance(name, str)]


def _configuration(ctx: click.Context) -> tuple[str, dict[str, Any]]:
    """Its path, and what is written in it."""
    import tomllib

    from layerwatch import locate

    path = locate.find_config(ctx.params.get("config"))
    with open(path, "rb") as stream:
        return path, tomllib.load(stream)


def _unanswered() -> tuple[type[Exception], ...]:
    from layerwatch.errors import LedgerTrouble, UserError

    return UserError, LedgerTrouble, OSError, ValueError, RecursionError
