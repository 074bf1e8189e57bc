from __future__ import annotations

import io

import pytest
from scapy.all import ARP, IP, TCP, Ether, IPv6, raw

from ipmasq.core.side import Side
from ipmasq.planes.pcap import CUT, NEITHER, NOT_IP, ByInterface, ByMac, ByNetwork, PcapPlane, Sides
from ipmasq.wire import capture
from ipmasq.wire.addresses import to_network
from ipmasq.wire.packet import Packet
from ipmasq.wire.pcapng import Writer
from ipmasq.wire.record import Interface, Record

LAN, WAN, DMZ = Interface("lan0", 1), Interface("wan0", 1), Interface("dmz0", 1)
HOST, ROUTER, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
MAC = {name: bytes.fromhex(name.replace(":", "")) for name in (HOST, ROUTER, OTHER)}
NETWORKS = ByNetwork((to_network("10.0.0.0/24"),))


def record(interface: Interface, source: str, mac: str = HOST, cut: int = 0) -> Record:
    data = raw(Ether(src=mac, dst=ROUTER) / IP(src=source, dst="198.51.100.1") / TCP() / b"hello")
    return Record(1, interface, data[: len(data) - cut], len(data))


def opened(sides: Sides, *records: Record) -> tuple[PcapPlane, io.BytesIO]:
    source, target = io.BytesIO(), io.BytesIO()
    writer = Writer(source)
    for each in records:
        writer.write(each)
    source.seek(0)
    return PcapPlane(source, target, sides), target


@pytest.mark.parametrize(
    ("sides", "arrived", "expected"),
    [
        (NETWORKS, record(WAN, "10.0.0.2"), Side.INSIDE),
        (NETWORKS, record(LAN, "10.0.1.2"), Side.OUTSIDE),
        (ByInterface(("lan0",), ("wan0",)), record(LAN, "192.0.2.1"), Side.INSIDE),
        (ByInterface(("lan0",), ("wan0",)), record(WAN, "10.0.0.2"), Side.OUTSIDE),
        (ByInterface(("lan0",), ("wan0",)), record(DMZ, "10.0.0.2"), None),
        (ByMac(frozenset({MAC[HOST]})), record(LAN, "192.0.2.1"), Side.INSIDE),
        (ByMac(frozenset({MAC[HOST]})), record(LAN, "10.0.0.2", OTHER), Side.OUTSIDE),
        (ByMac(frozenset({MAC[HOST]}), frozenset({MAC[ROUTER]})), record(LAN, "10.0.0.2", OTHER), None),
    ],
)  # fmt: skip
def test_the_side_is_told_by_network_interface_or_hardware_address(
    sides: Sides, arrived: Record, expected: Side | None
) -> None:
    (arrival,) = opened(sides, arrived)[0].arrivals()
    assert arrival.side is expected
    assert arrival.reason == ("" if expected is not None else NEITHER)


def test_what_is_not_for_the_gateway_says_why() -> None:
    arp = Record(1, LAN, raw(Ether() / ARP()), 42)
    six = raw(Ether() / IPv6(src="fd00::2") / TCP())
    cut, trailer = record(LAN, "10.0.0.2", cut=3), record(LAN, "10.0.0.2")._replace(length=999)
    plane, _ = opened(NETWORKS, arp, Record(1, LAN, six, len(six)), cut, trailer)
    assert [arrival.reason for arrival in plane.arrivals()] == [NOT_IP, NEITHER, CUT, ""]


def test_packets_leave_on_the_interface_of_their_side_with_comments() -> None:
    sides = ByInterface(("lan0", "lan1"), ("wan0",))
    plane, target = opened(sides, record(LAN, "10.0.0.2")._replace(comments=("mine",)))
    (arrival,) = plane.arrivals()
    assert arrival.packet is not None
    plane.send(arrival, arrival.packet, Side.OUTSIDE, ("left",))
    back = raw(IP(src="198.51.100.1", dst="10.0.0.2") / TCP())
    plane.send(arrival, Packet(bytearray(back)), Side.INSIDE, ("answered",))
    plane.copy(arrival, ("copied",))
    out, answer, copy = capture.read(io.BytesIO(target.getvalue()))
    assert (out.interface, out.comments) == (WAN, ("mine", "left"))
    assert (answer.interface, answer.comments) == (LAN, ("mine", "answered"))
    assert (Ether(answer.data).src, Ether(answer.data).dst) == (ROUTER, HOST)
    assert copy == arrival.record._replace(comments=("mine", "copied"))
