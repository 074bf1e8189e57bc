"""Translates ICMP errors about live flows (RFC 5508, 4). The quoted packet is turned back into the one that
its sender knows. Type and code stay the same, and the flow is not affected (RFC 5382 REQ-10, RFC 4787
REQ-12).

An error comes in on the side of the quoted packet's receiver, so the quoted packet was rewritten by a half of
the flow. With source and destination exchanged, it has the key of the other half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ipmasq.core.admission import Admission
from ipmasq.core.changes import Changes
from ipmasq.core.flow import Flow, Half
from ipmasq.core.inspector import Inspector
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.table import Table
from ipmasq.core.translate import CHECKSUM_AT
from ipmasq.wire import icmp, ip, ipv4, tcp
from ipmasq.wire.addresses import Endpoint
from ipmasq.wire.checksum import adjust, difference, fold
from ipmasq.wire.header import Header
from ipmasq.wire.packet import Buffer, Packet

FARTHEST = 1 << 20
"""The most bytes between a quoted segment and the end of the latest one."""
LEAST_MTU = 576
"""A smaller path MTU than this is raised to it (A-27)."""


class Quoted(NamedTuple):
    """The beginning of the packet that an error is about. `at` is the offset of its L4 header in the packet
    that carries the error."""

    start: int
    at: int
    protocol: int
    source: bytes
    destination: bytes
    ports: bytes


def read_quoted(data: Buffer, header: Header) -> Quoted | None:
    """Parse the packet that the ICMP error in `data` quotes. Return None unless the quote has the IP header
    with its options (RFC 5508 REQ-3b) and 8 more bytes."""
    start = header.length + icmp.HEADER
    if header.total < start + ipv4.HEADER or data[start] >> 4 != 4:
        return None
    at = start + (data[start] & 0x0F) * 4
    if at < start + ipv4.HEADER or header.total < at + 8:
        return None
    return Quoted(
        start,
        at,
        data[start + 9],
        bytes(data[start + 12 : start + 16]),
        bytes(data[start + 16 : start + 20]),
        bytes(data[at : at + 4]),
    )


def find_half(table: Table, side: Side, quoted: Quoted, data: Buffer) -> Half | None:
    """Return the half for replies to the quoted packet that come in on `side`."""
    ports = quoted.ports
    if quoted.protocol == ipv4.ICMP:
        if data[quoted.at] not in (icmp.ECHO, icmp.ECHO_REPLY):
            return None
        identifier = bytes(data[quoted.at + 4 : quoted.at + 6])
        ports = identifier + b"\0\0" if data[quoted.at] == icmp.ECHO else b"\0\0" + identifier
    key = quoted.destination + quoted.source + ports[2:4] + ports[:2]
    return table.find(side, quoted.protocol, key)


def would_pass(admission: Admission, data: Buffer, header: Header, side: Side) -> bool:
    """Return whether the quoted packet belongs to a flow that passes without translation, by a rule or
    because both ends are inside; then the error passes, too. The packet is checked on the side where it came
    in: the other one, or the same one between inside hosts."""
    quoted = read_quoted(data, header)
    if quoted is None or header.destination != quoted.source:
        return False
    ports = quoted.ports if quoted.protocol in (ipv4.TCP, ipv4.UDP) else bytes(4)
    source = Endpoint(quoted.source, int.from_bytes(ports[:2], "big"))
    destination = Endpoint(quoted.destination, int.from_bytes(ports[2:], "big"))
    return any(
        admission.decide(quoted.protocol, source, destination, came_in) is Reason.PASSED
        for came_in in (side.other, side)
    )


def translate_error(
    packet: Packet,
    header: Header,
    side: Side,
    table: Table,
    ttl_delta: int,
    sync: Callable[[Flow], object],
    changes: Changes,
) -> Reason:
    """Rewrite the error in place and return TRANSLATED, or return why it is dropped. `sync` is called before
    a flow is judged by what was seen of it."""
    data = packet.data
    message = memoryview(data)[header.length : header.total]
    if not icmp.is_intact(message):
        return Reason.BAD_CHECKSUM
    quoted = read_quoted(data, header)
    half = find_half(table, side, quoted, data) if quoted else None
    if quoted is None or half is None or header.destination != quoted.source:
        return Reason.ICMP_UNRELATED
    inner = memoryview(data)[quoted.start : quoted.at]
    if fold(inner) != 0xFFFF:
        return Reason.BAD_CHECKSUM
    flow = half.flow
    # The quoted packet has the key that the twin wrote; its sender knows it by the twin's match.
    twin = half.twin
    sync(flow)
    if quoted.protocol == ipv4.TCP and not _is_near(data, quoted, twin):
        return Reason.ICMP_UNRELATED
    before = bytes(data[quoted.at : quoted.at + 8])
    if flow.inspector is not None and quoted.protocol == ipv4.TCP:
        changes.inspected(flow.id)
        _inspect_quote(data, header, quoted, twin.speaker, flow.inspector)
    data[quoted.start + 12 : quoted.start + 20] = twin.match[:8]
    if quoted.protocol == ipv4.ICMP:
        identifier = twin.match[8:10] if twin.match[8:10] != b"\0\0" else twin.match[10:12]
        data[quoted.at + 4 : quoted.at + 6] = identifier
    else:
        data[quoted.at : quoted.at + 4] = twin.match[8:]
    _revert_checksum(data, header, quoted, before, twin)
    ipv4.set_checksum(inner, len(inner))
    icmp.set_checksum(message)
    # The error itself goes to the sender of the quoted packet. From a masqueraded host, or a router next to
    # it, it gets the public address (RFC 5508 REQ-5c).
    source = half.rewrite[:4] if half.rewrite[:4] != half.match[:4] else header.source
    ipv4.replace(data, 12, source + twin.match[:4])
    ip.change_ttl(data, header.family, ttl_delta)
    return Reason.TRANSLATED


def _is_near(data: Buffer, quoted: Quoted, twin: Half) -> bool:
    """Return whether the quoted segment could be in flight. An attacker who cannot see the connection does
    not know its sequence numbers (RFC 5927, 4)."""
    said = int.from_bytes(data[quoted.at + 4 : quoted.at + 8], "big")
    return abs(tcp.distance(twin.end, said)) <= FARTHEST


def _revert_checksum(
    data: Buffer, header: Header, quoted: Quoted, before: bytes, twin: Half
) -> None:
    """Restore the checksum of the quoted packet, if the quote has it; a wrong one stays wrong."""
    at = quoted.at + CHECKSUM_AT[quoted.protocol]
    if at + 2 > header.total:
        return
    old = int.from_bytes(data[at : at + 2], "big")
    if quoted.protocol == ipv4.UDP and not old:
        return
    changed = difference(before, bytes(data[quoted.at : quoted.at + 8]))
    if quoted.protocol != ipv4.ICMP:
        changed += difference(twin.rewrite[:8], twin.match[:8])
    new = adjust(old, changed % 0xFFFF)
    if quoted.protocol == ipv4.UDP:
        new = new or 0xFFFF
    data[at : at + 2] = new.to_bytes(2, "big")


def _inspect_quote(
    data: Buffer, header: Header, quoted: Quoted, speaker: Speaker, inspector: Inspector
) -> None:
    """Map the quoted sequence number back to the sender's, and note the path MTU for segments sent later."""
    said = int.from_bytes(data[quoted.at + 4 : quoted.at + 8], "big")
    data[quoted.at + 4 : quoted.at + 8] = inspector.unshift(speaker, said).to_bytes(4, "big")
    kind, code = data[header.length], data[header.length + 1]
    if (kind, code) == (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED):
        mtu = int.from_bytes(data[header.length + 6 : header.length + 8], "big")
        inspector.limit_path(max(mtu, LEAST_MTU))
