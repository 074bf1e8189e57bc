"""The network of the path bench: at both ends a generator of packets (XDP live frames) and a sink."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute, netns

from ipmasq.planes.ebpf import libbpf
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint, to_address
from tests.bench.topology import GATEWAY_OUT, INSIDE, OUTSIDE, Network, network
from tests.bench.traffic import datagram, segment
from tests.planes.ebpf.compiled import compiled

MOST = 1_000_000
"""Flows."""
SECONDS = 0.25
"""How long packets are counted."""
FIRST = 50_000
"""Packets before that, which warm caches and tell how many can be sent in that time."""
STEP = 618_033
"""From flow to flow; it has no divisor in common with their number, so that each gets its turn."""
BATCH = 64

SOURCE = Path(__file__).with_name("path.bpf.c")

# As in path.bpf.c.
FAR = Endpoint(to_address("198.18.0.0"), 9)
NEAR_PORT = 1024
SETTINGS = struct.Struct("=Q64sIIII4s6sH")


def client_and_server(flow: int) -> tuple[Endpoint, Endpoint]:
    """The near and the far end of the flow with this number."""
    far = FAR.address[:2] + (flow & 0xFFFF).to_bytes(2, "big")
    return Endpoint(to_address(INSIDE), NEAR_PORT + (flow >> 16)), Endpoint(far, FAR.port)


@dataclass(frozen=True, slots=True)
class Kind:
    """Packets of `size` bytes, IP header included (50 make a frame of 64, as Ethernet counts)."""

    name: str
    protocol: int
    size: int

    def packet(self, source: Endpoint, destination: Endpoint) -> bytes:
        """Of flow 0. UDP without checksum, since there is no network card that would verify it."""
        if self.protocol == ipv4.TCP:
            return segment(source, destination, 0, 0, payload=bytes(self.size - 40))
        data = datagram(source, destination, bytes(self.size - 28))
        return data[:26] + bytes(2) + data[28:]


@dataclass(frozen=True, slots=True)
class End:
    """A host's interface, and the gateway's on the same wire."""

    host: str
    index: int
    mac: bytes
    gateway_index: int
    gateway_mac: bytes


class Wires:
    """Packets go from the inside end to the outside one, or back."""

    def __init__(self, made: Network, stack: ExitStack) -> None:
        """What it opens is closed by `stack`."""
        self.network = made
        self._stack = stack
        self._loaded = libbpf.Object(compiled(SOURCE), {"lines": MOST})
        stack.callback(self._loaded.close)
        self._memory = mmap.mmap(self._loaded.map(".bss"), mmap.PAGESIZE)
        stack.callback(self._memory.close)
        self.inside = self._end("in", "gi", INSIDE)
        self.outside = self._end("out", "go", OUTSIDE)
        with self.at("gw"), IPRoute() as kernel:
            kernel.route("replace", dst="default", gateway=OUTSIDE)

    def _end(self, host: str, interface: str, address: str) -> End:
        with self.at(host), IPRoute() as kernel:
            index = kernel.link_lookup(ifname="eth")[0]
            mac = _mac(kernel, index)
            self._stack.enter_context(self.attached("sink", index, libbpf.BPF_XDP))
        # Or the gateway's interface takes no frames from the generator.
        self.network.run("gw", "ethtool", "-K", interface, "gro", "on")
        with self.at("gw"), IPRoute() as kernel:
            gateway = kernel.link_lookup(ifname=interface)[0]
            kernel.neigh("replace", dst=address, lladdr=mac.hex(":"), ifindex=gateway, state=0x80)
            return End(host, index, mac, gateway, _mac(kernel, gateway))

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        netns.pushns(self.network.name(host))
        try:
            yield
        finally:
            netns.popns()

    @contextmanager
    def attached(self, program: str, device: int, kind: int) -> Iterator[None]:
        """A program of path.bpf.c on a device of the namespace that we are in."""
        flags = libbpf.XDP_FLAGS_DRV_MODE if kind == libbpf.BPF_XDP else 0
        link = libbpf.link(self._loaded.program(program), device, kind, flags)
        try:
            yield
        finally:
            os.close(link)

    def rate(self, kind: Kind, flows: int, translated: bool, back: bool) -> float:
        """Packets per second that arrive as they must."""
        self._aim(kind, flows, translated, back)
        pace = self._send(FIRST, kind, back)
        return self._send(int(pace * SECONDS), kind, back)

    def fill(self, kind: Kind, flows: int, translated: bool) -> None:
        """Afterwards whatever forwards knows them all, in both directions. Raises RuntimeError if it does not."""
        for back in (False, True):
            arrived = self.once(kind, flows, translated, back)
            if arrived < flows:
                way = "back" if back else "out"
                raise RuntimeError(f"{arrived:,} of {flows:,} packets arrived {way}")

    def once(self, kind: Kind, flows: int, translated: bool, back: bool) -> int:
        """Send one packet of each flow. How many arrive as they must."""
        self._aim(kind, flows, translated, back)
        self._send(flows, kind, back)
        return self._arrived()

    def _aim(self, kind: Kind, flows: int, translated: bool, back: bool) -> None:
        inside, public = to_address(INSIDE), to_address(GATEWAY_OUT if translated else INSIDE)
        sender, receiver = self._ends(back)
        near = Endpoint(public if back else inside, NEAR_PORT)
        packet = kind.packet(FAR, near) if back else kind.packet(near, FAR)
        frame = (sender.gateway_mac + sender.mac + b"\x08\x00" + packet)[:64]
        seen: Address = inside if back else public
        onward = receiver.gateway_index
        step = STEP % flows
        self._memory[: SETTINGS.size] = SETTINGS.pack(
            0, frame, flows, 0, step, onward, seen, receiver.mac, back
        )

    def _send(self, count: int, kind: Kind, back: bool) -> float:
        """Packets per second that arrive, by the kernel's clock: it stops while others have the processor,
        and leaves out what it takes to set up a run, which is 25 ms."""
        sender, _ = self._ends(back)
        frame = bytes(14 + kind.size)
        context = struct.pack("=IIIIII", 0, len(frame), 0, sender.index, 0, 0)
        program, live = self._loaded.program("generate"), libbpf.BPF_F_TEST_XDP_LIVE_FRAMES
        before = self._arrived()
        with self.at(sender.host):
            _, _, each = libbpf.run_once(program, frame, context, count, live, BATCH)
        return float((self._arrived() - before) / count * 1e9 / each)

    def _ends(self, back: bool) -> tuple[End, End]:
        return (self.outside, self.inside) if back else (self.inside, self.outside)

    def _arrived(self) -> int:
        (arrived,) = struct.unpack_from("=Q", self._memory)
        return int(arrived)


@contextmanager
def wires() -> Iterator[Wires]:
    with network() as made, ExitStack() as stack:
        yield Wires(made, stack)


def _mac(kernel: IPRoute, index: int) -> bytes:
    return bytes.fromhex(kernel.get_links(index)[0].get_attr("IFLA_ADDRESS").replace(":", ""))
