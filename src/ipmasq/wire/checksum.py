"""The Internet checksum: computed (RFC 1071) and updated (RFC 1624).

A *sum* is a 16-bit ones'-complement sum, uncomplemented; a *checksum* is what stands in a header, the
complement of a sum. A *difference* is a sum too: that of the new words and the complements of the old
ones, so that adding it to a sum replaces the old words by the new.
"""

from __future__ import annotations

from ipmasq.wire.packet import Buffer


def fold(data: bytes | Buffer, start: int = 0) -> int:
    """Return the sum of `data` as 16-bit big-endian words (an odd last byte is the high half of a word), plus
    `start`."""
    # 2**16 = 1 (mod 65535): the whole buffer is one number, and its residue is the folded sum.
    number = int.from_bytes(data, "big")
    if len(data) % 2:
        number <<= 8
    number += start
    return number % 0xFFFF or (0xFFFF if number else 0)


def finish(sum_: int) -> int:
    """Return the checksum for a sum."""
    return ~sum_ & 0xFFFF


def pseudo_header_sum(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """Return the sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1). Addresses have 4 or 16 bytes,
    `length` is that of the L4 header and payload in bytes."""
    return fold(source + destination, protocol + (length & 0xFFFF) + (length >> 16))


def difference(before: bytes, after: bytes) -> int:
    """Return what to add to a sum when the words `before` become `after` (same, even, number of bytes)."""
    # As in `fold`, each is one number, and their residues differ by what the words differ by.
    return (int.from_bytes(after, "big") - int.from_bytes(before, "big")) % 0xFFFF or 0xFFFF


def opposite(difference: int) -> int:
    """Return the difference of the opposite change, from the new words to the old ones."""
    return 0xFFFF - difference or 0xFFFF


def update(checksum: int, before: bytes, after: bytes) -> int:
    """Return the checksum after the words `before` became `after` (RFC 1624, equation 3)."""
    return adjust(checksum, difference(before, after))


def adjust(checksum: int, difference: int) -> int:
    """Return the checksum after `difference` was added to its sum: `~(~HC + d)`."""
    total = (~checksum & 0xFFFF) + difference
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
