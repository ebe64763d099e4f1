"""The status page: what there is to say, put into its template."""

import re
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from layerwatch.ledger import Ledger
from layerwatch.notices import name_text
from layerwatch.redact import redact
from layerwatch.states import File, Generation
from layerwatch.web import activity, cards, decisions, listing, spending
from layerwatch.web import state as states
from layerwatch.web.answer import HTML, Answer
from layerwatch.web.listing import Asked
from layerwatch.web.sight import Sight

_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_CODE = re.compile(r"`([^`]+)`")


class BadQuestion(Exception):
    """The query asks for what there is not; the text says what, and what there is."""


def answer(sight: Sight, ledger: Ledger | None, query: str, trouble: str = "") -> Answer:
    """The page. Without a ledger, `trouble` says why; then it tells what the daemon knows by itself. Raises
    `BadQuestion`, and `LedgerTrouble`."""
    asked = _asked(sight, query)
    files, made = _counts(ledger)
    needs = tuple(states.needs(sight, ledger, files, made))
    text = _template().render(
        state=states.state(sight, files, made, needs, trouble),
        going=activity.going(sight),
        folders=activity.folders(sight, ledger),
        known=None if ledger is None else _known(sight, ledger, files, made, asked),
    )
    # A name may hold bytes that are not UTF-8: all were escaped, and nothing else may end the answer.
    return Answer(200 if ledger else 503, HTML, redact(text).encode("utf-8", "backslashreplace"))


def _counts(ledger: Ledger | None) -> tuple[dict[str, int], dict[str, int]]:
    if ledger is None:
        return dict.fromkeys(map(str, File), 0), dict.fromkeys(map(str, Generation), 0)
    return ledger.reports.counts(), ledger.stories.counts()


def _known(
    sight: Sight, ledger: Ledger, files: dict[str, int], made: dict[str, int], asked: Asked
) -> dict[str, object]:
    """What only the ledger knows."""
    return {
        "files": files,
        "generations": {status: count for status, count in made.items() if count},
        "oldest": activity.oldest(sight, ledger),
        "troubles": listing.troubles(sight, ledger, files),
        "listing": listing.listing(sight, ledger, files, asked),
        "decisions": decisions.decisions(sight, ledger, made),
        "cards": cards.cards(sight, ledger),
        "budget": spending.spending(sight, ledger),
    }


# --- what is asked ----------------------------------------------------------------------------------------------------


def _asked(sight: Sight, query: str) -> Asked:
    try:
        given = parse_qsl(query, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise BadQuestion("too many parameters: there are `status`, `folder` and `before`") from None
    asked = dict(given)
    if len(asked) < len(given) or not asked.keys() <= {"status", "folder", "before"}:
        raise BadQuestion("each of `status`, `folder` and `before` may be given once, and nothing else")
    before = asked.get("before")
    return Asked(
        status=_one_of("status", asked.get("status"), list(map(str, File))),
        folder=_one_of("folder", asked.get("folder"), activity.names(sight)),
        before=None if before is None else _row(before),
    )


def _one_of(what: str, value: str | None, known: list[str]) -> str | None:
    if value is None or value in known:
        return value
    raise BadQuestion(f"there is no {what} {name_text(value[:100])}: there are {', '.join(known)}")


def _row(value: str) -> int:
    if _NUMBER.fullmatch(value):
        return int(value)
    raise BadQuestion(f"`before` is the number of a file, and {name_text(value[:100])} is none")


# --- the template -----------------------------------------------------------------------------------------------------


@cache
def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("layerwatch.web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["commands"] = _with_commands
    return environment.get_template("page.html")


def _with_commands(text: str) -> Markup:
    """What stands between backticks is for the command line."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped just before
