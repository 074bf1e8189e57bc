"""The devices that packets leave by, as the programs know them: by their index in a map, which halves
remember.

A device keeps its index as long as it is named, so that a half that remembers it is right until the epoch
ends.
"""

from __future__ import annotations

import ctypes
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
        named = {at: self._read(at) for at in range(layout.DEVICES)}
        self._device_indices = {index: at for at, index in named.items() if index}
        self._free = deque(at for at, index in named.items() if not index)

    def name(self, devices: Mapping[Device, bool]) -> None:
        """Set the devices, and whether each accepts packets from XDP. Packets still leave by a device without
        an index, but more slowly. An epoch must end after this."""
        named = {device.index: takes for device, takes in devices.items()}
        for index in self._device_indices.keys() - named.keys():
            device_index = self._device_indices.pop(index)
            self._write(device_index, 0)
            self._aim(device_index, 0)
            self._free.append(device_index)
        for index in named.keys() - self._device_indices.keys():
            if self._free:
                device_index = self._device_indices[index] = self._free.popleft()
                self._write(device_index, index)
        for index, device_index in self._device_indices.items():
            self._aim(device_index, index if named[index] else 0)

    def device_indices(self, indices: Iterable[int]) -> int:
        """Return the bits of the indices of these devices."""
        return sum(
            1 << self._device_indices[index]
            for index in set(indices)
            if index in self._device_indices
        )

    def _read(self, device_index: int) -> int:
        """Return the ifindex of an entry, which an earlier process may have made; 0: none."""
        device = ctypes.create_string_buffer(layout.Device.size)
        self._lib.bpf_map_lookup_elem(self._devices, _NUMBER.pack(device_index), device)
        return int(layout.Device.unpack(device.raw)[0])

    def _write(self, device_index: int, index: int) -> None:
        """Write an entry. The programs fill in the address."""
        device = layout.Device.pack(index, b"", 0)
        self._lib.bpf_map_update_elem(self._devices, _NUMBER.pack(device_index), device, 0)

    def _aim(self, device_index: int, index: int) -> None:
        """Set the target of XDP's redirects to this index; 0 means none."""
        at = _NUMBER.pack(device_index)
        if index:
            self._lib.bpf_map_update_elem(self._targets, at, _TARGET.pack(index, 0), 0)
        else:
            self._lib.bpf_map_delete_elem(self._targets, at)
