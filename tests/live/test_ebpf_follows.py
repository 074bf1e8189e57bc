"""What changes around the fast path is followed, and flows go on in the kernel."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conformance import packets
from tests.live.conftest import PUBLIC, REMOTE, Network, Running
from tests.live.offloaded_flow import PORT, offloaded_flow
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

FAR = "198.51.100.9"
OWN = bytes.fromhex("020000000078")
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_MTU = 10, 2, 0, 14


def received(network: Network, interface: str) -> int:
    """Packets that have come to an interface of the remote host."""
    (found,) = json.loads(network.ip("out", f"-s -j link show {interface}"))
    return int(found["stats64"]["rx"]["packets"])


def test_a_narrower_outside_is_told_to_the_sender(fast: Running, network: Network) -> None:
    with offloaded_flow(network, fast) as flow:
        assert flow.by_kernel(5, size=1400) == 10
        network.ip("gw", "link set go mtu 1300")
        flow.client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)

        def told() -> bool:
            try:
                flow.client.send(bytes(1400))
                flow.client.recv(1)  # waits for the ICMP error
            except TimeoutError:
                return False
            except OSError:
                return flow.client.getsockopt(socket.IPPROTO_IP, IP_MTU) == 1300
            return False

        assert eventually(told)
        assert flow.by_kernel(5, size=1200) == 10
        network.ip("gw", "link set go mtu 1500")
        flow.client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 3)  # IP_PMTUDISC_PROBE
        assert eventually(lambda: flow.by_kernel(5, size=1400) == 10)
    assert fast.ask()["left"]["tc.too_big"] > 0
    assert fast.stop() == ""


def test_datagrams_too_big_for_a_narrower_outside_are_fragmented(
    fast: Running, network: Network
) -> None:
    network.ip("out", "link set eth mtu 1300")
    with offloaded_flow(network, fast) as flow:
        flow.client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        network.ip("gw", "link set go mtu 1300")
        assert eventually(lambda: flow.ask(1400))
        assert flow.by_kernel(5, size=1200) == 10
    assert fast.stop() == ""


@pytest.mark.parametrize("host", ["in", "out"])
def test_a_next_hop_with_another_link_layer_address_is_followed(
    fast: Running, network: Network, host: str
) -> None:
    with network.at(host):
        Path("/proc/sys/net/ipv4/conf/eth/arp_notify").write_text("1")
    with offloaded_flow(network, fast) as flow:
        network.ip(host, "link set eth address 02:00:00:00:00:77")
        assert flow.ask() or flow.ask()  # one may be on its way to the former address
        assert flow.goes_by()
    assert fast.stop() == ""


@pytest.mark.parametrize(("interface", "host"), [("gi", "in"), ("go", "out")])
def test_a_new_link_layer_address_of_the_gateways_own_is_the_one_that_it_sends_from(
    fast: Running, network: Network, interface: str, host: str
) -> None:
    with network.at("gw"):
        Path(f"/proc/sys/net/ipv4/conf/{interface}/arp_notify").write_text("1")
    with offloaded_flow(network, fast) as flow, network.at(host):
        heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        with heard:
            heard.bind(("eth", 0))
            network.ip("gw", f"link set {interface} address {OWN.hex(':')}")
            assert flow.ask() or flow.ask()  # one may be on its way to the former address
            assert flow.goes_by()
            heard.settimeout(0)
            with suppress(BlockingIOError):
                while heard.recv(2048):
                    pass
            assert flow.by_kernel(5) == 10
            frames = [heard.recv(2048) for _ in range(5)]
    assert {frame[6:12] for frame in frames} == {OWN}
    assert fast.stop() == ""


def second_neighbour(network: Network) -> tuple[str, str]:
    """Another next hop on the same wire: its interface at the remote host, and its address."""
    with network.at("out"):
        Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")  # each for itself
    network.ip("out", "link add more link eth type macvlan mode bridge")
    network.ip("out", "addr add 203.0.113.3/24 dev more")
    network.ip("out", "link set more up")
    return "more", "203.0.113.3"


def second_wire(network: Network) -> tuple[str, str]:
    """Another way out, on which the gateway does not stand."""
    network.ip("gw", f"link add go2 type veth peer name more netns {network.name('out')}")
    network.ip("gw", "addr add 192.0.2.1/24 dev go2")
    network.ip("gw", "link set go2 up")
    network.ip("out", "addr add 192.0.2.2/24 dev more")
    network.ip("out", "link set more up")
    return "more", "192.0.2.2"


@pytest.mark.parametrize("make", [second_neighbour, second_wire])
def test_another_route_is_followed(fast: Running, network: Network, make: object) -> None:
    assert callable(make)
    network.ip("out", f"addr add {FAR}/32 dev lo")
    interface, address = make(network)
    with network.at("out"):
        for name in ("all", "eth", interface):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    network.ip("gw", f"route add {FAR} via {REMOTE}")
    with offloaded_flow(network, fast, FAR) as flow:
        network.ip("gw", f"route replace {FAR} via {address}")
        assert flow.goes_by()
        before = received(network, interface)
        assert flow.by_kernel(10) == 20
        assert received(network, interface) - before >= 10
        network.ip("gw", f"route replace {FAR} via {REMOTE}")
        assert flow.goes_by()
        before = received(network, interface)
        assert flow.by_kernel(10) == 20
        assert received(network, interface) - before < 10
    assert fast.stop() == ""


def test_a_frame_of_another_vlan_is_not_taken_for_one_of_ours(
    fast: Running, network: Network
) -> None:
    """The kernel takes the tag off before TC sees the frame; XDP sees it in the frame, as it is sent here."""
    with offloaded_flow(network, fast) as flow:
        flow.client.send(b"ask")
        public = flow.server.recvfrom(100)[1]
        forged = packets.udp(
            socket.inet_aton(REMOTE), PORT, socket.inet_aton(PUBLIC), public[1], b"forged"
        )
        mac = {
            name: bytes.fromhex(
                json.loads(network.ip(h, f"-j link show {name}"))[0]["address"].replace(":", "")
            )
            for h, name in (("gw", "go"), ("out", "eth"))
        }
        with network.at("out"):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with raw:
            raw.bind(("eth", 0))
            before = fast.ask()["fast"]
            raw.send(mac["go"] + mac["eth"] + struct.pack("!HH", 0x8100, 5) + b"\x08\x00" + forged)
            # The same without a tag comes after it, by the same wire: when that is here, all has been seen.
            raw.send(mac["go"] + mac["eth"] + b"\x08\x00" + forged)
            assert flow.client.recv(100) == b"forged"
            assert fast.ask()["fast"] == before + 1
    assert fast.stop() == ""
