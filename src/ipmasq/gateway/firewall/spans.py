"""Addresses and ports of firewall rules as ranges of numbers, among which one is found by bisection.

A set of nftables may have tens of thousands of elements (the networks of a country), and is asked for each published
server.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

ORDERED = frozenset(("saddr", "daddr", "dport"))
"""The keys of conditions whose values are addresses, networks, ports or ranges of ports."""


class Span(NamedTuple):
    """`low` to `high`, both included."""

    low: int
    high: int


class Spans:
    """A set of numbers."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, spans: Collection[Span]) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in sorted(spans):
            if self._lows and low <= self._highs[-1] + 1:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def overlap(self, sought: Span) -> bool:
        """Return whether any number of `sought` is in the set."""
        at = bisect_right(self._lows, sought.high) - 1
        return at >= 0 and self._highs[at] >= sought.low

    def contain(self, sought: Span) -> bool:
        """Return whether all numbers of `sought` are in the set."""
        at = bisect_right(self._lows, sought.low) - 1
        return at >= 0 and self._highs[at] >= sought.high


@lru_cache(1024)
def read_span(key: str, text: str) -> Span | None:
    """Return what an address, network, port or range of ports covers; None if it is none."""
    if key not in ORDERED:
        return None
    try:
        return _ports(text) if key == "dport" else _addresses(text)
    except ValueError:  # such as the name of a service
        return None


def read_spans(key: str, values: Collection[str]) -> Spans | None:
    """Return the values of a condition; None if one cannot be read, or they are of another kind."""
    if key not in ORDERED:
        return None
    try:
        return Spans([_ports(each) if key == "dport" else _addresses(each) for each in values])
    except ValueError:
        return None


def _ports(text: str) -> Span:
    first, _, last = text.partition("-")
    return Span(int(first), int(last or first))


def _addresses(text: str) -> Span:
    network = ip_network(text, strict=False)
    family = network.version << 128  # so that addresses of both families are different numbers
    return Span(family + int(network.network_address), family + int(network.broadcast_address))
