"""Commits per uploaded file, one by one and under load; and whether `max_bandwidth` holds."""

import struct
import time
from pathlib import Path

from tests.benchmarks.figures import Figure
from tests.benchmarks.rig import KIB, MIB, Site, files, home, sink, until

_FRAME_HEAD, _WAL_HEAD = 24, 32


def commits(wal: Path) -> int:
    """How many frames of a write-ahead log end a transaction; it must not have been begun anew since."""
    raw = wal.read_bytes()
    page_size, salt = struct.unpack(">I", raw[8:12])[0], raw[16:24]
    heads = (raw[at : at + _FRAME_HEAD] for at in range(_WAL_HEAD, len(raw), _FRAME_HEAD + page_size))
    return sum(head[8:16] == salt and struct.unpack(">I", head[4:8])[0] > 0 for head in heads)


def commits_per_file(count: int) -> list[Figure]:
    """The log is folded in only once it has 4 MiB: few enough files are dropped for it to hold them all."""
    found = []
    for name, workers in (("one worker", 1), ("8 workers at once", 8)):
        with home() as place, sink() as server:
            site = Site(place / "site", server.base_url, upload=f"workers = {workers}")
            staged = files(place / "staged", count, 64 * KIB)
            with site.running():
                wal = site.ledger.with_name("ledger.db-wal")
                before = commits(wal)
                staged.rename(site.drop / "in")
                until(lambda site=site: site.uploaded() == count, "all records", 0.05)  # type: ignore[misc]
                made = commits(wal) - before
        assert made > 0
        how = f"{count} x 64 KiB: {made} commits, all with synchronous=FULL"
        found.append(Figure(f"commits per uploaded file, {name}", made / count, how, most=4))
    return found


def bandwidth(seconds: float, workers: tuple[int, ...] = (1, 8), rate_mb: int = 20) -> list[Figure]:
    """How far what arrives is from `max_bandwidth`, in per cent, over so many seconds."""
    found = []
    for number in workers:
        with home() as place, sink() as server:
            upload = f'workers = {number}\nmax_bandwidth = "{rate_mb}MB/s"\nchunk_size = "1MiB"'
            site = Site(place / "site", server.base_url, upload=upload)
            count = int(rate_mb * (seconds + 10) / 8) + 1
            staged = files(place / "staged", count, 8 * MIB, kind="mp4")
            with site.running():
                staged.rename(site.drop / "in")
                until(lambda server=server: server.received() > 0, "the first bytes")  # type: ignore[misc]
                time.sleep(1)
                began, before = time.monotonic(), server.received()
                time.sleep(seconds)
                rate = (server.received() - before) / (time.monotonic() - began)
        off = abs(rate / (rate_mb * 1e6) - 1) * 100
        how = f"{rate / 1e6:.1f} of {rate_mb} MB/s over {seconds:.0f} s"
        found.append(Figure(f"max_bandwidth, off by, {number} workers", off, how, most=10, unit=" %"))
    return found
