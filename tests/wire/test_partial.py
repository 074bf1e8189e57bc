from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.all import IP, TCP, UDP, raw

from ipmasq.wire import partial
from ipmasq.wire.checksum import pseudo_header_sum


def unfinished(packet: IP) -> tuple[bytearray, bytes]:
    """As a sending host's capture shows it, and as the wire does (by scapy)."""
    data = bytearray(raw(packet))
    at = 20 + (16 if packet.proto == 6 else 6)
    # Scapy writes 0 in the checksum of TCP where Linux writes the other form of zero (skb_checksum_help).
    data[at : at + 2] = data[at : at + 2].replace(b"\0\0", b"\xff\xff")
    right = bytes(data)
    total = pseudo_header_sum(right[12:16], right[16:20], packet.proto, len(right) - 20)
    data[at : at + 2] = total.to_bytes(2, "big")
    return data, right


@pytest.mark.parametrize("layer", [TCP(sport=1, dport=2), UDP(sport=1, dport=2)])
@given(payload=st.binary(max_size=64))
@example(payload=b"r\xa5\xe9")  # The checksum of TCP is zero.
def test_an_unfinished_checksum_is_noticed_and_finished(layer: TCP | UDP, payload: bytes) -> None:
    data, right = unfinished(IP(raw(IP(src="10.0.0.2", dst="198.51.100.1") / layer / payload)))
    if data == right:
        return  # The sum of the pseudo-header is the right checksum by chance.
    assert partial.is_partial(data)
    assert not partial.is_partial(right)
    partial.complete(data)
    assert data == right


def test_a_finished_udp_checksum_is_never_zero() -> None:
    plain = raw(IP(src="10.0.0.2", dst="198.51.100.1") / UDP(sport=1, dport=2, chksum=0) / b"\0\0")
    data, _ = unfinished(IP(plain))
    partial.complete(data)
    checksum = int.from_bytes(data[26:28], "big")
    # Now let the payload take up what is left, so that the sum is 0xffff and its complement 0.
    packet = IP(src="10.0.0.2", dst="198.51.100.1") / UDP(sport=1, dport=2)
    data, right = unfinished(IP(raw(packet / checksum.to_bytes(2, "big"))))
    partial.complete(data)
    assert data[26:28] == b"\xff\xff" == right[26:28]


@given(st.binary(max_size=64))
def test_any_bytes_are_left_alone_or_finished(data: bytes) -> None:
    copy = bytearray(data)
    partial.is_partial(data)
    partial.complete(copy)
    assert len(copy) == len(data)
