"""All families of metrics, in their order. docs/metrics.md has every one of them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import HistogramMetricFamily, InfoMetricFamily, Metric

from ipmasq.core.reasons import Reason
from ipmasq.gateway.latency import BOUNDS, Histogram
from ipmasq.metrics import fast_path, group, helpers, state, usage
from ipmasq.metrics.made import PREFIX, counter, gauge
from ipmasq.metrics.source import Source, Steps

_VERSIONS = {"version": version("ipmasq"), "python": platform.python_version()}
_process = ProcessCollector(registry=None)


def families(source: Source) -> Steps:
    """Yield everything, in short steps."""
    yield from _gateway(source)
    yield from _flows(source)
    yield from usage.families(source.gateway.engine)
    yield from _packets(source)
    yield from helpers.families(source.gateway.engine)
    yield from fast_path.families(source.gateway)
    yield from state.families(source.gateway.keeping)
    yield from group.families(source.gateway.availability)
    yield from _times(source)
    yield from _health(source)
    yield from _translation_log(source)
    yield from _process.collect()


def _gateway(source: Source) -> Iterator[Metric]:
    health = source.gateway.health()
    said = {**_VERSIONS, "plane": health.plane}
    yield InfoMetricFamily(PREFIX + "build", "The versions, and the plane that is in use.", said)
    text = "When the counting of events began, in seconds since 1970."
    yield gauge("start_time_seconds", text, source.began)
    reloads = source.gateway.reloads
    successful = 1 - reloads.last_refused
    text = "Whether the last reload was applied (1) or refused (0)."
    yield gauge("config_last_reload_successful", text, successful)
    results = {("applied",): reloads.applied, ("refused",): reloads.refused}
    yield counter("config_reloads", "Reloads of the configuration.", results, ["result"])


def _flows(source: Source) -> Iterator[Metric]:
    engine = source.gateway.engine
    yield gauge("flows", "Flows that are alive.", engine.table.count)
    yield gauge("flows_limit", "Flows that may be alive.", engine.policy.limits.flows)
    opened = {(origin,): count for origin, count in source.flows.opened.items()}
    yield counter("flows_opened", "Flows by what let them in.", opened, ["origin"])
    closed = {(reason.name.lower(),): count for reason, count in source.flows.closed.items()}
    yield counter("flows_closed", "Flows by why they ended.", closed, ["reason"])
    yield gauge("expectations", "Flows that helpers expect.", len(engine.manager.expectations))


def _packets(source: Source) -> Iterator[Metric]:
    engine = source.gateway.engine
    handled, dropped = (
        {
            (reason.name.lower(),): engine.counts[reason]
            for reason in Reason
            if reason < Reason.IDLE and reason.is_drop is drop
        }
        for drop in (False, True)
    )
    text = "Packets that the engine forwarded or kept, by outcome; not those of the fast path."
    yield counter("packets", text, handled, ["reason"])
    yield counter("dropped_packets", "Packets that the engine dropped.", dropped, ["reason"])
    errors, resets = engine.answered
    answers = {("icmp_error",): errors, ("reset",): resets}
    yield counter("answers", "Answers to inside hosts for dropped packets.", answers, ["kind"])


def _times(source: Source) -> Iterator[Metric]:
    latency = source.gateway.latency
    text = "Time of the engine for a packet, of a sample of all packets."
    engine = HistogramMetricFamily(PREFIX + "engine_packet_seconds", text)
    _add(engine, (), latency.engine)
    yield engine
    text = "Time of a helper for a line."
    lines = HistogramMetricFamily(PREFIX + "helper_line_seconds", text, labels=["helper"])
    for name, histogram in latency.helpers.items():
        _add(lines, (name,), histogram)
    yield lines


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], found: Histogram) -> None:
    bounds = (*map(str, BOUNDS), "+Inf")
    family.add_metric(labels, list(zip(bounds, accumulate(found.counts), strict=True)), found.sum)


def _translation_log(source: Source) -> Iterator[Metric]:
    outlets = source.outlets()
    written = {(outlet.name,): outlet.written for outlet in outlets}
    text = "Records of the translation log that were written."
    yield counter("translation_log_records", text, written, ["target"])
    lost = {(outlet.name,): outlet.lost for outlet in outlets}
    text = "Records of the translation log that were lost."
    yield counter("translation_log_lost_records", text, lost, ["target"])


def _health(source: Source) -> Iterator[Metric]:
    health, engine = source.gateway.health(), source.gateway.engine
    text = "Events that no listener took in time."
    yield counter("events_lost", text, engine.lost_events)
    text = "Lines that the log left out, as there were too many like them."
    yield counter("log_lines_suppressed", text, health.lines_left_out)
    yield counter("failures", "Internal errors, after which the gateway went on.", health.failures)
    yield counter("unsent_packets", "Packets that the kernel did not accept.", health.unsent)
    text = "Kernel settings, rules and routes that were found changed and restored."
    yield counter("settings_restored", text, health.settings_restored)
    yield gauge("settings_wrong", "Those that cannot be restored.", health.settings_wrong)
    text = "What in the host's firewall obstructs the gateway."
    yield gauge("firewall_obstructions", text, health.obstructions)
    text = "Connections to the metrics that were refused, as there were too many."
    yield counter("scrape_connections_refused", text, source.refused_connections)
