"""eBPF programs of other software at the interfaces of the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.planes.ebpf import libbpf
from ipmasq.planes.ebpf.loading import is_ours

HOOKS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
OURS = "ipmasq"
"""The name of our filters, and what our devices' names begin with."""
XDP = "XDP program"
TCX = "TCX program"
LINKS = {"ingress": libbpf.BPF_TCX_INGRESS, "egress": libbpf.BPF_TCX_EGRESS}


def find(host: Host) -> Iterator[Finding]:
    uses_xdp = "xdp" in str((host.status or {}).get("plane", ""))
    for name in host.own:
        for program in host.links[name].programs if name in host.links else ():
            is_xdp = program.startswith(XDP)
            if is_xdp and uses_xdp:
                continue
            yield Finding(
                "programs",
                f"{name} has a program of other software: {program}",
                "it sees packets before the gateway, and may drop or redirect them",
                f"ask the software that attached it (Cilium, Calico, a load balancer), or remove it: {_removal(name, program)}",
            )


def _removal(interface: str, program: str) -> str:
    """Return the command that removes a program, or shows what can be removed."""
    if program.startswith(XDP):
        return f"ip link set dev {interface} xdp off"
    if program.startswith(TCX):
        return f"bpftool net show dev {interface}, then bpftool link detach id LINK"
    return f"tc filter show dev {interface}"


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
