"""What forwarding one packet costs, by kind of forwarding and number of flows: same wires, in turn.

The generator (XDP live frames), the forwarding and the sink share one processor, so that the figure is
the cost of all three; the generator and the sink are the same for each.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, netns

from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.plane import EbpfPlane, Programs
from ipmasq.wire.addresses import to_address, to_network
from tests.bench.figures import Figure, bench
from tests.bench.topology import (
    GATEWAY_OUT,
    INSIDE,
    OUTSIDE,
    Network,
    forwarding,
    masquerading,
    network,
)
from tests.planes.ebpf.test_layout import ROOT, builder

SETTINGS = struct.Struct("=QIIII6s6sI")
FLOWS = (1, 1_000, 100_000, 1_000_000)
KINDS = {"udp64": (17, 50), "tcp64": (6, 50), "udp1400": (17, 1400)}
"""Protocol and bytes of the IP packet (64 are those of a frame)."""
RUN = 2_000_000
"""Packets of a run: setting one up takes milliseconds."""
BATCH = 64
CONNTRACK = {
    Path("/proc/sys/net/netfilter/nf_conntrack_max"): "2100000",
    Path("/sys/module/nf_conntrack/parameters/hashsize"): "1048576",
}


class Wires:
    """A network with the generator in `in` and the sink in `out`."""

    def __init__(self, wires: Network) -> None:
        self.network = wires
        self.loaded = libbpf.Object(_compiled(), {})
        self.memory = mmap.mmap(self.loaded.map(".bss"), mmap.PAGESIZE)
        with self.at("out"), IPRoute() as kernel:
            index = kernel.link_lookup(ifname="eth")[0]
            self.sink_mac = _mac(kernel, index)
            self._sink = libbpf.link(
                self.loaded.program("sink"), index, libbpf.BPF_XDP, libbpf.XDP_FLAGS_DRV_MODE
            )
        with self.at("in"), IPRoute() as kernel:
            self.source = kernel.link_lookup(ifname="eth")[0]
        with self.at("gw"), IPRoute() as kernel:
            self.gi, self.go = (kernel.link_lookup(ifname=name)[0] for name in ("gi", "go"))
            self.gateway_mac = _mac(kernel, self.gi)
            kernel.neigh(
                "replace", dst=OUTSIDE, lladdr=_text(self.sink_mac), ifindex=self.go, state=0x80
            )
            kernel.route("replace", dst="default", gateway=OUTSIDE)
        wires.run(
            "gw", "ethtool", "-K", "gi", "gro", "on"
        )  # or it takes no frames from the generator

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        netns.pushns(self.network.name(host))
        try:
            yield
        finally:
            netns.popns()

    def rate(self, protocol: int, total: int, flows: int) -> float:
        """Packets per second that arrive."""
        self._set(flows, protocol, total)
        frame = bytes(14 + total)
        context = struct.pack("=IIIIII", 0, len(frame), 0, self.source, 0, 0)
        program = self.loaded.program("generate")

        def generate(count: int) -> None:
            live = libbpf.BPF_F_TEST_XDP_LIVE_FRAMES
            libbpf.run_once(program, frame, context, count, live, BATCH)

        with self.at("in"):
            generate(max(100_000, flows + flows // 4))  # warm: entries, next hops, conntrack
            begun, before = time.monotonic(), self._arrived()
            generate(RUN)
            return (self._arrived() - before) / (time.monotonic() - begun)

    def _set(self, flows: int, protocol: int, total: int) -> None:
        self.memory[: SETTINGS.size] = SETTINGS.pack(
            0, flows, 0, self.go, total, self.gateway_mac, self.sink_mac, protocol
        )

    def _arrived(self) -> int:
        (arrived,) = struct.unpack_from("=Q", self.memory)
        return int(arrived)

    def close(self) -> None:
        os.close(self._sink)
        self.memory.close()
        self.loaded.close()


Way = Callable[[Wires, int, int], Any]


@contextmanager
def bare_xdp(wires: Wires, flows: int, protocol: int) -> Iterator[None]:
    with wires.at("gw"):
        program = wires.loaded.program("bare_xdp")
        link = libbpf.link(program, wires.gi, libbpf.BPF_XDP, libbpf.XDP_FLAGS_DRV_MODE)
    yield
    os.close(link)


@contextmanager
def bare_tc(wires: Wires, flows: int, protocol: int) -> Iterator[None]:
    with wires.at("gw"):
        link = libbpf.link(wires.loaded.program("bare_tc"), wires.gi, libbpf.BPF_TCX_INGRESS)
    yield
    os.close(link)


def ours(xdp: bool) -> Way:
    """The plane, with entries for these flows as the engine would have them."""

    @contextmanager
    def way(wires: Wires, flows: int, protocol: int) -> Iterator[None]:
        directory = tempfile.TemporaryDirectory(prefix="ipmbench-")
        inside = [to_network("10.0.0.0/24")]
        with directory as name, wires.at("gw"):
            plane = EbpfPlane("go", ["gi"], inside, Path(name), Programs(xdp=xdp))
            plane.open()
            assert plane.table is not None
            plane.table.beat(time.monotonic() + 60)
            for i in range(flows):
                assert plane.table.insert(*_entry(i, protocol), 0, True) is not None
        try:
            yield
        finally:
            with wires.at("gw"):
                plane.close()

    return way


def _entry(i: int, protocol: int) -> tuple[bytes, bytes]:
    rest = bytes((198, 18)) + (i & 0xFFFF).to_bytes(2, "big")
    ports = (1024 + (i >> 16)).to_bytes(2, "big") + b"\0\x09"
    key = layout.key(to_address(INSIDE) + rest + ports, protocol, 0)
    return key, to_address(GATEWAY_OUT) + rest + ports


@contextmanager
def kernel_forward(wires: Wires, flows: int, protocol: int) -> Iterator[None]:
    with forwarding(wires.network):
        yield


@contextmanager
def kernel_masquerade(wires: Wires, flows: int, protocol: int) -> Iterator[None]:
    """With room for them all in conntrack, whose size is the whole machine's setting."""
    before = {path: path.read_text() for path in CONNTRACK}
    try:
        with masquerading(wires.network):
            for path, value in CONNTRACK.items():
                path.write_text(value)
            yield
    finally:
        for path, was in before.items():
            path.write_text(was)


WAYS: dict[str, Way] = {
    "xdp-redirect": bare_xdp,
    "tc-redirect": bare_tc,
    "kernel-forward": kernel_forward,
    "kernel-masquerade": kernel_masquerade,
    "xdp": ours(True),
    "tc": ours(False),
}


@bench("path")
def path(runs: int) -> Iterator[Figure]:
    """Packets per second through each kind of forwarding."""
    samples: dict[str, list[float]] = {}
    for _ in range(runs):
        for kind, (protocol, total) in KINDS.items():
            for flows in FLOWS:
                for way, forwards in WAYS.items():
                    with network() as made, ExitStack() as stack:
                        wires = Wires(made)
                        stack.callback(wires.close)
                        with forwards(wires, flows, protocol):
                            rate = wires.rate(protocol, total, flows)
                    samples.setdefault(f"{way}.{kind}.{flows}", []).append(rate)
    for name, found in samples.items():
        way, rest = name.split(".", 1)
        yield Figure(f"path.{name}.pps", "packets/s", found, f"path.kernel-masquerade.{rest}.pps")
        if way in ("xdp", "tc"):
            yield Figure(
                f"path.{name}.limit", "packets/s", found, f"path.{way}-redirect.{rest}.pps"
            )


def _compiled() -> bytes:
    with tempfile.TemporaryDirectory(prefix="ipmbench-") as directory:
        made = Path(directory, "path.o")
        module = builder()
        source = Path(__file__).with_suffix(".bpf.c")
        command = [*module.compiler(), "-target", "bpfel", *module.FLAGS, f"-I{ROOT / 'bpf'}"]
        subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
        return made.read_bytes()


def _mac(kernel: IPRoute, index: int) -> bytes:
    return bytes.fromhex(kernel.get_links(index)[0].get_attr("IFLA_ADDRESS").replace(":", ""))


def _text(mac: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in mac)
