"""The generations of a rehearsal: planned, priced and booked as in a run, and counted as started. Pays for nothing."""

import uuid
from dataclasses import replace

from layerwatch.errors import Final
from layerwatch.fire import limits, request
from layerwatch.ledger import INSUFFICIENT, Firing, GenerationRow, Held, Limits, day_after, iso
from layerwatch.notices import Notice
from layerwatch.paying import INSUFFICIENT_S
from layerwatch.planner import Planner
from layerwatch.preview.outlook import Foreseen, Money
from layerwatch.preview.pricing import Price
from layerwatch.preview.stage import DAY_S, LONG_S, Stage
from layerwatch.site import relative
from layerwatch.states import Generation


class Firings:
    """Every generation that a run could fire now, once. `began`: what the copy has from before that, it had before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = iso(stage.wall())
        self._blocked = {row.id for row in self._some(Generation.BLOCKED)}
        self._spent = 0.0
        self._booked = 0.0
        self._available: float | None = None
        self._is_short = stage.copy.firing.blocked_for(INSUFFICIENT, stage.wall() - INSUFFICIENT_S)
        self._prices: dict[int, Price] = {}
        self._fired: list[int] = []
        self._failing: list[int] = []

    # --- as a run does ------------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """The rules see what is uploaded, and what has waited for too long ends."""
        stage = self._stage
        planner = Planner(stage.copy, stage.folders, stage.root, stage.wall, self._told)
        while planner.step():
            stage.went_on("asking the rules")

    def _told(self, notice: Notice) -> None:
        if notice.event == "generation_failed":
            self._failing.append(notice.facts["generation"])

    def fire(self) -> None:
        """All that is queued is priced and booked, and counts as started, in the order in which a run takes it."""
        stage, firing = self._stage, self._stage.copy.firing
        today = iso(day_after(stage.wall()) - DAY_S)
        self._spent = sum(row.booked for row in stage.copy.stories.spend(today))
        while job := firing.claim(uuid.uuid4().hex, stage.wall() + LONG_S):
            try:
                self._fire(job)
            except Final as error:
                firing.refused(job, Generation.QUEUED, stage.wall(), code=error.code, message=error.message)
                self._failing.append(job.id)
            stage.went_on(f"{len(self._fired)} generations")

    def _fire(self, job: Firing) -> None:
        """Price it, book it, and start nothing. Raises `Final` where it could not be fired."""
        stage, firing = self._stage, self._stage.copy.firing
        rule = stage.rule(job.folder, job.rule)
        body = request(job, rule, relative(stage.folders, stage.root, job))
        assert rule
        price = self._prices[job.id] = stage.prices.of(job, body)
        allowed, now = limits(rule, stage.settings.budget), stage.wall()
        if held := self._short_of(job, price, allowed):
            firing.hold(job, Generation.QUEUED, held, price.units, now)
            return
        if not price.asked:  # a run would know: what depends on it is not for us to say
            allowed = tuple(replace(each, per_generation=None, daily=None) for each in allowed)
        if firing.book(job, body, price.units, allowed, now):
            return
        late = now + LONG_S
        firing.accepted(job, f"plan-{job.id}", now, price=None, poll_at=late, deadline=late)
        self._fired.append(job.id)
        self._booked += price.units or 0.0

    def _short_of(self, job: Firing, price: Price, allowed: tuple[Limits, ...]) -> Held | None:
        """Whether the workspace has not so much, with all that would have been started before it."""
        if self._available is None:
            self._available = price.available
        looks_back = any(each.needs_price for each in allowed) and not job.approved
        if looks_back and self._is_short:
            message = "the workspace had not enough Creative Units when it was asked last"
        elif price.sufficient is False or self._exceeds(price):
            costs = "" if price.units is None else f" for the {price.units:g} that it would cost"
            left = "" if price.available is None else f": {price.available - self._booked:g} would be left by then"
            message = f"the workspace has not enough Creative Units{costs}{left}"
        else:
            return None
        self._is_short = True
        return Held(INSUFFICIENT, message, self._stage.wall() + INSUFFICIENT_S, first=False)

    def _exceeds(self, price: Price) -> bool:
        if price.units is None or price.available is None:
            return False
        return self._booked + price.units > price.available + 1e-9

    # --- what came of it ----------------------------------------------------------------------------------------------

    def fired(self) -> list[Foreseen]:
        return [self._foreseen(id_) for id_ in self._fired]

    def failing(self) -> list[Foreseen]:
        return [self._foreseen(id_) for id_ in self._failing]

    def held(self) -> list[Foreseen]:
        rows = self._some(Generation.BLOCKED)
        return [replace(self._foreseen(row.id), known=row.id in self._blocked) for row in rows]

    def waiting(self) -> list[Foreseen]:
        return [self._foreseen(row.id) for row in self._some(Generation.WAITING)]

    def unknown(self) -> list[Foreseen]:
        return [replace(self._foreseen(row.id), known=True) for row in self._some(Generation.UNKNOWN)]

    def running(self) -> int:
        """How many ran already."""
        return self._stage.copy.stories.counts()[Generation.RUNNING] - len(self._fired)

    def money(self) -> Money:
        daily = self._stage.settings.budget.daily
        return Money(self._began[:10], round(self._spent, 6), round(self._booked, 6), daily, self._available)

    def _some(self, status: Generation) -> list[GenerationRow]:
        return sorted(self._stage.copy.stories.some(status=status), key=lambda row: row.id)

    def _foreseen(self, id_: int) -> Foreseen:
        stories = self._stage.copy.stories
        row, price = stories.one(id_), self._prices.get(id_)
        assert row
        return Foreseen(
            generation=row.id if row.created_at < self._began else None,
            folder=row.folder,
            rule=row.rule,
            kind=row.kind,
            path=row.path,
            price=price.units if price else row.estimated_price,
            about=bool(price and price.about),
            error_code=row.error_code,
            error=row.error,
            until=row.next_attempt_at if row.status == Generation.BLOCKED else row.deadline_at,
            needs=tuple(stories.needs(id_)) if row.status == Generation.WAITING else (),
        )
