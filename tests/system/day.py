"""The eight-hour day: a daemon, people who work in its folder, and faults: `python -m tests.system.day [--minutes 5]`.

480 minutes go by in a few real ones, with the daemon's own times scaled down alike. Prints what the daemon takes of its
machine at the start, in the middle and at the end, and ends non-zero unless that stays the same, every file is uploaded
as it is, and no generation was fired twice.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.catalogue import MODELS
from tests.system.artists import PAINTED, Artists
from tests.system.conftest import TOKEN, Site, until
from tests.system.vitals import Vitals, vitals, wal_bytes

DAY_MIN = 480
WARM_UP_MIN = 80
DEEDS_A_SECOND = 20.0  # real ones, and as they come
RESCAN_MIN = 5.0
WORKERS = 4
CLIENTS = 2 * (WORKERS + 4)  # of Layer, and of the storage or the results, for each uploader and each runner
OTHER_SOCKETS = 2  # by which a signal wakes the main thread

GROWTH_KIB = 8 * 1024
GROWTH_SHARE = 1.1  # of what a row of the ledger takes
WAL_BYTES = 12 * 1024 * 1024

RULE = f"""
[[folders.rules]]
name = "restyle"
match = "*{PAINTED}"
model_id = "{MODELS[0]["model_id"]}"
outputs = "generated"
[folders.rules.parameters]
prompt = "oil painting"
batch_size = 1
"""
FAULTS = Faults(
    errors=0.02, drop=0.02, partial=0.05, lost_answers=0.02, lazy=0.05, dead_sessions=0.02, corrupt=0.005,
    asset_404=0.02, asset_short=0.02, seed=8,
)  # fmt: skip
AT_REST = Faults()


@dataclass(frozen=True)
class Outcome:
    """What a day came to; `broken` are the laws that did not hold."""

    seen: tuple[Vitals, ...]
    most_wal_bytes: int
    deeds: int
    statuses: dict[str, int]
    generations: dict[str, int]
    faults: int
    broken: tuple[str, ...]


class Day:
    """One daemon below `home`, and what happens to it."""

    def __init__(self, home: Path, sandbox: Sandbox, minutes: float, seed: int) -> None:
        self.site = Site(home, sandbox)
        self.deeds = 0
        self.most_wal_bytes = 0
        self._pace = DAY_MIN / (minutes * 60)  # minutes of the day in a real second
        self._artists = Artists(self.site.drop, random.Random(seed))
        rescan_s = max(RESCAN_MIN / self._pace, 1.0)
        self.site.configure(
            folder=f'settle = "50ms"\nrescan = "{rescan_s:.2f}s"\n{RULE}', upload=f"workers = {WORKERS}"
        )
        self._daemon = self.site.start()

    def seen(self) -> Iterator[Vitals]:
        """What the daemon takes: once it is warm, in the middle, and at the end."""
        for until_minute in (WARM_UP_MIN, (WARM_UP_MIN + DAY_MIN) // 2, DAY_MIN):
            self._work(until_minute)
            self._rest()
            yield vitals(self.site, self._daemon.pid, until_minute)

    def _work(self, until_minute: int) -> None:
        self.site.sandbox.faults = FAULTS
        began, before = time.monotonic(), self.deeds
        goal = int(until_minute / self._pace * DEEDS_A_SECOND)
        while self.deeds < goal:
            self._artists.act()
            self.deeds += 1
            if self.deeds % 50 == 0:
                self._artists.clear_up()
            self.most_wal_bytes = max(self.most_wal_bytes, wal_bytes(self.site))
            time.sleep(max(began + (self.deeds - before) / DEEDS_A_SECOND - time.monotonic(), 0))

    def _rest(self) -> None:
        """Until all is done: only then is one moment like another."""
        self.site.sandbox.faults = AT_REST
        self._artists.clear_up()
        until(self._is_done, "everything to be uploaded, and every generation to end", patience_s=300)

    def _is_done(self) -> bool:
        assert self._daemon.poll() is None, "the daemon has ended"
        return not self._missing() and not any(
            row["n"]
            for row in self.site.ask(
                "SELECT count(*) AS n FROM files WHERE status IN ('queued', 'uploading') UNION ALL "
                "SELECT count(*) FROM generations WHERE status IN ('waiting', 'queued', 'submitting', 'running')"
            )
        )

    def _missing(self) -> list[str]:
        """Files that lie there, and are not uploaded as they are."""
        rows = self.site.ask("SELECT path, hash FROM files WHERE status = 'uploaded'")
        uploaded = {(row["path"], row["hash"]) for row in rows}
        return [str(path) for path, digest in self._artists.there.items() if (str(path), digest) not in uploaded]

    def generations(self) -> dict[str, int]:
        rows = self.site.ask("SELECT status, count(*) AS n FROM generations GROUP BY status")
        return {row["status"]: row["n"] for row in rows}

    def broken(self, seen: tuple[Vitals, ...]) -> Iterator[str]:
        """The laws that did not hold."""
        code = self.site.end(self._daemon)
        sandbox, statuses, made = self.site.sandbox, self.site.statuses(), self.generations()
        by_id = {item.file_id: item.sha256 for item in sandbox.objects if not item.corrupt}
        rows = self.site.ask("SELECT file_id, hash FROM files WHERE status = 'uploaded'")
        wrong = sum(by_id.get(row["file_id"]) != row["hash"] for row in rows)
        fired = Counter(each.body["session_name"] for each in sandbox.generations)
        laws = {
            f"the daemon ended with {code}": code == 0,
            f"not uploaded: {self._missing()[:3]}": not self._missing(),
            f"there are others than uploaded and skipped: {statuses}": statuses.keys() <= {"uploaded", "skipped"},
            f"{wrong} file_ids in the ledger are not of their content": not wrong,
            "something else is stored": set(by_id.values()) <= self._artists.written,
            f"no generation is complete, or one has ended otherwise: {made}": "complete" in made
            and made.keys() <= {"complete", "unknown"},
            f"fired twice: {fired.most_common(1)}": max(fired.values(), default=0) == 1,
            f"the protocol was broken: {sandbox.violations[:3]}": not sandbox.violations,
            f"the write-ahead log grew to {self.most_wal_bytes} bytes": self.most_wal_bytes <= WAL_BYTES,
        }
        yield from (law for law, holds in laws.items() if not holds)
        yield from not_flat(seen)


def not_flat(seen: tuple[Vitals, ...]) -> Iterator[str]:
    """What did not stay the same, from start over middle to end."""
    start, middle, end = seen
    grown_kib = end.resident_kib - start.resident_kib
    sockets = [each.sockets for each in seen]
    unwatched = [(each.watches, each.directories) for each in seen if each.watches != each.directories]
    laws = {
        f"resident memory grew by {grown_kib} KiB": grown_kib <= GROWTH_KIB,
        f"descriptors: {[each.fds for each in seen]}": len({each.fds for each in seen}) == 1,
        f"sockets: {sockets}": max(sockets) <= CLIENTS + OTHER_SOCKETS,
        f"threads: {[each.threads for each in seen]}": len({each.threads for each in seen}) == 1,
        f"watches, and directories: {unwatched}": not unwatched,
        # Of few rows the empty tables have a large share: the middle tells what a row takes.
        f"a row takes {end.bytes_per_row:.0f} bytes": end.bytes_per_row <= middle.bytes_per_row * GROWTH_SHARE,
    }
    yield from (law for law, holds in laws.items() if not holds)


def day(home: Path, minutes: float, seed: int = 8) -> Outcome:
    """Live through it below `home`, in so many real minutes and some for resting."""
    with Sandbox(token=TOKEN, balance=1e9, faults=AT_REST) as sandbox:
        one = Day(home, sandbox, minutes, seed)
        try:
            seen = tuple(one.seen())
            broken = tuple(one.broken(seen))
        finally:
            for process in one.site.processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        faults = sum(count for name, count in sandbox.counters.items() if name.startswith("fault_"))
        return Outcome(seen, one.most_wal_bytes, one.deeds, one.site.statuses(), one.generations(), faults, broken)


def table(outcome: Outcome) -> str:
    rows = {
        "minute of the day": [f"{each.minute}" for each in outcome.seen],
        "resident, MiB": [f"{each.resident_kib / 1024:.1f}" for each in outcome.seen],
        "peak, MiB": [f"{each.peak_kib / 1024:.1f}" for each in outcome.seen],
        "descriptors": [f"{each.fds}" for each in outcome.seen],
        "sockets besides": [f"{each.sockets}" for each in outcome.seen],
        "threads": [f"{each.threads}" for each in outcome.seen],
        "inotify watches": [f"{each.watches}" for each in outcome.seen],
        "directories": [f"{each.directories}" for each in outcome.seen],
        "ledger, KiB": [f"{each.ledger_bytes / 1024:.0f}" for each in outcome.seen],
        "write-ahead log, KiB": [f"{each.wal_bytes / 1024:.0f}" for each in outcome.seen],
        "rows": [f"{each.rows}" for each in outcome.seen],
        "bytes a row": [f"{each.bytes_per_row:.0f}" for each in outcome.seen],
    }
    lines = [f"{name:22}" + "".join(f"{value:>10}" for value in values) for name, values in rows.items()]
    lines.append(f"{outcome.deeds} deeds, {outcome.faults} faults; files {outcome.statuses}")
    lines.append(f"generations {outcome.generations}; the log was {outcome.most_wal_bytes / 1024:.0f} KiB at most")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="The eight-hour day, in a few minutes.")
    parser.add_argument("--minutes", type=float, default=5.0, help="real ones that it takes [5]")
    with tempfile.TemporaryDirectory() as home:
        outcome = day(Path(home), parser.parse_args().minutes)
    print(table(outcome))
    for law in outcome.broken:
        print(f"BROKEN: {law}")
    sys.exit(1 if outcome.broken else 0)


if __name__ == "__main__":
    main()
