"""Packets written and read by code that shares nothing with `ipmasq.wire`: the tests' own opinion."""

from __future__ import annotations

import struct
from typing import NamedTuple

from scapy.layers import inet

from ipmasq.wire.addresses import Address, Endpoint

ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
DF, MF = 0x4000, 0x2000
ERRORS = (3, 4, 5, 11, 12)


def checksum(data: bytes) -> int:
    """RFC 1071: the words' sum, carries added back, complemented."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def pseudo(source: Address, destination: Address, protocol: int, length: int) -> bytes:
    return source + destination + struct.pack("!BBH", 0, protocol, length)


def ip(
    source: Address,
    destination: Address,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    identification: int = 7,
    fragment: int = DF,
    tos: int = 0,
    options: bytes = b"",
) -> bytes:
    """`fragment`: flags, and offset in units of 8 bytes."""
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | 5 + len(options) // 4,
        tos,
        20 + len(options) + len(payload),
        identification,
        fragment,
        ttl,
        protocol,
        0,
        source,
        destination,
    )
    header += options
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def udp(
    source: Address,
    sport: int,
    destination: Address,
    dport: int,
    payload: bytes = b"hello",
    *,
    summed: bool = True,
    **rest: int | bytes,
) -> bytes:
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    if summed:
        sum_ = checksum(pseudo(source, destination, UDP, len(datagram)) + datagram) or 0xFFFF
        datagram = datagram[:6] + sum_.to_bytes(2, "big") + datagram[8:]
    return ip(source, destination, UDP, datagram, **rest)  # type: ignore[arg-type]


def tcp(
    source: Address,
    sport: int,
    destination: Address,
    dport: int,
    flags: int,
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    options: bytes = b"",
    window: int = 64000,
    urgent: int = 0,
    **rest: int | bytes,
) -> bytes:
    offset = 5 + len(options) // 4 << 4
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, offset, flags, window, 0, urgent)
    segment += options + payload
    sum_ = checksum(pseudo(source, destination, TCP, len(segment)) + segment)
    segment = segment[:16] + sum_.to_bytes(2, "big") + segment[18:]
    return ip(source, destination, TCP, segment, **rest)  # type: ignore[arg-type]


def icmp(
    source: Address,
    destination: Address,
    kind: int,
    code: int,
    rest: bytes,
    body: bytes,
    **header: int | bytes,
) -> bytes:
    message = bytes((kind, code, 0, 0)) + rest + body
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    return ip(source, destination, ICMP, message, **header)  # type: ignore[arg-type]


def echo(
    source: Address,
    destination: Address,
    identifier: int,
    payload: bytes = b"ping",
    *,
    reply: bool = False,
) -> bytes:
    rest = struct.pack("!HH", identifier, 1)
    return icmp(source, destination, 0 if reply else 8, 0, rest, payload)


def error(
    source: Address, destination: Address, kind: int, code: int, quoted: bytes, rest: int = 0
) -> bytes:
    """An ICMP error about `quoted`; `rest`: the 4 bytes whose meaning depends on the kind."""
    return icmp(source, destination, kind, code, rest.to_bytes(4, "big"), quoted)


def fragments(packet: bytes, *sizes: int) -> list[bytes]:
    """The packet cut into fragments of `sizes` payload bytes (multiples of 8) and the rest; with DF if it has."""
    flags = int.from_bytes(packet[6:8], "big") & DF
    source, destination = packet[12:16], packet[16:20]
    payload, pieces, at = packet[20:], [], 0
    for size in (*sizes, len(payload)):
        piece = payload[at : at + size]
        more = MF if at + len(piece) < len(payload) else 0
        pieces.append(
            ip(
                source,
                destination,
                packet[9],
                piece,
                ttl=packet[8],
                identification=int.from_bytes(packet[4:6], "big"),
                fragment=flags | more | at // 8,
            )
        )
        at += len(piece)
        if at >= len(payload):
            break
    return pieces


def joined(pieces: list[bytes]) -> bytes:
    """The datagram that a host makes of all its fragments, without DF. Raises AssertionError unless they
    are one: of the same source, destination, protocol and identification, and without holes."""
    assert len({piece[4:6] + piece[9:10] + piece[12:20] for piece in pieces}) == 1
    fields = [int.from_bytes(piece[6:8], "big") for piece in pieces]
    payload = b""
    for field, piece in sorted(zip(fields, pieces, strict=True), key=lambda each: each[0] & 0x1FFF):
        assert (field & 0x1FFF) * 8 == len(payload)
        payload += piece[20:]
    assert [bool(field & MF) for field in sorted(fields, key=lambda field: field & 0x1FFF)] == [
        *[True] * (len(pieces) - 1),
        False,
    ]
    first = pieces[0]
    return ip(
        first[12:16],
        first[16:20],
        first[9],
        payload,
        ttl=first[8],
        identification=int.from_bytes(first[4:6], "big"),
        fragment=0,
    )


class Facts(NamedTuple):
    """What a packet says. For ICMP echo the id stands in for the port of the end that asked."""

    data: bytes
    protocol: int
    source: Endpoint
    destination: Endpoint
    ttl: int
    payload: bytes
    flags: int = 0
    seq: int = 0
    ack: int = 0
    kind: int | None = None
    code: int = 0
    rest: bytes = b""
    quoted: Facts | None = None
    """Of an ICMP error."""

    @property
    def addresses(self) -> set[Address]:
        """All that it names in its headers, those of a quoted packet too."""
        mine = {self.source.address, self.destination.address}
        return mine | (self.quoted.addresses if self.quoted else set())


def read(data: bytes, is_quote: bool = False) -> Facts:
    """What it says. Raises AssertionError unless all lengths and all checksums are right."""
    assert len(data) >= 20
    assert data[0] >> 4 == 4
    size, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    assert size >= 20
    assert checksum(data[:size]) == 0, "wrong IP checksum"
    assert is_quote or total == len(data), "wrong total length"
    body, whole = data[size:], total <= len(data)
    source, destination, protocol = data[12:16], data[16:20], data[9]
    # The offset of a fragment other than the first leaves no header to read.
    if int.from_bytes(data[6:8], "big") & 0x3FFF:
        protocol = -1
    if whole and protocol in (TCP, UDP) and (protocol == TCP or body[6:8] != b"\0\0"):
        assert checksum(pseudo(source, destination, protocol, len(body)) + body) == 0, "wrong sum"
    if protocol == TCP:
        sport, dport, seq = struct.unpack_from("!HHI", body)
        if is_quote and len(body) < 20:
            ends = Endpoint(source, sport), Endpoint(destination, dport)
            return Facts(data, TCP, *ends, data[8], b"", seq=seq)
        ack, offset, flags = struct.unpack_from("!IBB", body, 8)
        assert offset // 16 * 4 >= 20
        assert is_quote or offset // 16 * 4 <= len(body)
        ends = Endpoint(source, sport), Endpoint(destination, dport)
        return Facts(data, TCP, *ends, data[8], body[offset // 16 * 4 :], flags, seq, ack)
    if protocol == UDP:
        sport, dport, length = struct.unpack_from("!HHH", body)
        assert is_quote or 8 <= length <= len(body)
        ends = Endpoint(source, sport), Endpoint(destination, dport)
        return Facts(data, UDP, *ends, data[8], body[8:])
    if protocol == ICMP:
        return _read_icmp(data, body, source, destination, whole)
    return Facts(data, data[9], Endpoint(source, 0), Endpoint(destination, 0), data[8], body)


def _read_icmp(
    data: bytes, body: bytes, source: Address, destination: Address, whole: bool
) -> Facts:
    kind, code = body[0], body[1]
    if whole:
        assert checksum(body) == 0, "wrong ICMP checksum"
    ports = [0, 0]
    if kind in (0, 8):
        ports[kind == 0] = int.from_bytes(body[4:6], "big")
    quoted = read(body[8:], is_quote=True) if kind in ERRORS and len(body) >= 36 else None
    ends = Endpoint(source, ports[0]), Endpoint(destination, ports[1])
    return Facts(
        data, ICMP, *ends, data[8], body[8:], kind=kind, code=code, rest=body[4:8], quoted=quoted
    )


def agree_with_scapy(data: bytes) -> None:
    """Raise AssertionError unless scapy, computing all checksums anew, writes the same ones."""
    packet, anew = inet.IP(data), inet.IP(data)
    if any(option.option in (3, 9) for option in packet.options):
        return  # it sums up the end of a source route, which no NAT looks at
    del anew.chksum
    # A fragment does not have all that the other checksum is about.
    layers = () if int(packet.flags) & 1 or packet.frag else (inet.TCP, inet.UDP, inet.ICMP)
    for layer in layers:
        if layer in packet and packet[layer].chksum:
            del anew[layer].chksum
    if inet.ICMP in packet and packet[inet.ICMP].type in ERRORS:
        quote = data[(data[0] & 15) * 4 + 8 :]
        if quote[9:10] not in (b"\x01", b"\x06", b"\x11"):
            # Scapy corrects what it knows of other protocols (IGMP, once that was loaded).
            anew[inet.ICMP].remove_payload()
            anew[inet.ICMP].add_payload(quote)
    written = inet.IP(bytes(anew))
    assert written.chksum == packet.chksum
    for layer in layers:
        if layer in packet:
            # 0 and 0xFFFF are the same sum; only in UDP do they differ, and scapy writes 0xFFFF there.
            assert written[layer].chksum % 0xFFFF == packet[layer].chksum % 0xFFFF
