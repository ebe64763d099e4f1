"""What people and programs do to a drop folder all day, at random from a seed: new files, new versions, copies, files
that are renamed and deleted, directories that come and go. The folder stays about as full as it was."""

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from layerwatch.samples import KINDS, sample

KIB = 1024
FILES = 150
RESULTS = 40
DIRECTORIES = 12
PAINTED = "_paint.png"  # what a rule may match: every tenth file


class Artists:
    """`there` has every file that lies in the folder, with its SHA-256; `written` every content there ever was."""

    def __init__(self, drop: Path, lucky: random.Random) -> None:
        self.there: dict[Path, str] = {}
        self.written: set[str] = set()
        self._drop = drop
        self._lucky = lucky
        self._number = 0
        self._passing: list[Path] = []
        self._fixed = [drop / f"shot{number:02}" for number in range(DIRECTORIES)]
        for directory in self._fixed:
            directory.mkdir()

    def act(self) -> None:
        """Do one thing."""
        deeds: dict[Callable[[], None], int] = {
            self._add: 50, self._rewrite: 15, self._rename: 12, self._copy: 6, self._visit: 2, self._leave: 2,
        }  # fmt: skip
        deed = self._lucky.choices(list(deeds), list(deeds.values()))[0]
        if self.there or deed == self._add:
            deed()
        while len(self.there) > FILES:
            self._delete()

    def clear_up(self) -> None:
        """Of the directories that come and go, none are left; and of the results, the latest."""
        while self._passing:
            self._leave()
        # Not those that are being saved: their names are hidden.
        results = [each for each in self._drop.glob("generated/**/*.*") if each.is_file() and each.name[0] != "."]
        for each in sorted(results, key=lambda path: path.stat().st_mtime_ns)[:-RESULTS]:
            each.unlink()

    def _content(self, path: Path) -> bytes:
        self._number += 1
        kind = "png" if path.name.endswith(PAINTED) else self._lucky.choice(KINDS)
        most = 2000 if self._number % 50 == 0 else 200
        return sample(kind, self._number, self._lucky.randrange(2, most) * KIB)

    def _place(self) -> Path:
        self._number += 1
        if self._number % 10 == 0:  # in a directory that stays, as do those of the results
            return self._lucky.choice(self._fixed) / f"{self._number:06}{PAINTED}"
        return self._lucky.choice(self._fixed + self._passing) / f"{self._number:06}"

    def _some(self) -> Path:
        return self._lucky.choice(list(self.there))

    def _write(self, path: Path, content: bytes) -> None:
        if self._lucky.random() < 0.5:
            path.write_bytes(content)
        else:
            beside = path.with_name(f".{path.name}.tmp")
            beside.write_bytes(content)
            beside.rename(path)
        self._note(path, hashlib.sha256(content).hexdigest())

    def _note(self, path: Path, digest: str) -> None:
        self.there[path] = digest
        self.written.add(digest)

    # --- deeds --------------------------------------------------------------------------------------------------------

    def _add(self) -> None:
        path = self._place()
        self._write(path, self._content(path))

    def _rewrite(self) -> None:
        path = self._some()
        self._write(path, self._content(path))

    def _rename(self) -> None:
        before, path = self._some(), self._place()
        os.rename(before, path)
        self._note(path, self.there.pop(before))

    def _copy(self) -> None:
        before, path = self._some(), self._place()
        shutil.copyfile(before, path)
        self._note(path, self.there[before])

    def _delete(self) -> None:
        path = self._some()
        path.unlink()
        del self.there[path]

    def _visit(self) -> None:
        self._number += 1
        directory = self._lucky.choice(self._fixed) / f"take{self._number}"
        directory.mkdir()
        self._passing.append(directory)

    def _leave(self) -> None:
        if self._passing:
            directory = self._passing.pop(0)
            shutil.rmtree(directory)
            self.there = {path: digest for path, digest in self.there.items() if path.parent != directory}
