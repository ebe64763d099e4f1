"""Large files: bytes per second against one-pass httpx with SHA-256, and memory."""

import time
from functools import partial
from statistics import median

from tests.benchmarks.figures import Figure, ratio, rounds
from tests.benchmarks.rig import MIB, SELDOM_S, Site, files, home, reference, sink, status, until
from tests.benchmarks.throughput import Side

MOST_MIB = 80


def against_one_pass(count: int, size_mib: int, turns: int, threads: int = 4) -> list[Figure]:
    peaks_mib: list[float] = []
    with home() as place, sink() as server:
        side = Side(place, server, 1, 0.0)
        source = files(place / "large", count, size_mib * MIB, kind="mp4")

        def theirs(how: str, _: int) -> float:
            server.reset()
            began = time.monotonic()
            reference(how, threads, server.base_url, source)
            report = server.report()
            return float(report["stored_bytes"] / (report["last_at"] - max(report["first_at"], began)))

        def ours(number: int) -> float:
            site = Site(side.place / f"large{number}", server.base_url, upload=f"workers = {threads}")
            with site.running() as pid:
                server.reset()
                source.rename(site.drop / "in")
                began = time.monotonic()
                until(lambda: server.stored() == count, "all files", SELDOM_S)
                peaks_mib.append(status(pid, "VmHWM") / 1024)
                report = server.report()
            (site.drop / "in").rename(source)
            return float(report["stored_bytes"] / (report["last_at"] - began))

        mine, other, twice = rounds(turns, ours, partial(theirs, "onepass"), partial(theirs, "twopass"))
    how = f"{count} x {size_mib} MiB, {threads} threads: {median(mine) / MIB:.0f} and {median(other) / MIB:.0f} MiB/s"
    return [
        Figure("MB/s against one-pass httpx + SHA-256", ratio(mine, other), f"{how}, ours from the drop on", least=0.9),
        Figure("  httpx that reads twice, SHA-256 first", ratio(twice, other), f"{median(twice) / MIB:.0f} MiB/s"),
        Figure(
            "peak memory, large files",
            max(peaks_mib),
            f"resident, {count} x {size_mib} MiB",
            most=MOST_MIB,
            unit=" MiB",
        ),
    ]
