"""Attaches programs to interfaces. Links are used if the kernel has them: they end with this process, however
it ends. An older kernel (before 6.6) has TC filters, which remain after a crash: they let everything pass
once the gateway's heartbeat is too old, and the next gateway removes them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.devices import Device


class Direction(NamedTuple):
    """Where TC programs run on a device: the link type, and the parent of a filter."""

    link: int
    parent: int


INGRESS = Direction(libbpf.BPF_TCX_INGRESS, 0xFFFFFFF2)
EGRESS = Direction(libbpf.BPF_TCX_EGRESS, 0xFFFFFFF3)
DIRECTIONS = INGRESS, EGRESS

FILTER = "ipmasq"
PRIORITY = 1
NO_TCX = {errno.EINVAL, errno.EOPNOTSUPP, 524}


class Attached:
    """One program on one device. `where` is the hook, for people."""

    def __init__(
        self,
        where: str,
        device: Device,
        link: int | None,
        direction: Direction = INGRESS,
        made_qdisc: bool = False,
    ) -> None:
        """`link` is None for a TC filter. `made_qdisc`: the clsact qdisc was added for it."""
        self.where, self.device = where, device
        self._link, self._direction, self._made_qdisc = link, direction, made_qdisc

    def detach(self, kernel: IPRoute) -> None:
        if self._link is not None:
            os.close(self._link)
            self._link = None
            return
        index = self.device.index
        remove_filters(kernel, index, self._direction)
        if self._made_qdisc:
            with suppress(NetlinkError):
                if not any(list(kernel.get_filters(index=index, parent=p)) for _, p in DIRECTIONS):
                    kernel.tc("del", "clsact", index)


def tc_program(device: Device, side: Side) -> str:
    return f"tc_{side.name.lower()}" + ("" if device.ethernet else "_bare")


def up_program(side: Side) -> str:
    return f"up_{side.name.lower()}"


def xdp_program(side: Side) -> str:
    return f"xdp_{side.name.lower()}"


def attach_tc(kernel: IPRoute, loaded: libbpf.Object, device: Device, side: Side) -> Attached:
    """Attach to TC ingress. Raises OSError or NetlinkError."""
    return _attach_tc(kernel, loaded.program(tc_program(device, side)), device, INGRESS)


def attach_up(kernel: IPRoute, loaded: libbpf.Object, device: Device, side: Side) -> Attached:
    """Attach to the device by which packets of a side leave the kernel. Raises OSError or NetlinkError."""
    return _attach_tc(kernel, loaded.program(up_program(side)), device, EGRESS)


def attach_once(program: int, device: Device, direction: Direction) -> Attached:
    """Attach behind the programs that are there. Raises OSError."""
    return Attached("tc", device, libbpf.link(program, device.index, direction.link), direction)


def _attach_tc(kernel: IPRoute, program: int, device: Device, direction: Direction) -> Attached:
    remove_filters(kernel, device.index, direction)
    try:
        link = libbpf.link(program, device.index, direction.link)
        return Attached("tc", device, link, direction)
    except OSError as error:
        if error.errno not in NO_TCX:
            raise
    made_qdisc = False
    with suppress(NetlinkError):  # there may be a qdisc already, with filters of other software
        kernel.tc("add", "clsact", device.index)
        made_qdisc = True
    kernel.tc(
        "add-filter",
        "bpf",
        device.index,
        handle=1,
        prio=PRIORITY,
        fd=program,
        name=FILTER,
        parent=direction.parent,
        classid=1,
        direct_action=True,
    )
    return Attached("tc", device, None, direction, made_qdisc)


def attach_xdp(
    loaded: libbpf.Object, device: Device, side: Side, generic: bool = False
) -> Attached:
    """Attach in the driver, or with `generic` behind it, which works with all drivers. Raises OSError."""
    program = loaded.program(xdp_program(side))
    mode = libbpf.XDP_FLAGS_SKB_MODE if generic else libbpf.XDP_FLAGS_DRV_MODE
    link = libbpf.link(program, device.index, libbpf.BPF_XDP, mode)
    return Attached("xdp-generic" if generic else "xdp", device, link)


def remove_filters(kernel: IPRoute, index: int, direction: Direction) -> int:
    """Remove our filters from a device. Return how many there were."""
    removed = 0
    with suppress(NetlinkError):
        for each in list(kernel.get_filters(index=index, parent=direction.parent)):
            options = each.get_attr("TCA_OPTIONS")
            name = options.get_attr("TCA_BPF_NAME") if options is not None else None
            if name == FILTER:
                kernel.tc(
                    "del-filter",
                    "bpf",
                    index,
                    handle=each["handle"],
                    prio=each["info"] >> 16,
                    parent=direction.parent,
                )
                removed += 1
    return removed
