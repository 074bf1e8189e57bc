"""New flows per second of the engine: a port found, entries made, told about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ipmasq.core.side import Side
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.tcp import SYN
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import Sent, datagram, ends, engine, play, segment

FLOWS = 20_000


@bench("engine.new")
def new(runs: int) -> Iterator[Figure]:
    yield Figure("engine.new.cps", "flows/s", fresh(udp, runs))
    yield Figure("engine.new.tcp.cps", "flows/s", fresh(tcp, runs))


def udp(runs: int) -> list[float]:
    """By one datagram each."""
    return _rates([Sent(datagram(*ends(number)), Side.INSIDE) for number in range(FLOWS)], runs)


def tcp(runs: int) -> list[float]:
    """By one SYN each."""

    def syn(client: Endpoint, server: Endpoint) -> bytes:
        return segment(client, server, 1, 0, SYN)

    return _rates([Sent(syn(*ends(number)), Side.INSIDE) for number in range(FLOWS)], runs)


def _rates(openings: Sequence[Sent], runs: int) -> list[float]:
    rates = []
    for _ in range(runs):
        gateway = engine()
        started = time.process_time()
        play(gateway, openings, 1.0)
        rates.append(len(openings) / (time.process_time() - started))
        assert len(gateway.table.flows) == len(openings)
    return rates
