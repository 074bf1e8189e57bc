"""Packets per second of the engine: one process, one core, no plane."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from ipmasq.core.engine import Engine
from ipmasq.core.reasons import Reason
from tests.bench import ftp_talk
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.traffic import Sent, engine, play, shuffled, tcp_flow, udp_flow

FLOWS = 1000
PACKETS = 100_000


@bench("engine.speed")
def speed(runs: int) -> Iterator[Figure]:
    """Offloadable flows, both directions; for FTP control connections, whole sessions."""
    for name, measure in (
        ("udp", offloadable_udp),
        ("tcp", offloadable_tcp),
        ("ftp", ftp_sessions),
    ):
        rates = fresh(measure, runs)
        yield Figure(f"engine.{name}.pps", "packets/s", rates)
        yield Figure(f"engine.{name}.us", "us/packet", [1e6 / rate for rate in rates])


def offloadable_udp(runs: int) -> list[float]:
    return _offloadable(udp_flow, runs)


def offloadable_tcp(runs: int) -> list[float]:
    return _offloadable(tcp_flow, runs)


def ftp_sessions(runs: int) -> list[float]:
    sessions = ftp_talk.record()
    return [_rate(engine(), sessions, ftp_talk.START) for _ in range(runs)]


def _offloadable(make: Callable[[Engine, int, float], tuple[Sent, Sent]], runs: int) -> list[float]:
    gateway = engine()
    flows = [packet for number in range(FLOWS) for packet in make(gateway, number, 1.0)]
    return [_rate(gateway, shuffled(flows, PACKETS), 2.0) for _ in range(runs)]


def _rate(gateway: Engine, traffic: Sequence[Sent], now: float) -> float:
    before = _passed(gateway)
    started = time.process_time()
    play(gateway, traffic, now)
    taken = time.process_time() - started
    assert _passed(gateway) - before == len(traffic), "some packet did not pass"
    return len(traffic) / taken


def _passed(gateway: Engine) -> int:
    return gateway.counts[Reason.TRANSLATED] + gateway.counts[Reason.HELD]
