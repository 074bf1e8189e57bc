"""The devices that packets leave by, as the programs know them: by places, which halves remember.

A device keeps its place for as long as it is named: a half that remembers it is right until the epoch ends.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence

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

    def name(self, devices: Sequence[Device]) -> None:
        """These and no others. By one that has no place, packets leave all the same, but more slowly.
        An epoch must end after this."""
        named = {device.index: device for device in devices}
        for index in self._places.keys() - named.keys():
            place = self._places.pop(index)
            self._set(place, 0, False)
            self._free.append(place)
        for index, device in named.items():
            known = self._places.get(index)
            if known is not None or self._free:
                place = self._places[index] = self._free.popleft() if known is None else known
                self._set(place, index if known is None else None, device.takes_redirected)

    def _set(self, place: int, index: int | None, target: bool) -> None:
        """`index`: None to leave it, and the address that the programs have found, as they are."""
        at = _NUMBER.pack(place)
        if index is not None:
            value = layout.Device.pack(index, b"", 0)
            self._lib.bpf_map_update_elem(self._devices, at, value, 0)
        if target:
            index = next(each for each, where in self._places.items() if where == place)
            self._lib.bpf_map_update_elem(self._targets, at, _TARGET.pack(index, 0), 0)
        else:
            self._lib.bpf_map_delete_elem(self._targets, at)
