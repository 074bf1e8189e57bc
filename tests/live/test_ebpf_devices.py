"""The fast path between interfaces of other kinds than a plain veth."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ipmasq.planes.tun.device import open_tun
from tests.live.conftest import INSIDE_GATEWAY, INSIDE_HOST, PUBLIC, REMOTE, Network, Running
from tests.live.offloaded_flow import by_xdp, offloaded_flow
from tests.live.test_ebpf import transfer
from tests.live.test_tun import tcp_server

pytestmark = pytest.mark.live

Start = Callable[..., Running]


@contextmanager
def bare_wire(network: Network, host: str, interface: str) -> Iterator[None]:
    """Instead of the veth between a host and the gateway: a wire without link layer, of two TUN
    devices, which this process connects."""
    network.ip("gw", f"link del {interface}")
    near, far = (PUBLIC, REMOTE) if host == "out" else (INSIDE_GATEWAY, INSIDE_HOST)
    ends = []
    for where, name, own, other in (("gw", interface, near, far), (host, "eth", far, near)):
        with network.at(where):
            ends.append(open_tun(name))
        network.ip(where, f"addr add {own} peer {other}/24 dev {name}")
        network.ip(where, f"link set {name} up")
    ended, end = os.pipe()
    connecting = threading.Thread(target=connect, args=(*ends, ended))
    connecting.start()
    if host == "in":
        network.ip("in", "route add default dev eth")
    try:
        yield
    finally:
        os.close(end)
        connecting.join()
        for each in (*ends, ended):
            os.close(each)


def connect(one: int, other: int, ended: int) -> None:
    """What is read from one is written to the other, until `ended` can be read."""
    while True:
        ready = select.select((one, other, ended), (), ())[0]
        if ended in ready:
            return
        for source in ready:
            os.write(other if source == one else one, os.read(source, 1 << 17))


@pytest.mark.parametrize("bare", [["out"], ["in"], ["in", "out"]], ids="+".join)
@pytest.mark.parametrize("plane", ["ebpf-tc", "ebpf-xdp"])
def test_a_wire_without_link_layer_is_used_by_the_kernel(
    network: Network, gateway: Start, bare: list[str], plane: str
) -> None:
    with ExitStack() as wires:
        for host in bare:
            interface = {"out": "go", "in": "gi"}[host]
            wires.enter_context(bare_wire(network, host, interface))
        running = gateway(plane=plane)
        with offloaded_flow(network, running) as flow:
            assert flow.by_kernel(20) == 40
        with tcp_server(network, "out", REMOTE, 5000) as server:
            transfer(network, server, 1 << 22)
        assert running.ask()["fast"] > 140
        assert running.stop() == ""


def bridged(network: Network) -> None:
    """`go` is a bridge, and the wire a port of it."""
    network.ip("gw", "link set go down")
    network.ip("gw", "link set go name wire")
    network.ip("gw", "addr flush dev wire")
    network.ip("gw", "link add go type bridge")
    network.ip("gw", "link set wire master go up")
    network.ip("gw", f"addr add {PUBLIC}/24 dev go")
    network.ip("gw", "link set go up")


def test_generic_xdp_forwards_between_devices_whose_driver_has_none(
    network: Network, gateway: Start
) -> None:
    bridged(network)
    for host in ("in", "out"):
        network.features(host, "eth", "tx", "off")
    running = gateway(plane="ebpf-xdp-generic")
    assert "tc+xdp-generic on go" in running.ask()["plane"]
    with offloaded_flow(network, running) as flow:
        assert flow.by_kernel(20) == 40
    with tcp_server(network, "out", REMOTE, 5000) as server:
        transfer(network, server, 1 << 22)
    assert by_xdp(running.ask()["left"]) > 100
    assert running.stop() == ""
