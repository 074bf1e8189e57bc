"""Frames of every link layer that captures come in, against scapy."""

from __future__ import annotations

import pytest
from scapy.all import (
    ARP,
    IP,
    UDP,
    CookedLinux,
    CookedLinuxV2,
    Dot1AD,
    Dot1Q,
    Ether,
    IPv6,
    Loopback,
    Padding,
)  # fmt: skip

from ipmasq.wire import ethernet

PACKET = bytes(IP(src="10.0.0.2", dst="198.51.100.1") / UDP(sport=1, dport=2) / b"hi")
SIX = bytes(IPv6(src="fd00::2", dst="2001:db8::1") / UDP(sport=1, dport=2) / b"hi")
A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
ETHER = Ether(src=A, dst=B)
LINUX = {"lladdrtype": 1, "lladdrlen": 6}


@pytest.mark.parametrize(
    ("link", "head", "source", "destination"),
    [
        (ethernet.ETHERNET, bytes(ETHER / IP())[:14], MAC_A, MAC_B),
        (ethernet.ETHERNET, bytes(ETHER / Dot1Q(vlan=5) / IP())[:18], MAC_A, MAC_B),
        (ethernet.ETHERNET, bytes(ETHER / Dot1AD(vlan=9) / Dot1Q(vlan=5) / IP())[:22], MAC_A, MAC_B),
        (ethernet.SLL, bytes(CookedLinux(src=MAC_A + b"\0\0", proto=0x800, **LINUX)), MAC_A, b""),
        (ethernet.SLL2, bytes(CookedLinuxV2(src=MAC_A + b"\0\0", proto=0x800, **LINUX)), MAC_A, b""),
        (ethernet.RAW, b"", b"", b""),
        (ethernet.RAW_IPV4, b"", b"", b""),
        (ethernet.NULL, bytes(Loopback(type=2)), b"", b""),
        (ethernet.NULL, b"\2\0\0\0", b"", b""),
        (ethernet.LOOP, b"\0\0\0\2", b"", b""),
    ],
)  # fmt: skip
def test_the_packet_and_hardware_addresses_are_found(
    link: int, head: bytes, source: bytes, destination: bytes
) -> None:
    frame = ethernet.read(link, head + PACKET)
    assert frame is not None
    assert frame == (head, PACKET, b"", source, destination)
    assert frame.around(PACKET + b"more") == head + PACKET + b"more"


def test_padding_is_not_part_of_the_packet_and_is_made_anew() -> None:
    data = bytes(ETHER / IP(PACKET) / Padding(b"\xaa" * 16))
    frame = ethernet.read(ethernet.ETHERNET, data)
    assert frame is not None
    assert frame.packet == PACKET
    assert frame.tail == b"\xaa" * 16
    assert frame.around(PACKET[:28]) == data[:42] + bytes(18)
    assert len(frame.around(PACKET + bytes(100))) == 14 + len(PACKET) + 100


def test_ipv6_is_found() -> None:
    for link, head in ((ethernet.ETHERNET, bytes(ETHER / IPv6())[:14]), (ethernet.RAW, b"")):
        frame = ethernet.read(link, head + SIX + b"\0\0")
        assert frame is not None
        assert frame.packet == SIX


def test_an_answer_goes_back_to_the_hardware_that_asked() -> None:
    frame = ethernet.read(ethernet.ETHERNET, bytes(ETHER / Dot1Q(vlan=5) / IP(PACKET)))
    assert frame is not None
    answer = Ether(frame.turned().around(PACKET))
    assert (answer.src, answer.dst, answer[Dot1Q].vlan) == (B, A, 5)
    assert frame.turned().turned() == frame


@pytest.mark.parametrize("length", [0, 19, 20_000])
def test_a_length_that_makes_no_sense_is_left_for_others_to_judge(length: int) -> None:
    packet = PACKET[:2] + length.to_bytes(2, "big") + PACKET[4:]
    frame = ethernet.read(ethernet.RAW, packet)
    assert frame is not None
    assert frame.packet == packet


@pytest.mark.parametrize("link", range(300))
def test_no_prefix_of_a_frame_is_too_short_to_be_read(link: int) -> None:
    data = bytes(ETHER / Dot1Q(vlan=5) / IP(PACKET))
    for end in range(len(data)):
        ethernet.read(link, data[:end])


def test_what_is_not_ip_is_none() -> None:
    assert ethernet.read(ethernet.ETHERNET, bytes(ETHER / ARP())) is None
    assert ethernet.read(ethernet.ETHERNET, bytes(Ether(type=0x800) / b"\x65garbage")) is None
    assert ethernet.read(147, PACKET) is None
