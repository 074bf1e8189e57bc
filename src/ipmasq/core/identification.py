"""IP identifications for datagrams that leave in fragments (RFC 6864, 5.3.1).

Two inside hosts may choose the same identification for the same remote host. Behind one public address their
fragments would be reassembled to a datagram that neither has sent (RFC 3022, 6.3; attack A-34). So the
gateway assigns its own.
"""

from __future__ import annotations

from hashlib import blake2s

from ipmasq.core.plain import Fields, Plain
from ipmasq.core.ports import Chance
from ipmasq.wire.addresses import Address

COUNTERS = 1024
"""The number of counters, which all pairs of addresses share. A pair always uses the same counter, so that no
identification repeats within the next 65,535 of a pair. Without the key it is unknown which pairs share a
counter (RFC 7739, 5.3)."""


class Identifications:
    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._key = b""
        self._next: dict[int, int] = {}

    def to_state(self) -> Plain:
        """Return it as plain values."""
        return {"key": self._key, "next": [list(each) for each in self._next.items()]}

    def restore(self, state: Fields) -> None:
        """Take over the key and the counters of a state. Raises StateError."""
        self._key = state.blob("key")
        if len(self._key) > 32:
            raise state.error("key", "is longer than 32 bytes")
        for each in state.rows("next"):
            self._next[each.integer(0, 0, COUNTERS - 1)] = each.integer(1, 0, 0xFFFF)

    def take(self, source: Address, destination: Address, protocol: int) -> int:
        """Return an identification that no recent datagram from `source` to `destination` of this protocol
        has."""
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
