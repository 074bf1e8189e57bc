"""eBPF programs of other software at the interfaces of the gateway."""

from __future__ import annotations

from collections.abc import Iterator

from ipmasq.doctor.attached import TCX, XDP
from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host


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
