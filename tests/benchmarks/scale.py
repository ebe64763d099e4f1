"""What a large ledger and a large folder cost: against a small ledger, and against the bare walk."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median

from layerwatch.ledger import Ledger, seconds
from tests.benchmarks.figures import Figure, ratio, rounds
from tests.benchmarks.rig import KIB, SELDOM_S, Sink, Site, cpu_s, files, home, sink, status, until
from tests.benchmarks.waits import SIGHT

IMPORTS = "import layerwatch.daemon, layerwatch.config, layerwatch.cli.screen, layerwatch.checkup"


def filled(path: Path, rows: int) -> None:
    """A ledger with so many uploaded files in a folder that is configured no more, a thousand to a directory."""
    Ledger(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        names = "folder, path, dir, size, mtime_ns, inode, hash, crc32c, content_type, status, workspace_id, file_id,"
        names += " verified, created_at, updated_at, uploaded_at, found"
        marks = ", ".join("?" * len(names.split(",")))
        connection.executemany(f"INSERT INTO files ({names}) VALUES ({marks})", _rows(rows))
        connection.executemany(
            "INSERT INTO history (item, item_id, at, event, status) VALUES ('file', ?, ?, ?, ?)", _history(rows)
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        at = f"2026-01-{number % 28 + 1:02}T00:00:00.000000Z"
        directory = f"/srv/old/{number // 1000:05}"
        sha256 = hashlib.sha256(str(number).encode()).hexdigest()
        yield (
            "old", f"{directory}/{number:07}.png", directory, 1000, number, number, sha256, number, "image/png",
            "uploaded", "w", f"f{number}", "crc32c", at, at, at, number,
        )  # fmt: skip


def _history(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        at = f"2026-01-{number % 28 + 1:02}T00:00:00.000000Z"
        for event, state in (("seen", "queued"), ("claimed", "uploading"), ("stored", "uploaded")):
            yield number + 1, at, event, state


def cost_per_file(rows: tuple[int, int], count: int, turns: int) -> list[Figure]:
    """Processor time a file with a large ledger against a small one."""
    with home() as place, sink() as server:
        sites = [Site(place / str(size), server.base_url) for size in rows]
        for site, size in zip(sites, rows, strict=True):
            filled(site.ledger, size)

        def cost(site: Site, number: int) -> float:
            staged = files(site.place / f"staged{number}", count, 16 * KIB, first=number * count)
            with site.running() as pid:
                server.reset()
                before_s = cpu_s(pid)
                staged.rename(site.drop / f"in{number}")
                until(lambda: server.stored() == count, "all files", SELDOM_S)
                time.sleep(0.5)
                return (cpu_s(pid) - before_s) / count * 1000

        small, large = rounds(turns, lambda number: cost(sites[0], number), lambda number: cost(sites[1], number))
    how = f"{rows[1]:,} and {rows[0]:,} rows: {median(large):.2f} and {median(small):.2f} ms"
    return [Figure("cost per file with a large ledger against a small one", ratio(large, small), how, most=1.2)]


def status_of_many(rows: tuple[int, int], turns: int) -> list[Figure]:
    """How much longer `layerwatch status` takes with a large ledger."""
    with home() as place:
        sites = [Site(place / str(size), "http://127.0.0.1:9") for size in rows]
        for site, size in zip(sites, rows, strict=True):
            filled(site.ledger, size)
        quick, slow = rounds(turns, lambda _: asked(sites[0]), lambda _: asked(sites[1]))
    how = f"{rows[1]:,} and {rows[0]:,} rows: {median(slow):.3f} and {median(quick):.3f} s"
    longer_ms = median(large - small for small, large in zip(quick, slow, strict=True)) * 1000
    return [Figure("status with a large ledger, longer by", longer_ms, how, most=100, unit=" ms")]


def asked(site: Site) -> float:
    """Seconds that `layerwatch status` takes."""
    began = time.monotonic()
    subprocess.run(site.command("status", "--json"), env=site.environment, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


WALK = """
import hashlib, os, sys, time
began, hashed, count = time.monotonic(), sys.argv[2] == "hash", 0
waiting = [sys.argv[1]]
while waiting:
    with os.scandir(waiting.pop()) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            status = entry.stat(follow_symlinks=False)
            count += status.st_size > 0
            if hashed:
                with open(entry.path, "rb", buffering=0) as file:
                    hashlib.sha256(file.read()).hexdigest()
print(time.monotonic() - began)
"""


def bare(folder: Path, how: str) -> float:
    """Seconds that the plainest walk takes, with a SHA-256 of each file or without."""
    done = subprocess.run([sys.executable, "-c", WALK, str(folder), how], capture_output=True, text=True, check=True)
    return float(done.stdout)


def backlog(count: int, turns: int) -> list[Figure]:
    """First sight of a full folder, what is kept in memory of it, and the restart on it."""
    with home() as place, sink() as server:
        server.reset(latency_ms=600_000)  # nothing is to be uploaded: what counts here is what comes before
        source = files(place / "full", count, 64 * KIB)
        first: list[float] = []
        walked: list[float] = []
        peaks_mib: list[float] = []
        for number in range(turns):
            site = Site(place / f"site{number}", server.base_url, upload="workers = 1", folder='settle = "0s"')
            walked.append(bare(source, "hash"))
            source.rename(site.drop / "in")
            took_s, peak_mib = _first_sight(site, count)
            first.append(took_s)
            peaks_mib.append(peak_mib)
            if number < turns - 1:
                (site.drop / "in").rename(source)
        rescans, bare_walks, hashed = _restarts(site, count, turns, server)
        (site.drop / "in").rename(source)
        spent_ms = _sight(Site(place / "timed", server.base_url, upload="workers = 1"), source, count)
    imports_mib = _imports_mib()
    return [
        Figure("first sight of a full folder, rows/s against the bare walk + SHA-256",
               ratio([1 / each for each in first], [1 / each for each in walked]),
               f"{count:,} x 64 KiB: {median(first):.1f} and {median(walked):.1f} s", least=0.5),
        Figure("  a file's time", sum(spent_ms.values()) * 1000, "see `tests.benchmarks.waits`: "
               + ", ".join(f"{part} {spent_ms[part] * 1000:.0f}" for part in SIGHT) + " us", unit=" us"),
        Figure("memory above imports with a backlog", max(peaks_mib) - imports_mib,
               f"{count:,} files: {max(peaks_mib):.0f} MiB at the peak, {imports_mib:.0f} for imports",
               most=60, unit=" MiB"),
        Figure("restart on a known folder: scan against the bare walk", ratio(rescans, bare_walks),
               f"{count:,} files: {median(rescans):.2f} and {median(bare_walks):.2f} s", most=2),
        Figure("bytes hashed again at a restart", float(hashed), "rows whose history grew", most=0),
    ]  # fmt: skip


# When the scan of a folder began and ended, by the daemon's own stamps: who asks all the time competes with what is
# measured, and who asks seldom sees it late.
SCANNED = "SELECT updated_at, scanned_at FROM folders WHERE state = 'watching' AND scanned_at > updated_at"


def _first_sight(site: Site, count: int) -> tuple[float, float]:
    """Seconds from the start of the scan to the last row, and the peak of memory in MiB."""
    with _daemon(site) as pid:
        until(lambda: _ask(site, SCANNED), "the scan to end", SELDOM_S)
        until(lambda: site.ask("SELECT count(*) FROM files")[0][0] >= count, "a row for every file", SELDOM_S)
        ((began, ended),) = site.ask("SELECT updated_at, (SELECT max(created_at) FROM files) FROM folders")
        return seconds(ended) - seconds(began), status(pid, "VmHWM") / 1024


def _sight(site: Site, source: Path, count: int) -> dict[str, float]:
    """Where the time of a file goes at first sight, in milliseconds; see `waits`."""
    report = site.place / "waits.json"
    source.rename(site.drop / "in")
    with _daemon(site, [sys.executable, "-m", "tests.benchmarks.waits", str(report), "run", "-c", str(site.config)]):
        until(lambda: _ask(site, SCANNED), "the scan to end", SELDOM_S)
        until(lambda: site.ask("SELECT count(*) FROM files")[0][0] >= count, "a row for every file", SELDOM_S)
        return dict(json.loads(report.read_text())["sight"])


def _restarts(site: Site, count: int, turns: int, server: Sink) -> tuple[list[float], list[float], int]:
    """Seconds of the scan at a restart beside those of the bare walk, and how many rows were recorded anew."""
    before = site.ask("SELECT count(*) FROM history WHERE event = 'seen'")[0][0]

    def scan(_: int) -> float:
        with _daemon(site):
            until(lambda: _ask(site, SCANNED), "the scan to end", SELDOM_S)
            ((began, ended),) = site.ask(SCANNED)
            return seconds(ended) - seconds(began)

    rescans, walks = rounds(turns, scan, lambda _: bare(site.drop, "walk"))
    after = site.ask("SELECT count(*) FROM history WHERE event = 'seen'")[0][0]
    assert site.ask("SELECT count(*) FROM files")[0][0] == count
    assert server.received() == server.stored() == 0, "something was uploaded meanwhile"
    return rescans, walks, int(after - before)


@contextmanager
def _daemon(site: Site, command: list[str] | None = None) -> Iterator[int]:
    """`layerwatch run`, or another `command` that does the same, from its first moment to a sudden end; its process id.
    Nothing is known of an earlier one."""
    if site.ledger.exists():
        with closing(sqlite3.connect(site.ledger, timeout=30)) as connection, connection:
            connection.execute("UPDATE folders SET state = 'away'")
    with site.log.open("wb") as log:
        process = subprocess.Popen(command or site.command("run"), stdout=log, stderr=log, env=site.environment)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _ask(site: Site, sql: str) -> list[tuple[str, str]]:
    """Nothing, too, while there is no ledger, or it has no tables."""
    with suppress(sqlite3.OperationalError):
        return site.ask(sql) if site.ledger.exists() else []
    return []


def _imports_mib() -> float:
    code = f"{IMPORTS}\nimport os\nprint([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    return int(done.stdout) / 1024
