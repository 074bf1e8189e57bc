"""Carries a plan out: namespaces, bridges, wires, addresses, routes.

Each wire is born between two of the lab's own namespaces, so nothing ever appears outside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyroute2 import NetNS, netns  # type: ignore[import-untyped]

from ipmasq.lab.plan import SWITCH, Host, Interface, Plan, port_name

LOOPBACK = 1
"""Every namespace is born with it, as interface 1."""


def build(plan: Plan) -> None:
    for namespace in plan.namespaces:
        netns.create(namespace)
        with inside(namespace):
            _configure("ipv6/conf/all/disable_ipv6", 1)
    with NetNS(plan.namespace(SWITCH)) as switch:
        bridges = {name: _bridge(switch, name) for name in plan.segments}
        for host in plan.hosts:
            for interface in host.interfaces:
                _wire(switch, bridges[interface.segment], plan, host, interface)
    for host in plan.hosts:
        _address(plan.namespace(host.name), host)


def demolish(namespaces: list[str]) -> list[str]:
    """Remove those that exist; returns them. Their wires go with them."""
    existing = set(netns.listnetns())
    removed = [name for name in namespaces if name in existing]
    for name in removed:
        # A name whose mount is already gone (a crash in the middle of this) is only a file.
        with suppress(OSError):
            netns.remove(name)
        Path("/run/netns", name).unlink(missing_ok=True)
    return removed


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread is in `namespace` meanwhile."""
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
    return int(netlink.link_lookup(ifname=name)[0])
