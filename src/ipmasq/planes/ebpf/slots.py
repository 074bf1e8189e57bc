"""The hash table of the programs, in memory that is shared with them (see bpf/table.h).

A half is in the slot to which its key hashes, its home slot, or in the first free one of the WINDOW slots
behind it. Each home slot says how far to look (its reach), so that a missing key is soon known to be missing.
Halves never move. With half of all home slots taken, a key is found in its first or second slot.

Programs read while the gateway writes, and there are no locks: the use of a slot is written after all else in
it, and an emptied slot is quarantined until no program can still be reading it. That is so after a second, in
which `reclaim` is called twice. If many quarantined slots are in the way (a client that reuses its port
quickly), it is so as soon as the kernel says so: between `hurry` and `rested`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator

from ipmasq.planes.ebpf import layout
from ipmasq.planes.ebpf.layout import ADOPTED, ANYWHERE, Use

Memory = mmap.mmap | bytearray

_WORDS = struct.Struct("=QQ")
_ALL = (1 << 64) - 1
_SCATTER = 0x9E3779B97F4A7C15
_SIZE = layout.Key.size + layout.Half.size
_SLICE = struct.calcsize(layout.SLICE)
_FILLED = bytes(use >= Use.TRACKED for use in range(256))
CROWD = 8
"""So many quarantined slots in the way of one key are too many."""
_USE, _REACH = layout.offsets(layout.KEY)["use"], layout.offsets(layout.KEY)["reach"]
_REPORT = layout.Key.size + layout.REPORT_AT
_PLACE, _NEAR = layout.Key.size + layout.POSITION_AT, layout.Key.size + layout.REACH_AT


def room(homes: int) -> int:
    """Return the number of slots of a table with so many home slots."""
    return homes + layout.WINDOW


class Slots:
    def __init__(self, memory: Memory, homes: int, seed: int, factor: int) -> None:
        """`memory` has `room(homes)` slots, all zero. `seed` and `factor` (odd) have 64 unpredictable bits
        each."""
        self.homes, self.seed, self.factor = homes, seed, factor
        self._memory = memory
        self._retired: list[int] = []
        self._quarantined: list[int] = []
        self._hurried: list[int] = []
        self.crowded = False
        """Whether many quarantined slots have been in the way since `hurry`."""
        self.changed: set[int] | None = None
        """The slots that were filled or emptied since this was made a set; None: not noted."""

    def insert(self, key: bytes, half: bytes, use: Use) -> int | None:
        """Insert a half and return its slot. The key must not be there. Return None if there is no room near
        its home slot."""
        memory = self._memory
        home = self.home(key)
        quarantined = 0
        for distance in range(layout.WINDOW + 1):
            at = (home + distance) * _SIZE
            quarantined += memory[at + _USE] == Use.QUARANTINED
            if quarantined == CROWD:
                self.crowded = True
            if memory[at + _USE] == Use.EMPTY:
                memory[at + layout.Key.size : at + _SIZE] = half
                memory[at : at + _USE] = key[:_USE]
                probe_limit = home * _SIZE + _REACH
                memory[probe_limit] = max(memory[probe_limit], distance)
                memory[at + _USE] = use
                self.note((home + distance,))
                return home + distance
        return None

    def find(self, key: bytes) -> int | None:
        """Return the slot of a key, whether it is offloaded or not."""
        memory, wanted = self._memory, key[:_USE]
        home = self.home(key)
        for slot in range(home, home + memory[home * _SIZE + _REACH] + 1):
            at = slot * _SIZE
            if memory[at + _USE] >= Use.TRACKED and memory[at : at + _USE] == wanted:
                return slot
        return None

    def inherit(self) -> bytearray:
        """Return 1 for each slot that an earlier process has filled, and 0 for the others. Those that it has
        emptied will be free after two calls of `reclaim`. May be called again as long as nothing is inserted."""
        self._retired, self._quarantined = [], []
        uses = bytes(self._memory[_USE::_SIZE])[: room(self.homes)]
        at = uses.find(Use.QUARANTINED)
        while at >= 0:
            self._retired.append(at)
            at = uses.find(Use.QUARANTINED, at + 1)
        return bytearray(uses.translate(_FILLED))

    def inherit_changes(self, changed: Iterable[int]) -> Iterator[tuple[int, bool]]:
        """See what has become of these slots since `inherit`; nothing was inserted since. Yield each, and whether it is
        filled."""
        changed = set(changed)
        self._retired = [slot for slot in self._retired if slot not in changed]
        self._quarantined = [slot for slot in self._quarantined if slot not in changed]
        for slot in changed:
            use = self._memory[slot * _SIZE + _USE]
            if use == Use.QUARANTINED:
                self._retired.append(slot)
            yield slot, use >= Use.TRACKED

    def rewrite(self, slot: int) -> bytes:
        """Return what packets of this slot are rewritten to."""
        at = slot * _SIZE + layout.Key.size
        return bytes(self._memory[at : at + _SLICE])

    def used(self, slot: int) -> Use:
        """Return the state of a slot."""
        return Use(self._memory[slot * _SIZE + _USE])

    def use(self, slot: int, use: Use) -> None:
        """Set the state of a slot. Programs see it with the next packet."""
        self._memory[slot * _SIZE + _USE] = use

    def is_filled(self, slot: int) -> bool:
        """Return whether a slot was filled from a row, and its position was not set since."""
        at = slot * _SIZE
        reach = self._memory[at + _NEAR] & ~ADOPTED
        return self._memory[at + _USE] >= Use.TRACKED and reach == ANYWHERE

    def is_adopted(self, slot: int) -> bool:
        """Return whether a slot that was filled was taken over since."""
        return bool(self._memory[slot * _SIZE + _NEAR] & ADOPTED)

    def take_over(self, slot: int) -> None:
        """Note that a slot that was filled is taken over."""
        if self.is_filled(slot):
            self._memory[slot * _SIZE + _NEAR] |= ADOPTED

    def note(self, slots: Iterable[int]) -> None:
        """Note that these slots were filled."""
        if self.changed is not None:
            self.changed.update(slots)

    def set_position(self, slot: int, position: int, reach: int) -> None:
        """Set the position of the sender of a half (see `ipmasq.core.offloading.Rewrite`)."""
        at = slot * _SIZE
        self._memory[at + _NEAR] = reach
        self._memory[at + _PLACE : at + _SIZE] = _packed(position)

    def move(self, slot: int, before: int, after: int) -> None:
        """Set the position to `after` if it is `before`."""
        at = slot * _SIZE
        if self._memory[at + _PLACE : at + _SIZE] == _packed(before):
            self._memory[at + _PLACE : at + _SIZE] = _packed(after)

    def report(self, slot: int) -> tuple[int, int, int, int]:
        """Return the fields of `layout.REPORT`."""
        report: tuple[int, int, int, int] = layout.REPORT.unpack_from(
            self._memory, slot * _SIZE + _REPORT
        )
        return report

    def remove(self, slot: int) -> None:
        """Empty a slot. Its report can be read until its quarantine ends."""
        memory, at = self._memory, slot * _SIZE
        home = self.home(self._key(at))
        memory[at + _USE] = Use.QUARANTINED
        self._retired.append(slot)
        self.note((slot,))
        if slot > home and memory[home * _SIZE + _REACH] == slot - home:
            self._shorten(home, slot - home)

    def reclaim(self) -> None:
        """Free the slots that were emptied before the last call; called about once a second."""
        for slot in self._quarantined:
            self._memory[slot * _SIZE + _USE] = Use.EMPTY
        self.note(self._quarantined)
        self._quarantined, self._retired = self._retired, []

    def hurry(self) -> None:
        """Begin to wait: `rested` will free all slots that are quarantined now."""
        self._hurried += self._quarantined + self._retired
        self._quarantined, self._retired = [], []
        self.crowded = False

    def rested(self) -> None:
        """Free them, since every program that was running at the call of `hurry` has ended."""
        for slot in self._hurried:
            self._memory[slot * _SIZE + _USE] = Use.EMPTY
        self.note(self._hurried)
        self._hurried = []

    def home(self, key: bytes) -> int:
        """Return the home slot, as `home` in bpf/table.h does."""
        first, second = _WORDS.unpack(key)
        mixed = (first ^ self.seed) * _SCATTER & _ALL
        mixed = ((mixed ^ mixed >> 32) + second) * self.factor & _ALL
        mixed = (mixed ^ mixed >> 32) * _SCATTER & _ALL
        home: int = (mixed >> 32) * self.homes >> 32
        return home

    def _shorten(self, home: int, probe_limit: int) -> None:
        """Reduce the reach of a home slot after its farthest half was removed."""
        for distance in range(probe_limit - 1, 0, -1):
            at = (home + distance) * _SIZE
            if self._memory[at + _USE] >= Use.TRACKED and self.home(self._key(at)) == home:
                break
        else:
            distance = 0
        self._memory[home * _SIZE + _REACH] = distance

    def _key(self, at: int) -> bytes:
        return bytes(self._memory[at : at + _USE]) + b"\0\0"


def _packed(position: int) -> bytes:
    return layout.POSITION.pack(position >> 32, position & 0xFFFFFFFF)
