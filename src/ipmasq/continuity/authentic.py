"""Authenticated entries: what members of a group exchange through a store that others may be able to write.

An entry is one batch of records, or one datagram between members. It carries a MAC (keyed BLAKE2b, RFC 7693,
128 bits) over the group, the member, the generation of its lease, a sequence number and the payload. A forged
entry has no valid MAC, a foreign one belongs to another group, and a replayed one has a number that was there
before. Entries are authenticated, not encrypted: TLS to the store does that.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from hmac import compare_digest

VERSION = 1
"""A new number whenever older members cannot read entries any more."""

MAC_SIZE = 16
LEAST_KEY = 16
"""The least length of a key, in bytes."""

_HEAD = struct.Struct("!BBBQQ")
"""Version, length of the group, length of the member, generation, number."""


class Refusal(StrEnum):
    """Why an entry was refused."""

    FORGED = "forged"
    """Its MAC is not valid, or it is no entry at all."""
    FOREIGN = "foreign"
    """It belongs to another group."""
    REPLAYED = "replayed"
    """An entry with its number was there before, or its lease has ended."""
    DAMAGED = "damaged"
    """Its payload cannot be read although it is authentic."""


class RefusedError(Exception):
    """An entry is refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Entry:
    member: str
    """The name of the member that wrote it."""
    generation: int
    """That of the lease under which it was written."""
    number: int
    """Counted from 1 in each generation, without gaps."""
    payload: bytes


class Seal:
    """Writes and reads entries of one group."""

    def __init__(self, key: bytes, group: str, purpose: str) -> None:
        """`key` is the operator's secret of any length from LEAST_KEY. An entry for one `purpose` is forged
        for any other."""
        self._key = blake2b(key, digest_size=64).digest()
        self._person = purpose.encode()[: blake2b.PERSON_SIZE]
        self._group = group.encode()

    def write(self, entry: Entry) -> bytes:
        member = entry.member.encode()
        head = _HEAD.pack(VERSION, len(self._group), len(member), entry.generation, entry.number)
        rest = b"".join((head, self._group, member, entry.payload))
        return self._mac(rest) + rest

    def read(self, data: bytes) -> Entry:
        """Raises RefusedError."""
        mac, rest = data[:MAC_SIZE], data[MAC_SIZE:]
        if len(rest) < _HEAD.size or not compare_digest(mac, self._mac(rest)):
            raise RefusedError(Refusal.FORGED)
        version, group, member, generation, number = _HEAD.unpack_from(rest)
        if version != VERSION:
            raise RefusedError(Refusal.DAMAGED)
        middle = _HEAD.size + group
        if rest[_HEAD.size : middle] != self._group:
            raise RefusedError(Refusal.FOREIGN)
        name = rest[middle : middle + member].decode(errors="replace")
        return Entry(name, generation, number, rest[middle + member :])

    def _mac(self, data: bytes) -> bytes:
        return blake2b(data, key=self._key, digest_size=MAC_SIZE, person=self._person).digest()


@dataclass(slots=True)
class Sequence:
    """Admits entries in the order in which they were written, each once."""

    generation: int = 0
    member: str = ""
    number: int = 0
    """That of the latest entry; 0 before the first one."""
    refused: Counter[Refusal] = field(default_factory=Counter)

    def admit(self, entry: Entry) -> bool:
        """Record an authentic entry. Return whether it directly follows the one before: otherwise some are
        missing in between. Raises RefusedError for one that is not new."""
        begins = entry.generation > self.generation
        if not begins and (entry.generation, entry.member) != (self.generation, self.member):
            raise RefusedError(Refusal.REPLAYED)
        if not begins and entry.number <= self.number:
            raise RefusedError(Refusal.REPLAYED)
        follows = entry.number == (1 if begins else self.number + 1)
        self.generation, self.member, self.number = entry.generation, entry.member, entry.number
        return follows

    def rewind(self) -> None:
        """Admit the entries of the present generation once more, since they are read again."""
        self.number = 0
