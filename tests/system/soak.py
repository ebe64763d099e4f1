"""The soak: many files, every fault at once, random kills, a fixed seed: `python -m tests.system.soak [FILES] [SEED]`.

Prints what was survived as a table, and ends non-zero when a law was broken: every file stored once and rightly, not
much more sent than needed, no rule of the protocol broken.
"""

import hashlib
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from layerwatch.samples import KINDS, sample
from layerwatch.sandbox import Faults, Sandbox
from tests.system.conftest import TOKEN, Site

KIB = 1024
SHARE_MOST = 1.5  # bytes sent per byte needed


@dataclass(frozen=True)
class Outcome:
    """What a soak came to; `broken` are the laws that did not hold."""

    files: int
    kills: int
    seconds: float
    bytes_needed: int
    bytes_sent: int
    counters: Counter[str]
    broken: tuple[str, ...]

    @property
    def share(self) -> float:
        """Bytes sent per byte needed."""
        return self.bytes_sent / self.bytes_needed


def faults(seed: int, errors: float) -> Faults:
    return Faults(
        errors=errors,
        drop=0.05,
        partial=0.1,
        lost_answers=0.1,
        lazy=0.1,
        dead_sessions=0.05,
        corrupt=0.02,
        rate_limit=8,
        url_life_s=20,
        seed=seed,
    )


def drop_files(site: Site, count: int, lucky: random.Random) -> dict[str, int]:
    """Distinct files of all types, every tenth of more than one chunk; their sizes by SHA-256."""
    expected = {}
    for number in range(count):
        most = 20_000 if number % 10 == 9 else 2000
        content = sample(KINDS[number % len(KINDS)], number, lucky.randrange(most // 1000, most) * KIB)
        expected[hashlib.sha256(content).hexdigest()] = len(content)
        path = site.drop / f"batch{number % 7}" / f"{number:05}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return expected


def soak(home: Path, files: int, seed: int, kills: int, errors: float = 0.2, workers: int = 8) -> Outcome:
    """Run it below `home`; `errors` is the share of requests that are answered with a 5xx. Each kill costs a chunk
    of each upload under way: with few files, that is much."""
    lucky = random.Random(seed)
    began = time.monotonic()
    with Sandbox(token=TOKEN, faults=faults(seed, errors)) as sandbox:
        site = Site(home, sandbox)
        # Chunks are as they are for users. Of one of 256 KiB the storage keeps all or nothing: each fault would cost a
        # whole one, and "partial" be another word for "errors".
        site.configure(folder='settle = "50ms"', upload=f"max_attempts = 20\nworkers = {workers}")
        expected = drop_files(site, files, lucky)
        for _ in range(kills):
            daemon = site.start()
            time.sleep(lucky.uniform(0.8, 3.0))  # a kill asks nobody whether it is convenient
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
        last = site.start("--once")
        code = last.wait(600)
        broken = tuple(_broken(site, expected, code))
        counters = sandbox.counters
    seconds = time.monotonic() - began
    return Outcome(files, kills, seconds, sum(expected.values()), counters["bytes_received"], counters, broken)


def _broken(site: Site, expected: dict[str, int], code: int) -> list[str]:
    stored = [item for item in site.sandbox.objects if not item.corrupt]
    by_id = {item.file_id: item.sha256 for item in stored}
    counted = Counter(item.sha256 for item in stored)
    rows = site.rows()
    laws = {
        f"the last run ended with {code}": code == 0,
        f"not all uploaded: {site.statuses()}": site.statuses() == {"uploaded": len(expected)},
        "a file is not stored as it is": set(expected) <= set(counted),
        "something else is stored": set(counted) <= set(expected),
        "a file_id in the ledger is not of its content": all(by_id.get(row["file_id"]) == row["hash"] for row in rows),
        f"the protocol was broken: {site.sandbox.violations[:3]}": not site.sandbox.violations,
    }
    return [law for law, holds in laws.items() if not holds]


def table(outcome: Outcome) -> str:
    lines = [
        ("files stored once, byte for byte", f"{outcome.files}"),
        ("random kills", f"{outcome.kills}"),
        *((name.removeprefix("fault_"), str(n)) for name, n in sorted(outcome.counters.items()) if "fault_" in name),
        ("rate_limited", f"{outcome.counters['rate_limited']}"),
        ("upload URLs asked for", f"{outcome.counters['upload_url']}"),
        ("bytes sent per byte needed", f"{outcome.share:.2f} (at most {SHARE_MOST})"),
        ("seconds", f"{outcome.seconds:.0f}"),
    ]
    return "\n".join(f"{name:34} {value:>20}" for name, value in lines)


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    files, seed = (given + [300, 2026][len(given) :])[:2]
    with tempfile.TemporaryDirectory() as home:
        outcome = soak(Path(home), files, seed, kills=10)
    print(table(outcome))
    # Of few files one dead session says nothing: this law is for the long form.
    broken = (*outcome.broken, *(["too much was sent"] if outcome.share > SHARE_MOST else []))
    for law in broken:
        print(f"BROKEN: {law}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
