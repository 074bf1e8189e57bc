"""What the gateway needs of the kernel: TUN devices, rights, and for the fast path eBPF."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ipmasq.doctor.finding import Finding
from ipmasq.doctor.host import Host
from ipmasq.doctor.rights import rights

SUBJECT = "kernel"
TUN = Path("/dev/net/tun")
BTF = Path("/sys/kernel/btf/vmlinux")
RIGHTS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
BPF_RIGHTS = ({"CAP_BPF": 39, "CAP_PERFMON": 38}, {"CAP_SYS_ADMIN": 21})
"""Numbers of <linux/capability.h>. Programs need those of either group."""


SLOW = "the engine forwards every packet, which is slower and costs more time of the processor"


def find(host: Host) -> Iterator[Finding]:
    if not TUN.exists():
        fix = f"modprobe tun; in a container: --device {TUN}"
        yield Finding(SUBJECT, f"there is no {TUN}", "the gateway does not start", fix)
    if host.status is None and os.geteuid() == 0:
        yield from lacking_rights(rights("CapBnd"))
    plane, _, trouble = str((host.status or {}).get("plane", "")).partition(" (")
    if plane == "tun" and trouble:
        what = f"there is no fast path: {trouble.removesuffix(')')}"
        yield Finding(
            SUBJECT,
            what,
            SLOW,
            'as it says; or plane = "tun" in [gateway], if it is meant',
            is_hint=True,
        )
    if host.loaded.config.gateway.plane != "tun" and not BTF.exists():
        yield Finding(
            SUBJECT,
            f"the kernel describes no types of its own ({BTF})",
            "packets pass the firewall twice, as on the tun plane (docs/firewalls.md)",
            "use a kernel with CONFIG_DEBUG_INFO_BTF, as those of distributions are",
            is_hint=True,
        )


def lacking_rights(known: int) -> Iterator[Finding]:
    """Find rights that the gateway needs and that are not among these, which are given as bits."""
    missing = [name for name, bit in RIGHTS.items() if not known >> bit & 1]
    if missing:
        yield _lacking(
            missing, "the gateway does not start, or cannot bring back what belongs to the host"
        )
    elif not any(all(known >> bit & 1 for bit in each.values()) for each in BPF_RIGHTS):
        yield _lacking(list(BPF_RIGHTS[0]), SLOW)


def _lacking(names: list[str], effect: str) -> Finding:
    said = " and ".join(names)
    what = f"not even root has {said} here"
    return Finding(
        SUBJECT,
        what,
        effect,
        f"start the container with {' '.join(f'--cap-add {n[4:]}' for n in names)}",
        is_hint=effect == SLOW,
    )
