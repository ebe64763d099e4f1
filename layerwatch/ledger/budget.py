"""What may be spent, and whether one more generation would go beyond it.

Asked inside the transaction that books the generation, so that two never spend the same Creative Units. Days are UTC.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from layerwatch.ledger.connection import Connection
from layerwatch.ledger.times import iso, seconds

BURST_S = 60.0  # "at once"

# Why something is held back; `generations.error_code`.
OVER_GENERATION, OVER_DAILY, BURST, NO_PRICE, INSUFFICIENT = (
    "over_per_generation",
    "over_daily",
    "burst",
    "price_unknown",
    "insufficient_units",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent, in Creative Units and generations; None is no limit."""

    per_generation: float | None = None
    daily: float | None = None
    burst: int | None = None
    of: str | None = None  # the rule, or None for all together

    @property
    def needs_price(self) -> bool:
        return self.per_generation is not None or self.daily is not None


@dataclass(frozen=True, slots=True)
class Held:
    """It is not to be fired now: the reason, when it is to be looked at again by itself, and whether this is the first
    one for that reason."""

    code: str
    message: str
    until: float | None
    first: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A generation that is to be fired. `price` in Creative Units; None where Layer does not say."""

    id: int
    folder: str
    rule: str
    price: float | None


# All that was ever held against the budget: a generation that is fired anew counts once for each time.
BOOKINGS = """
SELECT folder, rule, booked, price, booked_at FROM generations WHERE booked_at IS NOT NULL
UNION ALL SELECT folder, rule, booked, price, booked_at FROM earlier_bookings
"""
# By the time: of those that are blocked for long there may be many.
BLOCKED_SINCE = """
SELECT 1 FROM generations INDEXED BY generations_blocked WHERE status = 'blocked' AND error_code = ? AND updated_at >= ?
"""
_Scope = tuple[str, tuple[str, ...]]


def over(connection: Connection, asked: Asked, limits: Iterable[Limits], now: float) -> Held | None:
    """Which limit it would break, if any."""
    for limit in limits:
        # The plus keeps SQLite to the index over the time: a rule may have fired for years.
        scope = ("", ()) if limit.of is None else (" AND +folder = ? AND +rule = ?", (asked.folder, asked.rule))
        found = _over_amount(connection, asked.price, limit, scope, now)
        found = found or _over_burst(connection, asked.id, limit, scope, now)
        if found:
            return found
    return None


def _over_amount(connection: Connection, price: float | None, limit: Limits, scope: _Scope, now: float) -> Held | None:
    where = "the budget" if limit.of is None else f"the budget of rule {limit.of}"
    if limit.needs_price and price is None:
        return _held(connection, NO_PRICE, f"Layer does not say what it will cost, and {where} has a limit", None, now)
    if limit.per_generation is not None and price is not None and price > limit.per_generation:
        message = f"it would cost {price:g} Creative Units; {where} allows {limit.per_generation:g} per generation"
        return _held(connection, OVER_GENERATION, message, None, now)
    if limit.daily is None or price is None:
        return None
    spent = _booked(connection, scope, now)
    if spent + price <= limit.daily + 1e-9:  # sums of tenths are not exact
        return None
    message = f"{price:g} Creative Units more than the {spent:g} of today; {where} allows {limit.daily:g} a day"
    return _held(connection, OVER_DAILY, message, day_after(now), now)


def _over_burst(connection: Connection, id_: int, limit: Limits, scope: _Scope, now: float) -> Held | None:
    """Once more than `burst` came within a minute, all that comes is held until a minute has brought none. What was
    queued together came together, however long Layer takes for each."""
    if limit.burst is None:
        return None
    of = "" if limit.of is None else f" of rule {limit.of}"
    message = f"more than {limit.burst} generations{of} at once (burst): this one waits for `layerwatch approve`"
    since, (where, values) = iso(now - BURST_S), scope
    ((queued_at,),) = connection.execute("SELECT queued_at FROM generations WHERE id = ?", (id_,))
    queued_since = iso(seconds(queued_at) - BURST_S)
    ((fired,),) = connection.execute(
        f"SELECT count(*) FROM (SELECT id FROM generations WHERE booked_at >= ? AND approved = 0{where} UNION"  # noqa: S608
        " SELECT id FROM generations WHERE booked_at IS NOT NULL AND queued_at BETWEEN ? AND ?"
        f" AND approved = 0{where}) AS together",
        (since, *values, queued_since, queued_at, *values),
    )
    tripped = connection.execute(
        f"{BLOCKED_SINCE} AND error = ?{where} LIMIT 1",
        (BURST, since, message, *values),
    ).fetchone()
    if fired < limit.burst and not tripped:
        return None
    return Held(BURST, message, None, first=tripped is None)


def _held(connection: Connection, code: str, message: str, until: float | None, now: float) -> Held:
    before = connection.execute(
        f"{BLOCKED_SINCE} LIMIT 1",
        (code, iso(day_of(now))),
    ).fetchone()
    return Held(code, message, until, first=before is None)


def _booked(connection: Connection, scope: _Scope, now: float) -> float:
    where, values = scope
    ((spent,),) = connection.execute(
        f"SELECT coalesce(sum(booked), 0) FROM ({BOOKINGS}) AS bookings WHERE booked_at >= ?{where}",  # noqa: S608  ours alone
        (iso(day_of(now)), *values),
    )
    return float(spent)


def day_of(now: float) -> float:
    """When the day of `now` began, UTC."""
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def day_after(now: float) -> float:
    """When the next day begins, UTC."""
    return (datetime.fromtimestamp(day_of(now), UTC) + timedelta(days=1)).timestamp()
