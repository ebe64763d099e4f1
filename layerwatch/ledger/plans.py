"""What the rules make of uploads: an input, what is missing, a generation as it ought to be. Facts alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from layerwatch.names import Names
from layerwatch.states import Generation, Turn

INPUT = "input"


@dataclass(frozen=True, slots=True)
class Input:
    """An uploaded file, as rules see it. `hash` is its SHA-256, `depth` how many generations it comes from. `again`: a
    person wants it fired again; `recheck`: the rules have seen it before. `marks` tells which request that answers.
    `outside`: it was pushed for its folder, and lies elsewhere."""

    id: int
    folder: str
    path: str
    hash: str
    file_id: str
    depth: int
    again: bool = False
    recheck: bool = False
    marks: int = 0
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """The generation whose result some bytes are; `depth` as in `Input`."""

    id: int
    depth: int
    folder: str
    rule: str


@dataclass(frozen=True, slots=True)
class Missing:
    """An input that is not there yet, or of no use: then `glob` says why. `key`: the one folded path that it can have;
    None where the glob leaves a choice. `may_pass`: it is worth another look, though nothing tells of a change."""

    role: str
    glob: str
    key: str | None
    optional: bool
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A generation as it ought to be now. `sidecars` are texts by role, `wait_s` how long it may wait for what is
    missing (None: for ever). `fires_again_on`: the sidecars that count as a change."""

    rule: str
    kind: str
    target: str
    trigger: Input
    companions: Mapping[str, Input]
    sidecars: Mapping[str, str]
    missing: tuple[Missing, ...] = ()
    wait_s: float | None = None
    fires_again_on: tuple[str, ...] = ()

    def key(self, names: Names) -> str:
        """What it fires once for: folder, rule, path, and the hashes of its inputs; never the rule's parameters, so
        that editing a rule pays for nothing. By the path's name: the same on every host."""
        parts = [self.trigger.folder, self.rule, names.outside(self.trigger.path), self.trigger.hash]
        parts += [f"{role}={each.hash}" for role, each in sorted(self.companions.items())]
        parts += [f"{role}={self.sidecars[role]}" for role in sorted(self.fires_again_on) if role in self.sidecars]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Planned:
    """What became of a plan: the generation, and what happened to it; None where it was known."""

    id: int
    event: Turn | None
    status: Generation
