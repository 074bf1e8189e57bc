"""The answer to a scrape: a text of all metrics, which is made in short steps between packets.

It is made at most once a second, however many scrapers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from ipmasq.metrics.source import Steps

FRESH = 1.0
"""Seconds for which a document is given to further scrapers."""

END = b"# EOF\n"
"""The end of an OpenMetrics document, which the library appends to each part."""


class Format(NamedTuple):
    content_type: str
    render: Callable[[Collector], bytes]
    end: bytes


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", exposition.generate_latest, b"")
OPENMETRICS = Format(openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest, END)


def wanted(accept: str) -> Format:
    """Return the format for the `Accept` header of a request: the older text unless OpenMetrics is named."""
    kinds = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
    return OPENMETRICS if "application/openmetrics-text" in kinds else TEXT


@dataclass
class _One(Collector):
    """A registry with one family."""

    family: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.family


class Document:
    """The document of one format. `steps` begins to collect the families."""

    def __init__(
        self, format: Format, steps: Callable[[], Steps], clock: Callable[[], float]
    ) -> None:
        self.format = format
        self.content = b""
        """The latest one."""
        self._steps = steps
        self._clock = clock
        self._made = float("-inf")
        self._making: Steps | None = None
        self._parts: list[bytes] = []

    @property
    def is_fresh(self) -> bool:
        return self._clock() < self._made + FRESH

    def work(self) -> bool:
        """Do one step. Return whether the document is complete."""
        self._making = self._making or self._steps()
        try:
            family = next(self._making)
        except StopIteration:
            self.content = b"".join(self._parts) + self.format.end
            self._making, self._parts, self._made = None, [], self._clock()
            return True
        except BaseException:
            self._making, self._parts = None, []
            raise
        if family is not None:
            self._parts.append(self.format.render(_One(family)).removesuffix(self.format.end))
        return False
