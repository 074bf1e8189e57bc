"""Finds limits and idle times that contradict each other, or that are too small to work with."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.config.mistakes import Mistake
from ipmasq.config.model import Config
from ipmasq.config.values import AUTO, duration_text
from ipmasq.core.policy import Behaviour, Ports

SHARES = {
    "flows_per_host": ("flows", "flows that all hosts may have together"),
    "stream_memory_per_host": ("stream_memory", "bytes that all hosts may have together"),
    "lines_per_host": ("lines", "lines that all hosts may have together"),
    "untracked_pps_per_host": (
        "untracked_pps_per_side",
        "packets that all hosts may have together",
    ),
}
"""Limits of one host, and the totals that they must not exceed."""

LEAST = {
    "flows_per_host": (64, "a web page alone opens as many connections"),
    "ports_per_host": (16, "a web page alone opens as many connections"),
    "stream_bytes": (16_384, "a long line, or a window of a control connection, does not fit"),
    "lines": (100, "every connection that a helper watches would wait for its lines"),
    "lines_per_host": (20, "every connection that a helper watches would wait for its lines"),
    "tracked_pps_per_host": (100, "a control connection would lose packets all the time"),
    "untracked_pps_per_host": (20, "a web page alone opens as many connections at once"),
    "untracked_pps_per_side": (20, "a web page alone opens as many connections at once"),
}
"""Limits below which everyday use fails, and why."""


FEWEST_PORTS = 1_024
"""A browser has a hundred connections, each with a public port; a household has several, and phones."""
FEWEST_DATA_PORTS = 16
FEWEST_SHARED_PORTS = 64
"""The least number of shared public ports, each of which serves one flow for every server."""


def unworkable(config: Config) -> Iterator[Mistake]:
    """Find such settings. Defaults are not reported."""
    yield from _shares(config)
    yield from _least(config)
    yield from _ports(config)
    yield from _memory(config)
    yield from _timeouts(config)


def _shares(config: Config) -> Iterator[Mistake]:
    limits, ports = config.limits, config.gateway.ports
    for key, (whole, words) in SHARES.items():
        mine, all_ = getattr(limits, key), getattr(limits, whole)
        if key in limits.model_fields_set and mine and all_ and mine > all_:
            yield ("limits", key), f"{mine:,} is more than the {all_:,} {words} ({whole})"
    mine = limits.ports_per_host
    if mine and ports != AUTO and mine > ports.size:
        yield ("limits", "ports_per_host"), f"{mine:,} is more than the {ports.size:,} of {ports}"


def _least(config: Config) -> Iterator[Mistake]:
    for key, (least, words) in LEAST.items():
        value = getattr(config.limits, key)
        if value and value < least:
            yield ("limits", key), f"{value} is very few: {words}"


def _ports(config: Config) -> Iterator[Mistake]:
    gateway = config.gateway
    sharing = gateway.mapping is Behaviour.ADDRESS_AND_PORT_DEPENDENT
    fewest = FEWEST_SHARED_PORTS if sharing else FEWEST_PORTS
    if gateway.ports != AUTO and gateway.ports.size < fewest:
        what = "flows to one server" if sharing else "flows of all inside hosts together"
        message = (
            f"{_counted(gateway.ports)} for {what}, of each protocol: what is beyond is refused;"
            ' a household needs thousands, as ports = "auto" gives'
        )
        yield ("gateway", "ports"), message
    if gateway.data_ports and gateway.data_ports.size < FEWEST_DATA_PORTS:
        message = (
            f"{_counted(gateway.data_ports)} for the data connections of all inside hosts together"
        )
        yield ("gateway", "data_ports"), message


def _counted(ports: Ports) -> str:
    return f"{ports.size:,} port is all" if ports.size == 1 else f"{ports.size:,} ports are all"


def _memory(config: Config) -> Iterator[Mistake]:
    """Check the smallest share of memory that the file has."""
    limits = config.limits
    for key in ("stream_memory", "stream_memory_per_host"):
        value = getattr(limits, key)
        if value and value < 2 * limits.stream_bytes:
            message = (
                f"{value:,} is less than both directions of one connection may need"
                f" (twice stream_bytes, {2 * limits.stream_bytes:,})"
            )
            yield ("limits", key), message


def _timeouts(config: Config) -> Iterator[Mistake]:
    timeouts = config.timeouts
    for key in ("tcp_opening", "tcp_closing"):
        value = getattr(timeouts, key)
        if key in timeouts.model_fields_set and value > timeouts.tcp_established:
            message = (
                f"{duration_text(value)} is longer than an established connection has"
                f" (tcp_established, {duration_text(timeouts.tcp_established)})"
            )
            yield ("timeouts", key), message
