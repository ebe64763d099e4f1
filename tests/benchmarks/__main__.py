"""All figures: `python -m tests.benchmarks [--short] [--rounds N] [--json FILE] [NAME...]`.

Prints one table with what was measured, what the goal is, and whether it is met, and ends with 1 where one is missed.
`--short` measures less, and ends with 1 on gross regressions alone: figures twice as bad as their goal.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import farm, ledger, reaction, scale, streams, throughput
from tests.benchmarks.figures import GROSS, Figure, table

Measure = Callable[[bool, int], list[Figure]]
SMALL, MILLION = (1000, 20_000), (1000, 1_000_000)  # rows
# What says something of so few files, too, and beside whatever else a machine does.
SHORT = ("httpx", "streams", "commits")

ALL: dict[str, Measure] = {
    "httpx": lambda short, turns: throughput.against_httpx(500 if short else 5000, turns),
    "latency": lambda short, turns: throughput.at_20_ms(200 if short else 2000, turns),
    "auto": lambda short, turns: throughput.auto(300 if short else 2000, turns),
    # A round takes few seconds, in which the machine is busy to the brim: what else it does shows.
    "streams": lambda short, turns: streams.against_one_pass(10 if short else 20, 64, turns if short else 2 * turns),
    "reaction": lambda short, _: reaction.reaction(30 if short else 200),
    "cost": lambda short, turns: scale.cost_per_file(SMALL if short else MILLION, 200 if short else 1000, turns),
    "status": lambda short, turns: scale.status_of_many(SMALL if short else MILLION, turns),
    "backlog": lambda short, turns: scale.backlog(3000 if short else 100_000, turns),
    "idle": lambda short, _: reaction.idle(200 if short else 10_000, 5 if short else 60),
    "commits": lambda *_: ledger.commits_per_file(60),
    "farm": lambda short, turns: farm.farm(300 if short else 1000, turns),
    "bandwidth": lambda short, _: ledger.bandwidth(5 if short else 30, (4,) if short else (1, 8, 32)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="measure less, and fail on gross regressions alone")
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each comparison [default: 5, or 2 with --short]")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(ALL)}")
    asked = parser.parse_args()
    if unknown := set(asked.names) - ALL.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    figures: list[Figure] = []
    for name in asked.names or (SHORT if asked.short else ALL):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found = ALL[name](asked.short, asked.rounds or (2 if asked.short else 5))
        print(table(found), file=sys.stderr, flush=True)  # of an hour's work something is left if it breaks off
        figures += found
    print(table(figures))
    if asked.json:
        about = {"python": platform.python_version(), "short": asked.short, "figures": [f.as_dict() for f in figures]}
        Path(asked.json).write_text(json.dumps(about, indent=2) + "\n")
    slack = GROSS if asked.short else 1.0
    sys.exit(0 if all(figure.met(slack) for figure in figures) else 1)


if __name__ == "__main__":
    main()
