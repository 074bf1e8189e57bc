"""The tables that the programs share with the gateway, read and written many entries at a time."""

from __future__ import annotations

import ctypes
import errno
import mmap
from collections.abc import Iterator, Sequence
from ctypes import byref, c_uint32
from typing import NamedTuple, Protocol

from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.layout import Hook, Reason

BATCH = 16384
RENEW = 30.0
"""Seconds after which next hops are looked up again, so that the kernel confirms its neighbours."""


class Report(NamedTuple):
    """What an entry has counted since it was entered; see bpf/layout.h for the units."""

    seen: int
    traffic: int
    end: int
    acknowledged: int


class Repeater(Protocol):
    """What a fast path offers to whoever keeps it equal to the engine."""

    capacity: int
    """Entries that it can hold."""

    def insert(
        self, entries: Sequence[tuple[bytes, bytes]], now: float, repeated: bool = True
    ) -> int:
        """Keys and what to write; how many were taken, from the first on. What is there already under
        a key is replaced. Unless it is to be `repeated`, an entry only says that there is such a flow."""

    def read(self, key: bytes) -> Report | None: ...

    def remove(self, key: bytes) -> Report | None:
        """From now on packets with this key are the engine's; what was counted until then."""

    def dump(self) -> Iterator[tuple[bytes, Report]]: ...

    def beat(self, now: float) -> None:
        """The gateway lives."""


def entry(wire: bytes, now: float, repeated: bool = True) -> bytes:
    """A new entry, whose next hop is not known yet."""
    return layout.Half.pack(wire, 0, b"", b"", 0, repeated, 0, layout.units(now), 0, 0, 0)


class Table:
    """A Repeater: the map in the kernel."""

    def __init__(self, loaded: libbpf.Object, capacity: int) -> None:
        self.capacity = capacity
        self._lib = libbpf.library()
        self._halves = loaded.map("halves")
        self._reasons = loaded.map("reasons")
        self._state = mmap.mmap(loaded.map(".bss"), mmap.PAGESIZE)
        self._epoch = 1
        self._renewed = 0.0
        self._one = ctypes.create_string_buffer(layout.Half.size)
        self._keys = ctypes.create_string_buffer(BATCH * layout.Key.size)
        self._values = ctypes.create_string_buffer(BATCH * layout.Half.size)
        self._set("epoch", self._epoch)

    def insert(
        self, entries: Sequence[tuple[bytes, bytes]], now: float, repeated: bool = True
    ) -> int:
        done = 0
        while done < len(entries):
            part = entries[done : done + BATCH]
            count = c_uint32(len(part))
            keys = b"".join(key for key, _ in part)
            values = b"".join(entry(wire, now, repeated) for _, wire in part)
            failed = self._lib.bpf_map_update_batch(self._halves, keys, values, byref(count), None)
            done += count.value if failed else len(part)
            if failed:
                break
        return done

    def read(self, key: bytes) -> Report | None:
        if self._lib.bpf_map_lookup_elem(self._halves, key, self._one) < 0:
            return None
        return Report(*layout.REPORT.unpack_from(self._one, layout.REPORT_AT))

    def remove(self, key: bytes) -> Report | None:
        if self._lib.bpf_map_lookup_and_delete_elem(self._halves, key, self._one) < 0:
            return None
        return Report(*layout.REPORT.unpack_from(self._one, layout.REPORT_AT))

    def dump(self) -> Iterator[tuple[bytes, Report]]:
        """Entries that come or go meanwhile may be missed."""
        size, place = layout.Key.size, c_uint32()
        start = None
        more = True
        while more:
            count = c_uint32(BATCH)
            answer = self._lib.bpf_map_lookup_batch(
                self._halves, start, byref(place), self._keys, self._values, byref(count), None
            )
            more = answer == 0
            if answer < 0 and ctypes.get_errno() != errno.ENOENT:
                raise libbpf.error("reading the table")
            start = byref(place)
            keys, values = self._keys.raw, memoryview(self._values.raw)
            for at in range(count.value):
                report = layout.REPORT.unpack_from(values, at * layout.Half.size + layout.REPORT_AT)
                yield keys[at * size : at * size + size], Report(*report)

    # -- what the programs are told

    def beat(self, now: float) -> None:
        self._set("beat", layout.units(now))
        if now - self._renewed >= RENEW:
            self._renewed = now
            self.forget_hops()

    def via(self, inside: int, outside: int) -> None:
        """The devices (their indices) by which the engine's packets enter the kernel, by side."""
        self._set("via", inside, outside)

    def forget_hops(self) -> None:
        """Routes, neighbours or devices have changed: every next hop is to be found again."""
        self._epoch = self._epoch % 0xFFFFFFFF + 1
        self._set("epoch", self._epoch)

    def _set(self, name: str, *numbers: int) -> None:
        at = layout.offsets(layout.STATE)[name]
        for number in numbers:
            self._state[at : at + 4] = number.to_bytes(4, layout.ORDER)
            at += 4

    # -- what they count

    def reasons(self) -> dict[tuple[Hook, Reason], int]:
        """Packets left to the engine."""
        counts = libbpf.counts(self._reasons, len(Hook) * len(Reason))
        return {
            (hook, reason): counts[hook * len(Reason) + reason]
            for hook in Hook
            for reason in Reason
        }

    def close(self) -> None:
        self._state.close()
