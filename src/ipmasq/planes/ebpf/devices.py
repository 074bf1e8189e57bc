"""What must be known of an interface before a program is attached to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

CONF = Path("/proc/sys/net/ipv4/conf")
STRICT = 1
"""A value of `rp_filter`: packets must come in by the interface that leads back to their sender (RFC 3704)."""

ETHERNET = 1  # ARPHRD_ETHER

# <linux/netdev.h> (Linux 6.3)
NETDEV_CMD_DEV_GET = 1
REDIRECT = 1 << 1
TARGET = 1 << 2

UNFIT = frozenset({"veth"})
"""Kinds of devices whose packets may have unfinished checksums, which XDP cannot see."""


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    index: int
    ethernet: bool
    kind: str
    """`veth`, `vlan`, ...; empty for hardware."""
    features: int | None
    """The XDP features of its driver; None if the kernel does not report them."""

    @property
    def suits_xdp(self) -> bool:
        """Whether `auto` should attach XDP."""
        return self.ethernet and self.kind not in UNFIT and bool((self.features or 0) & REDIRECT)

    def should_have_xdp(self, wanted: bool | None) -> bool:
        """Return whether to attach XDP; `wanted` is as in `ipmasq.planes.ebpf.programs.Programs`."""
        return self.suits_xdp if wanted is None else wanted and self.ethernet

    @property
    def takes_redirected(self) -> bool:
        """Whether it accepts frames that XDP redirects; otherwise they would be lost."""
        return self.ethernet and (self.features is None or bool(self.features & TARGET))


def mistakable(devices: Iterable[Device]) -> tuple[Device, Device] | None:
    """Return two devices that programs cannot distinguish, or None: programs know the low 16 bits of an
    ifindex (bpf/layout.h)."""
    found: dict[int, Device] = {}
    for device in devices:
        other = found.setdefault(device.index & 0xFFFF, device)
        if other.index != device.index:
            return other, device
    return None


def rp_filter(name: str) -> int:
    """Return the effective value for an interface: the larger of its own value and that of `all`. STRICT if
    the interface is gone."""
    try:
        return max(int((CONF / each / "rp_filter").read_text()) for each in ("all", name))
    except OSError:
        return STRICT


def look_up(kernel: IPRoute, name: str, is_own: bool = False) -> Device | None:
    """Return the interface of this name, if there is one. `is_own`: it is one of the gateway's, where nothing is redirected
    to, so that its features are not asked for, which takes milliseconds."""
    for index in kernel.link_lookup(ifname=name):
        link = kernel.get_links(index)[0]
        info: Any = link.get_attr("IFLA_LINKINFO")
        kind = info.get_attr("IFLA_INFO_KIND") if info else ""
        known = None if is_own else features(index)
        return Device(name, index, link["ifi_type"] == ETHERNET, kind or "", known)
    return None


class _Message(genlmsg):  # type: ignore[misc]
    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "hex"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def features(index: int) -> int | None:
    with GenericNetlinkSocket() as netdev:
        try:
            netdev.bind("netdev", _Message)
            ask = _Message()
            ask["cmd"], ask["version"] = NETDEV_CMD_DEV_GET, 1
            ask["attrs"] = [("NETDEV_A_DEV_IFINDEX", index)]
            for answer in netdev.nlm_request(ask, msg_type=netdev.prid, msg_flags=1):
                found: int | None = answer.get_attr("NETDEV_A_DEV_XDP_FEATURES")
                return found
        except (NetlinkError, OSError, RuntimeError):
            return None
    return None
