"""Packets that come in by another interface than the one that leads back to their sender (RFC 3704)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipmasq.wire.addresses import to_address
from tests.conformance import packets
from tests.live.conftest import INSIDE_HOST, REMOTE, Network, Running, run
from tests.live.offloaded_flow import PORT, OffloadedFlow, offloaded_flow
from tests.live.test_ebpf_follows import FAR, second_wire
from tests.live.test_tun import udp_socket
from tests.live.waiting import eventually

pytestmark = pytest.mark.live

Start = Callable[..., Running]

INSIDE = {"gi": "10.0.0.0/24", "gg": "10.0.1.0/24"}
GUEST, GUEST_GATEWAY = "10.0.1.2", "10.0.1.1"
TIMES = 20
FORGED = b"forged"
each_plane = pytest.mark.parametrize("plane", ["tun", "ebpf-tc", "ebpf-xdp"])


def with_guests(network: Network, gateway: Start, plane: str, rp_filter: int) -> Running:
    """A gateway with a second inside network."""
    run("ip", "netns", "add", network.name("guest"))
    network.names.append("guest")
    network.cable("guest", GUEST, "gg", GUEST_GATEWAY)
    network.ip("guest", f"route add default via {GUEST_GATEWAY}")
    for host in ("in", "guest", "out"):
        network.features(host, "eth", "tx", "off", "gro", "on")
    with network.at("gw"):
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
        for name in INSIDE:
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text(str(rp_filter))
    return gateway(plane=plane, inside=INSIDE)


def forge(network: Network, flow: OffloadedFlow) -> None:
    """The guest writes datagrams into a flow of the other network's host."""
    _, port = flow.client.getsockname()
    ends = to_address(INSIDE_HOST), port, to_address(REMOTE), PORT
    with network.at("guest"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        for _ in range(TIMES):
            raw.sendto(packets.udp(*ends, FORGED), (REMOTE, 0))


@contextmanager
def conversation(
    network: Network, running: Running, plane: str, host: str = "in"
) -> Iterator[OffloadedFlow]:
    with (
        udp_socket(network, "out", REMOTE, PORT) as server,
        udp_socket(network, host) as client,
    ):
        client.connect((REMOTE, PORT))
        flow = OffloadedFlow(client, server, running)
        assert flow.ask() if plane == "tun" else flow.goes_by()
        yield flow


def refused(network: Network) -> int:
    """Packets that the kernel has dropped because of their reverse path."""
    with network.at("gw"):
        counted = run("nstat", "-asz", "TcpExtIPReversePathFilter")
    return int(counted.splitlines()[1].split()[1])


@each_plane
def test_where_the_kernel_checks_reverse_paths_a_guest_cannot_write_into_anothers_flow(
    network: Network, gateway: Start, plane: str
) -> None:
    running = with_guests(network, gateway, plane, rp_filter=1)
    with conversation(network, running, plane) as flow:
        before = refused(network)
        forge(network, flow)
        assert eventually(lambda: refused(network) == before + TIMES)
        flow.client.send(b"honest")
        assert flow.server.recv(100) == b"honest"
        assert flow.ask()
        if plane != "tun":
            assert flow.by_kernel(20) == 40
            assert running.ask()["left"]["tc.reverse_path"] == TIMES
    assert running.stop() == ""


@each_plane
def test_where_the_kernel_does_not_check_them_they_are_translated_as_ever(
    network: Network, gateway: Start, plane: str
) -> None:
    running = with_guests(network, gateway, plane, rp_filter=0)
    with conversation(network, running, plane) as flow:
        forge(network, flow)
        for _ in range(TIMES):
            assert flow.server.recv(100) == FORGED
        assert flow.ask()
    assert running.stop() == ""


@each_plane
def test_hosts_of_either_network_have_flows_of_their_own(
    network: Network, gateway: Start, plane: str
) -> None:
    running = with_guests(network, gateway, plane, rp_filter=1)
    for host in ("in", "guest"):
        with conversation(network, running, plane, host) as flow:
            if plane != "tun":
                assert flow.by_kernel(20) == 40
    assert running.stop() == ""


def test_where_answers_may_come_another_way_they_go_by_in_the_kernel_until_it_minds(
    network: Network, fast: Running
) -> None:
    network.ip("out", f"addr add {FAR}/32 dev lo")
    _, address = second_wire(network)
    with network.at("out"):
        for name in ("all", "eth", "more"):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    with network.at("gw"):
        strictly = Path("/proc/sys/net/ipv4/conf/go/rp_filter")
        strictly.write_text("0")
    network.ip("gw", f"route add {FAR} via {REMOTE}")
    with offloaded_flow(network, fast, FAR) as flow:
        network.ip("gw", f"route replace {FAR} via {address}")
        assert flow.goes_by()
        with network.at("gw"):
            strictly.write_text("1")
        assert eventually(lambda: not flow.ask())
        with network.at("gw"):
            strictly.write_text("2")
        assert flow.ask()
        assert flow.goes_by()
    assert fast.stop() == ""


def test_after_a_host_has_moved_its_packets_go_by_in_the_kernel_again(
    network: Network, gateway: Start
) -> None:
    """Its address is then reached by another interface, and its flow goes on."""
    running = with_guests(network, gateway, "ebpf-tc", rp_filter=1)
    with conversation(network, running, "ebpf-tc") as flow:
        network.ip("gw", "link set gi down")
        network.ip("in", "link set eth down")
        network.ip("guest", f"addr add {INSIDE_HOST}/32 dev eth")
        network.ip("gw", f"route replace {INSIDE_HOST}/32 dev gg")
        port = flow.client.getsockname()[1]
        moved = udp_socket(network, "guest", INSIDE_HOST, port)
        with moved:
            moved.connect((REMOTE, PORT))
            moved.settimeout(flow.client.gettimeout())
            assert OffloadedFlow(moved, flow.server, running).goes_by()
    assert running.stop() == ""
