"""IPv4 packets with any content, right or wrong. Addresses are text, numbers are in host order."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ipmasq.wire.addresses import to_address, to_text
from ipmasq.wire.checksum import finish, fold, pseudo_header_sum

ICMP, TCP, UDP = 1, 6, 17
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
MF = 0x2000

NOP = b"\x01"
LONGEST_OPTIONS = NOP * 40
"""As many IP options as there can be: a header of 60 bytes."""


def ip(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    identification: int = 0,
    fragment: int = 0,
    ttl: int = 64,
    options: bytes = b"",
    total: int | None = None,
    ihl: int | None = None,
) -> bytes:
    """`fragment`: flags, and offset in units of 8 bytes. `total` and `ihl` may be wrong."""
    length = 20 + len(options)
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | (length // 4 if ihl is None else ihl),
        0,
        length + len(payload) if total is None else total,
        identification,
        fragment,
        ttl,
        protocol,
        0,
        to_address(source),
        to_address(destination),
    )
    header += options
    return header[:10] + finish(fold(header)).to_bytes(2, "big") + header[12:] + payload


def udp_datagram(
    source: tuple[str, int], destination: tuple[str, int], payload: bytes, length: int | None = None
) -> bytes:
    """Header and payload, without the IP header; `length` may be wrong."""
    size = 8 + len(payload)
    data = (
        struct.pack("!HHHH", source[1], destination[1], size if length is None else length, 0)
        + payload
    )
    sum_ = _sum(source[0], destination[0], UDP, data)
    return data[:6] + (sum_ or 0xFFFF).to_bytes(2, "big") + data[8:]


def udp(
    source: tuple[str, int],
    destination: tuple[str, int],
    payload: bytes = b"",
    length: int | None = None,
    **rest: int | bytes,
) -> bytes:
    datagram = udp_datagram(source, destination, payload, length)
    return ip(source[0], destination[0], UDP, datagram, **rest)  # type: ignore[arg-type]


def tcp(
    source: tuple[str, int],
    destination: tuple[str, int],
    flags: int,
    seq: int = 0,
    ack: int = 0,
    payload: bytes = b"",
    *,
    options: bytes = b"",
    window: int = 64000,
    offset: int | None = None,
    **rest: int | bytes,
) -> bytes:
    """`options` padded to a multiple of 4; `offset` (in words) may be wrong."""
    words = 5 + len(options) // 4 if offset is None else offset
    data = (
        struct.pack(
            "!HHIIBBHHH",
            source[1],
            destination[1],
            seq & 0xFFFFFFFF,
            ack & 0xFFFFFFFF,
            words << 4,
            flags,
            window,
            0,
            0,
        )
        + options
        + payload
    )
    sum_ = _sum(source[0], destination[0], TCP, data)
    data = data[:16] + sum_.to_bytes(2, "big") + data[18:]
    return ip(source[0], destination[0], TCP, data, **rest)  # type: ignore[arg-type]


def timestamps(value: int, echo: int = 0) -> bytes:
    """The TCP option (RFC 7323), padded."""
    return NOP + NOP + b"\x08\x0a" + struct.pack("!II", value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def mss(size: int) -> bytes:
    return b"\x02\x04" + size.to_bytes(2, "big")


def echo_request(source: str, destination: str, identifier: int, payload: bytes = b"ping") -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, identifier, 1) + payload
    message = message[:2] + finish(fold(message)).to_bytes(2, "big") + message[4:]
    return ip(source, destination, ICMP, message)


def pieces(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    identification: int,
    size: int = 1400,
    first_options: bytes = b"",
) -> list[bytes]:
    """A datagram in fragments of `size` payload bytes (a multiple of 8)."""
    made = []
    for at in range(0, len(payload), size):
        more = MF if at + size < len(payload) else 0
        made.append(
            ip(
                source,
                destination,
                protocol,
                payload[at : at + size],
                identification=identification,
                fragment=more | at // 8,
                options=first_options if at == 0 else b"",
            )
        )
    return made


class Facts(NamedTuple):
    """What a packet that was seen says; checksums are not looked at. Ports are 0 where there are none."""

    protocol: int
    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes
    flags: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0


def read(data: bytes) -> Facts | None:
    """None if it is no whole IPv4 packet."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    size, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
    if not 20 <= size <= total <= len(data):
        return None
    body, protocol = data[size:total], data[9]
    source, destination = to_text(data[12:16]), to_text(data[16:20])
    later = int.from_bytes(data[6:8], "big") & 0x1FFF
    if protocol == TCP and not later and len(body) >= 20:
        sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", body)
        payload = body[(offset >> 4) * 4 :]
        ends = (source, sport), (destination, dport)
        return Facts(TCP, *ends, payload, flags, seq, ack, window)
    if protocol == UDP and not later and len(body) >= 8:
        sport, dport = struct.unpack_from("!HH", body)
        return Facts(UDP, (source, sport), (destination, dport), body[8:])
    return Facts(protocol, (source, 0), (destination, 0), body)


def _sum(source: str, destination: str, protocol: int, data: bytes) -> int:
    ends = to_address(source), to_address(destination)
    return finish(fold(data, pseudo_header_sum(*ends, protocol, len(data))))
