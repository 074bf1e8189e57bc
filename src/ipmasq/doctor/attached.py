"""Which eBPF programs of other software handle the packets of an interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.loading import is_ours

HOOKS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
OURS = "ipmasq"
"""The name of our filters, and what our devices' names begin with."""
XDP = "XDP program"
TCX = "TCX program"
LINKS = {"ingress": libbpf.BPF_TCX_INGRESS, "egress": libbpf.BPF_TCX_EGRESS}


def programs_at(kernel: IPRoute, link: Any) -> Iterator[str]:
    """Yield the programs at the hooks of an interface, without the gateway's filters."""
    xdp = link.get_attr("IFLA_XDP")
    number = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp is not None else None
    if number:
        yield f"{XDP} {number}"
    for hook, parent in HOOKS.items():
        with suppress(NetlinkError):
            yield from _filters(kernel, link["index"], hook, parent)
    for hook, kind in LINKS.items():
        with suppress(OSError):  # an older kernel, no libbpf, or no right to ask
            yield from _linked(link["index"], hook, kind)


def _linked(index: int, hook: str, kind: int) -> Iterator[str]:
    for name in libbpf.attached(index, kind):
        if not is_ours(name):
            yield f"{TCX} at {hook}, {name or 'without a name'}"


def _filters(kernel: IPRoute, index: int, hook: str, parent: int) -> Iterator[str]:
    for each in kernel.get_filters(index=index, parent=parent):
        options = each.get_attr("TCA_OPTIONS")
        if each.get_attr("TCA_KIND") != "bpf" or options is None:
            continue
        name = options.get_attr("TCA_BPF_NAME") or "without a name"
        if name != OURS:
            yield f"filter at {hook}, {name}"
