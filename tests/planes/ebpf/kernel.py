"""The real programs, run on packets one by one (BPF_PROG_TEST_RUN), in a network of this test's own."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from pyroute2 import IPRoute, netns

from ipmasq.core.compact import FLOW
from ipmasq.core.offloading import Rewrite
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.devices import Device
from ipmasq.planes.ebpf.exits import Exits
from ipmasq.planes.ebpf.layout import Hook, Reason
from ipmasq.planes.ebpf.table import LONG_AGO, Table, sizes
from ipmasq.planes.fastpath import Adopted, Reading
from tests.planes.ebpf.model import halves_of

OBJECT = Path(libbpf.__file__).with_name("ipmasq.bpf.o")
MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
"""To and from. Both interfaces have the first one."""
IPV4 = b"\x08\x00"
TC_ACT_SHOT, TC_ACT_REDIRECT, TC_ACT_UNSPEC = 2, 7, 0xFFFFFFFF
XDP_PASS, XDP_REDIRECT = 2, 4
SLOT = layout.Key.size + layout.Half.size
SEEN_AT = layout.Key.size + layout.REPORT_AT
NEVER = bytes(4)
IFINDEX_AT, GSO_SIZE_AT, CONTEXT = 40, 176, 192
"""Of struct __sk_buff."""
XDP_CONTEXT = struct.Struct("=6I")
"""struct xdp_md: `data`, `data_end`, `data_meta`, `ingress_ifindex`, and queue and device of leaving."""


def context(hook: Hook, device: int, frame: bytes, gso_size: int = 0) -> bytes:
    """Of a frame that comes in by a device (its index)."""
    if hook is Hook.XDP:
        return XDP_CONTEXT.pack(0, len(frame), 0, device, 0, 0)
    made = bytearray(CONTEXT)
    struct.pack_into("=I", made, IFINDEX_AT, device)
    struct.pack_into("=I", made, GSO_SIZE_AT, gso_size)
    return bytes(made)


@contextmanager
def network() -> Iterator[dict[str, int]]:
    """Interfaces `in0` and `out0` by name, with a neighbour for everybody, in a namespace."""
    name = f"ipmk{os.getpid()}"
    netns.create(name)
    try:
        netns.pushns(name)
        try:
            with IPRoute() as kernel:
                yield _build(kernel)
        finally:
            netns.popns()
    finally:
        netns.remove(name)


def _build(kernel: IPRoute) -> dict[str, int]:
    found = {}
    for name, index, address in (
        ("in0", 50, "10.0.0.1/24"),
        ("out0", 70_000, "203.0.113.1/24"),
    ):
        mac = ":".join(f"{byte:02x}" for byte in MACS[0])
        peer = {"ifname": f"{name}-far"}
        kernel.link("add", ifname=name, index=index, address=mac, kind="veth", peer=peer)
        found[name] = index
        host, length = address.split("/")
        kernel.addr("add", index=index, address=host, prefixlen=int(length))
        for each in (index, kernel.link_lookup(ifname=f"{name}-far")[0]):
            kernel.link("set", index=each, state="up")
        Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding").write_text("1")
        net = host.rpartition(".")[0]
        for last in (*range(2, 10), 254):
            kernel.neigh(
                "add", dst=f"{net}.{last}", lladdr="02:00:00:00:00:09", ifindex=index, state=0x80
            )
    kernel.route("add", dst="default", gateway="203.0.113.254")
    kernel.link("set", index=kernel.link_lookup(ifname="lo")[0], state="up")
    return found


MOST = 3000
"""Bytes of a packet that surely fit into the one page that BPF_PROG_TEST_RUN takes, with what it adds."""


class Kernel:
    """A fast path like `tests.planes.ebpf.model.Model`, but the real one."""

    def __init__(
        self,
        devices: dict[str, int],
        hook: Hook,
        capacity: int = 1000,
        image: bytes | None = None,
    ) -> None:
        """`image`: not the programs of the package, but these."""
        self.hook = hook
        self.loaded = libbpf.Object(image or OBJECT.read_bytes(), sizes(capacity))
        self.table = Table(self.loaded, capacity)
        self.capacity = capacity
        self.table.via(devices["in0"], devices["out0"])
        self.devices = devices
        self.exits = Exits(self.loaded)
        self.exits.name({Device("", n, True, "", None): True for n in devices.values()})
        self.programs = [
            self.loaded.program(f"{hook.name.lower()}_{s}") for s in ("inside", "outside")
        ]
        self.warm_up = [self.loaded.program(f"tc_{s}") for s in ("inside", "outside")]
        self._seen: dict[int, int] = {}
        self._numbered: dict[bytes, int] = {}

    def close(self) -> None:
        self.table.close()
        self.loaded.close()

    # -- FlowTable; `now` is the test's clock, which the kernel does not know

    def insert(self, half: Rewrite, offloaded: bool, now: float, mark: int = 0) -> int | None:
        slot = self.table.insert(half, offloaded, now, mark)
        if slot is not None:
            key = layout.key(half.match, half.protocol, half.side)
            self._numbered[key], self._seen[slot] = slot, layout.seen_at(now - LONG_AGO)
        return slot

    @property
    def can_fill(self) -> bool:
        return self.table.can_fill

    def fill(self, rows: bytes, now: float) -> None:
        self.table.fill(rows, time.monotonic())
        for key, _, _ in (each for row in FLOW.iter_unpack(rows) for each in halves_of(row, 0)):
            slot = self.table.slots.find(key)
            if slot is not None and self._numbered.get(key) != slot:
                self._numbered[key], self._seen[slot] = slot, layout.seen_at(now - LONG_AGO)

    def inherit(self) -> None:
        """Use the maps as a process does that finds them."""
        self.table.close()
        self.table = Table(self.loaded, self.capacity, inherited=True)

    @property
    def inherits(self) -> bool:
        return self.table.inherits

    def adopt(
        self, half: Rewrite, offloaded: bool, since: int | None, now: float
    ) -> Adopted | None:
        found = self.table.adopt(half, offloaded, since, time.monotonic())
        if found is None or found.traffic is None:
            return found
        seen = layout.seconds(self._seen[found.slot], now)
        return found._replace(traffic=found.traffic._replace(seen=seen))

    def discard(self) -> bool:
        return self.table.discard()

    def offload(self, slot: int, half: Rewrite) -> None:
        self.table.offload(slot, half)

    def track(self, slot: int) -> None:
        self.table.track(slot)

    def move(self, slot: int, before: int, after: int) -> None:
        self.table.move(slot, before, after)

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        return self._on_our_clock(slot, self.table.read(slot, since, time.monotonic()), now)

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        return self._on_our_clock(slot, self.table.remove(slot, since, time.monotonic()), now)

    def heartbeat(self, now: float, lasts: float = inf) -> None:
        self.table.heartbeat(time.monotonic(), lasts)

    def limit(self, now: float, lasts: float) -> None:
        self.table.limit(time.monotonic(), lasts)

    def _on_our_clock(self, slot: int, read: Reading | None, now: float) -> Reading | None:
        if read is None:
            return None
        at = slot * SLOT + SEEN_AT
        if self.table._memory[at : at + 4] != NEVER:
            assert time.monotonic() - read.traffic.seen < 60, "it does not say when"
        seen = layout.seconds(self._seen[slot], now)
        return Reading(read.mark, read.traffic._replace(seen=seen))

    # -- packets

    def forward(self, data: bytes, side: int, now: float, partial: bool = False) -> bytes | None:
        if partial or not 28 <= len(data) <= MOST:  # cannot be said to BPF_PROG_TEST_RUN
            return None
        slot = self._numbered.get(layout.key(data[12:24], data[9], side))
        with self._noticing(slot, now):
            return self._forward(data, side)

    @contextmanager
    def _noticing(self, slot: int | None, now: float) -> Iterator[None]:
        """When the program says that it has seen a packet that it believed, that is `now`."""
        memory, at = self.table._memory, (slot or 0) * SLOT + SEEN_AT
        if slot is None:
            yield
            return
        memory[at : at + 4] = NEVER
        yield
        if memory[at : at + 4] != NEVER:
            self._seen[slot] = layout.seen_at(now)

    def _forward(self, data: bytes, side: int) -> bytes | None:
        frame = MACS[0] + MACS[1] + IPV4 + data
        verdict, out = self.run(frame, side)
        if self.hook is Hook.XDP and verdict == XDP_PASS:
            # TC stands behind it, and looks up the next hop for both.
            assert out == frame
            verdict, out = self.run(frame, side, Hook.TC)
            passed = verdict != TC_ACT_REDIRECT
        else:
            passed = verdict not in (TC_ACT_REDIRECT, XDP_REDIRECT)
        if passed:
            assert out == frame, "a packet that is left to the engine is as it was"
            return None
        return out[14:]

    def run(
        self,
        frame: bytes,
        side: int,
        hook: Hook | None = None,
        device: str | None = None,
        gso_size: int = 0,
    ) -> tuple[int, bytes]:
        """`device`: where it comes in, if not by that of its side."""
        hook = self.hook if hook is None else hook
        program = (self.programs if hook is Hook.XDP else self.warm_up)[side]
        index = self.devices[device or ("in0", "out0")[side]]
        return libbpf.run_once(program, frame, context(hook, index, frame, gso_size))[:2]

    def reasons(self) -> dict[tuple[Hook, Reason], int]:
        return self.table.reasons()
