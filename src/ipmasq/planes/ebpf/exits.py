"""The devices that packets leave by, as the programs know them: by places, which halves remember.

A device keeps its place for as long as it is named: a half that remembers it is right until the epoch ends.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Mapping

from ipmasq.planes.ebpf import layout, libbpf
from ipmasq.planes.ebpf.devices import Device

_NUMBER = struct.Struct("=I")
_TARGET = struct.Struct("=Ii")
"""struct bpf_devmap_val."""


class Exits:
    def __init__(self, loaded: libbpf.Object) -> None:
        self._lib = libbpf.library()
        self._devices, self._targets = loaded.map("devices"), loaded.map("targets")
        self._places: dict[int, int] = {}
        self._free = deque(range(layout.DEVICES))

    def name(self, devices: Mapping[Device, bool]) -> None:
        """These and no others, and whether they take packets from XDP. By one that has no place, packets
        leave all the same, but more slowly. An epoch must end after this."""
        named = {device.index: takes for device, takes in devices.items()}
        for index in self._places.keys() - named.keys():
            place = self._places.pop(index)
            self._write(place, 0)
            self._aim(place, 0)
            self._free.append(place)
        for index in named.keys() - self._places.keys():
            if self._free:
                place = self._places[index] = self._free.popleft()
                self._write(place, index)
        for index, place in self._places.items():
            self._aim(place, index if named[index] else 0)

    def places(self, indices: Iterable[int]) -> int:
        """The bits of the places of these devices."""
        return sum(1 << self._places[index] for index in set(indices) if index in self._places)

    def _write(self, place: int, index: int) -> None:
        """The address is filled in by the programs."""
        device = layout.Device.pack(index, b"", 0)
        self._lib.bpf_map_update_elem(self._devices, _NUMBER.pack(place), device, 0)

    def _aim(self, place: int, index: int) -> None:
        """What XDP redirects to this place goes there; 0: is not redirected."""
        at = _NUMBER.pack(place)
        if index:
            self._lib.bpf_map_update_elem(self._targets, at, _TARGET.pack(index, 0), 0)
        else:
            self._lib.bpf_map_delete_elem(self._targets, at)
