"""The virtio header against packets as the kernel hands them over."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import GRE, ICMP, IP, TCP, UDP, IPv6, Raw

from ipmasq.planes.tun import vnet
from ipmasq.wire.packet import Packet

ENDS = {"src": "10.0.0.2", "dst": "203.0.113.2"}


def data_of(packet: object) -> memoryview:
    return memoryview(bytearray(bytes(packet)))  # type: ignore[call-overload]


def header(flags: int, kind: int, length: int, size: int, start: int, offset: int) -> bytearray:
    return bytearray(struct.pack("=BBHHHH", flags, kind, length, size, start, offset))


def test_a_finished_packet_is_neither_partial_nor_to_be_cut() -> None:
    packet = vnet.packet_from(bytearray(10), data_of(IP(**ENDS) / UDP() / b"x"))
    assert (packet.partial, packet.segment) == (False, 0)
    assert vnet.header_for(packet) == bytes(10)


def test_a_checksum_that_the_kernel_has_seen_to_be_right_is_no_partial_one() -> None:
    packet = vnet.packet_from(header(2, 0, 0, 0, 0, 0), data_of(IP(**ENDS) / UDP() / b"x"))
    assert (packet.partial, packet.segment) == (False, 0)


@pytest.mark.parametrize("options", [[], [("Timestamp", (1, 2))]])
@pytest.mark.parametrize(
    ("layer", "kind"), [(IP(**ENDS), vnet.GSO_TCPV4), (IPv6(dst="::2"), vnet.GSO_TCPV6)]
)
def test_a_long_tcp_packet_comes_out_with_the_header_it_came_with(
    layer: object, kind: int, options: list[object]
) -> None:
    data = data_of(layer / TCP(options=options) / (b"x" * 5000))  # type: ignore[operator]
    start = 20 if kind == vnet.GSO_TCPV4 else 40
    length = start + (data[start + 12] >> 4) * 4
    came = header(1, kind, length, 1448, start, 16)
    packet = vnet.packet_from(came, data)
    assert (packet.partial, packet.segment) == (True, 1448)
    assert vnet.header_for(packet) == bytes(came)
    behind_ethernet = header(1, kind, 14 + length, 1448, 14 + start, 16)
    assert vnet.header_for(packet, 14) == bytes(behind_ethernet)


def test_a_long_datagram_comes_out_with_the_header_it_came_with() -> None:
    came = header(1, vnet.GSO_UDP_L4, 28, 1200, 20, 6)
    packet = vnet.packet_from(came, data_of(IP(**ENDS) / UDP() / (b"x" * 5000)))
    assert vnet.header_for(packet) == bytes(came)


def test_ip_options_move_where_the_checksum_is() -> None:
    data = data_of(IP(options=b"\x01\x01\x01\x00", **ENDS) / UDP() / b"x")
    came = header(1, 0, 0, 0, 24, 6)
    packet = vnet.packet_from(came, data)
    assert packet.partial
    assert vnet.header_for(packet) == bytes(came)


def test_a_long_packet_that_became_a_short_one_leaves_with_a_plain_header() -> None:
    packet = vnet.packet_from(
        header(1, vnet.GSO_TCPV4, 40, 1448, 20, 16), data_of(IP(**ENDS) / TCP() / (b"x" * 5000))
    )
    assert packet.segment
    assert vnet.header_for(Packet(packet.data[:140])) == bytes(10)


def test_an_unfinished_checksum_inside_a_tunnel_is_finished_on_the_way_in() -> None:
    whole = IP(**ENDS) / GRE() / IP(src="192.168.1.1", dst="192.168.1.2") / UDP() / b"payload"
    good = bytes(whole)
    start = 20 + 4 + 20
    pseudo = sum(struct.unpack("!4H", good[36:44])) + 17 + len(good) - start
    data = data_of(whole)
    data[start + 6 : start + 8] = (pseudo % 0xFFFF).to_bytes(2, "big")
    packet = vnet.packet_from(header(1, 0, 0, 0, start, 6), data)
    assert not packet.partial
    assert bytes(packet.data) == good


@given(st.binary(min_size=1, max_size=400))
def test_a_finished_checksum_is_what_others_compute(payload: bytes) -> None:
    whole = IP(**ENDS) / UDP() / Raw(payload)
    good = bytes(whole)
    data = data_of(whole)
    pseudo = sum(struct.unpack("!4H", good[12:20])) + 17 + len(good) - 20
    data[26:28] = (pseudo % 0xFFFF).to_bytes(2, "big")
    vnet.finish_checksum(data, 20, 6)
    assert bytes(data) == good


def test_a_checksum_place_beyond_the_packet_is_left_alone() -> None:
    data = data_of(IP(**ENDS) / ICMP())
    before = bytes(data)
    vnet.finish_checksum(data, 20, 200)
    assert bytes(data) == before
