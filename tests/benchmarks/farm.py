"""Several daemons on one PostgreSQL ledger, against one, and against SQLite."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Event as Begin
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from statistics import median

from layerwatch.ledger import FolderState, Ledger, Version
from layerwatch.source import Digest, Identity
from layerwatch.states import Event
from tests.benchmarks.figures import Figure, ratio, rounds
from tests.benchmarks.rig import KIB, WORKSPACE, Sink, Site, cpu_s, files, home, sink, until
from tests.benchmarks.throughput import SIZE, speed
from tests.postgres import Server

WORKERS = 2  # of each daemon: so that their answers are waited for, and not a processor
HOSTS = 4
SETTLED_S = 3.0  # until each has found its place


def farm(count: int, turns: int) -> list[Figure]:
    """How a farm grows, and what a file costs it."""
    with Server() as postgres:
        return [*_growth(postgres, count, turns), *_cost(postgres, count, turns), *_claims(postgres, count, turns)]


def _growth(postgres: Server, count: int, turns: int) -> list[Figure]:
    with home() as place, sink() as server:
        run = partial(_farm_speed, postgres, place, server, count)
        several, one = rounds(turns, lambda _: run(HOSTS), lambda _: run(1))
    how = f"{count} x 64 KiB, {WORKERS} workers each: {median(several):.0f} and {median(one):.0f} files/s"
    return [Figure(f"files/s at 20 ms, {HOSTS} hosts against one", ratio(several, one), how, least=3.5)]


def _farm_speed(postgres: Server, place: Path, server: Sink, count: int, hosts: int) -> float:
    with _database(postgres) as url, ExitStack() as daemons:
        here = place / f"farm{time.monotonic_ns()}"
        shared = here / "shared"
        shared.mkdir(parents=True)
        sites = [_host(here / f"host{number}", server, url, shared) for number in range(hosts)]
        staged = files(here / "staged", count, SIZE)
        for site in sites:
            daemons.enter_context(_running(site))
        time.sleep(SETTLED_S)
        server.reset(20.0)
        staged.rename(shared / "in")
        until(lambda: server.stored() == count, "all files", 0.05)
        return speed(server)


def _host(place: Path, server: Sink, url: str, shared: Path) -> Site:
    site = Site(place, server.base_url, upload=f"workers = {WORKERS}")
    text = site.config.read_text().replace(f'path = "{site.drop}"', f'path = "{shared}"')
    site.config.write_text(text.replace(f'path = "{site.ledger}"', f'url = "{url}"\nhost = "{place.name}"'))
    return site


@contextmanager
def _running(site: Site) -> Iterator[int]:
    with site.log.open("wb") as log:
        process = subprocess.Popen(site.command("run"), stdout=log, stderr=log, env=site.environment)
    try:
        until(lambda: b'"connected"' in site.log.read_bytes() or process.poll() is not None, "the daemon", 0.05)
        if process.poll() is not None:
            raise RuntimeError(site.log.read_text())
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _database(postgres: Server) -> Iterator[str]:
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def _cost(postgres: Server, count: int, turns: int) -> list[Figure]:
    """Processor time of one daemon, on either engine; that of the database's server is not in it."""
    with home() as place, sink() as server:

        def theirs(_: int) -> float:
            with _database(postgres) as url:
                here = place / f"one{time.monotonic_ns()}"
                shared = here / "shared"
                shared.mkdir(parents=True)
                return _cpu_ms(_host(here / "host", server, url, shared), server, shared, count)

        def ours(_: int) -> float:
            site = Site(place / f"lite{time.monotonic_ns()}", server.base_url, upload=f"workers = {WORKERS}")
            return _cpu_ms(site, server, site.drop, count)

        far, near = rounds(turns, theirs, ours)
    how = f"{count} x 64 KiB: {median(far):.2f} and {median(near):.2f} ms"
    return [Figure("CPU per file, PostgreSQL against SQLite", ratio(far, near), how)]


def _cpu_ms(site: Site, server: Sink, drop: Path, count: int) -> float:
    staged = files(site.place / "staged", count, SIZE)
    with _running(site) as pid:
        time.sleep(SETTLED_S)
        server.reset()
        before_s = cpu_s(pid)
        staged.rename(drop / "in")
        until(lambda: server.stored() == count, "all files", 0.05)
        time.sleep(0.5)
        return (cpu_s(pid) - before_s) / count * 1000


# --- claims -----------------------------------------------------------------------------------------------------------


def _claims(postgres: Server, count: int, turns: int) -> list[Figure]:
    """A claim and its end, with nothing in between: each durable, by so many processes."""
    found = []
    for processes in (1, HOSTS):

        def on_postgres(_: int, processes: int = processes) -> float:
            with _database(postgres) as url:
                return _claimed_per_s(url, count, processes)

        def on_sqlite(number: int, processes: int = processes) -> float:
            with home() as place:
                return _claimed_per_s(str(place / f"{number}.db"), count, processes)

        far, near = rounds(turns, on_postgres, on_sqlite)
        how = f"{median(far):.0f} and {median(near):.0f} files/s, {processes} processes"
        found.append(
            Figure(f"claims per second, PostgreSQL against SQLite, {processes} at once", ratio(far, near), how)
        )
    return found


def _claimed_per_s(place: str, count: int, processes: int) -> float:
    with Ledger(place) as ledger:
        ledger.facts.folder("drop", "/drop", FolderState.WATCHING, 0.0, detail="", mount=None)
        ledger.files.record([_version(number) for number in range(count)], 0.0)
    context = get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    workers = [context.Process(target=_claim_all, args=(place, ready, go)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    began = time.monotonic()
    go.set()
    for worker in workers:
        worker.join()
    took_s = time.monotonic() - began
    with Ledger(place) as ledger:
        assert ledger.reports.counts()["uploaded"] == count
    return count / took_s


def _version(number: int) -> Version:
    digest = Digest(f"{number:064x}", number)
    return Version("drop", f"/drop/{number}.png", Identity(64 * KIB, number, number), "image/png", digest)


def _claim_all(place: str, ready: Semaphore, go: Begin) -> None:
    with Ledger(place) as ledger:
        ready.release()
        go.wait()
        while job := ledger.files.claim(ledger.new_claim(), WORKSPACE, time.time()):
            ledger.files.uploaded(
                job, Event.STORED, time.time(), file_id=f"f{job.id}", workspace_id=WORKSPACE, verified="crc32c"
            )
    sys.exit(0)
