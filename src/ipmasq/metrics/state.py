"""Metrics of the gateway's own store, which keeps its state for the next process. Without one (`[state]`), or in a
group, there are no samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import Metric

from ipmasq.continuity.writer import Status
from ipmasq.metrics.made import counter, gauge


class Keeping(Protocol):
    @property
    def writing(self) -> Status | None:
        """What the store does; None before the gateway has started."""


def families(keeping: Keeping | None) -> Iterator[Metric]:
    found = keeping.writing if keeping is not None else None
    kept = {(): float(found.is_kept and not found.trouble)} if found else {}
    yield gauge("state_kept", "Whether the state is kept for the next process.", kept)
    size = {(): float(found.size)} if found else {}
    yield gauge("state_bytes", "The size of the store.", size)
    written = {(): float(found.written)} if found else {}
    yield counter("state_records", "Records that were written to the store.", written)
    failures = {(): float(found.failures)} if found else {}
    yield counter("state_failures", "Attempts to use the store that failed.", failures)
