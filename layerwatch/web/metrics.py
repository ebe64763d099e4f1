"""`/metrics` for Prometheus: what the ledger holds, what the daemon shows of itself, what it has counted since it
started, and what the process costs.

Labels are words of ours, or names that the configuration was checked for: never a path, never what a server said.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from math import isinf
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from layerwatch import __version__
from layerwatch.config import PUSHED
from layerwatch.errors import Code, LedgerTrouble
from layerwatch.ledger import FolderState, Ledger, iso, seconds
from layerwatch.meters import BUCKETS_S, DELIVERIES, OTHER, OUTCOMES, Readings
from layerwatch.web import health
from layerwatch.web.answer import Answer
from layerwatch.web.families import PREFIX, counter, counters, gauge, gauges
from layerwatch.web.sight import Sight

if TYPE_CHECKING:
    from layerwatch.ledger.postgres.hosts import HostRow

_REASONS = (*map(str, Code), OTHER)


def answer(sight: Sight, ledger: Ledger | None) -> Answer:
    """All of it, in the text format. What the ledger would have to tell is left out where it cannot be asked."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(sight, ledger))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder("")
    return Answer(200, content_type, encode(registry))


@dataclass(frozen=True, eq=False)
class _Metrics(Collector):
    """What is told to one who asks once."""

    sight: Sight
    ledger: Ledger | None

    def collect(self) -> Iterator[Metric]:
        now = self.sight.meters.read()
        for part in (_daemon(self.sight), _uploads(now), _troubles(now), _flights(self.sight), _folders(self.sight)):
            yield from part
        yield gauge("healthy", "Whether /healthz finds nothing wrong.", not health.reasons(self.sight, self.ledger))
        if self.sight.settings().ledger.url is None:
            yield from _disk(self.sight.settings().ledger.path)
        told = self._of_the_ledger()
        yield gauge("ledger_readable", "Whether the ledger could be asked for this answer.", bool(told))
        yield from told

    def _of_the_ledger(self) -> list[Metric]:
        """All of it or, where it has trouble, nothing: what is left out cannot mislead, and `/healthz` tells why."""
        if self.ledger is None:
            return []
        try:
            return [*_counts(self.sight, self.ledger), *_units(self.sight, self.ledger), *_hosts(self.ledger.hosts())]
        except LedgerTrouble:
            return []


# --- the daemon -------------------------------------------------------------------------------------------------------


def _daemon(sight: Sight) -> Iterator[Metric]:
    yield InfoMetricFamily(f"{PREFIX}build", "The version that runs.", value={"version": __version__})
    yield gauge("start_time_seconds", "When the daemon started, in seconds since 1970.", sight.started_at)
    hold = sight.hold()
    reason = None if hold is None else _known(hold.code)
    held = (((each,), float(each == reason)) for each in _REASONS)
    yield gauges("hold", "1 for the reason that everything waits for now, if it does.", ("reason",), held)


def _known(code: str) -> str:
    return code if code in _REASONS else OTHER


def _flights(sight: Sight) -> Iterator[Metric]:
    flights = sight.board.now()
    yield gauge("in_flight_files", "Files being uploaded now.", len(flights))
    unsent = sum(max(flight.size - flight.sent, 0) for flight in flights)
    yield gauge("in_flight_unsent_bytes", "What is still to be sent of the files being uploaded now.", unsent)


def _folders(sight: Sight) -> Iterator[Metric]:
    folders = sight.folders()
    states = (((each.name, str(state)), float(each.state is state)) for each in folders for state in FolderState)
    yield gauges("folder_state", "1 for the state that the folder is in.", ("folder", "state"), states)
    deaf = (((each.name,), float(each.deaf)) for each in folders)
    text = "Whether the kernel should report what happens in the folder, or in a part of it, and does not."
    yield gauges("folder_deaf", text, ("folder",), deaf)


def _disk(path: str) -> Iterator[Metric]:
    """Of what cannot be found out there is no number."""
    real = os.path.realpath(path)
    for name, text, of in (
        ("ledger_size_bytes", "How large the ledger is, without its write-ahead log.", real),
        ("ledger_wal_bytes", "How large the ledger's write-ahead log is.", f"{real}-wal"),
    ):
        try:
            yield gauge(name, text, os.stat(of).st_size)
        except FileNotFoundError:
            yield gauge(name, text, 0)
        except OSError:
            continue
    try:
        disk = os.statvfs(os.path.dirname(real))
    except OSError:
        return
    yield gauge("ledger_free_bytes", "What is left on the ledger's disk.", disk.f_bavail * disk.f_frsize)


# --- what it has counted ----------------------------------------------------------------------------------------------


def _uploads(now: Readings) -> Iterator[Metric]:
    yield counter(
        "uploaded_files", "Files uploaded, those of which Layer had the content included.", now.uploaded_files
    )
    yield counter("reused_files", "Files uploaded without sending them: Layer had the content.", now.reused_files)
    yield counter("uploaded_bytes", "Bytes of the files that were uploaded by sending them.", now.uploaded_bytes)
    for name, text, counted in (
        ("upload_retries", "Uploads that met a fault and were put back in the queue.", now.retries),
        ("upload_failures", "Files that failed, and are not tried again by themselves.", now.failures),
        ("skipped_files", "Files that were found, and are not to be uploaded.", now.skipped),
        ("push_refusals", "Files that were pushed, and are not there to be uploaded.", now.pushes_refused),
    ):
        yield counters(name, text, ("reason",), (((reason,), counted[reason]) for reason in _REASONS))
    text = "From when a file lay there as it is, as far as layerwatch saw, until it was uploaded."
    names = ["+Inf" if isinf(bound) else str(bound) for bound in BUCKETS_S]
    buckets = list(zip(names, accumulate(now.waits), strict=True))
    yield HistogramMetricFamily(f"{PREFIX}drop_to_uploaded_seconds", text, buckets, now.waited_s)


def _troubles(now: Readings) -> Iterator[Metric]:
    yield counter("event_overflows", "Times that a folder was looked through for lost events.", now.overflows)
    yield counter("clock_jumps", "Times that the clock was set, or the machine slept.", now.clock_jumps)
    yield counter("ledger_troubles", "Times that the ledger could not be used.", now.ledger_troubles)
    outcomes = (((outcome,), now.outcomes[outcome]) for outcome in OUTCOMES)
    yield counters("generation_outcomes", "Generations by how they ended.", ("outcome",), outcomes)
    tried = (((outcome,), now.deliveries[outcome]) for outcome in DELIVERIES)
    yield counters("deliveries", "Commands run and webhooks called, by what came of it.", ("outcome",), tried)


# --- what the ledger holds --------------------------------------------------------------------------------------------


def _counts(sight: Sight, ledger: Ledger) -> Iterator[Metric]:
    files, made = ledger.reports.counts(), ledger.stories.counts()
    yield gauges("files", "Files in the ledger.", ("status",), (((key,), n) for key, n in files.items()))
    yield gauges("generations", "Generations in the ledger.", ("status",), (((key,), n) for key, n in made.items()))
    oldest = ledger.gauges.oldest_queued([PUSHED, *(folder.name for folder in sight.settings().folders)])
    age_s = max(sight.wall() - oldest.since, 0.0) if oldest else 0.0
    yield gauge("queue_oldest_age_seconds", "How long the file has waited that is queued for longest.", age_s)
    scans = (((each.name,), seconds(each.scanned_at)) for each in ledger.facts.folders() if each.scanned_at)
    text = "When the folder was last looked through to its end, in seconds since 1970."
    yield gauges("folder_last_scan_timestamp_seconds", text, ("folder",), scans)


def _units(sight: Sight, ledger: Ledger) -> Iterator[Metric]:
    settings = sight.settings()
    configured = {(folder.name, rule.name): 0.0 for folder in settings.folders for rule in folder.rules}
    charged = sight.meters.charged(configured | ledger.gauges.charged())
    text = "Creative Units that Layer has charged, ever."
    yield counters("creative_units_charged", text, ("folder", "rule"), charged.items())
    booked = sum(row.booked for row in ledger.stories.spend(_today(sight.wall())))
    text = "Creative Units held against the budget since the day began, UTC."
    yield gauge("creative_units_booked_today", text, booked)
    if settings.budget.daily is not None:
        yield gauge("creative_units_daily_limit", "What the budget allows for a day.", settings.budget.daily)


def _hosts(hosts: "list[HostRow]") -> Iterator[Metric]:
    """Those that share the ledger; of several daemons with one name, the one heard of last."""
    if not hosts:
        return
    latest = {host.name: host for host in sorted(hosts, key=lambda host: host.seen_at)}
    about = (((host.name, host.version), float(host.alive)) for host in latest.values())
    text = "The daemons that share the ledger: 1 for one that is alive, 0 for one that was not heard of for too long."
    yield gauges("host_info", text, ("host", "version"), about)
    seen = (((name,), seconds(host.seen_at)) for name, host in latest.items())
    text = "When the daemon was last heard of, by the clock of the database's server, in seconds since 1970."
    yield gauges("host_last_seen_timestamp_seconds", text, ("host",), seen)
    uploading = (((name,), float(host.uploading)) for name, host in latest.items())
    yield gauges("host_uploading_files", "Files that the daemon is uploading now.", ("host",), uploading)


def _today(now: float) -> str:
    """When the day of `now` (unix seconds) began, UTC, as the ledger writes times."""
    began = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return iso(began.timestamp())
