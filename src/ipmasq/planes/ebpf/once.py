"""Lets packets for the engine pass the host's firewall once, as if the kernel translated them (bpf/once.h).

This needs programs at both ends of an interface and of the engine's devices, hence links (Linux 6.6), and
routing of packets from inside by the operator's own rules. Otherwise packets take the tun plane's way and
pass the firewall twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.attach import EGRESS, INGRESS, Attached, Direction, attach_once
from ipmasq.planes.ebpf.devices import Device
from ipmasq.planes.ebpf.table import Table

DOWN = {side: f"down_from_{side.name.lower()}" for side in Side}
"""The programs for packets that the engine sends into the kernel, by the device of which side."""


def enter_program(device: Device, side: Side) -> str:
    return f"enter_{side.name.lower()}_{_form(device)}"


def leave_program(outside: Device) -> str:
    return f"leave_outside_{_form(outside)}"


class Once:
    def __init__(self, loaded: libbpf.Object, table: Table) -> None:
        self._loaded, self._table = loaded, table
        self._attached: dict[tuple[str, int], Attached] = {}

    def follow(
        self,
        kernel: IPRoute,
        outside: Device | None,
        inside: Iterable[Device],
        engine: Mapping[Side, Device],
    ) -> None:
        """Attach programs to these devices and no others. Raises OSError if the kernel has no links; then
        there are none."""
        wanted: dict[tuple[str, int], tuple[Device, Direction]] = {}
        if outside is not None:
            # Egress first: before that, no packet that comes in may be sent there.
            wanted[leave_program(outside), outside.index] = outside, EGRESS
            for device in inside:
                wanted[enter_program(device, Side.INSIDE), device.index] = device, INGRESS
            wanted[enter_program(outside, Side.OUTSIDE), outside.index] = outside, INGRESS
            for side, device in engine.items():
                wanted[DOWN[side], device.index] = device, INGRESS
            self._table.between(outside.index, _address(kernel, outside), outside.ethernet)
        for key in [key for key in self._attached if key not in wanted]:
            self._attached.pop(key).detach(kernel)
        try:
            for key, (device, direction) in wanted.items():
                if key not in self._attached:
                    program = self._loaded.program(key[0])
                    self._attached[key] = attach_once(program, device, direction)
        except OSError:
            self.end(kernel)
            raise

    def halt(self) -> None:
        """Detach, so that packets take the tun plane's way."""
        self._table.twice = True

    def end(self, kernel: IPRoute) -> None:
        attached, self._attached = self._attached, {}
        # Egress last: a packet that is on its way there must not leave untranslated.
        for _, each in sorted(attached.items(), key=lambda item: item[0][0].startswith("leave")):
            each.detach(kernel)


def _form(device: Device) -> str:
    return "ethernet" if device.ethernet else "bare"


def _address(kernel: IPRoute, device: Device) -> bytes:
    try:
        text = kernel.get_links(device.index)[0].get_attr("IFLA_ADDRESS") or ""
    except NetlinkError:
        return bytes(6)
    return bytes.fromhex(text.replace(":", ""))[:6].ljust(6, b"\0")
