"""Times in the ledger: UTC, ISO 8601 with `Z`, always to the microsecond, so that text sorts as time does."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=64)  # one step asks for the same moment several times
def iso(seconds: float) -> str:
    """Unix seconds as the ledger writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def seconds(text: str) -> float:
    """What `iso` wrote, as unix seconds."""
    return datetime.fromisoformat(text).timestamp()
