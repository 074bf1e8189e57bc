"""The unit that planes and engine exchange."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytearray | memoryview


class Packet:
    """One IP packet, from its version nibble on, in a buffer that may be rewritten in place.

    `partial`  the L4 checksum field holds only the sum of the pseudo-header, uncomplemented; whoever
               sends the packet finishes it (Linux's CHECKSUM_PARTIAL, virtio's NEEDS_CSUM).
    `segment`  payload bytes of each segment that the sender will cut the packet into (GSO); 0 if it
               leaves as it is.
    `note`     whatever the plane wants to find again on a packet that comes back out (the engine
               copies it to every packet that it makes out of this one).
    """

    __slots__ = ("data", "note", "partial", "segment")

    def __init__(
        self, data: Buffer, partial: bool = False, segment: int = 0, note: object = None
    ) -> None:
        self.data = data
        self.partial = partial
        self.segment = segment
        self.note = note
