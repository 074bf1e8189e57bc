"""Builds a plan: namespaces, bridges, veth pairs, addresses, routes.

Each veth pair is created between two of the lab's own namespaces, so nothing ever appears outside them.
"""

from __future__ import annotations

import array
import fcntl
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyroute2 import NetNS, netns

from ipmasq.lab.plan import SWITCH, Host, Interface, Plan, port_name

# <linux/sockios.h>, <linux/ethtool.h>
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
ETHTOOL_SGRO = 0x2C

LOOPBACK = 1
"""Every namespace has it from the start, as interface 1."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Block signals in this block (it takes a fraction of a second).

    This does more than prevent a half-built lab. pyroute2 enters namespaces in forked children that it ends
    with SIGTERM. In a child, a Python signal handler of the caller that raises would unwind the caller's
    stack a second time, including its clean-up.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@undisturbed()
def build(plan: Plan) -> None:
    """Build the lab. Raises OSError or NetlinkError; what was made until then remains."""
    for namespace in plan.namespaces:
        netns.create(namespace)
        with inside(namespace):
            _configure("ipv6/conf/all/disable_ipv6", 1)
    with NetNS(plan.namespace(SWITCH)) as switch:
        bridges = {name: _bridge(switch, name) for name in plan.segments}
        for host in plan.hosts:
            for interface in host.interfaces:
                _wire(switch, bridges[interface.segment], plan, host, interface)
    with inside(plan.namespace(SWITCH)):
        for host in plan.hosts:
            for interface in host.interfaces:
                if interface.xdp:
                    _suit_xdp(port_name(host, interface))
    for host in plan.hosts:
        _address(plan.namespace(host.name), host)


@undisturbed()
def demolish(namespaces: list[str]) -> list[str]:
    """Remove those namespaces that exist, with their interfaces, and return their names."""
    existing = set(netns.listnetns())
    removed = [name for name in namespaces if name in existing]
    for name in removed:
        # If the mount is already gone (after a crash in the middle of this), the name is only a file.
        with suppress(OSError):
            netns.remove(name)
        Path("/run/netns", name).unlink(missing_ok=True)
    return removed


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Move the calling thread into `namespace` within this block."""
    netns.pushns(namespace)
    try:
        yield
    finally:
        netns.popns()


def _configure(key: str, value: int) -> None:
    path = Path("/proc/sys/net", key)
    if path.exists():
        path.write_text(str(value))


def _bridge(switch: NetNS, name: str) -> int:
    switch.link("add", ifname=name, kind="bridge")
    index = _index(switch, name)
    switch.link("set", index=index, state="up")
    return index


def _wire(switch: NetNS, bridge: int, plan: Plan, host: Host, interface: Interface) -> None:
    port = port_name(host, interface)
    peer = {
        "ifname": interface.name,
        "net_ns_fd": plan.namespace(host.name),
        "mtu": interface.mtu,
    }
    switch.link("add", ifname=port, kind="veth", mtu=interface.mtu, peer=peer)
    switch.link("set", index=_index(switch, port), master=bridge, state="up")


def _suit_xdp(port: str) -> None:
    """Make a switch port suit XDP, like `ethtool -K PORT tx off gro on`: the switch finishes checksums before
    it sends (and so segments, too), and with GRO the port accepts frames that XDP redirects."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command, value in ((ETHTOOL_STXCSUM, 0), (ETHTOOL_SGRO, 1)):
            said = array.array("I", (command, value))
            request = struct.pack("16sP16x", port.encode(), said.buffer_info()[0])
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def _address(namespace: str, host: Host) -> None:
    with NetNS(namespace) as own:
        own.link("set", index=LOOPBACK, state="up")
        for interface in host.interfaces:
            index = _index(own, interface.name)
            address, _, length = interface.address.partition("/")
            own.addr("add", index=index, address=address, prefixlen=int(length))
            own.link("set", index=index, state="up")
        if host.default_via:
            own.route("add", dst="default", gateway=host.default_via)
    if host.routes:
        with inside(namespace):
            _configure("ipv4/ip_forward", 1)


def _index(netlink: NetNS, name: str) -> int:
    # Look it up by name: a listing of all may miss one while others change (NLM_F_DUMP_INTR).
    return int(netlink.link("get", ifname=name)[0]["index"])
