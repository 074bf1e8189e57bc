"""New flows per second of the engine: a port found, entries made, told about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ipmasq.core.policy import Forward, PortRange
from ipmasq.core.side import Side
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint, to_address
from ipmasq.wire.tcp import SYN
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import POLICY, PUBLIC, Sent, datagram, ends, engine, play, segment

FLOWS = 20_000

SHARE = 60_000
"""Flows of the server that is flooded."""


@bench("engine.new")
def new(runs: int) -> Iterator[Figure]:
    yield Figure("engine.new.cps", "flows/s", fresh(udp, runs))
    yield Figure("engine.new.tcp.cps", "flows/s", fresh(tcp, runs))
    yield Figure(
        "engine.new.flood.cps", "flows/s", fresh(flood, runs), ratio_to="engine.new.tcp.cps"
    )


def udp(runs: int) -> list[float]:
    """By one datagram each."""
    return _rates([Sent(datagram(*ends(number)), Side.INSIDE) for number in range(FLOWS)], runs)


def tcp(runs: int) -> list[float]:
    """By one SYN each."""

    def syn(client: Endpoint, server: Endpoint) -> bytes:
        return segment(client, server, 1, 0, SYN)

    return _rates([Sent(syn(*ends(number)), Side.INSIDE) for number in range(FLOWS)], runs)


def flood(runs: int) -> list[float]:
    """By forged SYNs to a published server that has as many flows as it may have: the oldest one is evicted for each."""
    server = Forward("web", ipv4.TCP, None, PortRange(443, 443), to_address("10.0.0.3"), 443)
    limits = replace(POLICY.limits, flows_per_host=SHARE)
    policy = replace(POLICY, forwards=(server,), limits=limits)

    def syn(number: int) -> Sent:
        stranger = Endpoint(to_address("198.51.100.1"), 1024 + number % 60_000)
        public = Endpoint(PUBLIC[number // 60_000], 443)
        return Sent(segment(stranger, public, 1, 0, SYN), Side.OUTSIDE)

    first, more = ([syn(n) for n in range(*each)] for each in ((0, SHARE), (SHARE, SHARE + FLOWS)))
    rates = []
    for _ in range(runs):
        gateway = engine(policy)
        play(gateway, first, 1.0)
        started = time.process_time()
        play(gateway, more, 2.0)
        rates.append(len(more) / (time.process_time() - started))
        assert len(gateway.table.flows) == SHARE
        assert gateway.table.flows.keys() > set(range(SHARE + 1, SHARE + FLOWS))
    return rates


def _rates(openings: Sequence[Sent], runs: int) -> list[float]:
    rates = []
    for _ in range(runs):
        gateway = engine()
        started = time.process_time()
        play(gateway, openings, 1.0)
        rates.append(len(openings) / (time.process_time() - started))
        assert len(gateway.table.flows) == len(openings)
    return rates
