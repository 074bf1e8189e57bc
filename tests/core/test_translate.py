"""Every bit of a header that is not the gateway's to change arrives as it was sent: of plain flows and of
inspected ones, of rewritten segments too (RFC 3022, 4.1)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipmasq.core.engine import Engine
from ipmasq.core.side import Side
from ipmasq.core.translate import is_intact
from ipmasq.wire import ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum
from ipmasq.wire.packet import Packet
from ipmasq.wire.tcp import ACK, PSH, SYN
from tests.conformance import packets
from tests.core.conversation import INSIDE, OUTSIDE, Conversation

TEXTS = [b"NOOP\r\n", b"PORT 10,0,0,2,4,1\r\n", b"PO", b"", b"x" * 700]

headers = {
    "tos": st.integers(0, 255),
    "identification": st.integers(0, 65535),
    "dont_fragment": st.booleans(),
    "reserved_flag": st.booleans(),
    "ttl": st.integers(2, 254),
    "ip_options": st.sampled_from([b"", b"\x01\x01\x01\x00", b"\x94\x04\0\0", b"\x01" * 40]),
    "reserved": st.integers(0, 15),
    "flags": st.sampled_from([ACK, ACK | PSH, ACK | 0x40, ACK | 0x80, ACK | 0xC0 | PSH]),
    "window": st.integers(1, 65535),
    "urgent": st.integers(0, 65535),
    "tcp_options": st.sampled_from(
        [
            b"",
            b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\2",
            b"\x13\x12" + bytes(16) + b"\x01\x00",  # an MD5 signature, of zeros
            b"\xfd\x04\x00\x01",  # an experiment
            b"\x01\x01\x01\x00",
        ]
    ),
}


def packet(source: Endpoint, destination: Endpoint, sequence: int, ack: int, text: bytes, **header):  # type: ignore[no-untyped-def]
    options = header["tcp_options"]
    segment = bytearray(
        struct.pack(
            "!HHIIBBHHH",
            source.port,
            destination.port,
            sequence % 2**32,
            ack % 2**32,
            (20 + len(options)) // 4 << 4 | header["reserved"],
            header["flags"],
            header["window"],
            0,
            header["urgent"],
        )
        + options
        + text
    )
    start = pseudo_header_sum(source.address, destination.address, 6, len(segment))
    segment[16:18] = finish(fold(segment, start)).to_bytes(2, "big")
    length = 20 + len(header["ip_options"])
    flags = header["dont_fragment"] << 14 | header["reserved_flag"] << 15
    data = bytearray(
        struct.pack(
            "!BBHHHBBH4s4s",
            0x40 | length // 4,
            header["tos"],
            length + len(segment),
            header["identification"],
            flags,
            header["ttl"],
            6,
            0,
            source.address,
            destination.address,
        )
        + header["ip_options"]
        + segment
    )
    ipv4.set_checksum(data, length)
    return data


def bits(data: bytes, is_edited: bool) -> dict[str, object]:
    """What must stay."""
    header = ipv4.read(data)
    assert header is not None
    assert ipv4.is_intact(data, header)
    rest = data[header.length : header.total]
    segment = tcp.read(rest)
    assert segment is not None
    start = pseudo_header_sum(header.source, header.destination, 6, len(rest))
    assert fold(rest, start) == 0xFFFF
    return {
        "tos": data[1],
        "identification": header.identification,
        "fragment": data[6:8],
        "ip options": data[20 : header.length],
        "protocol": header.protocol,
        "reserved": segment.reserved,
        "flags": segment.flags,
        "window": segment.window,
        "urgent": segment.urgent,
        "tcp options": segment.options,
        "payload": None if is_edited else rest[segment.length :],
    }


@pytest.mark.row("3022-4.1")
@pytest.mark.parametrize("inspected", [False, True], ids=["plain", "inspected"])
@given(text=st.sampled_from(TEXTS), **headers)
def test_every_bit_that_is_not_ours_arrives_as_it_was_sent(inspected, text, **header):
    talk = Conversation()
    if not inspected:
        talk.engine.unload_helper("ftp", 0.0)
    talk.open()
    for who, other, side in ((INSIDE, OUTSIDE, Side.INSIDE), (OUTSIDE, talk.public, Side.OUTSIDE)):
        data = packet(who, other, talk.first[side], talk.first[side.other], text, **header)
        before = bytes(data)
        verdict = talk.engine.receive(Packet(data), side, 0.0)
        if inspected and text == b"PO" and side is Side.INSIDE:
            return  # withheld
        out = bytes(verdict.packets[0].data)
        is_edited = b"PORT" in text
        assert bits(out, is_edited) == bits(before, is_edited)
        assert out[8] == header["ttl"] - 1


def test_a_syn_keeps_all_its_bits():
    for port in (21, 443):
        talk = Conversation()
        engine: Engine = talk.engine
        header = {
            "tos": 0x03,
            "identification": 7,
            "dont_fragment": True,
            "reserved_flag": False,
            "ttl": 64,
            "ip_options": b"",
            "reserved": 1,  # AE: accurate ECN
            "flags": SYN | 0xC0,
            "window": 64240,
            "urgent": 0,
            "tcp_options": bytes.fromhex("020405b40402080a000000010000000001030307"),
        }
        data = packet(INSIDE, Endpoint(OUTSIDE.address, port), 5, 0, b"", **header)
        before = bytes(data)
        (sent,) = engine.receive(Packet(data), Side.INSIDE, 0.0).packets
        assert bits(bytes(sent.data), False) == bits(before, False)


@pytest.mark.parametrize("behind", [b"", b"x", b"some bytes"])
def test_the_checksum_of_a_datagram_does_not_cover_what_is_behind_it(behind: bytes):
    """Its length may be less than that of its packet (RFC 768)."""
    whole = packets.udp(INSIDE.address, 4000, OUTSIDE.address, 69)
    data = bytearray(packets.ip(INSIDE.address, OUTSIDE.address, 17, whole[20:] + behind))
    header = ipv4.read(data)
    assert header is not None
    assert is_intact(Packet(data), header)
    data[30] ^= 1
    assert not is_intact(Packet(data), header)
