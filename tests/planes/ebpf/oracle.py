"""The real programs run without pause on one processor, and are judged there (judge.bpf.c)."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ipmasq.planes.ebpf import layout, libbpf
from tests.conformance import packets
from tests.conformance.packets import ACK, TCP
from tests.core.stress import INNER, OUTER
from tests.planes.ebpf.compiled import compiled
from tests.planes.ebpf.kernel import IPV4, MACS, Kernel, context
from tests.planes.ebpf.model import Model, half

FLOWS, WIRES = 64, 16
"""Each flow has so many wires, and uses one after the other."""
SEEN_BY = 1_000_000
"""Nanoseconds after which another processor certainly sees what this one has written."""
FOREVER = (1 << 64) - 1

# Places in judge.bpf.c's structures, and their sizes, in words of 8 bytes.
FRAME, FLOW, WIRE = 8, 9, 10
SINCE, UNTIL, WHOSE = FRAME, FRAME, FRAME + 1
WHEN, COUNTED = 2, 3


class Judgement(NamedTuple):
    """Packets, see judge.bpf.c."""

    forwarded: int
    left: int
    wrong: int
    late: int
    missed: int

    @property
    def guilty(self) -> bool:
        return bool(self.wrong or self.late or self.missed)


def packet(flow: int) -> bytes:
    return packets.tcp(INNER[0], 40000 + flow, OUTER[0], 80, ACK, 1, 1, b"0123456789")


def key(flow: int) -> bytes:
    return layout.key(packet(flow)[12:24], TCP, 0)


def station(wire: int) -> bytes:
    """The next hop's address."""
    return b"\2\0\0\0" + struct.pack("!H", wire)


def slice_of(wire: int) -> bytes:
    """Its number is in each part, so that no mixture of two is a third."""
    return struct.pack("!HHHHHH", 0xCB00, wire, 0xC612, wire, wire, wire ^ 0xFFFF)


class Oracle:
    def __init__(self, kernel: Kernel, at_once: int = 100_000) -> None:
        """`at_once`: packets that go through in one system call. A call with an XDP program takes 20 ms
        more than they do."""
        self.kernel, self._at_once = kernel, at_once
        image = compiled(Path(__file__).with_name("judge.bpf.c"))
        self._loaded = libbpf.Object(image, {"flows": FLOWS, "wires": FLOWS * WIRES})
        hook = kernel.hook.name.lower()
        self._judge = self._loaded.program(f"judge_{hook}")
        self._again = self._loaded.program(f"again_{hook}")
        judged = ctypes.c_uint32(kernel.programs[0])
        table = self._loaded.map(f"judged_{hook}")
        libbpf.library().bpf_map_update_elem(table, bytes(4), ctypes.byref(judged), 0)
        self._request = self._words(".bss", 8)
        self._flows = self._words("flows", FLOWS * FLOW)
        self._wires = self._words("wires", FLOWS * WIRES * WIRE)
        self._request[0] = FLOWS
        self._hop, source = self._find_hop()
        self.frames = [self._write_flow(flow) for flow in range(FLOWS)]
        self.becomes = [self._write_wire(wire, source) for wire in range(FLOWS * WIRES)]

    def _words(self, name: str, words: int) -> memoryview:
        pages = -(-words * 8 // mmap.PAGESIZE) * mmap.PAGESIZE
        return memoryview(mmap.mmap(self._loaded.map(name), pages)).cast("Q")

    def _find_hop(self) -> tuple[bytes, bytes]:
        """Device, MTU and epoch as TC finds them, and the device's address."""
        slot = self.kernel.insert(half(key(0), slice_of(0)), True, 0)
        assert slot is not None
        frame = MACS[0] + MACS[1] + IPV4 + packet(0)
        assert self.kernel.forward(packet(0), 0, 0)
        source = self.kernel.run(frame, 0)[1][6:12]
        at = slot * (layout.Key.size + layout.Half.size) + layout.Key.size
        hop = self.kernel.table._memory[at + 18 : at + 28]
        self.kernel.remove(slot, 0, 0)
        self.kernel.heartbeat(0)
        self.kernel.heartbeat(0)
        return hop, source

    def _write_flow(self, flow: int) -> bytes:
        frame = MACS[0] + MACS[1] + IPV4 + packet(flow)
        self._flows[flow * FLOW : flow * FLOW + FRAME] = memoryview(frame).cast("Q")
        return frame

    def _write_wire(self, wire: int, source: bytes) -> bytes:
        flow, model = wire // WIRES, Model()
        model.heartbeat(0)
        model.insert(half(key(flow), slice_of(wire)), True, 0)
        sent = model.forward(packet(flow), 0, 0)
        assert sent is not None
        frame = station(wire) + source + IPV4 + sent
        self._wires[wire * WIRE : wire * WIRE + FRAME] = memoryview(frame).cast("Q")
        self._wires[wire * WIRE + WHOSE] = flow
        return frame

    def close(self) -> None:
        for each in (self._request, self._flows, self._wires):
            each.release()
        self._loaded.close()

    def half(self, wire: int) -> bytes:
        """With its next hop, which XDP does not look up."""
        hop = slice_of(wire) + station(wire) + self._hop
        return hop + bytes(layout.Half.size - len(hop))

    # -- what the gateway's side does

    def may_use(self, wire: int) -> None:
        """To be said before it is so."""
        self._wires[wire * WIRE + UNTIL] = FOREVER

    def may_use_no_more(self, wire: int) -> None:
        """To be said when it is so."""
        self._wires[wire * WIRE + UNTIL] = time.monotonic_ns() + SEEN_BY

    def must_repeat(self, flow: int) -> None:
        """To be said when it is so."""
        self._flows[flow * FLOW + SINCE] = time.monotonic_ns() + SEEN_BY

    def need_not_repeat(self, flow: int) -> None:
        """To be said before it is so."""
        self._flows[flow * FLOW + SINCE] = 0

    # -- judging

    @contextmanager
    def sitting(self) -> Iterator[None]:
        """While packets go through on one processor, this thread has another."""
        processors = os.sched_getaffinity(0)
        over = threading.Event()
        runner = threading.Thread(target=self._run, args=({max(processors)}, over))
        os.sched_setaffinity(0, {min(processors)})
        runner.start()
        try:
            yield
        finally:
            over.set()
            runner.join()
            os.sched_setaffinity(0, processors)

    def _run(self, processors: set[int], over: threading.Event) -> None:
        os.sched_setaffinity(0, processors)
        while not over.is_set():
            self._request[WHEN] = 0
            self._go(self._judge, self._at_once)

    def _go(self, program: int, times: int) -> None:
        frame, kernel = self.frames[0], self.kernel
        came = context(kernel.hook, kernel.devices["in0"], frame)
        libbpf.run_once(program, frame, came, repeat=times)

    def send_at_once(self, count: int) -> int:
        """So many of flow 0 on each of two processors, side by side, unjudged. How many those are."""
        start, processors = threading.Barrier(2), sorted(os.sched_getaffinity(0))[:2]

        def send(processor: int) -> None:
            os.sched_setaffinity(0, {processor})
            start.wait()
            self._go(self._again, count)

        threads = [threading.Thread(target=send, args=(each,)) for each in processors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count * len(processors)

    def judgement(self) -> Judgement:
        return Judgement(*self._request[COUNTED : COUNTED + len(Judgement._fields)])
