"""What Prometheus is told: well formed, named as it should be, true, and cheap to ask for."""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from layerwatch import __version__
from layerwatch.board import Flight
from layerwatch.errors import Code, Final
from layerwatch.ledger import FolderState, Ledger
from layerwatch.meters import BUCKETS_S
from layerwatch.web.metrics import answer
from tests.ledger.builders import (
    RULE,
    T0,
    claimed,
    faulted,
    queue,
    record,
    running,
    scans,
    sqlite_connection,
    version,
    watched,
)
from tests.ledgers import new_ledger
from tests.web.sights import Daemon, folder, hold

DAY_S = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path.resolve() / "ledger.db")


@pytest.fixture
def ledger(path: str) -> Iterator[Ledger]:
    with new_ledger(path, durable=False) as ledger:
        yield watched(ledger)


@pytest.fixture
def daemon(path: str) -> Daemon:
    return Daemon(path)


def scrape(daemon: Daemon, ledger: Ledger | None) -> dict[str, Metric]:
    """All families, by name as it is written; each is there once."""
    text = answer(daemon.sight(), ledger).body.decode()
    written = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(written) == len(set(written))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = [(sample.name, *sorted(sample.labels.items())) for each in families.values() for sample in each.samples]
    assert len(samples) == len(set(samples)), "each series is there once"
    return families


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    (found,) = (
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == f"layerwatch_{name}" and sample.labels == labels
    )
    return float(found)


def values(families: dict[str, Metric], name: str, label: str) -> dict[str, float]:
    """By that label; what is 0 is left out."""
    family = families[f"layerwatch_{name}"]
    return {sample.labels[label]: sample.value for sample in family.samples if sample.value}


@pytest.fixture
def busy(daemon: Daemon, ledger: Ledger) -> dict[str, Metric]:
    """Something of everything."""
    daemon.folders = [folder(), folder("away", FolderState.AWAY), folder("new", None)]
    daemon.hold, daemon.daily, daemon.now = hold(Code.RATE_LIMITED), 500.0, T0 + 60
    daemon.board.flights[1] = Flight("/drop/a.png", "drop", 1000, 0.0, sent=400)
    for waited_s in (0.1, 7.0, 1e6):
        daemon.tell("uploaded", size=100, reused=False, waited_s=waited_s)
    daemon.tell("failed", error_code="rejected")
    record(ledger, version())
    queue(ledger, "b")
    ledger.following.completed(running(ledger, price=3.0), [], 2.5, None, T0 + 5, deliver=False)
    ledger.facts.folder_scanned("drop", 0, T0 + 30)
    return scrape(daemon, ledger)


# --- the form ---------------------------------------------------------------------------------------------------------

# As `promtool check metrics` has them.
TYPES = ("gauge", "counter", "summary", "untyped", "histogram")
ABBREVIATED = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d")
NOT_BASE = re.compile(
    r"_(pico|nano|micro|milli|centi|deci|deca|hecto|kilo|kibi|mega|mibi|giga|gibi|tera|tebi|peta|pebi)?"
    r"(minutes?|hours?|days?|weeks?|bits?|fahrenheit|percent|ounces|pounds|feet|inches|kilobytes|megabytes"
    r"|milliseconds|microseconds|nanoseconds)(_|$)"
)


def faults(family: Metric) -> list[str]:
    """What its linter would say of it."""
    name, kind = family.name, family.type
    written = {sample.name for sample in family.samples}
    labels = {label for sample in family.samples for label in sample.labels}
    reserved = name.endswith(("_bucket", "_count", "_sum")) or labels & {"le", "quantile"}
    checks = {
        "no help text": not family.documentation,
        f"type {kind}": kind not in ("gauge", "counter", "histogram"),
        "counter metrics should have _total suffix": kind == "counter" and written != {f"{name}_total"},
        "non-counter metrics should not have _total suffix": kind != "counter" and name.endswith("_total"),
        "reserved for histograms and summaries": kind != "histogram" and reserved,
        "metric name should not include type": any(re.search(f"_{word}(_|$)", name) for word in TYPES),
        "no abbreviated units": any(re.search(f"_{unit}(_|$)", name) for unit in ABBREVIATED),
        "use base units": NOT_BASE.search(name),
        "written in snake case": any(re.search("[a-z][A-Z]|:", each) for each in (name, *labels)),
        "not one of ours": not re.fullmatch(r"(layerwatch|process)_[a-z0-9_]+", name),
    }
    return [check for check, is_fault in checks.items() if is_fault]


def test_every_family_is_as_the_linter_wants_it(busy: dict[str, Metric]) -> None:
    assert {name: found for name, family in busy.items() if (found := faults(family))} == {}
    assert len(busy) > 30


def test_the_linter_would_find_what_is_wrong() -> None:
    wrong = {
        "layerwatch_uploads": ("counter", "help"),
        "layerwatch_files_total": ("gauge", "help"),
        "layerwatch_wait_ms": ("gauge", "help"),
        "layerwatch_age_hours": ("gauge", "help"),
        "layerwatch_queue_gauge": ("gauge", "help"),
        "layerwatch_queueAge": ("gauge", "help"),
        "layerwatch_nothing": ("gauge", ""),
        "files": ("gauge", "help"),
        "layerwatch_files_count": ("gauge", "help"),
    }
    for name, (kind, text) in wrong.items():
        family = Metric(name, text, kind)
        family.add_sample(name, {}, 1.0)
        assert faults(family), name


def test_the_form_is_the_one_that_is_announced(daemon: Daemon, ledger: Ledger) -> None:
    told = answer(daemon.sight(), ledger)
    assert (told.status, told.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert told.body.endswith(b"\n")


def test_the_histogram_is_cumulative_and_agrees_with_itself(busy: dict[str, Metric]) -> None:
    family = busy["layerwatch_drop_to_uploaded_seconds"]
    buckets = [(float(each.labels["le"]), each.value) for each in family.samples if each.name.endswith("_bucket")]
    assert [bound for bound, _ in buckets] == list(BUCKETS_S)
    counts = [count for _, count in buckets]
    assert counts == sorted(counts)
    assert dict(buckets)[0.5] == 1
    assert (dict(buckets)[5.0], dict(buckets)[10.0], dict(buckets)[86_400.0], counts[-1]) == (1, 2, 2, 3)
    assert value(busy, "drop_to_uploaded_seconds_count") == counts[-1]
    assert math.isclose(value(busy, "drop_to_uploaded_seconds_sum"), 1_000_007.1)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_daemon_is_told(busy: dict[str, Metric]) -> None:
    assert value(busy, "build_info", version=__version__) == 1
    assert value(busy, "start_time_seconds") == T0
    assert value(busy, "healthy") == 0
    assert values(busy, "hold", "reason") == {"rate_limited": 1}
    assert (value(busy, "in_flight_files"), value(busy, "in_flight_unsent_bytes")) == (1, 600)
    for state in FolderState:
        assert value(busy, "folder_state", folder="drop", state=state) == (state is FolderState.WATCHING)
        assert value(busy, "folder_state", folder="away", state=state) == (state is FolderState.AWAY)
        assert value(busy, "folder_state", folder="new", state=state) == 0
    assert value(busy, "folder_deaf", folder="drop") == 0
    assert busy["process_resident_memory_bytes"].samples[0].value > 1e6
    assert busy["process_cpu_seconds"].type == "counter"


def test_what_was_counted_is_told(busy: dict[str, Metric]) -> None:
    assert (value(busy, "uploaded_files_total"), value(busy, "uploaded_bytes_total")) == (3, 300)
    assert values(busy, "upload_failures", "reason") == {"rejected": 1}
    assert value(busy, "upload_retries_total", reason="network") == 0, "there from the start: a rise can be seen"


def test_the_ledger_is_told(busy: dict[str, Metric]) -> None:
    assert value(busy, "ledger_readable") == 1
    assert values(busy, "files", "status") == {"uploaded": 2}
    assert values(busy, "generations", "status") == {"complete": 1}
    assert value(busy, "queue_oldest_age_seconds") == 0
    assert value(busy, "folder_last_scan_timestamp_seconds", folder="drop") == T0 + 30
    assert value(busy, "creative_units_charged_total", folder="drop", rule=RULE) == 2.5
    assert (value(busy, "creative_units_booked_today"), value(busy, "creative_units_daily_limit")) == (2.5, 500)


def test_the_age_of_the_queue_is_that_of_its_oldest_file(daemon: Daemon, ledger: Ledger) -> None:
    record(ledger, version()._replace(seen_at=T0 - 10))
    daemon.now = T0 + 20
    assert value(scrape(daemon, ledger), "queue_oldest_age_seconds") == 30
    daemon.now = T0 - 3600  # the clock was set back
    assert value(scrape(daemon, ledger), "queue_oldest_age_seconds") == 0


def test_only_what_was_booked_today_counts_as_todays(daemon: Daemon, ledger: Ledger) -> None:
    queue(ledger, "a", "b")
    running(ledger, T0, 3.0)
    daemon.now = T0 + DAY_S
    assert value(scrape(daemon, ledger), "creative_units_booked_today") == 0
    running(ledger, T0 + DAY_S, 4.0)
    assert value(scrape(daemon, ledger), "creative_units_booked_today") == 4
    assert "layerwatch_creative_units_daily_limit" not in scrape(daemon, ledger)


def test_the_disk_is_told(daemon: Daemon, ledger: Ledger, path: str) -> None:
    families = scrape(daemon, ledger)
    assert value(families, "ledger_size_bytes") == Path(path).stat().st_size
    assert value(families, "ledger_wal_bytes") == Path(f"{path}-wal").stat().st_size > 0
    assert value(families, "ledger_free_bytes") > 0


def test_without_a_ledger_the_rest_is_told(daemon: Daemon, ledger: Ledger) -> None:
    everything, rest = scrape(daemon, ledger).keys(), scrape(daemon, None)
    assert (value(rest, "ledger_readable"), value(rest, "healthy")) == (0, 0)
    assert everything - rest.keys() == {
        f"layerwatch_{name}"
        for name in (
            "files",
            "generations",
            "queue_oldest_age_seconds",
            "folder_last_scan_timestamp_seconds",
            "creative_units_charged",
            "creative_units_booked_today",
        )
    }


def test_a_ledger_that_has_trouble_is_as_none(daemon: Daemon, ledger: Ledger) -> None:
    sqlite_connection(ledger).execute("DROP TABLE folders")
    families = scrape(daemon, ledger)
    assert value(families, "ledger_readable") == 0
    assert "layerwatch_files" not in families


def test_no_counter_ever_goes_down(daemon: Daemon, ledger: Ledger) -> None:
    """Not even where Layer, or somebody at the ledger, takes something back."""
    queue(ledger, "a")
    ledger.following.completed(running(ledger, price=3.0), [], 2.5, None, T0 + 5, deliver=False)
    daemon.tell("uploaded", size=100, reused=False, waited_s=1.0)
    before = counters(scrape(daemon, ledger))
    sqlite_connection(ledger).execute("UPDATE generations SET price = 1")
    record(ledger, version())
    faulted(ledger, claimed(ledger), Final(Code.REJECTED, "no"))
    for _ in range(2):
        after = counters(scrape(daemon, ledger))
        assert after.keys() >= before.keys()
        assert {series: (before[series], after[series]) for series in before if after[series] < before[series]} == {}


def counters(families: dict[str, Metric]) -> dict[tuple[object, ...], float]:
    kinds = ("counter", "histogram")
    samples = [sample for family in families.values() if family.type in kinds for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}


def test_nobody_elses_words_are_labels(daemon: Daemon, ledger: Ledger) -> None:
    odd = 'a"\n\\x{evil="1"}'
    daemon.hold = hold(odd, odd)
    daemon.folders = [folder(state=FolderState.AWAY, detail=odd)]
    daemon.board.flights[1] = Flight(odd, "drop", 10, 0.0)
    daemon.tell("failed", error_code=odd, path=odd)
    record(ledger, version(f"/drop/{odd}.png"))
    families = scrape(daemon, ledger)
    assert "evil" not in answer(daemon.sight(), ledger).body.decode()
    assert values(families, "hold", "reason") == {"other": 1}


# --- what it costs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistics", [False, True])
def test_a_scrape_walks_through_nothing_but_indexes_that_are_counted(
    daemon: Daemon, ledger: Ledger, statistics: bool
) -> None:
    queue(ledger, "a", "b", "c")
    ledger.following.completed(running(ledger, price=3.0), [], 2.5, None, T0 + 5, deliver=False)
    record(ledger, version())
    if statistics:
        sqlite_connection(ledger).execute("ANALYZE")
    walked = scans(ledger, lambda ledger: answer(daemon.sight(), ledger))
    assert set(walked) == {
        "SCAN files USING COVERING INDEX files_found",  # by its pages
        "SEARCH files USING COVERING INDEX files_status (status=?)",  # those that are not uploaded
        "SCAN generations USING COVERING INDEX generations_status",
        "SCAN generations USING COVERING INDEX generations_charged",
        "SCAN earlier_bookings",  # what was fired anew: few
        "SEARCH files USING INDEX files_status (status=?)",  # the first few, in the index's order
    }


def test_to_import_it_starts_no_thread_and_no_server() -> None:
    script = (
        "import os, threading\n"
        "import layerwatch.web.metrics\n"
        "print(threading.active_count(), sum('socket:' in os.readlink(f'/proc/self/fd/{fd}')"
        " for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]


def test_what_needs_no_page_does_not_pay_for_the_library() -> None:
    script = "import sys, layerwatch.daemon, layerwatch.meters, layerwatch.web.sight, layerwatch.web.health\n"
    script += "print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
