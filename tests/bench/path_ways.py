"""What forwards in the path bench. Each way is told of which kind packets are, and of how many flows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.plane import EbpfPlane, Programs
from ipmasq.planes.ebpf.table import Table
from ipmasq.wire.addresses import to_address, to_network
from tests.bench import conntrack
from tests.bench.path_wires import FAR, NEAR_PORT, Kind, Wires
from tests.bench.topology import GATEWAY_OUT, INSIDE, PREFIX, forwarding, masquerading

MOST = 1_000_000
HOUR = 3600.0
KEPT = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")

Forwards = Callable[[Wires, Kind, int], AbstractContextManager[None]]


class Way(NamedTuple):
    forwards: Forwards
    translates: bool


def bare(program: str, hook: int) -> Forwards:
    """A redirect that writes MAC addresses and nothing else: nothing at that hook can be faster."""

    @contextmanager
    def forwards(wires: Wires, kind: Kind, flows: int) -> Iterator[None]:
        with ExitStack() as stack:
            with wires.at("gw"):
                for end in (wires.inside, wires.outside):
                    stack.enter_context(wires.attached(program, end.gateway_index, hook))
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
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}-") as directory:
            networks = [to_network("10.0.0.0/24")]
            programs = Programs(flows=MOST, xdp=xdp)
            plane = EbpfPlane("go", ["gi"], networks, Path(directory), programs)
            with wires.at("gw"):
                plane.open()
            try:
                assert plane.table is not None
                enter(plane.table, kind.protocol, flows)
                # The gateway would do it every second.
                plane.table.beat(time.monotonic() + HOUR)
                yield
            finally:
                with wires.at("gw"):
                    plane.close()

    return forwards


def enter(table: Table, protocol: int, flows: int) -> None:
    now = time.monotonic()
    for number in range(flows):
        for key, wire in halves(number, protocol):
            assert table.insert(key, wire, now, repeated=True) is not None


def halves(i: int, protocol: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and what to write of flow i, for either direction."""
    far = FAR.address[:2] + (i & 0xFFFF).to_bytes(2, "big")
    near_port, far_port = (NEAR_PORT + (i >> 16)).to_bytes(2, "big"), FAR.port.to_bytes(2, "big")
    inside, public = to_address(INSIDE), to_address(GATEWAY_OUT)
    for side, before, after in (
        (Side.INSIDE, inside + far + near_port + far_port, public + far + near_port + far_port),
        (Side.OUTSIDE, far + public + far_port + near_port, far + inside + far_port + near_port),
    ):
        yield layout.key(before, protocol, side), after


WAYS: Mapping[str, Way] = {
    "xdp-redirect": Way(bare("bare_xdp", libbpf.BPF_XDP), translates=False),
    "tc-redirect": Way(bare("bare_tc", libbpf.BPF_TCX_INGRESS), translates=False),
    "kernel-forward": Way(kernel_forward, translates=False),
    "kernel-masquerade": Way(kernel_masquerade, translates=True),
    "xdp": Way(ours(xdp=True), translates=True),
    "tc": Way(ours(xdp=False), translates=True),
}
