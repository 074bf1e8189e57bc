"""Identifications of the gateway's own for datagrams that leave in fragments (RFC 6864, 5.3.1).

Two inside hosts may choose the same one for the same remote host. Behind one public address their fragments
would be put together to something that neither has sent (RFC 3022, 6.3; attack A-34).
"""

from __future__ import annotations

from hashlib import blake2s

from ipmasq.core.ports import Chance
from ipmasq.wire.addresses import Address

COUNTERS = 1024
"""Shared by all pairs of addresses; each pair always uses the same one, so that none comes again within the
next 65,535 of a pair. Who does not know the key cannot find out which pairs share one (RFC 7739, 5.3)."""


class Identifications:
    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._key = b""
        self._next: dict[int, int] = {}

    def take(self, source: Address, destination: Address, protocol: int) -> int:
        """One that no recent datagram from `source` to `destination` of this protocol has."""
        if not self._key:
            self._key = self._chance(1 << 128).to_bytes(16, "big")
        text = bytes((protocol,)) + source + destination
        digest = blake2s(text, key=self._key, digest_size=2).digest()
        counter = int.from_bytes(digest, "big") % COUNTERS
        if counter not in self._next:
            self._next[counter] = self._chance(1 << 16)
        taken = self._next[counter]
        self._next[counter] = (taken + 1) & 0xFFFF
        return taken
