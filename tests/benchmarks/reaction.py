"""From a file's arrival to the first request for it, against `inotifywait`; and what one costs when nothing happens."""

import subprocess
import time
from pathlib import Path
from statistics import median, quantiles

from tests.benchmarks.figures import Figure
from tests.benchmarks.rig import KIB, Site, cpu_s, files, home, sink, until


class Inotifywait:
    """Tells when the kernel's own tool says that a file has come; it shares the clock of all processes."""

    def __init__(self, folder: Path) -> None:
        command = ["inotifywait", "-m", "-q", "-e", "moved_to", "--format", "%f", str(folder)]
        self._process = subprocess.Popen(["stdbuf", "-oL", *command], stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)

    def heard(self) -> tuple[str, float]:
        assert self._process.stdout
        return self._process.stdout.readline().strip(), time.monotonic()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def reaction(count: int) -> list[Figure]:
    """Whole files, renamed into the folder one at a time, with `settle = "0s"`."""
    later_ms: list[float] = []
    ours_ms: list[float] = []
    with home() as place, sink() as server:
        site = Site(place / "site", server.base_url)
        staged = sorted(path for path in files(place / "staged", count, 64 * KIB).rglob("*") if path.is_file())
        tool = Inotifywait(site.drop)
        with site.running():
            server.reset()
            for number, path in enumerate(staged):
                renamed_at = time.monotonic()
                path.rename(site.drop / path.name)
                _, heard_at = tool.heard()
                until(lambda number=number: server.stored() == number + 1, "the file", 0.02)  # type: ignore[misc]
                arrived_at = server.report()["arrivals"][path.name]
                later_ms.append((arrived_at - heard_at) * 1000)
                ours_ms.append((arrived_at - renamed_at) * 1000)
        tool.close()
    how = f"{count} files, one at a time: {median(ours_ms):.1f} ms after the rename at p50"
    return [
        Figure("first request after inotifywait, p50", median(later_ms), how, most=5, unit=" ms"),
        Figure("first request after inotifywait, p99", quantiles(later_ms, n=100)[98], how, most=25, unit=" ms"),
    ]


def idle(folders: int, seconds: float) -> list[Figure]:
    """The share of a core that watching so many directories takes while nothing happens."""
    with home() as place, sink() as server:
        site = Site(place / "site", server.base_url, folder='settle = "300ms"')
        for number in range(folders):
            (site.drop / f"{number:05}").mkdir()
        with site.running() as pid:
            time.sleep(5)  # the first scan
            before_s = cpu_s(pid)
            time.sleep(seconds)
            share = (cpu_s(pid) - before_s) / seconds
            (files(place / "new", 1, 64 * KIB) / "0000" / "0000000.png").rename(
                site.drop / f"{folders - 1:05}" / "n.png"
            )
            until(lambda: server.stored() == 1, "the new file to be reported")
    how = f"{folders:,} directories, {seconds:.0f} s; a new file in the last one was uploaded"
    return [Figure("idle, share of a core", share * 100, how, most=0.5, unit=" %")]
