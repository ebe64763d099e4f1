"""The generations of an audit: paid without a result, failed, not moving; their results and inputs on disk."""

import os
from collections.abc import Iterator

from layerwatch.audit.findings import Finding, Kind, of_generation
from layerwatch.audit.look import STUCK_S, Look
from layerwatch.audit.place import GONE, Place, Saved, keeps
from layerwatch.ledger import GenerationRow, iso, seconds
from layerwatch.states import File, Generation


class Generations:
    """All generations, as far as they are of places that are looked at."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._reports = look.reports
        self._stories = look.stories

    def findings(self) -> Iterator[Finding]:
        yield from self._not_moving()
        unpaid = self._failed_generations()
        for row in filter(self._is_wanted, self._stories.without_result()):
            unpaid.pop(row.id, None)
            is_unknown = row.status == Generation.UNKNOWN
            kind = Kind.UNRESOLVED if is_unknown else Kind.PAID_WITHOUT_RESULT
            yield of_generation(kind, row, str(row.error_code) if is_unknown else _paid(row))
        yield from (of_generation(Kind.FAILED, row, str(row.error_code)) for row in unpaid.values())
        yield from self._results()
        yield from self._inputs()

    def _is_wanted(self, row: GenerationRow) -> bool:
        return self._look.wants(row.folder)

    def _failed_generations(self) -> dict[int, GenerationRow]:
        """The failed ones, but for those in whose place there is a later one for the same file."""
        latest: dict[tuple[str, str, str], GenerationRow] = {}
        for row in self._stories.some(folder=self._look.only):
            key = row.folder, row.rule, row.path
            if key not in latest or latest[key].id < row.id:
                latest[key] = row
        failed = [row for row in latest.values() if row.status == Generation.FAILED]
        return {row.id: row for row in sorted(failed, key=lambda row: row.id)}

    def _not_moving(self) -> Iterator[Finding]:
        now, daemon = self._look.moment.now, self._look.moment.daemon
        stands_still = daemon and not self._look.moment.hold and self._nothing_turns()
        for row in filter(self._is_wanted, self._stories.stuck(iso(now))):
            late_s = now - seconds(row.next_attempt_at or row.updated_at)
            if row.status == Generation.SUBMITTING:
                if not daemon or late_s > STUCK_S:
                    detail = f"being sent for {late_s // 60:.0f} min" if daemon else "interrupted while it was sent"
                    yield of_generation(Kind.STUCK, row, detail)
            elif late_s > STUCK_S and (stands_still or self._is_left(row)):
                yield of_generation(Kind.STUCK, row, f"due for {late_s // 60:.0f} min")

    def _is_left(self, row: GenerationRow) -> bool:
        """Layer works on it, or has done it, and nobody asks for it."""
        return row.status == Generation.RUNNING and not self._look.moment.daemon

    def _nothing_turns(self) -> bool:
        """As with files: a long queue is nothing wrong, but one of which nothing has moved for long is."""
        latest = [row.updated_at for row in self._stories.some(limit=1)]
        signs = (*latest, self._reports.noted_at("daemon"))
        return self._look.moment.now - max(map(seconds, filter(None, signs)), default=0.0) > STUCK_S

    def _results(self) -> Iterator[Finding]:
        """Results that are not where they were saved. Nothing is said of those whose folder is away."""
        for id_, path, sha256, size in self._stories.saved_results():
            place = self._home(path)
            if place is not None:
                yield from place.guarded(self._result(place, id_, path, Saved(sha256, size)))

    def _result(self, place: Place, id_: int, path: str, saved: Saved) -> Iterator[Finding]:
        detail = place.result(path, saved, rehash=self._look.rehash)
        row = self._stories.one(id_) if detail else None
        if row is None or not self._is_wanted(row) or self._was_taken(path):
            return
        kind = Kind.RESULT_MISSING if detail == GONE else Kind.RESULT_CHANGED
        yield of_generation(kind, row, detail, path=path, gone=detail == GONE)

    def _home(self, path: str) -> Place | None:
        """The folder that a result was saved in: of those that lie in each other, for a chain, the outermost."""
        homes = [place for place in self._look.places.values() if path.startswith(os.path.join(place.folder.root, ""))]
        return min(homes, key=lambda place: len(place.folder.root), default=None)

    def _was_taken(self, path: str) -> bool:
        """Whether it was the next rule's input, and is where that folder wants its files once they are uploaded."""
        known = next(iter(self._reports.known_at(path)), None)
        folder = self._look.folders.get(known.folder) if known else None
        return bool(known and folder and not keeps(folder, known) and known.status == File.UPLOADED)

    def _inputs(self) -> Iterator[Finding]:
        """Layer has them; but who took them away may not want the generation any more."""
        for row in self._stories.some(status=Generation.WAITING, folder=self._look.only):
            place = self._look.places.get(row.folder)
            if place is not None:
                yield from place.guarded(self._vanished(place, row))

    def _vanished(self, place: Place, row: GenerationRow) -> Iterator[Finding]:
        for each in self._stories.inputs(row.id):
            known = self._reports.known(each.file)
            if known and any(place.missing(known)):
                yield of_generation(
                    Kind.INPUT_MISSING, row, f"its {each.role} is gone", path=each.path, file=each.file, gone=True
                )


def _paid(row: GenerationRow) -> str:
    """What is known to have been paid, and for what."""
    cost = f"charged {row.price:g}" if row.price else "charged"
    if row.status == Generation.COMPLETE:
        return f"complete, {cost}, without any result"
    return f"{row.error_code}, {cost}" if row.price else f"{row.error_code}, complete in Layer"
