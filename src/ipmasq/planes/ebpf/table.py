"""The maps that the programs share with the gateway: the table of halves, the programs' parameters, and
counters."""

from __future__ import annotations

import mmap
import secrets
import struct
from collections.abc import Sequence
from math import inf

from ipmasq.core.compact import FLOW
from ipmasq.core.offloading import Rewrite, Traffic
from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.filling import Filler
from ipmasq.planes.ebpf.grace import Grace
from ipmasq.planes.ebpf.layout import Hook, Reason, Use
from ipmasq.planes.ebpf.slots import Slots, room
from ipmasq.planes.fastpath import Adopted, Reading

RENEW = 30.0
"""Seconds after which next hops are looked up again, so that the kernel confirms its neighbours."""

GRACE = 10.0
"""Seconds after the last heartbeat in which packets are forwarded, unless the operator has set another time."""

DISCARDED = 1000
"""Slots that `discard` empties at a time, which takes some milliseconds."""

MOST_CHANGES = 5000
"""Slots that a predecessor may name as changed: what fits into a message of `ipmasq.gateway.handover`."""

LONG_AGO = float(1 << 30 + layout.TIME_SHIFT) / 1e9
"""Seconds before now at which halves were in use when they are entered, as they report: some days, which is before
whatever the engine knows of them. A segment out of window is counted, and makes them no younger."""

SHARE = 16


def entered(half: Rewrite, now: float, mark: int = 0) -> bytes:
    """Return a half whose counter is at `mark` and whose next hop is not known yet."""
    position = half.position >> 32, half.position & 0xFFFFFFFF
    seen = layout.seen_at(now - LONG_AGO)
    return layout.Half.pack(half.rewrite, b"", 0, half.reach, 0, 0, 0, seen, mark, *position)


def reading(report: tuple[int, int, int, int], since: int, now: float) -> Reading | None:
    """Return what a half reports (the fields of `layout.REPORT`) in the form of
    `ipmasq.planes.fastpath.FlowTable.read`."""
    seen, traffic, end, acknowledged = report
    if traffic == since:
        return None
    counted = layout.counted(traffic, since)
    return Reading(traffic, Traffic(layout.seconds(seen, now), *counted, end << 32 | acknowledged))


def adopted(
    slot: int,
    report: tuple[int, int, int, int],
    since: int | None,
    now: float,
    offloaded: bool,
    is_filled: bool = False,
) -> Adopted:
    """Return what is reported of a slot that is adopted (see `ipmasq.planes.fastpath.FlowTable.adopt`)."""
    seen, traffic, end, acknowledged = report
    if not offloaded:
        return Adopted(slot, traffic, None, is_filled)
    counted = layout.counted(traffic, traffic if since is None else since)
    position = end << 32 | acknowledged
    told = Traffic(layout.seconds(seen, now), *counted, position)
    return Adopted(slot, traffic, told, is_filled)


def homes(capacity: int) -> int:
    """Return the number of home slots: two for each half, so that most are in their home slot."""
    return 2 * capacity


def sizes(capacity: int) -> dict[str, int]:
    """Return the sizes of the maps for so many halves."""
    return {"slots": room(homes(capacity))}


def affordable(memory: int) -> int:
    """Return the number of flows whose slots take at most the fraction 1/SHARE of so many bytes of memory."""
    return memory // SHARE // (2 * homes(1) * (layout.Key.size + layout.Half.size))


class Table:
    """A FlowTable: the programs' own, in memory that is shared with them."""

    def __init__(
        self, loaded: libbpf.Object, capacity: int, inherited: bool = False, grace: float = GRACE
    ) -> None:
        """`loaded` was loaded with `sizes(capacity)`. `inherited`: its maps are those of an earlier process. Packets
        are forwarded for `grace` seconds after a heartbeat."""
        self.capacity = capacity
        self._reasons = loaded.map("reasons")
        self._state = mmap.mmap(loaded.map(".bss"), mmap.PAGESIZE)
        size = room(homes(capacity)) * (layout.Key.size + layout.Half.size)
        self._memory = mmap.mmap(loaded.map("slots"), -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        secret = secrets.randbits(64), secrets.randbits(64) | 1
        if inherited:
            secret = self._get("seed"), self._get("factor")
        self.slots = Slots(self._memory, homes(capacity), *secret)
        self.grace = Grace(loaded)
        self._filler = Filler(loaded)
        self._filled: list[memoryview] = []
        """The numbers of slots that were filled from rows, up to DISCARDED at a time, and others; see `Slots.is_filled`."""
        self._epoch = self._get("epoch") or 1
        self._is_shared = inherited
        self._inherited = bytearray()
        self._used = self._left = 0
        self.look_again()
        self._carried: dict[int, tuple[int, int]] = {}
        """Packets and bytes of inherited slots that were counted elsewhere."""
        self._discarded = 0
        """No slot before this one is inherited."""
        self._renewed = 0.0
        self._seconds = grace
        self._set("grace", layout.units(grace))
        if not inherited:
            self._set("seed", self.slots.seed)
            self._set("factor", self.slots.factor)
            self._set("homes", self.slots.homes)
            self._set("epoch", self._epoch)

    # -- what an earlier process has left

    def note_changes(self) -> None:
        """See `ipmasq.planes.fastpath.FastPath`."""
        self.slots.changed = set()

    @property
    def changes(self) -> list[int] | None:
        """See `ipmasq.planes.fastpath.FastPath`."""
        changed = self.slots.changed
        return None if changed is None or len(changed) > MOST_CHANGES else list(changed)

    def look_again(self, changes: Sequence[int] | None = None) -> None:
        """See `ipmasq.planes.fastpath.FastPath`."""
        if not self._is_shared:
            return
        if changes is None:
            self._inherited = self.slots.inherit()
            self._left = self._inherited.count(1)
        else:
            for slot, is_filled in self.slots.inherit_changes(changes):
                self._left += is_filled - self._inherited[slot]
                self._inherited[slot] = is_filled
        self._used = self._left
        self._epoch = max(self._epoch, self._get("epoch"))  # both may have begun one

    @property
    def inherits(self) -> bool:
        return self._left > 0

    def adopt(
        self, half: Rewrite, offloaded: bool, since: int | None, now: float
    ) -> Adopted | None:
        slot = self.slots.find(layout.key(half.match, half.protocol, half.side))
        if slot is None or not self._is_left(slot):
            return None
        is_filled = self.slots.is_filled(slot)
        self._take_over(slot)
        if self.slots.rewrite(slot) != half.rewrite:
            self.slots.remove(slot)
            self._used -= 1
            return None
        was_offloaded = self.slots.used(slot) is Use.OFFLOADED
        if offloaded and not was_offloaded:
            self.offload(slot, half)
        elif was_offloaded and not offloaded:
            self.track(slot)
        if is_filled and since is None:
            since = 0
        found = adopted(slot, self.slots.report(slot), since, now, was_offloaded, is_filled)
        packets, size = self._carried.pop(slot, (0, 0))
        if found.traffic is None or since is None:
            return found
        counted = found.traffic.packets + packets, found.traffic.bytes + size
        return found._replace(traffic=found.traffic._replace(packets=counted[0], bytes=counted[1]))

    def enter_inherited(self, key: bytes, half: bytes, use: Use) -> int | None:
        """Fill a slot as an earlier process had filled one elsewhere. Return None if there is no room."""
        slot = self.slots.insert(key, half, use) if self._used < self.capacity else None
        if slot is not None:
            self._inherited = self._inherited or bytearray(room(self.slots.homes))
            self._inherited[slot] = 1
            self._used += 1
            self._left += 1
        return slot

    def carry(self, slot: int, counted: tuple[int, int]) -> None:
        """Count packets and bytes that were forwarded for an inherited slot elsewhere."""
        self._carried[slot] = counted

    def discard(self) -> bool:
        for slot in self._some_inherited() or self._some_filled():
            self._take_over(slot)
            self.slots.remove(slot)
            self._used -= 1
        if not self.inherits:
            self._filled.clear()
        return self.inherits

    def _some_inherited(self) -> list[int]:
        """Return some slots that an earlier process has filled and that are left."""
        found: list[int] = []
        slot = self._inherited.find(1, self._discarded)
        while slot >= 0 and len(found) < DISCARDED:
            found.append(slot)
            self._discarded = slot
            slot = self._inherited.find(1, slot + 1)
        return found

    def _some_filled(self) -> list[int]:
        """Return those that are left of some slots that were filled from rows."""
        return list(filter(self._is_left, self._filled.pop())) if self._filled else []

    def _is_left(self, slot: int) -> bool:
        """Return whether the slot is inherited."""
        if slot < len(self._inherited) and self._inherited[slot]:
            return True
        is_there = slot < room(self.slots.homes)
        return is_there and self.slots.is_filled(slot) and not self.slots.is_adopted(slot)

    def _take_over(self, slot: int) -> None:
        """Let the slot be inherited no more."""
        if slot < len(self._inherited):
            self._inherited[slot] = 0
        self.slots.take_over(slot)
        self._left -= 1

    # -- what another gateway has served

    @property
    def can_fill(self) -> bool:
        return self._filler.is_possible

    def fill(self, rows: bytes, now: float) -> None:
        seen, left = layout.seen_at(now - LONG_AGO), memoryview(rows)
        while self.can_fill and left and self._used + 2 <= self.capacity:
            some = min(layout.ROWS, (self.capacity - self._used) // 2) * FLOW.size
            slots, numbers = self._filler.fill(left[:some], seen)
            left = left[some:]
            self._used += slots
            self._left += slots
            self.slots.note(slot for slot in numbers if slot != layout.NOWHERE)
            self._filled += [
                numbers[at : at + DISCARDED] for at in range(0, len(numbers), DISCARDED)
            ]

    # -- the flows

    def insert(self, half: Rewrite, offloaded: bool, now: float, mark: int = 0) -> int | None:
        if self._used >= self.capacity:
            return None
        self.make_room()
        key = layout.key(half.match, half.protocol, half.side)
        use = Use.OFFLOADED if offloaded else Use.TRACKED
        slot = self.slots.insert(key, entered(half, now, mark), use)
        self._used += slot is not None
        return slot

    def offload(self, slot: int, half: Rewrite) -> None:
        self.slots.set_position(slot, half.position, half.reach)
        self.slots.use(slot, Use.OFFLOADED)

    def track(self, slot: int) -> None:
        self.slots.use(slot, Use.TRACKED)

    def move(self, slot: int, before: int, after: int) -> None:
        self.slots.move(slot, before, after)

    def read(self, slot: int, since: int, now: float) -> Reading | None:
        return reading(self.slots.report(slot), since, now)

    def remove(self, slot: int, since: int, now: float) -> Reading | None:
        self.slots.remove(slot)
        self._used -= 1
        return self.read(slot, since, now)

    def make_room(self) -> None:
        """If many quarantined slots are close together, end their quarantine as early as possible."""
        if self.grace.has_ended():
            self.slots.rested()
        if self.slots.crowded and not self.grace.under_way:
            self.slots.hurry()
            self.grace.begin()

    # -- what the programs are told

    def heartbeat(self, now: float, lasts: float = inf) -> None:
        self.make_room()
        self.slots.reclaim()
        self.limit(now, lasts)
        if now - self._renewed >= RENEW:
            self._renewed = now
            self.forget_hops()

    def limit(self, now: float, lasts: float) -> None:
        self._set("heartbeat", layout.heartbeat(now, lasts, self._seconds))

    def via(self, inside: int, outside: int) -> None:
        """Set the devices (by ifindex) by which the engine's packets enter the kernel, by side."""
        self._set("via", inside, outside)

    def between(self, outside: int, address: bytes, ethernet: bool) -> None:
        """Set the outside interface: its ifindex, and its address if it has a link layer."""
        self._set("address", address)
        self._set("ethernet", ethernet)
        self._set("outside", outside)

    @property
    def twice(self) -> bool:
        """Whether packets pass the host's firewall twice (bpf/once.h). Programs set it as well."""
        return self._get("twice") != 0

    @twice.setter
    def twice(self, value: bool) -> None:
        self._set("twice", value)

    def check_reverse_paths(self, strict: int) -> None:
        """Set the devices whose reverse path is checked strictly, as with `rp_filter` 1:
        `Exits.device_indices`. An epoch must end after this."""
        self._set("strict", strict)

    def forget_hops(self) -> None:
        """Begin a new epoch, since routes, neighbours or devices have changed: every next hop is looked up
        again."""
        self._epoch = self._epoch % 0xFFFFFFFF + 1
        self._set("epoch", self._epoch)

    def _set(self, name: str, *numbers: int | bytes) -> None:
        """Write in one store: `pack_into` would write zeros first, which programs would see."""
        told = struct.pack("=" + dict(layout.STATE)[name], *numbers)
        at = layout.offsets(layout.STATE)[name]
        self._state[at : at + len(told)] = told

    def _get(self, name: str) -> int:
        form = struct.Struct("=" + dict(layout.STATE)[name])
        return int(form.unpack_from(self._state, layout.offsets(layout.STATE)[name])[0])

    # -- what they count

    def reasons(self) -> dict[tuple[Hook, Reason], int]:
        """Return the number of packets left to the engine."""
        counts = libbpf.counts(self._reasons, len(Hook) * len(Reason))
        return {
            (hook, reason): counts[hook * len(Reason) + reason]
            for hook in Hook
            for reason in Reason
        }

    def close(self) -> None:
        self.grace.close()
        self._filler.close()
        self._state.close()
        self._memory.close()
