"""A figure, what it should be, and how it is told. Ratios are medians of rounds in which both sides took turns."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

GROSS = 2.0  # by how much the short form may miss a goal before it fails: it is for gross regressions alone


@dataclass(frozen=True)
class Figure:
    """`value` should be `most` at the most, or `least` at the least; without either it is only told. `how`: what was
    measured, in absolute terms."""

    name: str
    value: float
    how: str
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def goal(self) -> str:
        if self.most is not None:
            return f"<= {self.most:g}{self.unit}"
        return "" if self.least is None else f">= {self.least:g}{self.unit}"

    @property
    def verdict(self) -> str:
        if not self.goal:
            return "told"
        return "met" if self.met() else "MISSED"

    def met(self, slack: float = 1.0) -> bool:
        if self.most is not None:
            return self.value <= self.most * slack if self.most else self.value == 0
        return self.least is None or self.value >= self.least / slack

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"goal": self.goal, "met": self.met()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios: what troubles the machine troubles both sides of a round."""
    return median(our / their for our, their in zip(ours, theirs, strict=True))


def rounds(count: int, *sides: Callable[[int], float]) -> list[list[float]]:
    """What each side measured in each round, one after the other, and the other way round the next time."""
    measured: list[list[float]] = [[0.0] * count for _ in sides]
    for number in range(count):
        order = list(enumerate(sides))
        for at, side in order if number % 2 == 0 else reversed(order):
            measured[at][number] = side(number)
    return measured


def table(figures: Sequence[Figure]) -> str:
    """For people: figure, goal, verdict, and how it was measured."""
    rows = [("figure", "value", "goal", "", "measured")]
    rows += [(each.name, f"{each.value:.3g}{each.unit}", each.goal, each.verdict, each.how) for each in figures]
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )
