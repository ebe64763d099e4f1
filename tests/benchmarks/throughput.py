"""Many small files: processor time and files per second against a bare httpx client, at the server."""

import json
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.figures import Figure, ratio, rounds
from tests.benchmarks.rig import KIB, SELDOM_S, Sink, Site, cpu_s, files, home, reference, sink, until
from tests.benchmarks.waits import PARTS

SIZE = 64 * KIB
STEPS = 3  # requests, one after the other, that an upload takes


def speed(server: Sink) -> float:
    """Files per second, from the first arrival to the last."""
    return _speed(server.report())


def _speed(report: dict[str, Any]) -> float:
    return float((report["stored"] - 1) / (report["last_at"] - report["first_at"]))


class Side:
    """layerwatch or the reference, over the same number of files, on one sink."""

    def __init__(self, place: Path, server: Sink, count: int, latency_ms: float) -> None:
        self.place, self.server, self.count, self.latency_ms = place, server, count, latency_ms
        self.source = files(place / "source", count, SIZE)
        self.speeds: dict[str, list[float]] = {}
        self.held_ms: list[float] = []  # how long each answer was really held back, on average, a round

    def bare(self, threads: int, how: str = "raw") -> float:
        """Processor milliseconds a file of a reference."""
        self.server.reset(self.latency_ms)
        used_s = reference(how, threads, self.server.base_url, self.source)
        self._take_speed("bare" if how == "raw" else how)
        return used_s / self.count * 1000

    def daemon(self, workers: int | str) -> float:
        """Processor milliseconds a file of a daemon that is running already, from the drop to the last record."""
        site, staged = self._site(workers)
        with site.running() as pid:
            self.server.reset(self.latency_ms)
            before_s = cpu_s(pid)
            staged.rename(site.drop / "in")
            until(lambda: self.server.stored() == self.count, "all files", SELDOM_S)
            until(lambda: site.uploaded() == self.count, "all records", SELDOM_S)
            used_s = cpu_s(pid) - before_s
        self._take_speed(str(workers))
        return used_s / self.count * 1000

    def _take_speed(self, who: str) -> None:
        report = self.server.report()
        self.speeds.setdefault(who, []).append(_speed(report))
        self.held_ms.append(report["held_ms"])

    def waits(self, workers: int) -> dict[str, float]:
        """Where the time of a file goes, in milliseconds; see `waits`."""
        site, staged = self._site(workers)
        report = site.place / "waits.json"
        command = [sys.executable, "-m", "tests.benchmarks.waits", str(report), "run", "-c", str(site.config)]
        with site.running(command):
            self.server.reset(self.latency_ms)
            staged.rename(site.drop / "in")
            until(lambda: site.uploaded() == self.count, "all records", SELDOM_S)
        return dict(json.loads(report.read_text())["upload"])

    def _site(self, workers: int | str) -> tuple[Site, Path]:
        """A new one, and the files to be dropped there."""
        upload = f"workers = {workers!r}".replace("'", '"')
        site = Site(self.place / f"site{time.monotonic_ns()}", self.server.base_url, upload=upload)
        return site, files(site.place / "staged", self.count, SIZE)


def against_httpx(count: int, turns: int, threads: int = 4) -> list[Figure]:
    with home() as place, sink() as server:
        side = Side(place, server, count, 0.0)
        ours, bare = rounds(turns, lambda _: side.daemon(threads), lambda _: side.bare(threads))
        sink_s = cpu_s(server.pid)
    speeds = side.speeds[str(threads)], side.speeds["bare"]
    per_file_ms = sink_s / (2 * turns * count) * 1000
    about = f"{count} x 64 KiB, {threads} threads"
    return [
        Figure(
            "CPU per file against bare httpx",
            ratio(ours, bare),
            f"{about}: {median(ours):.2f} and {median(bare):.2f} ms; the sink takes {per_file_ms:.2f} ms",
            most=1.5,
        ),
        Figure(
            "files/s against bare httpx, server answering at once",
            ratio(*speeds),
            f"{about}: {median(speeds[0]):.0f} and {median(speeds[1]):.0f} files/s",
            least=0.8,
        ),
    ]


def at_20_ms(count: int, turns: int, workers: tuple[int, ...] = (4, 8, 16)) -> list[Figure]:
    """Beside it: what a bare socket and bare httpx make with as many threads, and where a file's time goes."""
    return [figure for number in workers for figure in _at_20_ms(count * number // max(workers), number, turns)]


def _at_20_ms(count: int, number: int, turns: int) -> list[Figure]:
    with home() as place, sink() as server:
        side = Side(place, server, count, 20.0)
        rounds(turns, partial(_daemon, side, number), partial(_bare, side, number), partial(_socket, side, number))
        spent_ms = side.waits(number)
    best = number / (STEPS * 0.020)
    made, bare, plain = (median(side.speeds[name]) for name in (str(number), "bare", "socket"))
    how = f"{made:.0f} of {best:.0f} files/s that it allows; bare httpx makes {bare:.0f}, a bare socket {plain:.0f}"
    how += f"; answers were held back {median(side.held_ms):.2f} ms"
    parts = ", ".join(f"{part} {spent_ms[part]:.1f}" for part in PARTS)
    return [
        Figure(f"files/s at 20 ms, {number} workers", made / best, how, least=0.9),
        Figure("  a file's time", sum(spent_ms.values()), f"see `tests.benchmarks.waits`: {parts} ms", unit=" ms"),
    ]


def _daemon(side: Side, number: int, _: int) -> float:
    return side.daemon(number)


def _bare(side: Side, number: int, _: int) -> float:
    return side.bare(number)


def _socket(side: Side, number: int, _: int) -> float:
    return side.bare(number, "socket")


def auto(count: int, turns: int, latencies_ms: tuple[float, ...] = (0.0, 20.0, 100.0)) -> list[Figure]:
    return [_auto(count, turns, latency_ms) for latency_ms in latencies_ms]


def _auto(count: int, turns: int, latency_ms: float) -> Figure:
    fixed = (1, 2, 4, 8) if latency_ms < 1 else (8, 16, 24, 32)
    with home() as place, sink() as server:
        side = Side(place, server, count, latency_ms)
        for number in fixed:
            side.daemon(number)
        best = max(fixed, key=lambda number: side.speeds[str(number)][0])
        side.speeds.clear()
        rounds(turns, lambda _: side.daemon("auto"), lambda _: side.daemon(best))
    speeds = side.speeds["auto"], side.speeds[str(best)]
    how = f"{median(speeds[0]):.0f} files/s; {median(speeds[1]):.0f} with {best}, the best of {fixed}"
    name = f"files/s at {latency_ms:.0f} ms, workers auto against the best fixed number"
    return Figure(name, ratio(*speeds), how, least=0.9)
