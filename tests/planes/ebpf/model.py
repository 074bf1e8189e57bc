"""The fast path as a few lines of Python: what bpf/ does to an IP packet, and no more."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Any

from ipmasq.core.compact import FLOW, HAS_MARKS, IS_OFFLOADABLE
from ipmasq.core.keys import exchanged
from ipmasq.core.offloading import Rewrite
from ipmasq.core.side import Side
from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import Use
from ipmasq.planes.ebpf.table import GRACE, LONG_AGO, adopted, entered, reading
from ipmasq.planes.fastpath import Adopted, Reading
from tests.conformance.packets import ACK, FIN, RST, SYN, TCP, UDP


def summed(*words: bytes) -> int:
    return sum(word for (word,) in struct.iter_unpack("!H", b"".join(words)))


def moved(checksum: int, before: bytes, after: bytes) -> int:
    """RFC 1624, equation 3, as it stands there."""
    total = (~checksum & 0xFFFF) + summed(after) + summed(bytes(~byte & 0xFF for byte in before))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def half(key: bytes, rewrite: bytes, position: int = 0, reach: int = 0) -> Rewrite:
    """Of packets with this key (`layout.key`)."""
    match, protocol, side, _, _ = layout.Key.unpack(key)
    return Rewrite(Side(side), protocol, match, rewrite, position, reach)


def halves_of(row: tuple[Any, ...], seen: int) -> Iterator[tuple[bytes, bytes, Use]]:
    """What bpf/fill.h enters for a row that was unpacked: key, half and use of both directions."""
    (protocol, client, back, _, server, out, _, bits, *_, out_position, _, _, back_position,
     out_mark, back_mark) = row  # fmt: skip
    if protocol not in (TCP, UDP):
        return
    use = Use.OFFLOADED if bits & IS_OFFLOADABLE else Use.TRACKED
    for side, answered, leaves, position, mark in (
        (client, back, out, out_position, out_mark),
        (server, out, back, back_position, back_mark),
    ):
        rewrite = Rewrite(
            Side(side), protocol, exchanged(answered), leaves, position, layout.ANYWHERE
        )
        made = bytearray(entered(rewrite, 0.0, mark if bits & HAS_MARKS else 0))
        struct.pack_into("=I", made, layout.REPORT_AT, seen)
        yield layout.key(rewrite.match, protocol, side), bytes(made), use


class Model:
    """A FlowTable in memory."""

    closing = SYN | FIN | RST

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = capacity
        self.slots: dict[bytes, int] = {}
        self.halves: dict[int, bytearray] = {}
        self.offloaded: set[int] = set()
        self._numbers = count()
        self.beaten = -1e9
        self.inherited: set[int] = set()

    # -- what the gateway does to it

    def insert(self, half: Rewrite, offloaded: bool, now: float, mark: int = 0) -> int | None:
        key = layout.key(half.match, half.protocol, half.side)
        assert key not in self.slots
        if len(self.slots) >= self.capacity:
            return None
        slot = self.slots[key] = next(self._numbers)
        self.halves[slot] = bytearray(entered(half, now, mark))
        if offloaded:
            self.offload(slot, half)
        return slot

    @property
    def can_fill(self) -> bool:
        return self.capacity > 0

    def fill(self, rows: bytes, now: float) -> None:
        for row in FLOW.iter_unpack(rows):
            for key, half, use in halves_of(row, layout.seen_at(now - LONG_AGO)):
                if key not in self.slots and len(self.slots) < self.capacity:
                    slot = self.slots[key] = next(self._numbers)
                    self.halves[slot] = bytearray(half)
                    self.inherited.add(slot)
                    if use is Use.OFFLOADED:
                        self.offloaded.add(slot)

    def inherit(self) -> None:
        """The process that has filled the slots has ended; from here on another one uses them."""
        self.inherited = set(self.halves)

    @property
    def inherits(self) -> bool:
        return bool(self.inherited)

    def adopt(
        self, half: Rewrite, offloaded: bool, since: int | None, now: float
    ) -> Adopted | None:
        slot = self.slots.get(layout.key(half.match, half.protocol, half.side))
        if slot not in self.inherited:
            return None
        self.inherited.discard(slot)
        is_filled = self.halves[slot][layout.REACH_AT] & 31 == layout.ANYWHERE
        if is_filled:
            self.halves[slot][layout.REACH_AT] |= layout.ADOPTED
            since = since or 0
        if self.halves[slot][:12] != half.rewrite:
            self.remove(slot, 0, now)
            return None
        was_offloaded = slot in self.offloaded
        if offloaded and not was_offloaded:
            self.offload(slot, half)
        elif was_offloaded and not offloaded:
            self.track(slot)
        return adopted(slot, self._report(self.halves[slot]), since, now, was_offloaded, is_filled)

    def discard(self) -> bool:
        for slot in sorted(self.inherited)[:3]:
            self.remove(slot, 0, 0.0)
            self.inherited.discard(slot)
        return self.inherits

    def offload(self, slot: int, half: Rewrite) -> None:
        self.halves[slot][layout.REACH_AT] = half.reach
        self._set(slot, half.position)
        self.offloaded.add(slot)

    def track(self, slot: int) -> None:
        self.offloaded.discard(slot)

    def move(self, slot: int, before: int, after: int) -> None:
        if self.position(slot) == before:
            self._set(slot, after)

    def position(self, slot: int) -> int:
        end, acknowledged = layout.POSITION.unpack_from(self.halves[slot], layout.POSITION_AT)
        return end << 32 | acknowledged

    def _set(self, slot: int, position: int) -> None:
        parts = position >> 32, position & 0xFFFFFFFF
        layout.POSITION.pack_into(self.halves[slot], layout.POSITION_AT, *parts)

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        return reading(self._report(self.halves[slot]), since, now)

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        self.slots = {key: each for key, each in self.slots.items() if each != slot}
        return reading(self._report(self.halves.pop(slot)), since, now)

    def heartbeat(self, now: float, lasts: float = inf) -> None:
        self.limit(now, lasts)

    def limit(self, now: float, lasts: float) -> None:
        self.beaten = now + min(lasts, GRACE) - GRACE if lasts > 0 else -inf

    @staticmethod
    def _report(half: bytearray) -> tuple[int, int, int, int]:
        seen, traffic, end, acknowledged = layout.REPORT.unpack_from(half, layout.REPORT_AT)
        return seen, traffic, end, acknowledged

    # -- what it does to packets

    def forward(self, data: bytes, side: int, now: float, partial: bool = False) -> bytes | None:
        """What the packet becomes; None if it is left to the engine."""
        if len(data) < 28 or data[0] != 0x45 or data[8] <= 1:
            return None
        if int.from_bytes(data[6:8], "big") & 0xBFFF:
            return None
        total, protocol = int.from_bytes(data[2:4], "big"), data[9]
        if protocol == TCP:
            if len(data) < 40 or data[33] & self.closing or not data[33] & ACK:
                return None
            length = (data[32] >> 4) * 4
            if length < 20 or 20 + length > total:
                return None
            sequence, acknowledged = struct.unpack_from("!II", data, 24)
            position = (sequence + total - 20 - length) & 0xFFFFFFFF, acknowledged
        elif protocol == UDP and 8 <= int.from_bytes(data[24:26], "big") <= total - 20:
            position = 0, 0
        else:
            return None
        if total > len(data):
            return None
        slot = self.slots.get(layout.key(data[12:24], protocol, side))
        if slot is None or slot not in self.offloaded or now - self.beaten > GRACE:
            return None
        half = self.halves[slot]
        self._count(half, total, now, position)
        return self._rewrite(bytearray(data), bytes(half[:12]), partial)

    def _count(self, half: bytearray, total: int, now: float, position: tuple[int, int]) -> None:
        seen, traffic, *known = self._report(half)
        traffic = traffic + (1 << layout.TRAFFIC_SHIFT) + total & (1 << 64) - 1
        if self._is_in_window(position, known, 1 << (half[layout.REACH_AT] & 31)):
            seen, known = layout.seen_at(now), self._moved(known, position)
        layout.REPORT.pack_into(half, layout.REPORT_AT, seen, traffic, *known)

    def _moved(self, known: list[int], position: tuple[int, int]) -> list[int]:
        return [
            before if (before - slot) % 2**32 <= 2**16 else slot
            for before, slot in zip(known, position, strict=True)
        ]

    def _is_in_window(self, position: tuple[int, int], known: list[int], reach: int) -> bool:
        return reach == 1 << layout.ANYWHERE or all(
            (slot - before + reach) % 2**32 <= 2 * reach
            for slot, before in zip(position, known, strict=True)
        )

    def _rewrite(self, data: bytearray, wire: bytes, partial: bool) -> bytes:
        before = bytes(data[12:24])
        data[12:24] = wire
        self._checksum(data, before, wire, partial)
        hop = bytes(data[8:10])
        data[8] -= 1
        check = int.from_bytes(data[10:12], "big")
        check = moved(check, before[:8] + hop, wire[:8] + bytes(data[8:10]))
        data[10:12] = check.to_bytes(2, "big")
        return bytes(data)

    def _checksum(self, data: bytearray, before: bytes, wire: bytes, partial: bool) -> None:
        at = 20 + (16 if data[9] == TCP else 6)
        check = int.from_bytes(data[at : at + 2], "big")
        if partial:
            check = ~moved(~check & 0xFFFF, before[:8], wire[:8]) & 0xFFFF
        elif data[9] == UDP and not check:
            return
        else:
            check = moved(check, before, wire)
            if data[9] == UDP:
                check = check or 0xFFFF
        data[at : at + 2] = check.to_bytes(2, "big")
