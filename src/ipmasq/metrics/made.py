"""Makes families of metrics: one name, one meaning, samples that differ in their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Labels: TypeAlias = tuple[str, ...]

Values: TypeAlias = float | Mapping[Any, float]
"""One value, or several by the values of their labels (`Labels`)."""

PREFIX = "ipmasq_"


def gauge(name: str, meaning: str, values: Values, labels: Iterable[str] = ()) -> Metric:
    """Return what rises and falls."""
    return _filled(GaugeMetricFamily(PREFIX + name, meaning, labels=tuple(labels)), values)


def counter(name: str, meaning: str, values: Values, labels: Iterable[str] = ()) -> Metric:
    """Return counts since the start. The name gets the ending `_total`."""
    return _filled(CounterMetricFamily(PREFIX + name, meaning, labels=tuple(labels)), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in (values if isinstance(values, Mapping) else {(): values}).items():
        family.add_metric(labels, value)
    return family
