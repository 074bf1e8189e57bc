"""Metrics of helpers, each with the label `helper`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from ipmasq.core.engine import Engine
from ipmasq.core.views import HelperView
from ipmasq.metrics.made import counter, gauge

COUNTERS: tuple[tuple[str, str, Callable[[HelperView], int]], ...] = (
    ("flows_bound", "Flows that it has inspected.", lambda view: view.bound),
    ("lines", "Lines that it was given.", lambda view: view.inspected),
    ("rewritten_lines", "Lines that it rewrote.", lambda view: view.rewritten),
    ("expectations", "Flows that it expected.", lambda view: view.expected),
    ("expectations_met", "Expected flows that arrived.", lambda view: view.met),
    (
        "kept_alive",
        "How often a data flow kept a control flow alive.",
        lambda view: view.kept_alive,
    ),
    ("failures", "How often its code raised.", lambda view: view.failed),
)

MOST_REFUSALS = 32
"""Reasons of refusals that are distinguished for each helper; the rarest beyond that are one, `other`."""


def families(engine: Engine) -> Iterator[Metric]:
    views = engine.helpers()
    watching = {(view.name,): view.watching for view in views}
    yield gauge("helper_flows", "Flows that it inspects now.", watching, ["helper"])
    for name, meaning, of in COUNTERS:
        yield counter(
            f"helper_{name}", meaning, {(view.name,): of(view) for view in views}, ["helper"]
        )
    text = "Announcements and lines that were refused."
    refused = {
        (view.name, reason): count for view in views for reason, count in _refusals(view).items()
    }
    yield counter("helper_refusals", text, refused, ["helper", "reason"])


def _refusals(view: HelperView) -> dict[str, int]:
    """Return the refusals by reason. A helper's reasons are few, unless it is written badly."""
    ordered = sorted(view.refused.items(), key=lambda item: -item[1])
    found = dict(ordered[:MOST_REFUSALS])
    if rest := sum(count for _, count in ordered[MOST_REFUSALS:]):
        found["other"] = found.get("other", 0) + rest
    return found
