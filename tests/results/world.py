"""A drop folder that results are saved into, and what must not be touched beside it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerwatch.aftermath.confirmed import PREFIX
from layerwatch.results import Found, Place, save
from layerwatch.samples import sample

PNG = sample("png", 1, 300_000)


def blocks(content: bytes, size: int = 65_536) -> Iterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class World:
    """`base` holds `drop/sub/a.png`, whose results are saved, and `secret/`, which is nobody's to touch."""

    base: Path
    intents: list[tuple[str, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "sub").mkdir(parents=True)
        (self.root / "sub" / "a.png").write_bytes(b"the source")
        self.secret.mkdir()

    @property
    def root(self) -> Path:
        return self.base / "drop"

    @property
    def secret(self) -> Path:
        return self.base / "secret"

    @property
    def directory(self) -> Path:
        return self.root / "generated" / "sub"

    @property
    def result(self) -> Path:
        return self.directory / "a.restyle.png"

    def place(self, **changes: Any) -> Place:
        given: dict[str, Any] = {"source": "sub/a.png", "rule": "restyle", "generation": 7, "outputs": "generated"}
        return Place(str(self.root), **given | changes)

    def note(self, path: str, digest: str, size: int) -> None:
        """The ledger: hears of a result that is whole on disk, under a hidden name, and not yet under its own."""
        assert not os.path.lexists(path)
        assert [file.read_bytes() for file in self.hidden() if sha256(file.read_bytes()) == digest]
        self.intents.append((path, digest, size))

    def save(self, content: bytes | Iterable[bytes] = PNG, **changes: Any) -> Found:
        given = {"content_type": "image/png", "length": None, "max_size": 1 << 30, "intent": self.note, **changes}
        place = given.pop("place", None) or self.place()
        return save(place, blocks(content) if isinstance(content, bytes) else content, **given)

    def hidden(self) -> list[Path]:
        return [file for file in self.base.rglob("*") if file.name.startswith(PREFIX)]

    def files(self) -> dict[str, bytes]:
        """Every regular file below the drop folder, by its path."""
        found = (file for file in self.root.rglob("*") if file.is_file() and not file.is_symlink())
        return {str(file.relative_to(self.root)): file.read_bytes() for file in found}

    def check_nothing_happened(self) -> None:
        assert self.files() == {"sub/a.png": b"the source"}
        assert os.listdir(self.secret) == []
