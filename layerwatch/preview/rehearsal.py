"""A run, rehearsed on a copy of the ledger: in no time, and without anything being sent but questions about prices.

What decides is what decides in a run: drop folders, the planner, the requests that rules make, and the budget in the
ledger. Never writes into a folder, nor into the ledger itself.
"""

import os
import tempfile
from collections.abc import Callable

from layerwatch.api import Layer
from layerwatch.config import Settings
from layerwatch.errors import JobError, Problem, UserError
from layerwatch.ledger import Ledger
from layerwatch.ledger.store import is_url
from layerwatch.precheck import check_rules
from layerwatch.preview.arrivals import Arrivals
from layerwatch.preview.firings import Firings
from layerwatch.preview.outlook import Outlook
from layerwatch.preview.pricing import Prices
from layerwatch.preview.stage import Progress, Stage
from layerwatch.states import File

STAND_INS = 1000  # the latest uploads; one of each type among them is asked with


def preview(
    settings: Settings,
    layer: Layer | None,
    *,
    runs: bool,
    wall: Callable[[], float],
    trouble: str = "",
    progress: Progress = lambda _: None,
) -> Outlook:
    """What a run on these settings would do now. `layer`: whom to ask for prices; None where nobody is to be asked,
    because of `trouble`. `runs`: a daemon works on the ledger now.

    Raises `UserError` where a run would not even begin.
    """
    prices = Prices(layer, trouble)
    _check_rules(settings, prices)
    with tempfile.TemporaryDirectory(prefix="layerwatch-plan-") as home:
        path = os.path.join(home, "ledger.db")
        if _is_there(settings.ledger.place):
            with Ledger(settings.ledger.place, create=False) as ledger:
                ledger.copy_to(path)
        # The copy calls files what the ledger calls them.
        with Ledger(path, durable=False, names=settings.ledger.names) as copy:
            return _rehearse(Stage(settings, copy, prices, wall, progress), runs=runs)


def _check_rules(settings: Settings, prices: Prices) -> None:
    """As a run does before it begins."""
    if prices.layer is None:
        return
    try:
        found = list(check_rules(prices.layer, settings.folders, settings.path))
    except JobError as error:
        prices.layer, prices.trouble = None, error.message
        return
    for each in found:
        if each.is_warning:
            prices.warn(str(each.problem))
    if errors := [each.problem for each in found if not each.is_warning]:
        raise UserError(*errors)


def _is_there(place: str) -> bool:
    """Whether there is a ledger. One that cannot be looked at must not be taken for an empty one."""
    if is_url(place):
        from layerwatch.ledger.postgres.health import examine

        return examine(place).version > 0
    try:
        os.stat(place)
    except FileNotFoundError:
        return False
    except OSError as error:
        reason = f"the ledger cannot be looked at: {(error.strerror or str(error)).lower()} (uid {os.geteuid()})"
        raise UserError(Problem(place, reason, "run it as the user that layerwatch runs as")) from None
    return True


def _rehearse(stage: Stage, *, runs: bool) -> Outlook:
    submitted = _begin(stage)
    arrivals, firings = Arrivals(stage), Firings(stage)
    for folder in stage.settings.folders:
        arrivals.look_through(folder)
    arrivals.upload()
    firings.plan()
    firings.fire()
    # Beside a daemon, what was on its way is simply on its way.
    on_its_way = set(submitted if runs else ())
    return Outlook(
        folders=tuple(map(arrivals.outlook, stage.settings.folders)),
        fire=tuple(firings.fired()),
        held=tuple(firings.held()),
        waiting=tuple(firings.waiting()),
        failing=tuple(firings.failing()),
        unknown=tuple(each for each in firings.unknown() if each.generation not in on_its_way),
        running=firings.running() + len(on_its_way),
        money=firings.money(),
        warnings=tuple(stage.prices.warnings),
    )


def _begin(stage: Stage) -> list[int]:
    """What a start does first, for whoever worked on it is not here. Returns the generations whose request was on its
    way."""
    copy, now = stage.copy, stage.wall()
    copy.facts.forget_folders_but(list(stage.folders))
    copy.facts.nothing_seen_yet(now)
    submitted = copy.firing.recover(now)
    copy.files.recover(now)
    copy.files.hurry(now)
    for row in copy.reports.files(status=File.UPLOADED, limit=STAND_INS):
        if row.content_type and row.file_id:
            stage.prices.stands_in(row.file_id, row.content_type)
    return submitted
