"""The real programs keep the law, and say why they leave a packet to the engine."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from itertools import product
from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from pyroute2 import IPRoute

from ipmasq.core.flow import LATE
from ipmasq.core.offloading import Rewrite, Traffic
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Hook, Reason
from ipmasq.planes.ebpf.table import LONG_AGO
from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, PSH, RST, SYN, TCP, UDP
from tests.core.stress import INNER, OUTER, PUBLIC
from tests.offload.test_law import Anything
from tests.offload.two import UNIT, FastPath, Two, live
from tests.planes.ebpf.kernel import (
    IPV4,
    MACS,
    TC_ACT_REDIRECT,
    Kernel,
    network,
)
from tests.planes.ebpf.model import Model, half

pytestmark = pytest.mark.live
ENDS = (INNER[0], 5000, OUTER[0], 80)


@pytest.fixture(scope="module")
def devices() -> Iterator[dict[str, int]]:
    with network() as found:
        yield found


@pytest.fixture(params=list(Hook), ids=lambda hook: hook.name)
def kernel(devices: dict[str, int], request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = Kernel(devices, request.param)
    kernel.heartbeat(0)
    yield kernel
    kernel.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_life_is_the_same_with_the_real_program(kernel: Kernel, seed: int) -> None:
    two = Two(kernel, Random(seed))
    live(two, seed, 2500)
    assert two.forwarded > 50
    reasons = kernel.reasons()
    assert reasons[kernel.hook, Reason.FLAGS]
    assert reasons[kernel.hook, Reason.NO_ENTRY]


class Real(Anything):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)

    def teardown(self) -> None:
        two = self.stress.two
        for flow in two.helped.table.flows:
            two.offload.withdraw(flow)


def test_whatever_happens_is_the_same_with_the_real_program(kernel: Kernel) -> None:
    few = settings(max_examples=20, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(lambda: Real(kernel), settings=few)


def outwards(protocol: int = TCP, position: int = 0, reach: int = 0) -> Rewrite:
    match = packets.udp(*ENDS)[12:24]
    rewrite = PUBLIC[0] + OUTER[0] + struct.pack("!HH", 61000, 80)
    return Rewrite(Side.INSIDE, protocol, match, rewrite, position, reach)


def enter(kernel: FastPath, protocol: int = TCP, position: int = 0, reach: int = 0) -> int:
    """One flow outwards: its place."""
    slot = kernel.insert(outwards(protocol, position, reach), True, 0)
    assert slot is not None
    return slot


@pytest.fixture(params=["model", *(hook.name for hook in Hook)])
def any_path(devices: dict[str, int], request: pytest.FixtureRequest) -> Iterator[FastPath]:
    if request.param == "model":
        path: FastPath = Model()
        path.heartbeat(0)
        yield path
        return
    kernel = Kernel(devices, Hook[request.param])
    kernel.heartbeat(0)
    yield kernel
    kernel.close()


def joined(end: int, acknowledged: int) -> int:
    """A position."""
    return end << 32 | acknowledged


def read(path: FastPath, slot: int, now: float) -> Traffic:
    """All that was ever forwarded."""
    reading = path.read(slot, 0, now)
    assert reading is not None
    return reading.traffic


AROUND = (-(1 << 31), -(1 << 30), -65537, -65536, -1, 0, 1, 65536, 65537, 1 << 30, (1 << 31) - 1)


@pytest.mark.parametrize("reach", [16, 17, 30])
@pytest.mark.parametrize("known", [0, 5, 0xFFFFFFF0])
def test_only_a_segment_within_reach_moves_what_is_known_of_its_speaker(
    any_path: FastPath, reach: int, known: int
) -> None:
    """All are forwarded and counted. What lies a little behind is late, and takes nothing back."""
    payload, there = b"0123456789", (known, known ^ 0x80000000)
    slot, now, seen = enter(any_path, position=joined(*there), reach=reach), 1.0, -LONG_AGO
    for count, (ahead, acked) in enumerate(product(AROUND, AROUND), start=1):
        any_path.offload(slot, outwards(position=joined(*there), reach=reach))
        now += 0.01
        end, acknowledged = (there[0] + ahead) % 2**32, (there[1] + acked) % 2**32
        sequence = (end - len(payload)) % 2**32
        packet = packets.tcp(*ENDS, ACK, sequence, acknowledged, payload)
        assert any_path.forward(packet, 0, now) is not None
        after = read(any_path, slot, now)
        assert (after.packets, after.bytes) == (count, count * len(packet))
        near = abs(ahead) <= 1 << reach and abs(acked) <= 1 << reach
        moved = [
            number if by not in range(-LATE, 0) else known
            for number, by, known in (
                (end, ahead, there[0]),
                (acknowledged, acked, there[1]),
            )
        ]
        seen = now if near else seen
        assert after.position == joined(*(moved if near else there))
        assert abs(after.seen - seen) < UNIT


def test_a_datagram_is_always_believed(any_path: FastPath) -> None:
    slot = enter(any_path, UDP)
    for now in (1.0, 2.0):
        assert any_path.forward(packets.udp(*ENDS, b"?"), 0, now) is not None
        assert abs(read(any_path, slot, now).seen - now) < UNIT


def test_a_half_that_is_repeated_again_begins_where_its_speaker_is_by_then(
    any_path: FastPath,
) -> None:
    slot = enter(any_path, position=joined(1000, 2000), reach=16)
    any_path.track(slot)
    assert any_path.forward(packets.tcp(*ENDS, ACK, 1000, 2000), 0, 1) is None
    any_path.offload(slot, outwards(position=joined(1 << 24, 1 << 25), reach=20))
    far = packets.tcp(*ENDS, ACK, (1 << 24) + (1 << 20), 1 << 25)
    assert any_path.forward(far, 0, 2) is not None
    assert read(any_path, slot, 2).position == joined((1 << 24) + (1 << 20), 1 << 25)


def test_a_position_is_moved_only_from_where_it_was(any_path: FastPath) -> None:
    slot = enter(any_path, position=joined(1000, 2000), reach=16)
    any_path.move(slot, joined(1000, 2000), joined(1 << 24, 2000))
    any_path.move(slot, joined(1000, 2000), joined(5, 6))
    assert any_path.forward(packets.tcp(*ENDS, ACK, 1 << 24, 2000), 0, 1) is not None
    assert read(any_path, slot, 1).position == joined(1 << 24, 2000)


def reason(
    kernel: Kernel,
    data: bytes,
    hook: Hook | None = None,
    to: bytes = MACS[0],
    device: str | None = None,
) -> str:
    before = kernel.reasons()
    kernel.run(to + MACS[1] + IPV4 + data, 0, hook, device)
    after = kernel.reasons()
    return " ".join(
        reason.name
        for (where, reason), count in after.items()
        if where is (kernel.hook if hook is None else hook) and count > before[where, reason]
    )


def test_each_extraordinary_packet_is_left_to_the_engine_and_counted(kernel: Kernel) -> None:
    enter(kernel, TCP)
    enter(kernel, UDP)
    if kernel.hook is Hook.XDP:
        assert reason(kernel, packets.tcp(*ENDS, ACK)) == "STALE_HOP"
        for packet in (packets.tcp(*ENDS, ACK), packets.udp(*ENDS)):
            assert kernel.forward(packet, 0, 0)
    ordinary = packets.tcp(*ENDS, ACK | PSH, 1, 1, b"x" * 30)
    assert reason(kernel, ordinary) == ""
    assert reason(kernel, packets.tcp(*ENDS, SYN)) == "FLAGS"
    assert reason(kernel, packets.tcp(*ENDS, FIN | ACK)) == "FLAGS"
    assert reason(kernel, packets.tcp(*ENDS, RST)) == "FLAGS"
    assert reason(kernel, packets.tcp(*ENDS, ACK, ttl=1)) == "HOP_LIMIT"
    assert reason(kernel, packets.udp(*ENDS, fragment=0x2000)) == "FRAGMENT"
    assert reason(kernel, packets.udp(*ENDS, fragment=3)) == "FRAGMENT"
    assert reason(kernel, packets.udp(*ENDS, options=b"\1\1\1\0")) == "OPTIONS"
    assert reason(kernel, packets.ip(ENDS[0], ENDS[2], 47, bytes(20))) == "PROTOCOL"
    assert reason(kernel, packets.tcp(INNER[0], 5001, OUTER[0], 80, ACK)) == "NO_ENTRY"
    assert reason(kernel, packets.udp(*ENDS, bytes(1500))) == "TOO_BIG"
    assert reason(kernel, ordinary[:2] + b"\1\0" + ordinary[4:]) == "SHORT"
    assert reason(kernel, b"\x60" + bytes(47)) == "NOT_IPV4"


def test_a_frame_to_another_station_or_to_a_group_is_not_forwarded(kernel: Kernel) -> None:
    enter(kernel)
    packet = packets.tcp(*ENDS, ACK)
    stations = ["010000000001", "ffffffffffff", "333300000001"]
    if kernel.hook is Hook.TC:
        stations.append("020000000007")
    for station in stations:
        assert reason(kernel, packet, to=bytes.fromhex(station)) == "NOT_FOR_US"
    assert reason(kernel, packet, Hook.TC) == ""


def test_what_comes_in_by_another_interface_than_leads_back_to_its_sender_is_left_to_the_kernel(
    kernel: Kernel,
) -> None:
    slot = enter(kernel, UDP)
    packet = packets.udp(*ENDS, b"?")
    for _ in range(2):
        assert reason(kernel, packet, Hook.TC, device="out0") == "REVERSE_PATH", (
            "the way is not known"
        )
    assert kernel.read(slot, 0, 0) is None
    if kernel.hook is Hook.XDP:
        assert reason(kernel, packet) == "STALE_HOP"
    assert kernel.forward(packet, 0, 0) is not None
    assert reason(kernel, packet) == ""
    assert reason(kernel, packet, device="out0") == "REVERSE_PATH"
    assert reason(kernel, packet) == ""


def test_what_comes_from_outside_is_forwarded_if_it_came_by_the_outside_interface(
    kernel: Kernel,
) -> None:
    slice_ = packets.udp(OUTER[0], 80, PUBLIC[0], 61000)[12:24]
    wire = OUTER[0] + INNER[0] + struct.pack("!HH", 80, 5000)
    assert kernel.insert(half(layout.key(slice_, UDP, 1), wire), True, 0) is not None
    frame = MACS[0] + MACS[1] + IPV4 + packets.udp(OUTER[0], 80, PUBLIC[0], 61000, b"?")
    for device, moves in (("in0", False), ("out0", True), ("in0", False), ("out0", True)):
        kernel.run(frame, 1, Hook.TC, device)
        assert (kernel.run(frame, 1, device=device)[1] != frame) is moves


def test_where_the_way_back_is_none_of_the_gateways_only_a_strict_interface_minds(
    kernel: Kernel,
) -> None:
    """So asymmetric routes stay in the kernel where it allows them."""
    enter(kernel, UDP)
    packet = packets.udp(*ENDS, b"?")
    with IPRoute() as route:
        route.link("add", ifname="third", kind="veth", peer={"ifname": "third-far"})
        third = route.link_lookup(ifname="third")[0]
        for name in ("third", "third-far"):
            route.link("set", index=route.link_lookup(ifname=name)[0], state="up")
        try:
            route.route("add", dst="10.0.0.2/32", oif=third, scope=253)
            for strict in (0, kernel.exits.device_indices([kernel.devices["in0"]]), 0):
                kernel.table.check_reverse_paths(strict)
                kernel.table.forget_hops()
                assert reason(kernel, packet, Hook.TC) == ("REVERSE_PATH" if strict else "")
                assert (kernel.forward(packet, 0, 0) is None) is bool(strict)
        finally:
            route.link("del", index=third)
            kernel.table.forget_hops()


def test_a_way_back_that_has_changed_is_found_again(devices: dict[str, int]) -> None:
    kernel = Kernel(devices, Hook.TC)
    kernel.heartbeat(0)
    enter(kernel, UDP)
    packet = packets.udp(*ENDS, b"?")
    assert reason(kernel, packet) == ""
    to_host = {"dst": "10.0.0.2/32", "oif": devices["out0"], "scope": 253}
    with IPRoute() as route:
        route.route("add", **to_host)
        kernel.table.forget_hops()
        assert reason(kernel, packet) == "REVERSE_PATH"
        assert reason(kernel, packet, device="out0") == ""
        route.route("del", **to_host)
    kernel.table.forget_hops()
    assert reason(kernel, packet) == ""
    kernel.close()


def test_a_segmentation_offload_packet_may_be_larger_than_the_next_hop_takes(
    devices: dict[str, int],
) -> None:
    kernel = Kernel(devices, Hook.TC)
    kernel.heartbeat(0)
    enter(kernel)
    frame = MACS[0] + MACS[1] + IPV4 + packets.tcp(*ENDS, ACK, 1, 1, bytes(3000))
    verdict, out = kernel.run(frame, 0, gso_size=1400)
    assert verdict == TC_ACT_REDIRECT
    assert packets.read(out[14:]).source.address == PUBLIC[0]
    assert kernel.run(frame, 0, gso_size=1480)[0] != TC_ACT_REDIRECT
    kernel.close()


def test_nothing_is_repeated_for_a_gateway_that_has_fallen_silent(kernel: Kernel) -> None:
    enter(kernel)
    kernel.table.heartbeat(time.monotonic() - 11)
    assert reason(kernel, packets.tcp(*ENDS, ACK)) == "HEARTBEAT_LOST"
    kernel.table.heartbeat(time.monotonic() - 8)
    assert reason(kernel, packets.tcp(*ENDS, ACK), Hook.TC) == ""


@pytest.mark.row("HA-13")
def test_nothing_is_repeated_after_the_lease_of_the_gateway(kernel: Kernel) -> None:
    enter(kernel)
    kernel.table.heartbeat(time.monotonic(), lasts=60)
    assert reason(kernel, packets.tcp(*ENDS, ACK), Hook.TC) == ""
    kernel.table.heartbeat(time.monotonic(), lasts=-inf)
    assert reason(kernel, packets.tcp(*ENDS, ACK)) == "HEARTBEAT_LOST"
    for _ in range(100):  # the clock of the programs is a few milliseconds behind
        kernel.table.limit(time.monotonic(), -0.001)
        assert reason(kernel, packets.tcp(*ENDS, ACK)) == "HEARTBEAT_LOST"
    kernel.table.heartbeat(time.monotonic() - 1, lasts=2)
    assert reason(kernel, packets.tcp(*ENDS, ACK), Hook.TC) == ""
    kernel.table.heartbeat(time.monotonic() - 1, lasts=0.9)
    assert reason(kernel, packets.tcp(*ENDS, ACK)) == "HEARTBEAT_LOST"


def test_the_next_hop_is_followed_when_it_has_changed(devices: dict[str, int]) -> None:
    kernel = Kernel(devices, Hook.TC)
    kernel.heartbeat(0)
    enter(kernel)

    def sent_to() -> bytes:
        kernel.run(MACS[0] + MACS[1] + IPV4 + packets.tcp(*ENDS, ACK), 0)  # finds the next hop
        return kernel.run(MACS[0] + MACS[1] + IPV4 + packets.tcp(*ENDS, ACK), 0)[1][:6]

    neighbour = {"dst": "203.0.113.254", "ifindex": devices["out0"], "state": 0x80}
    assert sent_to().hex() == "020000000009"
    with IPRoute() as route:
        route.neigh("replace", lladdr="02:00:00:00:00:0a", **neighbour)
        kernel.table.forget_hops()
        assert sent_to().hex() == "02000000000a"
        route.neigh("del", **neighbour)
        kernel.table.forget_hops()
        assert reason(kernel, packets.tcp(*ENDS, ACK)) == "NO_NEIGHBOUR"
        route.neigh("replace", lladdr="02:00:00:00:00:09", **neighbour)
    assert sent_to().hex() == "020000000009"
    kernel.close()


def test_a_full_table_takes_no_more_and_loses_nothing(devices: dict[str, int]) -> None:
    kernel = Kernel(devices, Hook.TC, capacity=4)
    keys = [bytes((n,)) * 12 + b"\x06\0\0\0" for n in range(1, 7)]
    slots = [kernel.insert(half(key, bytes(12)), True, 0) for key in keys]
    assert None not in slots[:4]
    assert slots[4:] == [None, None]
    assert len(set(slots[:4])) == 4
    kernel.close()


def test_a_five_tuple_that_is_reused_quickly_is_not_refused(devices: dict[str, int]) -> None:
    """By far more often than slots are in its reach, and sooner than any has rested for a second."""
    kernel = Kernel(devices, Hook.TC)
    kernel.heartbeat(0)
    for _ in range(2 * layout.WINDOW):
        slot = enter(kernel, UDP)
        assert kernel.forward(packets.udp(*ENDS), 0, 0) is not None
        kernel.remove(slot, 0, 0)
        time.sleep(0.004)
    kernel.close()


def test_in_a_crowded_table_each_flow_is_still_its_own(devices: dict[str, int]) -> None:
    kernel = Kernel(devices, Hook.TC, capacity=60)
    kernel.heartbeat(0)
    flows = [(INNER[0], port, OUTER[0], 80) for port in Random(1).sample(range(1024, 60000), 60)]
    displaced = 0
    for inner, port, outer, _ in flows:
        key = layout.key(packets.udp(inner, port, outer, 80)[12:24], UDP, 0)
        wire = PUBLIC[0] + outer + struct.pack("!HH", port + 1000, 80)
        slot = kernel.insert(half(key, wire), True, 0)
        displaced += slot != kernel.table.slots.home(key)
        assert slot is not None
    assert displaced > 5
    for ends in flows:
        sent = kernel.forward(packets.udp(*ends), 0, 0)
        assert sent is not None
        assert packets.read(sent).source.port == ends[1] + 1000
    assert reason(kernel, packets.udp(INNER[0], 1023, OUTER[0], 80)) == "NO_ENTRY"
    kernel.close()
