"""The demo's play: the files it makes, how and when, and what has to have become of each of them."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from layerwatch.ledger import FileRow, Ledger
from layerwatch.samples import sample
from layerwatch.states import File

KIB = 1024
SLOW_PARTS = 5
SLOW_S = 0.6  # between two parts: longer than the folder takes to settle, so that quiet alone does not save us
ACT_S = 0.7
LOOK_S = 0.1
WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Prop:
    """One file of the play: where it lies below the folder, its bytes, and the status it must end with, or WAITS."""

    path: str
    data: bytes
    fate: str = File.UPLOADED


def _props() -> Iterator[tuple[str, Prop]]:
    beauty = sample("png", 1, 300 * KIB)
    yield "before", Prop("beauty_0001.png", beauty)
    yield "before", Prop("plate.jpg", sample("jpg", 2, 400 * KIB))
    yield "before", Prop("texture.webp", sample("webp", 3, 200 * KIB))
    yield "before", Prop("turntable.mp4", sample("mp4", 4, 5 * KIB * KIB))
    yield "before", Prop("theme.mp3", sample("mp3", 5, 900 * KIB))
    yield "before", Prop("click.wav", sample("wav", 6, 100 * KIB))
    yield "before", Prop("notes.txt", b"not an image\n", File.SKIPPED)
    yield "before", Prop("cut_off.png", sample("png", 7, 100 * KIB)[:-16], WAITS)
    yield "twin", Prop("copy of beauty_0001.png", beauty)
    yield "renamed", Prop("final [v2] \u00fcberarbeitet.png", sample("png", 8, 1500 * KIB))
    yield "tree", Prop("shots/sc01/sh010.jpg", sample("jpg", 9, 80 * KIB))
    yield "tree", Prop("shots/sc01/sh020.webp", sample("webp", 10, 80 * KIB))
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
        for prop in self._act("before"):
            self._write(self.path(prop), prop.data)

    def play(self) -> None:
        """What comes while it runs."""
        for prop in self._act("twin"):
            self._write(self.path(prop), prop.data)
        self.stopping.wait(ACT_S)
        for prop in self._act("renamed"):
            self._rename_into_place(prop)
        self.stopping.wait(ACT_S)
        for prop in self._act("tree"):
            os.makedirs(os.path.dirname(self.path(prop)), exist_ok=True)
            self._write(self.path(prop), prop.data)
        for prop in self._act("slow"):
            self._write_slowly(prop)

    def _act(self, name: str) -> list[Prop]:
        return [prop for act, prop in self._acts if act == name]

    def _write(self, path: str, data: bytes) -> None:
        with open(path, "wb") as stream:
            stream.write(data)

    def _rename_into_place(self, prop: Prop) -> None:
        temporary = f"{self.path(prop)}.part"
        self._write(temporary, prop.data)
        os.rename(temporary, self.path(prop))

    def _write_slowly(self, prop: Prop) -> None:
        step = -(-len(prop.data) // SLOW_PARTS)
        with open(self.path(prop), "wb", buffering=0) as stream:
            for at in range(0, len(prop.data), step):
                stream.write(prop.data[at : at + step])
                self.stopping.wait(SLOW_S)

    # --- the end ------------------------------------------------------------------------------------------------------

    def wait(self, ledger_path: str, seconds_left: Callable[[], float]) -> None:
        """Until every file has met its fate, or it is told to stop, or the time is over."""
        with Ledger(ledger_path) as ledger:
            while self.missing(ledger) and seconds_left() > 0 and not self.stopping.wait(LOOK_S):
                pass

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
