"""As many flows as the fast path holds, through the real engine into the real table, and back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ipmasq.core.engine import Engine
from ipmasq.core.offloading import Command
from ipmasq.core.side import Side
from ipmasq.offload.offload import Offloader
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import to_address
from ipmasq.wire.packet import Packet
from tests.bench.figures import Figure, bench
from tests.bench.fresh import fresh
from tests.bench.path_ways import MOST, opened
from tests.bench.path_wires import Kind, client_and_server, wires
from tests.bench.topology import GATEWAY_OUT
from tests.bench.traffic import POLICY, datagram, engine, public_of

TOGETHER = 64
SMALL = Kind("udp64", ipv4.UDP, 50)


@bench("fast.flow.full")
def fast_flows(runs: int) -> Iterator[Figure]:
    """Once, however many runs are asked for: it takes a minute and hardly varies."""
    for name, unit, value in fresh(filled):
        yield Figure(f"fast.{name}", unit, [value])


def filled() -> list[tuple[str, str, float]]:
    """Enter all flows, find that a further one is refused, and have a packet of each counted."""
    gateway = engine(replace(POLICY, public=(to_address(GATEWAY_OUT),)), time.monotonic())
    with wires() as made:
        before = grown()
        with opened(made, xdp=False) as table:
            offload = Offloader(gateway, table, time.monotonic)
            entering = sum(settle(gateway, offload, start) for start in range(0, MOST, TOGETHER))
            used = locked(), grown() - before
            refuse_one_more(gateway, offload)
            idle = steps(offload)
            made.once(SMALL, MOST, translated=True, back=False)
            busy = steps(offload)
            assert offload.tally.packets == MOST, "a packet of each flow"
    return [
        ("flow.kernel.bytes", "bytes/flow", used[0] / MOST),
        ("flow.kernel.grown.bytes", "bytes/flow", used[1] / MOST),
        ("flow.enter.us", "us/flow", entering / MOST * 1e6),
        ("refresh.idle.s", f"s, {MOST:,} flows", sum(idle)),
        ("refresh.busy.s", f"s, {MOST:,} flows", sum(busy)),
        ("refresh.step.ms", "ms at once, at most", max(busy) * 1e3),
    ]


def settle(gateway: Engine, offload: Offloader, start: int, count: int = TOGETHER) -> float:
    """Some flows by a datagram each way. How many seconds it takes to carry out what is commanded."""
    commands: list[Command] = []

    def passed(data: bytes, side: Side) -> bytes:
        verdict = gateway.receive(Packet(bytearray(data)), side, time.monotonic())
        commands.extend(verdict.commands)
        (packet,) = verdict.packets
        return bytes(packet.data)

    for number in range(start, start + count):
        client, server = client_and_server(number)
        out = passed(datagram(client, server, b""), Side.INSIDE)
        passed(datagram(server, public_of(out), b""), Side.OUTSIDE)
    gateway.events()
    return timed(lambda: offload.carry_out(commands))


def refuse_one_more(gateway: Engine, offload: Offloader) -> None:
    """Whoever is in stays in; the packets that follow show it."""
    entered = offload.numbers()
    assert (len(entered), offload.refused) == (MOST, 0)
    settle(gateway, offload, MOST, 1)
    assert offload.refused > 0
    assert offload.numbers() == entered


def steps(offload: Offloader) -> list[float]:
    """All counters read, as the gateway does it: how many seconds each step took."""
    taken, more = [], True
    while more:
        started = time.monotonic()
        more = offload.read_on()
        taken.append(time.monotonic() - started)
    return taken


def timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def locked() -> int:
    """Bytes of the maps of this process, as the kernel accounts for them (proc(5), bpf(2))."""
    maps = {}
    for descriptor in os.listdir("/proc/self/fdinfo"):
        with suppress(FileNotFoundError):  # the one that listed them
            told = Path("/proc/self/fdinfo", descriptor).read_text()
            if "map_id" in told:
                facts = dict(line.split(":", 1) for line in told.splitlines())
                maps[facts["map_id"]] = int(facts["memlock"])
    return sum(maps.values())


def grown() -> int:
    """Bytes of all that the kernel has taken for itself, piece by piece or in large pieces."""
    found = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(found[name].split()[0]) * 1024 for name in ("Slab", "VmallocUsed"))
