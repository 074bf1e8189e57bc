"""ICMP (RFC 792): type, code, checksum, 4 bytes that depend on the type, body."""

from __future__ import annotations

from ipmasq.wire.checksum import finish, fold
from ipmasq.wire.packet import Buffer

HEADER = 8
ECHO_REPLY, UNREACHABLE, SOURCE_QUENCH, REDIRECT, ECHO = 0, 3, 4, 5, 8
TIME_EXCEEDED, PARAMETER_PROBLEM = 11, 12
ERRORS = frozenset((UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM))
"""Errors that are forwarded. Source quench is deprecated (RFC 6633), and redirects have no meaning across a
NAT."""
HOST_UNREACHABLE, FRAGMENTATION_NEEDED, PROHIBITED = 1, 4, 13
"""Codes of Destination Unreachable (RFC 792, RFC 1812 5.2.7.1)."""


def is_intact(message: bytes | Buffer) -> bool:
    """Return whether the checksum over the whole message is right."""
    return fold(message) == 0xFFFF


def set_checksum(message: Buffer) -> None:
    """Compute the checksum anew."""
    message[2:4] = b"\0\0"
    message[2:4] = finish(fold(message)).to_bytes(2, "big")
