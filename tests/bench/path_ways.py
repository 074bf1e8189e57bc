"""What forwards in the path bench. Each way is told of which kind packets are, and of how many flows."""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ipmasq.core.offloading import Rewrite
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.programs import Programs
from ipmasq.planes.fastpath import FlowTable
from ipmasq.planes.tun.plane import TunPlane
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint, to_address, to_network
from tests.bench import conntrack
from tests.bench.path_wires import MOST, Kind, Wires, client_and_server
from tests.bench.topology import GATEWAY_OUT, PREFIX
from tests.bench.ways import MASQUERADE, forwarding, masquerading

HOUR = 3600.0
KEPT = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")

Forwards = Callable[[Wires, Kind, int], AbstractContextManager[None]]


class Way(NamedTuple):
    forwards: Forwards
    translates: bool


def bare(program: str, hook: int, leaving: bool = False) -> Forwards:
    """A redirect that writes MAC addresses and nothing else: nothing at that hook can be faster.

    `leaving`: packets that leave by the outside interface also meet a program there, which lets them pass.
    """

    @contextmanager
    def forwards(wires: Wires, kind: Kind, flows: int) -> Iterator[None]:
        with ExitStack() as stack:
            with wires.at("gw"):
                for end in (wires.inside, wires.outside):
                    stack.enter_context(wires.attached(program, end.gateway_index, hook))
                if leaving:
                    index, egress = wires.outside.gateway_index, libbpf.BPF_TCX_EGRESS
                    stack.enter_context(wires.attached("pass_tc", index, egress))
            yield

    return forwards


@contextmanager
def kernel_forward(wires: Wires, kind: Kind, flows: int) -> Iterator[None]:
    with forwarding(wires.network):
        yield


@contextmanager
def kernel_masquerade(wires: Wires, kind: Kind, flows: int) -> Iterator[None]:
    """Connections stay while other ways have their turn."""
    with masquerading(wires.network):
        wires.network.run(
            "gw", "sysctl", "-qw", *(f"net.netfilter.{each}={HOUR:.0f}" for each in KEPT)
        )
        try:
            yield
        finally:
            with wires.at("gw"):
                conntrack.flush()


def ours(xdp: bool) -> Forwards:
    """The plane, with both entries of each flow as the engine would have them."""

    @contextmanager
    def forwards(wires: Wires, kind: Kind, flows: int) -> Iterator[None]:
        with opened(wires, xdp) as table:
            enter(table, kind.protocol, flows)
            yield

    return forwards


@contextmanager
def opened(wires: Wires, xdp: bool) -> Iterator[FlowTable]:
    """The plane with nothing in its table, and nobody who has to say every second that he lives."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as directory:
        networks = [to_network("10.0.0.0/24")]
        programs = Programs(flows=MOST, xdp=xdp)
        plane = TunPlane("go", ["gi"], networks, Path(directory), programs)
        with wires.at("gw"):
            plane.open()
        try:
            plane.fast.table.heartbeat(time.monotonic() + HOUR)
            yield plane.fast.table
        finally:
            with wires.at("gw"):
                plane.close()


def enter(table: FlowTable, protocol: int, flows: int) -> None:
    now = time.monotonic()
    for number in range(flows):
        for half in halves(number, protocol):
            assert table.insert(half, offloaded=True, now=now) is not None


def halves(flow: int, protocol: int) -> Iterator[Rewrite]:
    """Both directions."""
    reach = 30 if protocol == ipv4.TCP else 0  # as of ordinary segments
    client, server = client_and_server(flow)
    public = Endpoint(to_address(GATEWAY_OUT), client.port)
    for side, key_ends, wire_ends in (
        (Side.INSIDE, (client, server), (public, server)),
        (Side.OUTSIDE, (server, public), (server, client)),
    ):
        yield Rewrite(side, protocol, _slice(*key_ends), _slice(*wire_ends), reach=reach)


def _slice(source: Endpoint, destination: Endpoint) -> bytes:
    """As it stands in a packet, see bpf/layout.h."""
    ends = source.address, destination.address, source.port, destination.port
    return struct.pack("!4s4sHH", *ends)


WAYS: Mapping[str, Way] = {
    "xdp-redirect": Way(bare("bare_xdp", libbpf.BPF_XDP), translates=False),
    "xdp-line": Way(bare("line_xdp", libbpf.BPF_XDP), translates=False),
    "tc-redirect": Way(bare("bare_tc", libbpf.BPF_TCX_INGRESS), translates=False),
    "tc-redirect-egress": Way(bare("bare_tc", libbpf.BPF_TCX_INGRESS, True), translates=False),
    "kernel-forward": Way(kernel_forward, translates=False),
    MASQUERADE: Way(kernel_masquerade, translates=True),
    "xdp": Way(ours(xdp=True), translates=True),
    "tc": Way(ours(xdp=False), translates=True),
}
