"""Programs on interfaces. By links, where the kernel has them: those end with this process, however it
ends. An older kernel (before 6.6) has TC filters, which stay behind after a crash: they let everything
pass once the gateway is silent, and the next gateway removes them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.core.side import Side
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.devices import Device

CLSACT_INGRESS = 0xFFFFFFF2
FILTER = "ipmasq"
PRIORITY = 1
NO_TCX = {errno.EINVAL, errno.EOPNOTSUPP, 524}


class Attached:
    """One program on one device. `where`: the hook, for people."""

    def __init__(self, where: str, device: Device, link: int | None) -> None:
        """`link`: None if it is a TC filter."""
        self.where, self.device = where, device
        self._link = link

    def detach(self, kernel: IPRoute) -> None:
        if self._link is None:
            remove_filters(kernel, self.device.index)
        else:
            os.close(self._link)
            self._link = None


def attach_tc(
    kernel: IPRoute, loaded: libbpf.Object, device: Device, side: Side, tcx: bool = True
) -> Attached:
    """Raises OSError or NetlinkError."""
    name = f"tc_{side.name.lower()}" + ("" if device.ethernet else "_bare")
    program = loaded.program(name)
    remove_filters(kernel, device.index)
    if tcx:
        try:
            link = libbpf.link(program, device.index, libbpf.BPF_TCX_INGRESS)
            return Attached("tc", device, link)
        except OSError as error:
            if error.errno not in NO_TCX:
                raise
    with suppress(NetlinkError):  # there may be one already, with other people's filters
        kernel.tc("add", "clsact", device.index)
    kernel.tc(
        "add-filter",
        "bpf",
        device.index,
        handle=1,
        prio=PRIORITY,
        fd=program,
        name=FILTER,
        parent=CLSACT_INGRESS,
        classid=1,
        direct_action=True,
    )
    return Attached("tc", device, None)


def attach_xdp(
    loaded: libbpf.Object, device: Device, side: Side, generic: bool = False
) -> Attached:
    """In the driver, or (`generic`) behind it, which works with all of them. Raises OSError."""
    program = loaded.program(f"xdp_{side.name.lower()}")
    mode = libbpf.XDP_FLAGS_SKB_MODE if generic else libbpf.XDP_FLAGS_DRV_MODE
    link = libbpf.link(program, device.index, libbpf.BPF_XDP, mode)
    return Attached("xdp-generic" if generic else "xdp", device, link)


def remove_filters(kernel: IPRoute, index: int) -> None:
    """Our filters on a device, if there are any."""
    with suppress(NetlinkError):
        for each in list(kernel.get_filters(index=index, parent=CLSACT_INGRESS)):
            options = each.get_attr("TCA_OPTIONS")
            name = options.get_attr("TCA_BPF_NAME") if options is not None else None
            if name == FILTER:
                kernel.tc(
                    "del-filter",
                    "bpf",
                    index,
                    handle=each["handle"],
                    prio=each["info"] >> 16,
                    parent=CLSACT_INGRESS,
                )
