"""The demo's play: the files it makes, how and when, and what has to have become of them and of what a rule makes of
two of them."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from layerwatch.ledger import FileRow, GenerationRow, Ledger
from layerwatch.samples import sample
from layerwatch.states import File, Generation

KIB = 1024
SLOW_PARTS = 5
SLOW_S = 0.6  # between two parts: longer than the folder takes to settle, so that quiet alone does not save us
ACT_S = 0.6  # longer, too: whatever is to be noticed between two acts is noticed
LOOK_S = 0.1
WAITS = "waits"
CONCEPT, BEAUTY, DEPTH = "concept.png", "sh010_beauty.png", "sh010_depth.png"


@dataclass(frozen=True, slots=True)
class Prop:
    """One file of the play: where it lies below the folder, its bytes, and the status it must end with, or WAITS."""

    path: str
    data: bytes
    fate: str = File.UPLOADED


def _props() -> Iterator[tuple[str, Prop]]:
    concept = sample("png", 1, 300 * KIB)
    yield "before", Prop(CONCEPT, concept)
    yield "before", Prop("plate.jpg", sample("jpg", 2, 400 * KIB))
    yield "before", Prop("texture.webp", sample("webp", 3, 200 * KIB))
    yield "before", Prop("turntable.mp4", sample("mp4", 4, 5 * KIB * KIB))
    yield "before", Prop("theme.mp3", sample("mp3", 5, 900 * KIB))
    yield "before", Prop("click.wav", sample("wav", 6, 100 * KIB))
    yield "before", Prop("notes.txt", b"not an image\n", File.SKIPPED)
    yield "before", Prop("cut_off.png", sample("png", 7, 100 * KIB)[:-16], WAITS)
    yield "beauty", Prop(BEAUTY, sample("png", 12, 120 * KIB))
    yield "twin", Prop(f"copy of {CONCEPT}", concept)
    yield "renamed", Prop("final [v2] \u00fcberarbeitet.png", sample("png", 8, 1500 * KIB))
    yield "tree", Prop("shots/sc01/sh010.jpg", sample("jpg", 9, 80 * KIB))
    yield "tree", Prop("shots/sc01/sh020.webp", sample("webp", 10, 80 * KIB))
    yield "depth", Prop(DEPTH, sample("png", 13, 60 * KIB))
    yield "slow", Prop("render_slow.png", sample("png", 11, 2 * KIB * KIB))


class Rehearsal:
    """Makes the files in `folder`, and tells when all of it is done."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.stopping = threading.Event()
        self._acts = list(_props())

    @property
    def props(self) -> list[Prop]:
        return [prop for _, prop in self._acts]

    def path(self, prop: Prop) -> str:
        return os.path.join(self.folder, prop.path)

    # --- the files ----------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """What is there before the daemon starts."""
        os.makedirs(self.folder)
        self._write_all("before")

    def play(
        self, ledger_path: str, seconds_left: Callable[[], float], settle: Callable[[GenerationRow], None]
    ) -> None:
        """What comes while it runs. `settle` is the person who decides what to do about an unknown generation."""
        slowly = threading.Thread(target=self._write_slowly, name="demo, slowly", daemon=True)
        with Ledger(ledger_path) as ledger:
            self._write_all("beauty")
            self.stopping.wait(ACT_S)
            slowly.start()
            for prop in self._act("renamed"):
                self._rename_into_place(prop)
            self._until(lambda: self._made_is(ledger, Generation.WAITING), seconds_left)
            self.stopping.wait(ACT_S)
            self._write_all("depth")
            self._write_all("tree")
            # Of two that come at once, both may be on their way before one of them is there.
            self._until(lambda: self._is_uploaded(ledger, CONCEPT), seconds_left)
            self._write_all("twin")
            self._until(lambda: self._is_on_its_way(ledger, settle), seconds_left)
            slowly.join()
            self._until(lambda: self.is_done(ledger), seconds_left)
            self.stopping.wait(ACT_S)  # results have lain there for long enough to be taken for new files

    def _is_on_its_way(self, ledger: Ledger, settle: Callable[[GenerationRow], None]) -> bool:
        made = self.made(ledger)
        if made and made.status == Generation.UNKNOWN:
            settle(made)
        return self._made_is(ledger, Generation.RUNNING, Generation.COMPLETE)

    def _is_uploaded(self, ledger: Ledger, name: str) -> bool:
        rows = [self.row(ledger, prop) for prop in self.props if prop.path == name]
        return any(row is not None and row.status == File.UPLOADED for row in rows)

    def _until(self, done: Callable[[], bool], seconds_left: Callable[[], float]) -> None:
        """Until it is so, or it is told to stop, or the time is over."""
        while not done() and seconds_left() > 0 and not self.stopping.wait(LOOK_S):
            pass

    def _act(self, name: str) -> list[Prop]:
        return [prop for act, prop in self._acts if act == name]

    def _write_all(self, act: str) -> None:
        for prop in self._act(act):
            os.makedirs(os.path.dirname(self.path(prop)), exist_ok=True)
            self._write(self.path(prop), prop.data)

    def _write(self, path: str, data: bytes) -> None:
        with open(path, "wb") as stream:
            stream.write(data)

    def _rename_into_place(self, prop: Prop) -> None:
        temporary = f"{self.path(prop)}.part"
        self._write(temporary, prop.data)
        os.rename(temporary, self.path(prop))

    def _write_slowly(self) -> None:
        for prop in self._act("slow"):
            step = -(-len(prop.data) // SLOW_PARTS)
            with open(self.path(prop), "wb", buffering=0) as stream:
                for at in range(0, len(prop.data), step):
                    stream.write(prop.data[at : at + step])
                    self.stopping.wait(SLOW_S)

    # --- the end ------------------------------------------------------------------------------------------------------

    def is_done(self, ledger: Ledger) -> bool:
        """Whether every file has met its fate, and the generation is complete."""
        return not self.missing(ledger) and self._made_is(ledger, Generation.COMPLETE)

    def made(self, ledger: Ledger) -> GenerationRow | None:
        """The generation that the rule makes of the two files; None while there is none."""
        return next(iter(ledger.stories.some()), None)

    def _made_is(self, ledger: Ledger, *status: Generation) -> bool:
        made = self.made(ledger)
        return made is not None and made.status in status

    def missing(self, ledger: Ledger) -> list[Prop]:
        """The files that are not as they must be in the end."""
        waiting = {item["path"] for item in ledger.reports.candidates()}
        return [prop for prop in self.props if not self._is_done(prop, self.row(ledger, prop), waiting)]

    def row(self, ledger: Ledger, prop: Prop) -> FileRow | None:
        return next(iter(ledger.reports.versions(self.path(prop))), None)

    def _is_done(self, prop: Prop, row: FileRow | None, waiting: set[str]) -> bool:
        if prop.fate == WAITS:
            return row is None and self.path(prop) in waiting
        return row is not None and row.status == prop.fate
