"""eBPF programs of other software at the interfaces of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host

HOOKS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
OURS = "ipmasq"
"""The name of our filters, and what our devices' names begin with."""
XDP = "XDP program"


def find(host: Host) -> Iterator[Finding]:
    uses_xdp = "xdp" in str((host.status or {}).get("plane", ""))
    for name in host.own:
        for program in host.links[name].programs if name in host.links else ():
            is_xdp = program.startswith(XDP)
            if is_xdp and uses_xdp:
                continue
            how = f"ip link set dev {name} xdp off" if is_xdp else f"tc filter show dev {name}"
            yield Finding(
                "programs",
                f"{name} has a program of other software: {program}",
                "it sees packets before the gateway, and may drop or redirect them",
                f"ask the software that attached it (Cilium, Calico, a load balancer), or remove it: {how}",
            )


def programs_at(kernel: IPRoute, link: Any) -> Iterator[str]:
    """Yield the programs at the hooks of an interface, without the gateway's filters."""
    xdp = link.get_attr("IFLA_XDP")
    number = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp is not None else None
    if number:
        yield f"{XDP} {number}"
    for hook, parent in HOOKS.items():
        with suppress(NetlinkError):
            yield from _filters(kernel, link["index"], hook, parent)


def _filters(kernel: IPRoute, index: int, hook: str, parent: int) -> Iterator[str]:
    for each in kernel.get_filters(index=index, parent=parent):
        options = each.get_attr("TCA_OPTIONS")
        if each.get_attr("TCA_KIND") != "bpf" or options is None:
            continue
        name = options.get_attr("TCA_BPF_NAME") or "without a name"
        if name != OURS:
            yield f"filter at {hook}, {name}"
