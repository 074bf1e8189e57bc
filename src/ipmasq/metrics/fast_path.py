"""Metrics of the fast path. Without one, its size is 0."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from ipmasq.metrics.made import Labels, counter, gauge
from ipmasq.metrics.source import RunningGateway


def families(gateway: RunningGateway) -> Iterator[Metric]:
    offloader = gateway.offloading.offloader
    yield gauge("fast_path_flows", "Flows in the fast path's table.", offloader.entered)
    yield gauge("fast_path_flows_limit", "Flows for which it has room.", offloader.room)
    yield counter("fast_path_packets", "Packets that it forwarded.", offloader.tally.packets)
    yield counter("fast_path_bytes", "Bytes that it forwarded.", offloader.tally.bytes)
    text = "Flows for which it had no room."
    yield counter("fast_path_refused_flows", text, offloader.refused)
    passed, dropped = _counters(gateway)
    text = "Packets that its programs passed on, to the next program or to the engine."
    yield counter("fast_path_passed_packets", text, passed, ["hook", "reason"])
    text = "Packets beyond the limits, dropped before the engine."
    yield counter("fast_path_dropped_packets", text, dropped, ["side", "limit"])


def _counters(gateway: RunningGateway) -> tuple[dict[Labels, float], dict[Labels, float]]:
    """Return what was passed on, by hook and reason, and what was dropped, by side and limit. The names are
    those of `ipmasq show stats`: `tc.no_entry`, `dropped.inside.openings`."""
    passed: dict[Labels, float] = {}
    dropped: dict[Labels, float] = {}
    for each in gateway.fast_path():
        match each.name.split("."):
            case ["dropped", side, limit]:
                dropped[side, limit] = each.value
            case [hook, reason]:
                passed[hook, reason] = each.value
    return passed, dropped
