"""Fragments alone: whatever comes together is a datagram that its fragments make, once, and within the limits.

Fragments have options of every length, any offset, any size, and few identifications, so that they meet.
"""

from __future__ import annotations

from fuzz.choices import Choices
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import MOST_PIECES, Datagram, Reassembled, Reassembly
from ipmasq.core.side import Side
from ipmasq.wire import ipv4
from ipmasq.wire.packet import Packet
from tests.conformance import packets
from tests.core.odd_packets import any_fragment
from tests.core.stress import OUTER

MEASURED = ("ipmasq.core.reassembly", "ipmasq.wire.ipv4")
LONGEST = 64
MOST = 32


def one_input(data: bytes) -> None:
    choices = Choices(data)
    reassembly = Reassembly(MOST)
    given: dict[tuple[object, ...], list[tuple[int, bytes, bytes]]] = {}
    datagrams: list[Datagram] = []
    while choices.left > 0:
        kind = choices(16)
        if kind == 0 and datagrams:
            reassembly.forget(datagrams.pop(choices(len(datagrams))))
            continue
        fragment = any_fragment(OUTER[0], OUTER[1] if kind else OUTER[2], choices)
        header = ipv4.read(fragment)
        assert header is not None
        if not header.is_fragment:
            continue
        side = Side(choices(2))
        key = (side, header.destination, header.protocol, header.identification)
        pieces = given.setdefault(key, [])
        pieces.append((header.offset, fragment[header.length :], fragment[: header.length]))
        answer = reassembly.add(Packet(bytearray(fragment)), header, side, 1.0)
        if isinstance(answer, Reassembled):
            _is_made_of(bytes(answer.packet.data), pieces)
            assert answer.largest in {len(piece) + len(first) for _, piece, first in pieces}
        elif isinstance(answer, Datagram):
            datagrams.append(answer)
        else:
            assert answer in (Reason.HELD, Reason.FRAGMENT_LIMIT)
        _is_bounded(reassembly)


def _is_made_of(whole: bytes, given: list[tuple[int, bytes, bytes]]) -> None:
    """Well-formed, its header that of a first fragment, each of its bytes from a fragment that had it there."""
    header = ipv4.read(whole)
    assert header is not None
    assert header.total == len(whole) <= 65535
    assert not header.is_fragment
    assert packets.checksum(whole[: header.length]) == 0
    firsts = [first for offset, _, first in given if offset == 0]
    same = [first for first in firsts if _alike(first, whole[: header.length])]
    assert same, "a header that no first fragment had"
    payload = whole[header.length :]
    covered = bytearray(len(payload))
    for offset, piece, _ in given:
        if piece and payload[offset : offset + len(piece)] == piece:
            covered[offset : offset + len(piece)] = b"\1" * len(piece)
    assert all(covered), "bytes that no fragment had there"


def _alike(first: bytes, header: bytes) -> bool:
    """But for total length, fragment field and checksum."""
    return (
        first[:2] == header[:2]
        and first[4:6] == header[4:6]
        and first[8:10] == header[8:10]
        and first[12:] == header[12:]
    )


def _is_bounded(reassembly: Reassembly) -> None:
    assert len(reassembly) == sum(reassembly.count(side) for side in Side)
    assert sum(reassembly._sources.values()) == len(reassembly)
    assert all(0 < count <= reassembly.share for count in reassembly._sources.values())
    for side in Side:
        assert reassembly.count(side) <= MOST
        for datagram in reassembly._sides[side].values():
            assert len(datagram.pieces) <= MOST_PIECES
