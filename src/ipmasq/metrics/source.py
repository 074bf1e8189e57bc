"""What is measured: a gateway, and the parts that count for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Protocol, TypeAlias

from prometheus_client.core import Metric

from ipmasq.core.engine import Engine
from ipmasq.gateway.availability import Availability
from ipmasq.gateway.health import Health, Reloads
from ipmasq.gateway.latency import Latency
from ipmasq.metrics.counting import FlowCounts
from ipmasq.metrics.state import Keeping
from ipmasq.offload.offload import Offloader
from ipmasq.planes.fastpath import Counter

Steps: TypeAlias = Iterator[Metric | None]
"""Families of metrics, and None where there is none yet: packets have their turn after each."""


class Offloading(Protocol):
    @property
    def offloader(self) -> Offloader: ...


class RunningGateway(Protocol):
    @property
    def engine(self) -> Engine: ...

    @property
    def offloading(self) -> Offloading: ...

    @property
    def keeping(self) -> Keeping | None: ...

    @property
    def availability(self) -> Availability | None: ...

    @property
    def latency(self) -> Latency: ...

    @property
    def reloads(self) -> Reloads: ...

    def health(self) -> Health: ...

    def fast_path(self) -> Iterable[Counter]:
        """See `ipmasq.control.gateway.RunningGateway`."""


class Outlet(Protocol):
    """A target of the translation log."""

    @property
    def name(self) -> str: ...

    @property
    def written(self) -> int: ...

    @property
    def lost(self) -> int: ...


Outlets: TypeAlias = Callable[[], Sequence[Outlet]]


@dataclass
class Source:
    gateway: RunningGateway
    outlets: Outlets = tuple
    """Returns the targets of the translation log."""
    flows: FlowCounts = field(default_factory=FlowCounts)
    began: float = field(default_factory=time)
    """When the metrics began, in seconds since 1970."""
    refused_connections: int = 0
    """Scrapers that were refused, since too many were connected."""
