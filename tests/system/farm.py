"""The farm: several daemons, one folder, one PostgreSQL ledger, and chaos: `python -m tests.system.farm [--files N]`.

While files arrive, daemons are killed and started again, stopped for longer than their lease and woken up, cut off from
the database; and that is restarted. Then nobody lends a hand: ends non-zero unless every file is uploaded, stored once
and rightly, every generation fired once, and none is unknown but those that somebody had in hand who was gone.
"""

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from layerwatch.samples import KINDS, sample
from layerwatch.sandbox import Faults, Sandbox
from layerwatch.sandbox.catalogue import MODELS
from tests.postgres import Server
from tests.starts import Process, Start, executed
from tests.system.conftest import TOKEN, Site, until
from tests.system.cuttable import Cuttable

KIB = 1024
PAINTED = "_paint.png"  # what the rule matches: every fifth file
TWIN = 10  # one in so many has the content of another one
LARGE = 15  # one in so many takes several chunks
PATIENCE_S = 180.0
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
HANDS = """
SELECT path AS what, status FROM files WHERE status <> 'uploaded' OR claim IS NOT NULL
UNION ALL SELECT path, 'to be planned' FROM files WHERE status = 'uploaded' AND planning IS NOT NULL
UNION ALL SELECT 'g' || id, status FROM generations WHERE status NOT IN ('complete', 'unknown') OR claim IS NOT NULL
"""


@dataclass
class Host:
    """One machine of the farm: a daemon, and its own way to the database."""

    name: str
    config: Path
    log: Path
    proxy: Cuttable
    environment: dict[str, str]
    started: Start = executed
    process: Process | None = None

    def start(self, **environment: str) -> None:
        with self.log.open("ab") as log:
            out, environment = log.fileno(), self.environment | environment
            self.process = self.started(["run", "-c", str(self.config)], environment, out, out)

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self) -> int:
        """How it ended."""
        assert self.process
        return self.process.wait(60)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Farm:
    """Hosts below `home` that share `server`, a folder and a sandbox; none runs yet. For a `with` block."""

    def __init__(
        self, home: Path, sandbox: Sandbox, server: Server, *, hosts: int, lease: str = "20s", started: Start = executed
    ) -> None:
        self.site = Site(home, sandbox)
        self.sandbox = sandbox
        self.drop = self.site.drop
        self._server = server
        self._url = server.url(server.create())
        self._started = started
        self._open = ExitStack()
        self.hosts = [self._host(f"node{number}", lease) for number in range(hosts)]

    def _host(self, name: str, lease: str) -> Host:
        proxy = self._open.enter_context(Cuttable(self._server.port))
        url = self._url.replace(f":{self._server.port}/", f":{proxy.port}/")
        ledger = f'url = "{url}"\nhost = "{name}"\nlease = "{lease}"'
        self.site.configure(folder=f'settle = "100ms"\n{RULE}', upload='workers = 2\nchunk_size = "256KiB"')
        text = self.site.config.read_text().replace(f'path = "{self.site.ledger}"', ledger)
        config = self.site.home / f"{name}.toml"
        config.write_text(text)
        config.chmod(0o600)
        return Host(name, config, self.site.home / f"{name}.log", proxy, self.site.environment(), self._started)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            if host.process and host.process.poll() is None:
                host.process.kill()
                host.process.wait()
        self._open.close()

    def start(self) -> None:
        for host in self.hosts:
            host.start()
        until(lambda: len(self.at_work()) == len(self.hosts) and self.watcher(), "everybody, and one who watches")

    # --- what there is, past all proxies ------------------------------------------------------------------------------

    def ask(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """What the database says; nothing before there is a ledger."""
        with closing(psycopg.connect(self._url, autocommit=True, row_factory=dict_row)) as connection:
            connection.execute("SET search_path = layerwatch")
            try:
                return connection.execute(statement.encode(), values).fetchall()
            except psycopg.errors.UndefinedTable:
                return []

    def present(self) -> list[str]:
        return [row["name"] for row in self.ask("SELECT name FROM hosts")]

    def at_work(self) -> list[str]:
        """Those that have begun, which takes a moment: who is only present has nothing to do yet."""
        return [row["name"] for row in self.ask("SELECT name FROM hosts WHERE workers > 0")]

    def watcher(self) -> Host | None:
        """Who watches the folder; an error where several do."""
        held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 19544 AND granted AND pid = backend"
        names = {row["name"] for row in self.ask(f"SELECT name FROM hosts WHERE watches <> '[]' AND EXISTS ({held})")}
        assert len(names) <= 1, names
        return next((host for host in self.hosts if host.name in names), None)

    def holders(self) -> list[Host]:
        """Who has a file or a generation in hand."""
        held = "SELECT claim FROM files UNION SELECT claim FROM generations"
        rows = self.ask(f"SELECT pid FROM hosts JOIN ({held}) AS held ON split_part(claim, '/', 1) = instance")
        pids = {row["pid"] for row in rows}
        return [host for host in self.hosts if host.process and host.pid in pids]

    def submitting(self, host: Host) -> set[int]:
        """The generations that this host pays for just now."""
        asked = "SELECT id FROM generations JOIN hosts ON split_part(claim, '/', 1) = instance"
        return {row["id"] for row in self.ask(f"{asked} WHERE status = 'submitting' AND hosts.pid = %s", host.pid)}

    def statuses(self) -> dict[str, int]:
        rows = self.ask("SELECT status, count(*) AS n FROM files GROUP BY status")
        return {row["status"]: row["n"] for row in rows}

    def in_hand(self) -> list[dict[str, Any]]:
        """What is not done, or still claimed; results are files, too, and not to be uploaded."""
        return [row for row in self.ask(HANDS) if row["status"] != "skipped"]


@dataclass
class Chaos:
    """What happens to a farm, at random from a seed."""

    farm: Farm
    server: Server
    lucky: random.Random
    lease_s: float
    expected: dict[str, str] = field(default_factory=dict)  # SHA-256 by path
    excused: set[int] = field(default_factory=set)  # generations that somebody had in hand who was gone
    done: Counter[str] = field(default_factory=Counter)
    _asleep: dict[str, float] = field(default_factory=dict)
    _contents: list[bytes] = field(default_factory=list)

    def live_through(self, files: int, deeds: Sequence[str]) -> None:
        """Files come, and one deed after the other is done meanwhile."""
        deeds = self.lucky.sample(deeds, len(deeds))
        for number, deed in enumerate(deeds):
            self._drop(files * (number + 1) // len(deeds))
            time.sleep(self.lucky.uniform(0.1, self.lease_s / 8))  # chaos asks nobody whether it is convenient
            self._wake_up()
            self._do(deed)
        while self._asleep:
            self._wake_up()
            time.sleep(0.05)

    def _do(self, deed: str) -> None:
        self.done[deed] += 1
        if deed == "restart":
            self.server.restart(immediate=self.lucky.random() < 0.5)
            return
        while not (awake := [host for host in self.farm.hosts if host.name not in self._asleep]):
            self._wake_up()
            time.sleep(0.05)
        busy = self.farm.holders()
        host = self.lucky.choice([host for host in awake if host in busy] or awake)
        if deed == "cut":
            host.proxy.cut()
            return
        host.signal(signal.SIGSTOP)
        time.sleep(0.05)  # what it has just told the server to do
        self.excused |= self.farm.submitting(host)
        if deed == "stop":
            self._asleep[host.name] = time.monotonic() + 1.7 * self.lease_s
            return
        host.signal(signal.SIGKILL)
        host.wait()
        host.start()

    def _wake_up(self) -> None:
        """Those that were stopped for long enough."""
        for host in self.farm.hosts:
            if self._asleep.get(host.name, float("inf")) < time.monotonic():
                del self._asleep[host.name]
                host.signal(signal.SIGCONT)

    def _drop(self, upto: int) -> None:
        for number in range(len(self.expected), upto):
            painted = number % 5 == 0
            path = self.farm.drop / f"batch{number % 7}" / (f"{number:05}" + (PAINTED if painted else ""))
            content = self._content(number, "png" if painted else KINDS[number % len(KINDS)])
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            self.expected[str(path)] = hashlib.sha256(content).hexdigest()

    def _content(self, number: int, kind: str) -> bytes:
        if self._contents and kind != "png" and self.lucky.randrange(TWIN) == 0:
            return self.lucky.choice(self._contents)
        most = 1500 if number % LARGE == 7 else 100
        content = sample(kind, number, self.lucky.randrange(2, most) * KIB)
        self._contents = [*self._contents[-20:], content]
        return content

    def is_over(self) -> bool:
        """Whether all is done, without a hand."""
        uploaded = self.farm.statuses().get("uploaded", 0)
        return uploaded >= len(self.expected) and not self.farm.in_hand()

    # --- the laws -----------------------------------------------------------------------------------------------------

    def broken(self) -> Iterator[str]:
        """Those that do not hold, once all is done."""
        farm, sandbox = self.farm, self.farm.sandbox
        ended = [host.process.poll() for host in farm.hosts if host.process]
        if any(code is not None for code in ended):
            yield f"daemons have ended by themselves: {ended}"
        rows = farm.ask("SELECT path, hash, status, file_id FROM files WHERE status <> 'skipped'")
        stored = {item.file_id: item.sha256 for item in sandbox.objects}
        twice = [sha256 for sha256, n in Counter(stored.values()).items() if n > 1]
        made = farm.ask("SELECT id, path, status, remote_id FROM generations")
        unknown = {row["id"] for row in made if row["status"] == "unknown"}
        fired = Counter(each.body["session_name"].split(" ", 2)[2] for each in sandbox.generations)
        painted = {path for path in self.expected if path.endswith(PAINTED)}
        complete = [row["remote_id"] for row in made if row["status"] == "complete"]
        laws = {
            "another version than what was dropped": {row["path"]: row["hash"] for row in rows} == self.expected,
            f"statuses {farm.statuses()}": {row["status"] for row in rows} == {"uploaded"},
            "a file_id is not of its content": all(stored.get(row["file_id"]) == row["hash"] for row in rows),
            "something else is stored": set(stored.values()) == set(self.expected.values()),
            f"{len(twice)} contents are stored twice": not twice,
            "not one generation for each file that matches": Counter(row["path"] for row in made) == Counter(painted),
            f"fired twice: {fired.most_common(1)}": max(fired.values(), default=0) == 1,
            "complete without having been fired": set(complete) <= {each.id for each in sandbox.generations},
            f"unknown for no reason: {sorted(unknown - self.excused)}": unknown <= self.excused,
            f"the protocol was broken: {sandbox.violations[:3]}": not sandbox.violations,
        }
        yield from (law for law, holds in laws.items() if not holds)
        yield from self._not_ended_well()

    def _not_ended_well(self) -> Iterator[str]:
        for host in self.farm.hosts:
            host.signal(signal.SIGTERM)
        codes = [host.wait() for host in self.farm.hosts]
        if any(codes):
            yield f"daemons ended with {codes}"
        died = [host.name for host in self.farm.hosts if "Traceback" in host.said()]
        if died:
            yield f"a bug, see the logs of {died}"
        if left := [name for name in self.farm.present() if name not in self._killed()]:
            yield f"still there: {left}"

    def _killed(self) -> set[str]:
        return {host.name for host in self.farm.hosts} if self.done["kill"] else set()


@dataclass(frozen=True)
class Outcome:
    """What a farm came to; `broken` are the laws that did not hold."""

    files: int
    deeds: Counter[str]
    seconds: float
    generations: dict[str, int]
    resumed: int
    lost_claims: int
    broken: tuple[str, ...]


def chaos(
    home: Path,
    server: Server,
    *,
    files: int,
    deeds: Sequence[str],
    hosts: int = 4,
    lease_s: float = 4.0,
    seed: int = 7,
    started: Start = executed,
) -> Outcome:
    """Live through it below `home`."""
    began = time.monotonic()
    faults = Faults(latency_s=0.05, slow_s=0.5, bandwidth=KIB * KIB)
    with (
        Sandbox(token=TOKEN, balance=1e9, faults=faults) as sandbox,
        Farm(home, sandbox, server, hosts=hosts, lease=f"{lease_s}s", started=started) as farm,
    ):
        farm.start()
        one = Chaos(farm, server, random.Random(seed), lease_s)
        one.live_through(files, deeds)
        _wait(one.is_over)
        left = farm.in_hand()
        broken = (*([f"not done: {left[:5]}"] if left else []), *one.broken())
        made = farm.ask("SELECT status, count(*) AS n FROM generations GROUP BY status")
        (resumed,) = farm.ask("SELECT count(*) AS n FROM history WHERE event = 'recovered'")
        lost = sum(host.said().count('"lost_claim"') for host in farm.hosts)
    seconds = time.monotonic() - began
    generations = {row["status"]: row["n"] for row in made}
    return Outcome(files, one.done, seconds, generations, resumed["n"], lost, broken)


def _wait(condition: Callable[[], bool]) -> None:
    """Until it holds, or the patience is over: then the laws say what is missing."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)


def table(outcome: Outcome) -> str:
    lines = [
        ("files uploaded, stored once", f"{outcome.files}"),
        *((f"deeds: {name}", str(n)) for name, n in sorted(outcome.deeds.items())),
        ("generations", json.dumps(outcome.generations)),
        ("uploads taken over", f"{outcome.resumed}"),
        ("claims lost to others", f"{outcome.lost_claims}"),
        ("seconds", f"{outcome.seconds:.0f}"),
        *(("BROKEN", law) for law in outcome.broken),
    ]
    return "\n".join(f"{name:34} {value:>20}" for name, value in lines)


def deeds(kills: int, stops: int, cuts: int, restarts: int) -> list[str]:
    return ["kill"] * kills + ["stop"] * stops + ["cut"] * cuts + ["restart"] * restarts


def main() -> None:
    parser = argparse.ArgumentParser(description="Several daemons, one ledger, and chaos.")
    parser.add_argument("--files", type=int, default=2000, help="how many [2000]")
    parser.add_argument("--seed", type=int, default=7, help="of the chaos [7]")
    given = parser.parse_args()
    times = max(given.files // 100, 2)
    with tempfile.TemporaryDirectory() as home, Server(durable=True) as server:
        outcome = chaos(
            Path(home), server, files=given.files, deeds=deeds(times, times, 2 * times, times // 4 + 1), seed=given.seed
        )
    print(table(outcome))
    sys.exit(1 if outcome.broken else 0)


if __name__ == "__main__":
    main()
