"""All figures: `python -m tests.benchmarks [--short] [--json FILE] [NAME...]`.

Prints one table with what was measured, what the goal is, and whether it is met, and ends with 1 where one is missed.
`--short` measures less, and ends with 1 on gross regressions alone: figures twice as bad as their goal.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import ledger, reaction, scale, streams, throughput
from tests.benchmarks.figures import GROSS, Figure, table

Measure = Callable[[bool], list[Figure]]
# What says something of so few files, too, and beside whatever else a machine does.
SHORT = ("httpx", "streams", "cost", "idle", "commits", "bandwidth")

ALL: dict[str, Measure] = {
    "httpx": lambda short: throughput.against_httpx(500 if short else 5000, 2 if short else 5),
    "latency": lambda short: throughput.at_20_ms(
        200 if short else 2000, 1 if short else 5, (8,) if short else (4, 8, 16)
    ),
    "auto": lambda short: throughput.auto(
        300 if short else 3000, 1 if short else 5, (20.0,) if short else (0.0, 20.0, 100.0)
    ),
    "streams": lambda short: streams.against_one_pass(10 if short else 20, 64, 2 if short else 5),
    "reaction": lambda short: reaction.reaction(30 if short else 200),
    "cost": lambda short: scale.cost_per_file(
        (1000, 20_000 if short else 1_000_000), 200 if short else 1000, 1 if short else 5
    ),
    "status": lambda short: scale.status_of_many((1000, 20_000 if short else 1_000_000), 5),
    "backlog": lambda short: scale.backlog(3000 if short else 100_000, 1 if short else 5),
    "idle": lambda short: reaction.idle(200 if short else 10_000, 5 if short else 60),
    "commits": lambda _: ledger.commits_per_file(60),
    "bandwidth": lambda short: ledger.bandwidth(5 if short else 30, (4,) if short else (1, 8, 32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="measure less, and fail on gross regressions alone")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(ALL)}")
    asked = parser.parse_args()
    if unknown := set(asked.names) - ALL.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    figures: list[Figure] = []
    for name in asked.names or (SHORT if asked.short else ALL):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += ALL[name](asked.short)
    print(table(figures))
    if asked.json:
        about = {"python": platform.python_version(), "short": asked.short, "figures": [f.as_dict() for f in figures]}
        Path(asked.json).write_text(json.dumps(about, indent=2) + "\n")
    slack = GROSS if asked.short else 1.0
    sys.exit(0 if all(figure.met(slack) for figure in figures) else 1)


if __name__ == "__main__":
    main()
