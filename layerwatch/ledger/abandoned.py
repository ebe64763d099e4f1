"""What is held by claims of those who are no more."""

from layerwatch.ledger.connection import Store

_ASKED = """
SELECT EXISTS (SELECT 1 FROM files WHERE status = 'uploading' AND {gone})
    OR EXISTS (SELECT 1 FROM files WHERE aftermath = 'pending' AND claim IS NOT NULL AND {gone})
    OR EXISTS (SELECT 1 FROM generations
               WHERE status IN ('queued', 'submitting', 'running') AND claim IS NOT NULL AND {gone})
    OR EXISTS (SELECT 1 FROM deliveries WHERE status = 'pending' AND claim IS NOT NULL AND {gone})
"""


class Abandoned:
    """For those who take it over."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def any(self) -> bool:
        """Whether there is anything. Takes no lock."""
        ((found,),) = self._store.rows(_ASKED.format(gone=self._store.left_behind))
        return bool(found)
