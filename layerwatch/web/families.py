"""Families of metrics, as Prometheus calls one name with all of its labels."""

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX = "layerwatch_"
Values = Iterable[tuple[tuple[str, ...], float]]  # the values of the labels, and the number


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", text, value=float(value))


def counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}{name}", text, value=float(value))  # the library adds _total


def gauges(name: str, text: str, labels: Iterable[str], values: Values) -> Metric:
    return _labelled(GaugeMetricFamily(f"{PREFIX}{name}", text, labels=tuple(labels)), values)


def counters(name: str, text: str, labels: Iterable[str], values: Values) -> Metric:
    return _labelled(CounterMetricFamily(f"{PREFIX}{name}", text, labels=tuple(labels)), values)


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in values:
        family.add_metric(labels, float(value))
    return family
