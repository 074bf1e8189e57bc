"""What is to be reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure's median, or on its ratio to what it is compared with."""

    least: float | None = None
    most: float | None = None
    of_ratio: bool = False

    def is_met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


def times(least: float) -> Target:
    return Target(least=least, of_ratio=True)


def paths(way: str, flows: int, end: str = "pps") -> Iterable[str]:
    """Every kind of packet, in both directions."""
    for start, kind in product(("path", "path.back"), ("udp64", "tcp64", "udp1400")):
        yield f"{start}.{way}.{kind}.{flows}.{end}"


TARGETS: Mapping[str, Target] = {
    "engine.udp.pps": Target(least=100_000),
    "engine.tcp.pps": Target(least=100_000),
    "engine.flow.bytes": Target(most=1.2 * 1024),
    "tun.tcp.gbps": Target(least=8),
    "helper.ftp.latency_ms": Target(most=1),
    "start.tun.s": Target(most=1),
    "start.ebpf.s": Target(most=1),
    "pause.crash.tun.s": Target(most=1.5),
    "pause.crash.ebpf.s": Target(most=1.5),
    "pause.upgrade.tun.s": Target(most=0.05),
    "pause.upgrade.ebpf.s": Target(most=0.05),
    "failover.crash.s": Target(most=1.5),
    "takeover.1000000.followed.s": Target(most=0.5),
    "takeover.1000000.fast.s": Target(most=0.5),
    "takeover.1000000.empty.s": Target(most=3),
    "command.status.s": Target(most=0.15),
    "command.show.s": Target(most=0.15),
    "command.explain.s": Target(most=0.15),
    "metrics.scraped.line_p99_ms": Target(most=1.1, of_ratio=True),
    "views.first_paint_s": Target(most=1),
    "views.event_s": Target(most=0.5),
    "views.event.shown_s": Target(most=0.5),
    "views.million.flows_s": Target(most=1),
    "views.on.line_p99_ms": Target(most=1.2, of_ratio=True),
    "bulk.ebpf.tcp1.gbps": times(1),
    "bulk.ebpf.tcp8.gbps": times(1),
    "bulk.ftp.data.gbps": times(0.95),
    **dict.fromkeys(paths("xdp", 1), times(5)),
    **dict.fromkeys(paths("xdp", 1_000_000), times(6)),
    **dict.fromkeys(paths("xdp", 1, "limit"), times(0.8)),
    **dict.fromkeys(paths("tc", 1), times(1.6)),
    **dict.fromkeys(paths("tc", 1_000_000), times(1.6)),
}
