"""What must hold of a packet that leaves, compared with the one that came in.

Every bit of a header that a NAT need not change arrives as it was sent; what leaves is well-formed.
"""

from __future__ import annotations

from tests.conformance import packets
from tests.conformance.packets import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, URG

EDITED_FLAGS = FIN | PSH | URG
"""Flags that belong to a place in the stream, and so to the segment that carries that place."""


def header_arrives_as_sent(came: bytes, out: bytes, ttl_delta: int, inspected: bool) -> None:
    """`came`: a whole datagram, not a fragment; `out`: what was made of it, towards its receiver, the first
    of several. `inspected`: of a flow that a helper inspects or has inspected, whose segments are composed anew and
    whose datagrams may have another payload."""
    came = came[: int.from_bytes(came[2:4], "big")]
    size = (came[0] & 15) * 4
    assert out[:2] == came[:2], "version, header length, TOS"
    if came[9] == UDP and inspected and len(out) > len(came):
        assert not out[6] & 0x40, "a datagram that has grown may be cut"
        assert out[6:8] == bytes((came[6] & 0xBF, came[7])), "flags"
    else:
        assert out[4:8] == came[4:8], "identification, flags"
    assert out[8] == came[8] + ttl_delta, "time to live"
    assert out[9] == came[9], "protocol"
    assert out[20:size] == came[20:size], "IP options"
    before, after = came[size:], out[size:]
    if came[9] == TCP and inspected:
        _inspected_segment(before, after)
        return
    if came[9] == UDP and inspected:
        assert (after[6:8] == b"\0\0") == (before[6:8] == b"\0\0"), "UDP checksum"
        assert int.from_bytes(after[4:6], "big") == len(after), "UDP length"
        return
    assert len(out) == len(came)
    if came[9] == TCP:
        assert after[4:16] == before[4:16], "TCP header"
        assert after[18:] == before[18:], "urgent pointer, options, payload"
    elif came[9] == UDP:
        assert after[4:6] == before[4:6], "UDP length"
        assert (after[6:8] == b"\0\0") == (before[6:8] == b"\0\0"), "UDP checksum"
        assert after[8:] == before[8:], "payload"
    elif came[9] == ICMP and before[0] in (0, 8):
        assert after[:2] == before[:2], "ICMP type and code"
        assert after[6:] == before[6:], "ICMP sequence number and payload"


def _inspected_segment(before: bytes, after: bytes) -> None:
    assert after[12] == before[12], "data offset and reserved bits"
    assert (after[13] ^ before[13]) & ~EDITED_FLAGS == 0, "flags"
    length = (before[12] >> 4) * 4
    _options_differ_in_sack_only(before[20:length], after[20:length])


def _options_differ_in_sack_only(before: bytes, after: bytes) -> None:
    """What stands in front of the first SACK option, and what behind it, is the same."""
    start, end = _place_of_sack(before)
    assert after[:start] == before[:start], "options before SACK"
    assert after[end:] == before[end:], "options after SACK"


def _place_of_sack(options: bytes) -> tuple[int, int]:
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            break
        if options[at] == 5:
            return at, at + size
        at += size
    return len(options), len(options)


def answer_is_well_formed(out: bytes, came: bytes, intact: bool) -> None:
    """`out`: what the sender of `came` is told, which went nowhere. `intact`: all its checksums were right."""
    assert packets.checksum(out[:20]) == 0
    assert out[16:20] == came[12:16], "to somebody else"
    assert len(out) <= max(576, len(came))
    assert int.from_bytes(out[2:4], "big") == len(out)
    if out[9] == TCP:
        _reset_answers(packets.read(out), came)
        return
    assert (out[9], out[20]) == (ICMP, 3)
    assert packets.checksum(out[20:]) == 0
    assert came[9] != ICMP or came[(came[0] & 15) * 4] == 8 or came[6] & 0x3F or came[7]
    if not int.from_bytes(came[6:8], "big") & 0x3FFF:
        assert came.startswith(out[28:]), "another packet quoted"
    if intact:
        packets.read(out)


def _reset_answers(reset: packets.Facts, came: bytes) -> None:
    """RFC 9293, 3.10.7.1. Of a segment in fragments, `came` is only the last that arrived."""
    assert reset.flags & ~ACK == RST
    assert not reset.payload
    assert reset.source.address == came[16:20]
    if int.from_bytes(came[6:8], "big") & 0x3FFF:
        return
    segment = came[(came[0] & 15) * 4 : int.from_bytes(came[2:4], "big")]
    assert segment[:4] == reset.data[22:24] + reset.data[20:22]
    flags = segment[13]
    assert not flags & RST
    if flags & ACK:
        assert (reset.flags, reset.seq) == (RST, int.from_bytes(segment[8:12], "big"))
        return
    length = len(segment) - (segment[12] >> 4) * 4 + bool(flags & SYN) + bool(flags & FIN)
    said = int.from_bytes(segment[4:8], "big")
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, 0, (said + length) % 2**32)
